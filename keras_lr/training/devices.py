"""What TensorFlow sees of the machine, and what a model runs on."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from tensorflow.python.framework.config import is_op_determinism_enabled

from keras_lr.training.nvidia import Nvidia, read_nvidia


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


def inspect_devices(root: Path = Path("/")) -> dict[str, Any]:
    """What `describe_devices` says, and the driver, each GPU's memory, the strategy, and why no GPU is used.

    Args:
        root: Where `proc` and `sys` are mounted.
    """
    nvidia = read_nvidia(root)
    devices = describe_devices()
    memories = nvidia.memory_mebibytes if len(nvidia.memory_mebibytes) == len(devices["gpus"]) else ()
    for gpu, mebibytes in zip(devices["gpus"], memories, strict=False):
        gpu["memory"] = f"{mebibytes / 1024:.1f} GiB"
    return {
        **devices,
        "cudnn_version": str(tf.sysconfig.get_build_info().get("cudnn_version", "")),
        "driver": nvidia.driver_version,
        "strategy": type(tf.distribute.get_strategy()).__name__,
        "memory_growth": _memory_growth(),
        "op_determinism": bool(is_op_determinism_enabled()),
        "why_no_gpu": None if devices["gpus"] else why_no_gpu(nvidia, cuda=tf.test.is_built_with_cuda()),
    }


def why_no_gpu(nvidia: Nvidia, *, cuda: bool, visible: str | None = None) -> str:
    """The likeliest reason that TensorFlow uses no GPU, with the mend, in one or two sentences.

    Args:
        nvidia: What the operating system knows.
        cuda: Whether TensorFlow was built with CUDA.
        visible: The value of `CUDA_VISIBLE_DEVICES`; the environment's where None.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES") if visible is None else visible
    if not nvidia.present:
        return "No NVIDIA GPU was found on this machine; training runs on the CPU."
    if nvidia.driver_version is None:
        return "An NVIDIA GPU was found, but no driver is loaded. Install NVIDIA's driver."
    if visible is not None and visible.strip() in ("", "-1"):
        return f"CUDA_VISIBLE_DEVICES={visible!r} hides every GPU. Unset it."
    if not cuda:
        return "This TensorFlow was built without CUDA. Install TensorFlow for Linux, or under WSL2 on Windows."
    return (
        "An NVIDIA GPU and its driver were found, but TensorFlow cannot load the CUDA libraries. Install them with: "
        'pip install "keras-lr[gpu]"'
    )


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


def _memory_growth() -> bool:
    gpus = tf.config.list_physical_devices("GPU")
    return bool(gpus) and all(tf.config.experimental.get_memory_growth(gpu) for gpu in gpus)
