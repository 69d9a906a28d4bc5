"""Options that several commands share: their types, their help, and how to write them as a command line again."""

from __future__ import annotations

import argparse
import contextlib
import difflib
import math
import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from keras_lr._utils.files import is_writable
from keras_lr.errors import InvalidArgumentError

_NO_OPTIONS = {"model", "run", "traceback"}
"""Attributes of the parsed arguments that are no options of a command."""


OUTPUT_OPTIONS = ("title", "report", "json", "fail_on")
"""Options that change what a command shows, not what it measures."""

_LIGHT_CONDITIONS: dict[str, frozenset[str]] = {"never": frozenset(), "none": frozenset({"none"})}
"""What `--fail-on` usually holds, known without loading pandas for the other words."""


def named_targets(options: argparse.Namespace) -> dict[str, str | None]:
    """The user's code that a command on a model runs, by the name of the argument."""
    return {
        "MODULE:BUILD": options.model,
        "--data": options.data,
        "--validation-data": options.validation_data,
    }


def learning_rate(text: str) -> float:
    """A positive, finite number."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"must be a positive number such as 1e-3. Received: {text!r}")
    return number


def positive_int(text: str) -> int:
    """An integer of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be an integer >= 1. Received: {text!r}")
    return int(text)


def output_file(text: str) -> Path:
    """A path that can be written, checked before any training rather than after hours of it."""
    path = Path(text)
    if not is_writable(path):
        raise argparse.ArgumentTypeError(f"must be a file in a writable directory. Received: {text!r}")
    return path


def json_output(text: str) -> Path:
    """A path that can be written, or "-" for the standard output."""
    return Path(text) if text == "-" else output_file(text)


def conditions(text: str) -> frozenset[str]:
    """The words of `--fail-on`: verdicts, kinds of findings and confidences; "never" for none."""
    if text in _LIGHT_CONDITIONS:
        return _LIGHT_CONDITIONS[text]
    from keras_lr.results._diagnosis import FINDING_KINDS, VERDICTS
    from keras_lr.results._range_test import CONFIDENCE_BADGES

    known: set[str] = {*VERDICTS, *FINDING_KINDS, *CONFIDENCE_BADGES}
    words = frozenset(word.strip() for word in text.split(",") if word.strip())
    if not words or words - known:
        raise argparse.ArgumentTypeError(
            f"must be never, or a list of verdicts, findings and confidences ({', '.join(sorted(known))}). "
            f"Received: {text!r}"
        )
    return words


def check_exist(argument: str, paths: Iterable[str | Path]) -> None:
    """Raises an error for the first path that does not exist, before anything is loaded to read it."""
    for path in paths:
        if not os.path.exists(path):
            folder = Path(path).parent
            beside = os.listdir(folder) if folder.is_dir() else []
            meant = difflib.get_close_matches(Path(path).name, beside, n=1)
            remedy = f"Did you mean {folder / meant[0]}?" if meant else "Check the path."
            raise InvalidArgumentError(
                f"`{argument}` must be an existing file or directory. Received: {path}. {remedy}"
            )


def add_fail_on(parser: argparse.ArgumentParser, *, default: str) -> None:
    """Adds `--fail-on`."""
    parser.add_argument(
        "--fail-on",
        type=conditions,
        default=conditions(default),
        metavar="WORDS",
        help="exit with 1 if one of these words applies, separated by commas: a verdict or finding such as "
        f"too_high, or a confidence such as none; never turns this off ({default})",
    )


def add_model_and_data(parser: argparse.ArgumentParser, *, model: str, validation: str) -> None:
    """Adds `MODULE:BUILD`, `--data` and `--validation-data`.

    Args:
        parser: The parser of the command.
        model: Help of `MODULE:BUILD`.
        validation: Help of `--validation-data`.
    """
    parser.add_argument("model", metavar="MODULE:BUILD", help=model)
    parser.add_argument(
        "--data",
        metavar="MODULE:DATA",
        required=True,
        help="(x, y), (x, y, sample_weight), a dataset, or a function that returns one of these",
    )
    parser.add_argument("--validation-data", metavar="MODULE:DATA", help=validation)


def add_outputs(parser: argparse.ArgumentParser, *, title: str) -> None:
    """Adds `--title`, `--report`, `--json` and `--fail-on`."""
    parser.add_argument("--title", default=title, help="title of the report")
    parser.add_argument("--report", type=output_file, metavar="FILE", help="write an HTML report to FILE")
    parser.add_argument("--json", type=json_output, metavar="FILE", help="write the result to FILE, - for stdout")
    add_fail_on(parser, default="none")


def add_device_options(parser: argparse.ArgumentParser) -> None:
    """Adds `--device`, `--memory-growth`, `--precision`, `--deterministic` and `--strategy`."""
    group = parser.add_argument_group("device")
    group.add_argument("--device", default="auto", metavar="D", help="auto, cpu, gpu or gpu:N (%(default)s)")
    group.add_argument("--memory-growth", action="store_true", help="allocate GPU memory as needed, not all at once")
    group.add_argument(
        "--precision",
        choices=("float32", "mixed_float16", "mixed_bfloat16"),
        help="Keras's global dtype policy; a model may set its own",
    )
    group.add_argument(
        "--deterministic", action="store_true", help="make runs with the same seed bit-identical, but slower"
    )
    group.add_argument(
        "--strategy",
        choices=("none", "mirrored"),
        default="none",
        help="mirrored trains one replica on each visible GPU (%(default)s)",
    )


def set_up(options: argparse.Namespace) -> contextlib.AbstractContextManager[Any]:
    """Sets TensorFlow up as the options say, and returns the scope in which to build the model.

    Raises:
        InvalidArgumentError: An option breaks its rule.
        DeviceError: The GPU does not exist.
    """
    from keras_lr.devices import set_up_devices, strategy_scope

    set_up_devices(
        device=options.device,
        memory_growth=options.memory_growth,
        precision=options.precision,
        deterministic=options.deterministic,
    )
    return strategy_scope(options.strategy)


def to_argv(command: str, options: argparse.Namespace, *, without: Collection[str] = ()) -> list[str]:
    """The command line that gives `command`, a command on a model, the same options again.

    It is built from all parsed options, so that a new one is passed on without being listed anywhere. This relies on
    each option storing its value under its own name, with None, False or an empty list if it was not given.

    Args:
        command: Name of the command.
        options: What the command's parser returned.
        without: Names of options to leave out, such as "json".
    """
    argv = ["keras-lr", command, options.model]
    for name, value in vars(options).items():
        if name in _NO_OPTIONS or name in without or value is None or value is False or value == []:
            continue
        argv.append(f"--{name.replace('_', '-')}")
        if isinstance(value, list):
            argv += map(str, value)
        elif value is not True:
            argv.append(str(value))
    return argv
