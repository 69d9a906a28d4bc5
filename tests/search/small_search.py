"""Small models and data on which the tests of the search train, and plain training to compare with."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
from sklearn.datasets import load_iris

from keras_lr._keras.model import build_on
from keras_lr.search import LogGridSearch

RATES = (1e-3, 1e-2)
EPOCHS = 2
BATCH_SIZE = 16


def iris() -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Training flowers, their kinds, and the same for validation; 100 samples, so that the last batch is short."""
    flowers, kinds = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(flowers))
    flowers = (flowers - flowers.mean(axis=0)) / flowers.std(axis=0)
    flowers, kinds = flowers[order].astype("float32"), kinds[order].astype("int32")
    return flowers[:100], kinds[:100], (flowers[100:], kinds[100:])


def classifier(
    optimizer: Callable[[], Any] | None = None,
    *,
    layers: Sequence[Callable[[], Any]] = (),
    metrics: Sequence[str] = (),
) -> Callable[[], keras.Model]:
    """A function that builds and compiles a small classifier, with `layers` in its middle.

    Without an optimizer it is SGD with momentum, which has a state and is traced twice as fast as Adam. A metric takes
    a third of the time of a `fit`.
    """
    make_optimizer = optimizer or functools.partial(keras.optimizers.SGD, momentum=0.9)

    def build() -> keras.Model:
        hidden = keras.layers.Dense(8, activation="relu")
        model = keras.Sequential([keras.Input((4,)), hidden, *(make() for make in layers), keras.layers.Dense(3)])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(make_optimizer(), loss, metrics=list(metrics))
        return model

    return build


def small_search(build: Any, directory: Path, **options: Any) -> LogGridSearch:
    """A tuner over two rates and two repeats."""
    options = {"learning_rates": RATES, "repeats": 2, "extend": False, **options}
    return LogGridSearch(build, directory=directory, **options)


def run_small(tuner: LogGridSearch, **arguments: Any) -> pd.DataFrame:
    """Searches on the flowers and returns the frame."""
    x, y, validation = iris()
    given = {"epochs": EPOCHS, "batch_size": BATCH_SIZE, "validation_data": validation, "verbose": 0, **arguments}
    tuner.search(x, y, **given)
    return tuner.sensitivity().frame


_fitted: dict[Callable[[], keras.Model], keras.Model] = {}


def plain_fit(
    build: Callable[[], keras.Model], *data: Any, rate: float, seed: int, **arguments: Any
) -> dict[str, list[float]]:
    """What `fit` logs of a model that `build` makes.

    All calls with one `build` fit one model, which is traced once. It begins each time as a new one does if its
    variables hold all its state, and those of its optimizer begin at zero.
    """
    keras.utils.set_random_seed(seed)
    new = build()
    model = _fitted.setdefault(build, new)
    for variable, first in zip(model.variables, new.variables, strict=True):
        variable.assign(first)
    for variable in model.optimizer.variables:
        variable.assign(keras.ops.zeros_like(variable))
    model.optimizer.learning_rate = rate
    return model.fit(*data, verbose=0, **arguments).history


def plain_training(
    build: Callable[[], keras.Model],
    *,
    rate: float,
    seed: int,
    builds_optimizer: bool = True,
    batch_size: int = BATCH_SIZE,
) -> pd.DataFrame:
    """What `fit` logs on the batches that a search documents: the order of epoch `e` is a permutation of (seed, e).

    A step that builds the optimizer or a metric is traced twice, so they are built before, unless that changes the
    optimizer's numbers.
    """
    x, y, validation = iris()
    keras.utils.set_random_seed(seed)
    model = build()
    if builds_optimizer:
        build_on(model, (x[:1], y[:1]))
    model.optimizer.learning_rate = rate
    logs = []
    for epoch in range(EPOCHS):
        order = np.random.default_rng([seed, epoch]).permutation(len(x))
        fitted = model.fit(
            x[order], y[order], batch_size=batch_size, shuffle=False, validation_data=validation, verbose=0
        )
        logs.append({name: values[0] for name, values in fitted.history.items()})
    return pd.DataFrame(logs)
