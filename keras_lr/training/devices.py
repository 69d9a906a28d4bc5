"""What TensorFlow sees of the machine, and what a model runs on."""

from __future__ import annotations

import platform
from typing import Any

import keras
import tensorflow as tf


def describe_devices() -> dict[str, Any]:
    """Versions, GPUs, CPU count, precision and XLA, as plain values. Nothing is initialised or changed."""
    build = tf.sysconfig.get_build_info()
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "gpus": [_describe_gpu(device) for device in tf.config.list_physical_devices("GPU")],
        "cpus": len(tf.config.list_physical_devices("CPU")),
        "cuda": str(build.get("cuda_version", "")),
        "precision_policy": keras.config.dtype_policy().name,
        "xla": "on" if tf.config.optimizer.get_jit() else "off",
    }


def environment(model: keras.Model) -> dict[str, Any]:
    """The devices, and the optimizer, precision, strategy and size of `model`."""
    return {
        **describe_devices(),
        "optimizer": type(model.optimizer).__name__,
        "strategy": type(model.distribute_strategy).__name__,
        "jit_compile": bool(model.jit_compile),
        "parameters": int(model.count_params()) if model.built else None,
    }


def _describe_gpu(device: Any) -> dict[str, Any]:
    details = tf.config.experimental.get_device_details(device)
    capability = details.get("compute_capability")
    return {
        "name": details.get("device_name", device.name),
        "compute_capability": ".".join(map(str, capability)) if capability else None,
    }
