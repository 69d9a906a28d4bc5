"""Bad input is refused before any training."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf

import keras_lr
from keras_lr.errors import DataError, InvalidArgumentError, ModelError, StorageError
from tests.search.small_search import classifier, iris, small_search


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"repeats": 0}, "`repeats` must be an integer >= 1, got 0"),
        ({"repeats": True}, "`repeats` must be an integer >= 1, got True"),
        ({"seed": -1}, "`seed` must be an integer >= 0, got -1"),
        ({"batch_sizes": []}, "`batch_sizes` must hold at least one size"),
        ({"batch_sizes": [0]}, "`batch_sizes` must be an integer >= 1, got 0"),
        ({"engine": "fast"}, "`engine` must be 'auto' or one of"),
        ({"executions_per_trial": 2}, "`LogGridSearch` has no `executions_per_trial`; use `repeats`"),
        ({"objective": ["loss", "accuracy"]}, "`objective` must be a single value"),
        ({"min_lr": 1.0, "learning_rates": None}, "`max_lr` must be greater than `min_lr`"),
    ],
)
def test_options(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        small_search(classifier(), tmp_path, **options)


@pytest.mark.parametrize("hypermodel", [classifier()(), "a name", None])
def test_hypermodels(tmp_path: Path, hypermodel: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="`hypermodel` must be a function that builds a compiled model"):
        keras_lr.LogGridSearch(hypermodel, directory=tmp_path)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"validation_data": None}, InvalidArgumentError, "'val_loss' without validation data"),
        ({"epochs": 0}, InvalidArgumentError, "`epochs` must be an integer >= 1, got 0"),
        ({"batch_size": 1.5}, InvalidArgumentError, "`batch_size` must be an integer >= 1, got 1.5"),
        (
            {"epoch": 3},
            InvalidArgumentError,
            "`search` takes the arguments of `model.fit`: got an unexpected keyword argument 'epoch'",
        ),
        ({"x": None}, DataError, "`search` needs training data, but `x` is None"),
        ({"x": np.zeros((0, 4)), "y": np.zeros(0)}, DataError, "The data is empty"),
        (
            {"x": tf.data.Dataset.from_tensor_slices(np.zeros((0, 4))).batch(2), "y": None},
            DataError,
            "The data is empty",
        ),
        ({"x": iter([1]), "y": None}, DataError, "`x` must be data that can be read again"),
        ({"validation_data": iter([1])}, DataError, "`validation_data` must be data that can be read again"),
    ],
)
def test_arguments_of_search(tmp_path: Path, arguments: dict[str, Any], error: Any, message: str) -> None:
    x, y, validation = iris()
    tuner = small_search(classifier(), tmp_path)
    with pytest.raises(error, match=re.escape(message)):
        tuner.search(**{"x": x, "y": y, "validation_data": validation, "epochs": 1, "verbose": 0, **arguments})
    assert not (tmp_path / "lr").exists()


def test_batch_sizes_need_arrays(tmp_path: Path) -> None:
    x, y, validation = iris()
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(10)
    tuner = small_search(classifier(), tmp_path, batch_sizes=[10, 20])
    with pytest.raises(InvalidArgumentError, match="`batch_sizes` needs arrays"):
        tuner.search(data, validation_data=validation, epochs=1, verbose=0)


def test_an_uncompiled_model(tmp_path: Path) -> None:
    x, y, validation = iris()
    tuner = small_search(lambda: keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]), tmp_path)
    with pytest.raises(ModelError, match="`hypermodel` must return a compiled model"):
        tuner.search(x, y, validation_data=validation, epochs=1, verbose=0)


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    x, y, validation = iris()
    (tmp_path / "file").write_text("")
    tuner = small_search(classifier(), tmp_path / "file")
    with pytest.raises(StorageError, match="`directory` must be writable"):
        tuner.search(x, y, validation_data=validation, epochs=1, verbose=0)


def test_an_objective_that_training_does_not_give(tmp_path: Path) -> None:
    x, y, validation = iris()
    tuner = small_search(classifier(), tmp_path, objective=keras_tuner.Objective("val_recall", "max"))
    with pytest.raises(InvalidArgumentError, match="`objective` must be a value that training logs"):
        tuner.search(x, y, validation_data=validation, epochs=1, verbose=0)
