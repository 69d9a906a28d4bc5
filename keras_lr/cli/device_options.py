"""The options of a command that say on what a model trains."""

from __future__ import annotations

import argparse
import contextlib
from typing import Any


def add_device_options(parser: argparse.ArgumentParser) -> None:
    """Adds `--device`, `--memory-growth`, `--precision`, `--deterministic` and `--strategy`."""
    group = parser.add_argument_group("device")
    group.add_argument("--device", default="auto", metavar="D", help="auto, cpu, gpu or gpu:N (%(default)s)")
    group.add_argument("--memory-growth", action="store_true", help="take a GPU's memory as needed, not all at once")
    group.add_argument(
        "--precision",
        choices=("float32", "mixed_float16", "mixed_bfloat16"),
        help="Keras's global dtype policy; your model may set its own",
    )
    group.add_argument("--deterministic", action="store_true", help="the same seed gives the same bits, more slowly")
    group.add_argument(
        "--strategy",
        choices=("none", "mirrored"),
        default="none",
        help="mirrored trains one replica on each visible GPU (%(default)s)",
    )


def set_up(options: argparse.Namespace) -> contextlib.AbstractContextManager[Any]:
    """Sets TensorFlow up as the options say; returns the scope in which to build the model.

    Raises:
        InvalidArgumentError: An option breaks its rule.
        DeviceError: There is no such GPU.
    """
    from keras_lr.training.device_setup import set_up_devices, strategy_scope

    set_up_devices(
        device=options.device,
        memory_growth=options.memory_growth,
        precision=options.precision,
        deterministic=options.deterministic,
    )
    return strategy_scope(options.strategy)
