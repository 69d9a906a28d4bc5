"""Searches under strategies over two logical CPU devices and in mixed precision, as JSON.

It is a program of its own, since the devices of a process are fixed at its start.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from tests.search.small_search import classifier, run_small, small_search


def searched(build: Any, directory: Path, **options: Any) -> dict[str, Any]:
    tuner = small_search(build, directory, repeats=1, **options)
    # Twenty of 100 samples, so that each of two replicas has ten in every batch.
    frame = run_small(tuner, batch_size=20)
    result = tuner.sensitivity()
    return {
        "keys": frame[["learning_rate", "repeat", "epoch"]].to_numpy().tolist(),
        "engine": result.engine,
        "reason": result.engine_reason,
        **{name: frame[name].tolist() for name in ("status", "loss", "val_loss")},
    }


def built_within(strategy: Any, build: Callable[[], keras.Model]) -> Callable[[], keras.Model]:
    def within() -> keras.Model:
        with strategy.scope():
            return build()

    return within


def main(directory: Path) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    build = classifier()
    mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    one = tf.distribute.OneDeviceStrategy("CPU:1")
    found = {
        "plain": searched(build, directory / "plain"),
        "mirrored within build": searched(built_within(mirrored, build), directory / "within"),
        "mirrored by argument": searched(build, directory / "mirrored", distribution_strategy=mirrored),
        "one device by argument": searched(build, directory / "one", distribution_strategy=one),
    }
    keras.config.set_dtype_policy("mixed_bfloat16")
    found["mixed_bfloat16"] = searched(build, directory / "bfloat16")
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
