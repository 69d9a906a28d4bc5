"""Bad input is refused before any training."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf

import keras_lr
from keras_lr.errors import DataError, InvalidArgumentError, ModelError, StorageError
from tests.search.small_search import RATES, classifier, iris, small_search


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"repeats": 0}, "`repeats` must be an integer >= 1. Received: 0"),
        ({"repeats": True}, "`repeats` must be an integer >= 1. Received: True"),
        ({"seed": -1}, "`seed` must be an integer >= 0. Received: -1"),
        ({"batch_sizes": []}, "`batch_sizes` must hold at least one size"),
        ({"batch_sizes": [0]}, "`batch_sizes` must be an integer >= 1. Received: 0"),
        ({"batch_sizes": 16}, "`batch_sizes` must be a list of sizes. Received: 16"),
        ({"objective": 3}, "`objective` must be the name of a value that training logs.* Received: 3"),
        ({"seed": 2**32 - 1}, r"`seed` must be below 2\*\*32, also that of the last repeat"),
        ({"engine": "fast"}, "`engine` must be 'auto' or one of"),
        ({"executions_per_trial": 2}, "`LogGridSearch` has no `executions_per_trial`; use `repeats`"),
        ({"objective": ["loss", "accuracy"]}, "`objective` must be a single value"),
        ({"min_lr": 1.0, "learning_rates": None}, "`max_lr` must be greater than `min_lr`"),
    ],
)
def test_options(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        small_search(classifier(), tmp_path, **options)


@pytest.mark.parametrize("hypermodel", [classifier()(), keras_tuner.HyperModel, "a name", None])
def test_hypermodels(tmp_path: Path, hypermodel: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="`hypermodel` must be a function that builds a compiled model"):
        keras_lr.LogGridSearch(hypermodel, directory=tmp_path)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"validation_data": None}, InvalidArgumentError, "'val_loss' without validation data"),
        ({"epochs": 0}, InvalidArgumentError, "`epochs` must be an integer >= 1. Received: 0"),
        ({"batch_size": 1.5}, InvalidArgumentError, "`batch_size` must be an integer >= 1. Received: 1.5"),
        (
            {"epoch": 3},
            InvalidArgumentError,
            "`search` takes the arguments of `model.fit`: got an unexpected keyword argument 'epoch'",
        ),
        ({"epoch": 3}, InvalidArgumentError, "Did you mean `epochs`?"),
        (
            {"validation_freq": 2},
            InvalidArgumentError,
            "`validation_freq` must measure 'val_loss' at least once in 1 ep",
        ),
        ({"validation_freq": [3]}, InvalidArgumentError, "in 1 epochs. Received: [3]. Lower it, or raise `epochs`."),
        ({"validation_freq": 0}, InvalidArgumentError, "`validation_freq` must be an integer >= 1. Received: 0"),
        ({"validation_freq": "1"}, InvalidArgumentError, "`validation_freq` must be an integer >= 1. Received: '1'"),
        ({"initial_epoch": 1}, InvalidArgumentError, "`initial_epoch` must be an integer below `epochs`"),
        ({"steps_per_epoch": 1.5}, InvalidArgumentError, "`steps_per_epoch` must be an integer >= 0. Received: 1.5"),
        ({"validation_batch_size": 1.5}, InvalidArgumentError, "`validation_batch_size` must be an integer >= 0"),
        ({"class_weight": [1, 2, 3]}, InvalidArgumentError, "`class_weight` must be a dict of a weight by class"),
        (
            {"class_weight": {0: 1.0}, "sample_weight": np.ones(100)},
            InvalidArgumentError,
            "`class_weight` must be None if `sample_weight` is given",
        ),
        ({"callbacks": [3]}, InvalidArgumentError, "`callbacks` must hold instances of keras.callbacks.Callback. Rec"),
        ({"callbacks": [keras.callbacks.History]}, InvalidArgumentError, "Received the class History. Pass `History("),
        *(
            (
                {"validation_data": None, "validation_split": share},
                InvalidArgumentError,
                f"`validation_split` must be a number above 0 and below 1. Received: {share!r}",
            )
            for share in (1.0, -0.1, "0.2", True)
        ),
        (
            {"validation_data": None, "validation_split": 0.999},
            InvalidArgumentError,
            "`validation_split` must leave samples to train on",
        ),
        (
            {"x": tf.data.Dataset.range(3).batch(2), "y": None, "validation_data": None, "validation_split": 0.2},
            InvalidArgumentError,
            "`validation_split` needs arrays",
        ),
        ({"validation_data": ()}, DataError, "`validation_data` must be `(x, y)` or `(x, y, sample_weight)`"),
        ({"validation_data": (1, 2, 3, 4)}, DataError, "Received: a tuple of 4"),
        ({"validation_data": 3}, DataError, "`validation_data` must hold data of a kind that `fit` reads"),
        ({"validation_data": {"a": np.zeros((3, 5))}}, DataError, "In `validation_data`: `y` must be given"),
        ({"x": {1, 2}, "y": None}, DataError, "`x` must hold data of a kind that `fit` reads"),
        ({"x": Path("data.csv"), "y": None}, DataError, "Received: PosixPath('data.csv') (PosixPath)"),
        ({"sample_weight": np.ones((100, 2))}, DataError, "The data must fit the model. Training on the first batch f"),
        ({"x": None}, DataError, "`search` needs training data, but `x` is None"),
        ({"x": np.zeros((0, 4)), "y": np.zeros(0)}, DataError, "`x` must yield at least one batch"),
        (
            {"x": tf.data.Dataset.from_tensor_slices(np.zeros((0, 4))).batch(2), "y": None},
            DataError,
            "`x` must yield at least one batch",
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


@pytest.mark.parametrize(
    ("objective", "direction"),
    [("val_out_a_accuracy", "max"), ("out_b_loss", "min"), ("val_f1_score", "max"), ("val_auc_2", "max")],
)
def test_the_name_of_an_objective_says_what_is_better(tmp_path: Path, objective: str, direction: str) -> None:
    assert small_search(classifier(), tmp_path, objective=objective).oracle.objective.direction == direction


@pytest.mark.parametrize("objective", ["val_distance", "reward_sum"])
def test_an_objective_of_unknown_direction(tmp_path: Path, objective: str) -> None:
    with pytest.raises(
        InvalidArgumentError, match=rf"Received: '{objective}'. Pass for example keras_tuner\.Objective"
    ):
        small_search(classifier(), tmp_path, objective=objective)


def test_the_metric_of_an_output_is_an_objective(tmp_path: Path) -> None:
    def build() -> keras.Model:
        inputs = keras.Input((4,))
        outputs = {name: keras.layers.Dense(3, name=name)(inputs) for name in ("out_a", "out_b")}
        model = keras.Model(inputs, outputs)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", dict.fromkeys(outputs, loss), metrics={"out_a": ["accuracy"]})
        return model

    x, y, _ = iris()
    targets = {"out_a": y, "out_b": y}
    tuner = small_search(build, tmp_path, objective="val_out_a_accuracy", learning_rates=[1e-9, 0.1], repeats=1)
    tuner.search(x, targets, validation_data=(x, targets), epochs=3, verbose=0)
    frame = tuner.sensitivity().frame
    best = frame.groupby("learning_rate")["val_out_a_accuracy"].max()
    assert tuner.sensitivity().best_learning_rate == best.idxmax() == 0.1


def received(build: Callable[..., Any], directory: Path) -> set[float]:
    """Rates with which a function is called; it appends them to its attribute `rates`."""
    build.rates = []  # type: ignore[attr-defined]
    x, y, validation = iris()
    tuner = small_search(build, directory, repeats=1)
    tuner.search(x, y, validation_data=validation, epochs=1, verbose=0)
    return set(build.rates)  # type: ignore[attr-defined]


def test_a_function_gets_what_its_arguments_ask_for(tmp_path: Path) -> None:
    def by_rate(learning_rate: float = 1e-3) -> keras.Model:
        by_rate.rates.append(learning_rate)  # type: ignore[attr-defined]
        return classifier()()

    def by_keyword(units: int = 8, *, lr: float) -> keras.Model:
        by_keyword.rates.append(lr)  # type: ignore[attr-defined]
        assert units == 8
        return classifier()()

    def by_hyperparameters(hp: Any = None) -> keras.Model:
        by_hyperparameters.rates.append(hp.get("learning_rate"))  # type: ignore[attr-defined]
        return classifier()()

    def by_nothing(units: int = 8) -> keras.Model:
        by_nothing.rates.append(units)  # type: ignore[attr-defined]
        return classifier()()

    for build in (by_rate, by_keyword, by_hyperparameters):
        assert received(build, tmp_path / build.__name__) == set(RATES), build.__name__
    assert received(by_nothing, tmp_path / "nothing") == {8}


@pytest.mark.parametrize("build", [lambda units, learning_rate: None, lambda learning_rate, units: None])
def test_a_function_that_needs_more_is_refused(tmp_path: Path, build: Any) -> None:
    with pytest.raises(
        InvalidArgumentError, match=r"`hypermodel` must take .* also needs `(units|learning_rate)`\. Wrap"
    ):
        small_search(build, tmp_path)


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


def test_an_uncompiled_model_that_a_loop_of_its_own_would_train(tmp_path: Path) -> None:
    class OwnLoop(keras_tuner.HyperModel):
        def build(self, hp: Any) -> keras.Model:
            return keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])

        def fit(self, hp: Any, model: keras.Model, *args: Any, **kwargs: Any) -> float:
            return 1.0

    tuner = small_search(OwnLoop(), tmp_path, objective=None)
    with pytest.raises(ModelError, match=r"Train with `model.optimizer` in the hypermodel's `fit`; the search sets"):
        tuner.search(*iris()[:2], verbose=0)


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
