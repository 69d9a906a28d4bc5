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


@keras.saving.register_keras_serializable("tests")
class WarmsUp(keras.optimizers.SGD):
    """An optimizer whose `learning_rate` is the compiled one times the warmup of its own."""

    @property
    def learning_rate(self) -> Any:
        return self._get_current_learning_rate() * warmup(self)

    @learning_rate.setter
    def learning_rate(self, rate: Any) -> None:
        keras.optimizers.SGD.learning_rate.fset(self, rate)


class WarmsUpInStep(keras.optimizers.SGD):
    """An optimizer that does the same without telling."""

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        super().update_step(gradient, variable, learning_rate * warmup(self))


def warmup(optimizer: Any) -> Any:
    return keras.ops.minimum(1.0, (keras.ops.cast(optimizer.iterations, "float32") + 1) / 4)


def train_on_batches(model: keras.Model, *callbacks: Any, epochs: int = 3) -> dict[str, list[float]]:
    """The history of a loop of `train_on_batch` over all batches, accompanied by a `CallbackList`."""
    listed = keras.callbacks.CallbackList(
        list(callbacks), add_history=True, model=model, epochs=epochs, steps=STEPS_PER_EPOCH, verbose=0
    )
    listed.on_train_begin()
    for epoch in range(epochs):
        listed.on_epoch_begin(epoch)
        model.reset_metrics()
        for batch, rows in enumerate(np.array_split(np.arange(len(X)), STEPS_PER_EPOCH)):
            listed.on_train_batch_begin(batch)
            logs = model.train_on_batch(X[rows], Y[rows], return_dict=True)
            listed.on_train_batch_end(batch, logs)
        listed.on_epoch_end(epoch, {name: float(value) for name, value in logs.items()})
    listed.on_train_end()
    return dict(model.history.history)
