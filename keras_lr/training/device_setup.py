"""Setting TensorFlow up for a run: which device, how its memory grows, precision, determinism, strategy."""

from __future__ import annotations

import contextlib
import re
from typing import Any, Literal

import keras
import tensorflow as tf

from keras_lr.errors import DeviceError, InvalidArgumentError

Precision = Literal["float32", "mixed_float16", "mixed_bfloat16"]
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
STRATEGIES = ("none", "mirrored")


def set_up_devices(
    *,
    device: str = "auto",
    memory_growth: bool = False,
    precision: Precision | None = None,
    deterministic: bool = False,
) -> None:
    """Changes TensorFlow's and Keras's global settings; nothing else in keras_lr does.

    Call it before anything has run on a device: TensorFlow fixes its devices at first use.

    Args:
        device: "auto" leaves the choice to TensorFlow, "cpu" hides every GPU, "gpu" or "gpu:1" shows that one alone.
        memory_growth: Whether a GPU's memory is taken as needed, rather than all at the start.
        precision: Keras's global dtype policy; None leaves it.
        deterministic: Whether the same seeds give the same bits, at the price of speed.

    Raises:
        InvalidArgumentError: An argument breaks its rule.
        DeviceError: There is no such GPU, or TensorFlow has already started its devices.
    """
    if precision is not None and precision not in PRECISIONS:
        raise InvalidArgumentError(f"`precision` must be one of {PRECISIONS}. Received: {precision!r}.")
    try:
        if device != "auto":
            tf.config.set_visible_devices(_visible_gpus(device), "GPU")
        if memory_growth:
            for gpu in tf.config.get_visible_devices("GPU"):
                tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError as err:
        raise DeviceError(
            f"Devices must be set up before TensorFlow starts them. Received: {err}. Call this before any op runs."
        ) from err
    if precision is not None:
        keras.config.set_dtype_policy(precision)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def strategy_scope(strategy: str) -> contextlib.AbstractContextManager[Any]:
    """The scope in which to build and compile the model.

    Args:
        strategy: "none", or "mirrored" for one replica on each visible GPU (or logical CPU where there is none).

    Raises:
        InvalidArgumentError: `strategy` is unknown.
    """
    if strategy not in STRATEGIES:
        raise InvalidArgumentError(f"`strategy` must be one of {STRATEGIES}. Received: {strategy!r}.")
    if strategy == "none":
        return contextlib.nullcontext()
    kind = "GPU" if tf.config.list_logical_devices("GPU") else "CPU"
    devices = [device.name for device in tf.config.list_logical_devices(kind)]
    scope: contextlib.AbstractContextManager[Any] = tf.distribute.MirroredStrategy(devices).scope()
    return scope


def _visible_gpus(device: str) -> list[Any]:
    if device == "cpu":
        return []
    found = re.fullmatch(r"gpu(?::(\d+))?", device)
    if found is None:
        raise InvalidArgumentError(
            f'`device` must be "auto", "cpu", "gpu" or "gpu:N". Received: {device!r}. Write for example "gpu:0".'
        )
    gpus = tf.config.list_physical_devices("GPU")
    number = int(found.group(1) or 0)
    if number >= len(gpus):
        raise DeviceError(
            f"`device` must name a GPU that TensorFlow sees. Received: {device!r}, of {len(gpus)} GPUs. "
            "Run `keras-lr devices` to see them, and why one is missing."
        )
    return [gpus[number]]
