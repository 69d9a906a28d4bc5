"""The description of the machine's devices, and setting them up."""

from __future__ import annotations

import os
import re
from pathlib import Path

import keras
import pytest
import tensorflow as tf

from keras_lr.devices import (
    Nvidia,
    describe_devices,
    environment,
    inspect_devices,
    operation_threads,
    read_nvidia,
    set_up_devices,
    strategy_scope,
    why_no_gpu,
)
from keras_lr.errors import DeviceError, InvalidArgumentError
from tests.fresh_process import run_fresh

DRIVER_FILE = """NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5 22:23:56 UTC 2024
GCC version:  gcc version 12.2.0 (Debian 12.2.0-14)
"""
OPEN_DRIVER_FILE = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.159.04  Release Build\n"


def machine(root: Path, *, driver: str = "", vendor: str = "", kind: str = "0x030200") -> Path:
    if driver:
        (root / "proc/driver/nvidia").mkdir(parents=True)
        (root / "proc/driver/nvidia/version").write_text(driver)
    if vendor:
        device = root / "sys/bus/pci/devices/0000:01:00.0"
        device.mkdir(parents=True)
        (device / "vendor").write_text(vendor + "\n")
        (device / "class").write_text(kind + "\n")
    return root


@pytest.mark.parametrize(
    ("files", "present", "version"),
    [
        ({}, False, None),
        ({"vendor": "0x8086"}, False, None),
        ({"vendor": "0x10de", "kind": "0x040300"}, False, None),
        ({"vendor": "0x10de"}, True, None),
        ({"vendor": "0x10de", "driver": DRIVER_FILE}, True, "550.54.15"),
        ({"driver": OPEN_DRIVER_FILE}, True, "580.159.04"),
    ],
)
def test_the_hardware_is_read_from_the_system(tmp_path: Path, files: dict, present: bool, version: str | None) -> None:
    found = read_nvidia(machine(tmp_path, **files))
    assert (found.present, found.driver_version) == (present, version)


@pytest.mark.parametrize(
    ("nvidia", "cuda", "visible", "reason"),
    [
        (Nvidia(False, None), True, None, "No NVIDIA GPU was found"),
        (Nvidia(True, None), True, None, "no driver is loaded"),
        (Nvidia(True, "550.54.15"), True, "-1", "CUDA_VISIBLE_DEVICES='-1' hides"),
        (Nvidia(True, "550.54.15"), False, "0", "built without CUDA"),
        (Nvidia(True, "550.54.15"), True, "0", r'pip install "keras-lr\[gpu\]"'),
    ],
)
def test_the_reason_for_no_gpu_names_the_remedy(nvidia: Nvidia, cuda: bool, visible: str | None, reason: str) -> None:
    assert re.search(reason, why_no_gpu(nvidia, cuda=cuda, visible=visible))


def test_inspection_adds_to_the_description() -> None:
    inspected = inspect_devices()
    assert inspected.items() >= describe_devices().items()
    assert inspected["tensorflow"] == tf.__version__
    assert (inspected["why_no_gpu"] is None) == bool(inspected["gpus"])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"device": "tpu"}, InvalidArgumentError, r"`device` must be .* Received: 'tpu'"),
        (
            {"device": "gpu:64"},
            DeviceError,
            r"^`device` must name .* Received: 'gpu:64'; it sees (no GPU|1 GPU|\d+ GPUs)\. Run",
        ),
        ({"precision": "float8"}, InvalidArgumentError, r"`precision` must be one of .* Received: 'float8'"),
    ],
)
def test_bad_set_ups_are_refused(arguments: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        set_up_devices(**arguments)


def test_an_unknown_strategy_is_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="`strategy` must be one of"):
        strategy_scope("parameter_server")


SET_UP = """
import keras, tensorflow as tf
import keras_lr
from keras_lr.devices import inspect_devices
from keras_lr.devices import set_up_devices, strategy_scope
assert keras.config.dtype_policy().name == "float32" and not inspect_devices()["op_determinism"]
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0],
                                           [tf.config.LogicalDeviceConfiguration()] * 2)
set_up_devices(device="cpu", memory_growth=True, precision="mixed_bfloat16", deterministic=True)
assert keras.config.dtype_policy().name == "mixed_bfloat16"
assert inspect_devices()["op_determinism"]
with strategy_scope("mirrored"):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
assert model.distribute_strategy.num_replicas_in_sync == 2
devices = {part.device for part in model.trainable_variables[0].value.values}
assert len(devices) == 2, devices
print("set up")
"""


def test_setting_up_changes_what_it_promises(tmp_path: Path) -> None:
    done = run_fresh("-c", SET_UP, cwd=tmp_path, sets_up_devices=True)
    assert done.stdout.strip() == "set up", done.stderr


def test_operation_threads_are_those_given_to_tensorflow_or_one_per_core(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 2, 5}, raising=False)
    monkeypatch.delenv("TF_NUM_INTEROP_THREADS", raising=False)
    assert operation_threads() == 3
    monkeypatch.setenv("TF_NUM_INTEROP_THREADS", "7")
    assert operation_threads() == 7


def test_the_environment_names_the_optimizer_within_its_wrapper() -> None:
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    for optimizer in (keras.optimizers.AdamW(), keras.optimizers.LossScaleOptimizer(keras.optimizers.AdamW())):
        model.compile(optimizer, "mse")
        assert environment(model)["optimizer"] == "AdamW"


def test_the_description_counts_the_cores_that_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {1, 3, 5}, raising=False)
    assert describe_devices()["cpus"] == 3
