"""The devices that TensorFlow sees, why it may not see a GPU, and setting them up."""

from __future__ import annotations

import contextlib
import os
import platform
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras_lr._utils.backend  # noqa: F401  (before Keras, whose own error does not help)

# isort: split
import keras
import tensorflow as tf

from keras_lr._keras.snapshot import ops_are_deterministic
from keras_lr._utils.formatting import counted
from keras_lr.errors import DeviceError, InvalidArgumentError

__all__ = ["inspect_devices", "set_up_devices"]

_NVIDIA_VENDOR = "0x10de"
_DISPLAY_CLASS = "0x03"
_QUERY_SECONDS = 10

Precision = Literal["float32", "mixed_float16", "mixed_bfloat16"]
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
STRATEGIES = ("none", "mirrored")


@dataclass(frozen=True)
class Nvidia:
    """What the operating system knows about NVIDIA hardware.

    Attributes:
        present: Whether an NVIDIA display controller is on the bus, or its driver is loaded.
        driver_version: Version of the loaded kernel driver; None if none is loaded.
        memory_mebibytes: Total memory of each GPU in MiB, in the driver's order; empty without `nvidia-smi`.
    """

    present: bool
    driver_version: str | None
    memory_mebibytes: tuple[int, ...] = ()


def read_nvidia(root: Path = Path("/")) -> Nvidia:
    """Reads the bus, the driver's version and each GPU's memory, without starting a CUDA context.

    Args:
        root: The directory that contains `proc` and `sys`.
    """
    version_file = root / "proc/driver/nvidia/version"
    driver = _driver_version(version_file.read_text()) if version_file.is_file() else None
    on_bus = any(_is_nvidia_display(device) for device in (root / "sys/bus/pci/devices").glob("*"))
    return Nvidia(
        present=on_bus or driver is not None,
        driver_version=driver,
        memory_mebibytes=_memory() if driver is not None else (),
    )


def _driver_version(text: str) -> str | None:
    found = re.search(r"Module[^\n]*?\s(\d+\.\d+(?:\.\d+)?)\s", text)
    return found.group(1) if found else None


def _is_nvidia_display(device: Path) -> bool:
    try:
        vendor, kind = (device / "vendor").read_text().strip(), (device / "class").read_text().strip()
    except OSError:
        return False
    return vendor == _NVIDIA_VENDOR and kind.startswith(_DISPLAY_CLASS)


def _memory() -> tuple[int, ...]:
    command = shutil.which("nvidia-smi")
    if command is None:
        return ()
    query = [command, "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(query, capture_output=True, text=True, timeout=_QUERY_SECONDS, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(int(line) for line in answer.stdout.split() if line.isdecimal())


def describe_devices() -> dict[str, Any]:
    """Versions, GPUs, usable CPU cores, precision and XLA, as plain values; initializes and changes nothing."""
    build = tf.sysconfig.get_build_info()
    return {
        "python": platform.python_version(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "gpus": [_describe_gpu(device) for device in tf.config.list_physical_devices("GPU")],
        "cpus": processor_count(),
        "cuda": str(build.get("cuda_version", "")),
        "precision_policy": keras.config.dtype_policy().name,
        "xla": "on" if tf.config.optimizer.get_jit() else "off",
    }


def inspect_devices(root: Path = Path("/")) -> dict[str, Any]:
    """`describe_devices`, plus the driver, each GPU's memory, the strategy, and why no GPU is used.

    Args:
        root: The directory that contains `proc` and `sys`.

    Example:
        >>> keras_lr.devices.inspect_devices()
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
        "op_determinism": ops_are_deterministic(),
        "why_no_gpu": None if devices["gpus"] else why_no_gpu(nvidia, cuda=tf.test.is_built_with_cuda()),
    }


def why_no_gpu(nvidia: Nvidia, *, cuda: bool, visible: str | None = None) -> str:
    """The likeliest reason why TensorFlow uses no GPU, and the remedy, in one or two sentences.

    Args:
        nvidia: What the operating system knows.
        cuda: Whether TensorFlow was built with CUDA.
        visible: The value of `CUDA_VISIBLE_DEVICES`; None to read the environment.
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
    """The devices, and the optimizer, precision, strategy and size of `model`; a wrapper's inner optimizer."""
    return {
        **describe_devices(),
        "optimizer": type(getattr(model.optimizer, "inner_optimizer", model.optimizer)).__name__,
        "strategy": type(model.distribute_strategy).__name__,
        "jit_compile": bool(model.jit_compile),
        "parameters": int(model.count_params()) if model.built else None,
    }


def processor_count() -> int:
    """Number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def operation_threads() -> int:
    """How many operations TensorFlow runs at once on the CPU."""
    given = tf.config.threading.get_inter_op_parallelism_threads() or os.environ.get("TF_NUM_INTEROP_THREADS", "")
    return int(given) if str(given).isdigit() and int(given) > 0 else processor_count()


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


def set_up_devices(
    *,
    device: str = "auto",
    memory_growth: bool = False,
    precision: Precision | None = None,
    deterministic: bool = False,
) -> None:
    """Changes global settings of TensorFlow and Keras; nothing else in keras_lr does.

    Call it before anything runs on a device: TensorFlow fixes its devices at their first use.

    Args:
        device: "auto" leaves the choice to TensorFlow, "cpu" hides every GPU, "gpu" hides all but the first, "gpu:1"
            all but number 1.
        memory_growth: Whether to allocate a GPU's memory as it is needed, rather than all at the start.
        precision: Keras's global dtype policy; None leaves it as it is.
        deterministic: Whether the same seeds give the same bits, which is slower.

    Raises:
        InvalidArgumentError: An argument breaks its rule.
        DeviceError: There is no such GPU, or TensorFlow has already started its devices.

    Example:
        >>> keras_lr.devices.set_up_devices()
    """
    if precision is not None and precision not in PRECISIONS:
        raise InvalidArgumentError(f"`precision` must be one of {PRECISIONS}. Received: {precision!r}.")
    visible = None if device == "auto" else _visible_gpus(device)
    try:
        if visible is not None:
            tf.config.set_visible_devices(visible, "GPU")
        if memory_growth:
            for gpu in tf.config.get_visible_devices("GPU"):
                tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError as err:
        raise DeviceError(
            f"Devices must be set up before TensorFlow uses them ({str(err).rstrip('.')}). Call `set_up_devices` "
            "before you make any model or tensor."
        ) from err
    if precision is not None:
        keras.config.set_dtype_policy(precision)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def strategy_scope(strategy: str) -> contextlib.AbstractContextManager[Any]:
    """The scope in which to build and compile the model.

    Args:
        strategy: "none", or "mirrored" for one replica per visible GPU, or without a GPU per logical CPU.

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
            f'`device` must be "auto", "cpu", "gpu" or "gpu:N", such as "gpu:0". Received: {device!r}.'
        )
    gpus = tf.config.list_physical_devices("GPU")
    number = int(found.group(1) or 0)
    if number >= len(gpus):
        seen = counted(len(gpus), "GPU") if gpus else "no GPU"
        remedy = "to list them" if gpus else "to learn why"
        raise DeviceError(
            f"`device` must name a GPU that TensorFlow sees. Received: {device!r}; it sees {seen}. "
            f"Run `keras-lr devices` {remedy}."
        )
    return [gpus[number]]
