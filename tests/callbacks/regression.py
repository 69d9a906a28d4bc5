"""A small regression that the callbacks' tests train."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(70, 4)).astype("float32")
Y = X.sum(axis=1, keepdims=True)
STEPS_PER_EPOCH = 7


def regression(optimizer: Any, **options: Any) -> keras.Model:
    """Two layers, "stem" and "head", with the same weights each time."""
    keras.utils.set_random_seed(0)
    stem = keras.layers.Dense(8, activation="relu", name="stem")
    model = keras.Sequential([keras.Input((4,)), stem, keras.layers.Dense(1, name="head")])
    model.compile(optimizer, "mse", **options)
    return model


def fit(model: keras.Model, *callbacks: Any, epochs: int = 3, **options: Any) -> dict[str, list[float]]:
    """Trains on seven batches an epoch and returns the history."""
    options = {"batch_size": 10, "shuffle": False, "verbose": 0} | options
    history = model.fit(X, Y, epochs=epochs, callbacks=list(callbacks), **options)
    return dict(history.history)
