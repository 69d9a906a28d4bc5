"""`keras-lr devices`: the devices that TensorFlow sees."""

from __future__ import annotations

import argparse
import json
from typing import Any

from keras_lr._utils.files import write_text_atomically
from keras_lr.cli._loading import start_tensorflow
from keras_lr.cli._options import json_output
from keras_lr.cli._output import STDOUT, standard_output


def add_parser(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "devices",
        help="show the devices that TensorFlow sees",
        description="Shows the versions, GPUs, driver, precision and XLA setting that TensorFlow sees, and why it uses "
        "no GPU.",
    )
    parser.add_argument(
        "--json", type=json_output, nargs="?", const=STDOUT, metavar="=FILE", help="print JSON, or write it to FILE"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Prints the devices."""
    start_tensorflow()
    from keras_lr.devices import inspect_devices
    from keras_lr.report._components import environment_rows

    devices = inspect_devices()
    if options.json:
        text = json.dumps(devices, allow_nan=False)
        if options.json == STDOUT:
            print(text)
        else:
            write_text_atomically(options.json, text + "\n")
        return 0
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    for row in environment_rows({**devices, "gpus": devices["gpus"] or "none", "why_no_gpu": None}):
        table.add_row(row["label"], row["value"])
    console = standard_output()
    console.print(table)
    if devices["why_no_gpu"]:
        console.print(devices["why_no_gpu"], markup=False)
    return 0
