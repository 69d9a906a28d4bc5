"""Kinds of argument that several commands take."""

from __future__ import annotations

import argparse
import contextlib
import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def learning_rate(text: str) -> float:
    """A positive, finite number."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"must be a positive number, as 1e-3. Received: {text!r}")
    return number


def positive_int(text: str) -> int:
    """A whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1. Received: {text!r}")
    return int(text)


def output_file(text: str) -> Path:
    """A path to which a file can be written, told before hours of training and not after."""
    path = Path(text)
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise argparse.ArgumentTypeError(f"must be a file in a folder that can be written to. Received: {text!r}")
    return path


def add_model_and_data(parser: argparse.ArgumentParser, *, model: str, validation: str) -> None:
    """Adds `MODULE:BUILD`, `--data` and `--validation-data`; the help of the first and the last differs."""
    parser.add_argument("model", metavar="MODULE:BUILD", help=model)
    parser.add_argument(
        "--data",
        metavar="MODULE:DATA",
        required=True,
        help="(x, y), (x, y, sample_weight), a dataset, or a function that returns one",
    )
    parser.add_argument("--validation-data", metavar="MODULE:DATA", help=validation)


def add_outputs(parser: argparse.ArgumentParser, *, title: str) -> None:
    """Adds `--title`, `--report` and `--json`."""
    parser.add_argument("--title", default=title, help="title of the report")
    parser.add_argument("--report", type=output_file, metavar="F", help="write an HTML report to F")
    parser.add_argument("--json", type=output_file, metavar="F", help="write the result to F")


def to_argv(
    command: str,
    options: argparse.Namespace,
    values: Iterable[str],
    *,
    lists: Iterable[str] = (),
    flags: Iterable[str] = (),
) -> list[str]:
    """The words that give a command on a model the same options again; those that were not given are left out."""
    words = ["keras-lr", command, options.model, "--data", options.data]
    for name in values:
        if (value := getattr(options, name)) is not None:
            words += [_option(name), str(value)]
    for name in lists:
        if given := getattr(options, name):
            words += [_option(name), *map(str, given)]
    return words + [_option(name) for name in flags if getattr(options, name)]


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


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
    from keras_lr.devices import set_up_devices, strategy_scope

    set_up_devices(
        device=options.device,
        memory_growth=options.memory_growth,
        precision=options.precision,
        deterministic=options.deterministic,
    )
    return strategy_scope(options.strategy)
