"""The device on which a sweep keeps its variables."""

from __future__ import annotations

import json

import pytest

from tests.fresh_process import run_fresh

PROGRAM = """
import json, sys
import keras, numpy as np, tensorflow as tf
from sklearn.datasets import load_digits
import keras_lr
from keras_lr.range_test._loop import StepLoop

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)
prepare, devices = StepLoop.prepare, {}
def noting(loop, *described):
    touched = prepare(loop, *described)
    for variable in [*touched, loop._rows]:
        devices[variable.name] = tf.DeviceSpec.from_string(variable.device).device_index
    return touched
StepLoop.prepare = noting
scope = tf.distribute.OneDeviceStrategy("CPU:1").scope() if sys.argv[1] == "strategy" else tf.device("CPU:1")
with scope:
    layers = keras.layers
    model = keras.Sequential([keras.Input((64,)), layers.Dense(16, "relu"), layers.Dropout(0.1), layers.Dense(10)])
    model.compile(keras.optimizers.Adam(), keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.optimizer.build(model.trainable_variables)
    x, y = load_digits(return_X_y=True)
    result = keras_lr.find_lr(model, (x / 16).astype("float32"), y, num_steps=30, max_lr=0.1)
print(json.dumps({"devices": devices, "steps": len(result.losses)}))
"""


@pytest.mark.parametrize("pin", ["strategy", "device"])
def test_every_variable_of_a_sweep_stays_on_the_pinned_device(pin: str) -> None:
    done = run_fresh("-c", PROGRAM, pin, sets_up_devices=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["steps"] == 30
    weights_and_moments = 4 + 2 * 4
    assert len(found["devices"]) > weights_and_moments
    assert set(found["devices"].values()) == {1}, found["devices"]
