"""Trains on two logical CPU devices under `MirroredStrategy`, and prints the rates as JSON."""

from __future__ import annotations

import json
from typing import Any

import keras
import tensorflow as tf

import keras_lr
from keras_lr import schedules
from tests.callbacks.regression import STEPS_PER_EPOCH, X, Y, fit, regression
from tests.schedules.conftest import EXAMPLES


class LogsRates(keras.Model):
    """Logs the rate of every schedule inside the training step."""

    def __init__(self, watched: dict[str, Any]) -> None:
        super().__init__()
        self.watched = watched
        self.dense = keras.layers.Dense(1)

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs)

    def train_step(self, data: Any) -> Any:
        step = self.optimizer.iterations.value
        rates = {name: schedule(step) for name, schedule in self.watched.items()}
        rates["own"] = self.optimizer.learning_rate
        return {**super().train_step(data), **rates}


def rates_in_replicas(strategy: tf.distribute.Strategy) -> dict[str, list[float]]:
    """The rate of each of 21 steps, by the name of the example."""
    seen: dict[str, list[float]] = {}

    def keep(batch: int, logs: dict[str, Any]) -> None:
        for name in [*EXAMPLES, "own"]:
            seen.setdefault(name, []).append(float(logs[name]))

    with strategy.scope():
        model = LogsRates({name: make() for name, make in EXAMPLES.items()})
        model.compile(keras.optimizers.SGD(EXAMPLES["sequential"]()), "mse")
    fit(model, keras.callbacks.LambdaCallback(on_train_batch_end=keep))
    return seen


def fit_with_callbacks(strategy: tf.distribute.Strategy) -> dict[str, Any]:
    """A fit under every callback that touches the rate."""
    with strategy.scope():
        schedule = schedules.OneCycle(0.05, 3 * STEPS_PER_EPOCH)
        model = regression(keras.optimizers.SGD(schedule, momentum=0.9))
    recorder = keras_lr.LRRecorder(frequency="step")
    plateau = keras_lr.ReduceOnPlateau("loss", factor=0.5, patience=1, min_delta=1e3)
    history = fit(model, recorder, keras_lr.MomentumCycle(), plateau, validation_data=(X, Y))
    return {"history": history, "weights": [weight.tolist() for weight in model.get_weights()]}


def main() -> None:
    """Trains on both devices, then on one."""
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    results = {
        "replicas": mirrored.num_replicas_in_sync,
        "rates": rates_in_replicas(mirrored),
        "mirrored": fit_with_callbacks(mirrored),
        "single": fit_with_callbacks(tf.distribute.get_strategy()),
    }
    print(json.dumps(results))


if __name__ == "__main__":
    main()
