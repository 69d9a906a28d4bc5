"""The counted steps are those that a schedule sees in a real `fit`."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf

from keras_lr.errors import InvalidArgumentError
from keras_lr.schedules import total_steps
from tests.versions import reads_sparse

X = np.zeros((70, 3), "float32")
Y = np.zeros((70, 1), "float32")


class Reader(keras.utils.PyDataset):
    @property
    def num_batches(self) -> int:
        return 5

    def __getitem__(self, index: int) -> Any:
        return X[:4], Y[:4]


def endless() -> Any:
    while True:
        yield X[:4], Y[:4]


class Loader:
    """A loader of batches, such as PyTorch's, whose length does not count samples."""

    def __len__(self) -> int:
        return 5


def batched() -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((X, Y)).batch(16)


@pytest.mark.parametrize(
    ("data", "arguments"),
    [
        (lambda: X, {"batch_size": 16}),
        (lambda: X, {}),
        (lambda: X, {"batch_size": 16, "validation_split": 0.33}),
        (lambda: X, {"batch_size": 16, "steps_per_epoch": 2}),
        (lambda: X, {"batch_size": 16, "steps_per_epoch": 7}),
        (lambda: X, {"steps_per_epoch": 2}),
        (lambda: X, {"steps_per_epoch": 7, "validation_split": 0.33}),
        (lambda: X, {"batch_size": 16, "initial_epoch": 1}),
        (batched, {}),
        (lambda: batched().repeat(), {"steps_per_epoch": 3}),
        (lambda: batched().filter(lambda x, y: True).repeat(), {"steps_per_epoch": 3}),
        (Reader, {}),
        (endless, {"steps_per_epoch": 3, "initial_epoch": 2}),
        pytest.param(lambda: scipy.sparse.csr_matrix(X), {"batch_size": 16}, marks=reads_sparse),
    ],
    ids=[
        "arrays",
        "default",
        "split",
        "few",
        "many",
        "divided into few",
        "divided into many",
        "later",
        "dataset",
        "repeated",
        "filtered",
        "reader",
        "generator",
        "sparse",
    ],
)
@pytest.mark.parametrize("options", [{}, {"steps_per_execution": 2, "accumulate": 2}], ids=["plain", "several at once"])
def test_it_counts_as_fit_does(data: Any, arguments: dict[str, Any], options: dict[str, Any]) -> None:
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    together = {name: value for name, value in options.items() if name == "steps_per_execution"}
    optimizer = keras.optimizers.SGD(gradient_accumulation_steps=options.get("accumulate"))
    # To trace a step takes longer than all of these, but only a traced one takes several together.
    model.compile(optimizer, "mse", **together, run_eagerly=not together)
    x = data()
    model.fit(x, Y if hasattr(x, "shape") else None, epochs=3, verbose=0, **arguments)
    # The first variable is the step that a schedule is called with.
    assert total_steps(data(), epochs=3, **arguments, **together) == int(model.optimizer.variables[0])


@pytest.mark.parametrize(
    ("data", "arguments", "message"),
    [
        (X, {"epochs": 0}, "`epochs` must be an integer >= 1"),
        (X, {"epochs": 3, "initial_epoch": 3}, "`initial_epoch` must be less than `epochs`"),
        (X, {"epochs": 3, "batch_size": 0}, "`batch_size` must be an integer >= 1"),
        (X, {"epochs": 3, "validation_split": 2}, "`validation_split` must be a number in"),
        (endless(), {"epochs": 3}, "`steps_per_epoch` must be given .* generator"),
        (batched().repeat(), {"epochs": 3}, "`steps_per_epoch` must be given"),
        (batched().filter(lambda x, y: True), {"epochs": 3}, "`steps_per_epoch` must be given"),
        (Loader(), {"epochs": 3}, "`steps_per_epoch` must be given .* Loader"),
        ("data.csv", {"epochs": 3}, "`steps_per_epoch` must be given .* str"),
        (X.tolist(), {"epochs": 3}, "`steps_per_epoch` must be given .* list"),
        (X[:5], {"epochs": 3, "validation_split": 0.9}, "`x` must hold a sample .* 5 samples, validation_split=0.9"),
        (X[:0], {"epochs": 3}, "`x` must hold a sample to train on. Received: 0 samples"),
        (batched().take(0), {"epochs": 3, "steps_per_epoch": 2}, "`x` must hold a batch to train on"),
    ],
)
def test_refusals(data: Any, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        total_steps(data, **arguments)
