"""The model and the data of the contract tests: small enough that building and training cost milliseconds."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np

X = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
Y = X @ np.array([[1.0], [-2.0], [0.5]], dtype="float32")


def tiny_model(optimizer: Any = "sgd", **compile_options: Any) -> keras.Model:
    """A compiled linear model, run eagerly, so that nothing is traced."""
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile(optimizer, "mse", run_eagerly=True, **compile_options)
    return model


def fit(model: keras.Model, *callbacks: keras.callbacks.Callback, **options: Any) -> Any:
    """Two epochs of two steps."""
    given = {"x": X, "y": Y, "batch_size": 4, "epochs": 2, "verbose": 0, "callbacks": list(callbacks)}
    return model.fit(**given | options)
