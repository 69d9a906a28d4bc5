"""`keras-lr devices`: what TensorFlow sees of this machine."""

from __future__ import annotations

import argparse
import json
from typing import Any

from keras_lr.cli.console import standard_output
from keras_lr.cli.tensorflow import start_tensorflow


def add_parser(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "devices",
        help="show what TensorFlow sees",
        description="Shows versions, GPUs, precision and XLA as TensorFlow sees them.",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Prints the devices."""
    start_tensorflow()
    from keras_lr.report.environment import environment_rows
    from keras_lr.training.devices import describe_devices

    devices = describe_devices()
    if options.json:
        print(json.dumps(devices, allow_nan=False))
        return 0
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    for row in environment_rows({**devices, "gpus": devices["gpus"] or "none"}):
        table.add_row(row["label"], row["value"])
    standard_output().print(table)
    return 0
