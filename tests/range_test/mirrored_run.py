"""Range tests on two logical CPU devices and on one, printed as JSON.

This is a separate program because a process cannot change its devices once they are in use.
"""

from __future__ import annotations

import json
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

import keras_lr


def build(optimizer: Any, **compile_options: Any) -> keras.Model:
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(16, activation="relu"), keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"], **compile_options)
    return model


def dataset() -> tf.data.Dataset:
    images, labels = load_digits(return_X_y=True)
    pairs = ((images / 16).astype("float32"), labels.astype("int32"))
    return tf.data.Dataset.from_tensor_slices(pairs).shuffle(2000, seed=3).batch(64, drop_remainder=True)


def replica_values(model: keras.Model) -> list[np.ndarray]:
    values = []
    for variable in [*model.variables, *model.optimizer.variables]:
        backing = variable.value
        parts = backing.values if isinstance(backing, tf.distribute.DistributedValues) else [backing]
        values += [part.numpy() for part in parts]
    return values


def compare(make_optimizer: Any, **sweep: Any) -> dict[str, Any]:
    options = {"num_steps": 50, "min_lr": 1e-5, "max_lr": 0.1, "stop_on_divergence": False} | sweep
    one = keras_lr.find_lr(build(make_optimizer()), dataset(), **options)
    with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
        model = build(make_optimizer())
        model.optimizer.build(model.trainable_variables)
    before = replica_values(model)
    two = keras_lr.find_lr(model, dataset(), **options)
    finder = keras_lr.LRRangeTest(**options)
    model.fit(dataset(), verbose=0, callbacks=[finder])
    after = replica_values(model)
    return {
        "one": one.losses.tolist(),
        "two": two.losses.tolist(),
        "in_fit": finder.result.losses.tolist(),
        "stop_reasons": [one.stop_reason, two.stop_reason, finder.result.stop_reason],
        "values": len(before),
        "variables": len([*model.variables, *model.optimizer.variables]),
        "restored": all(np.array_equal(old, new) for old, new in zip(before, after, strict=True)),
    }


def main() -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 100)
    found = {"float32": compare(lambda: keras.optimizers.SGD(schedule, momentum=0.9))}
    for policy in ("mixed_bfloat16", "mixed_float16"):
        keras.config.set_dtype_policy(policy)
        found[policy] = compare(lambda: keras.optimizers.Adam(), num_steps=20)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
