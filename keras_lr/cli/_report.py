"""`keras-lr report`: stored results as one HTML page."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from keras_lr.cli._loading import start_tensorflow
from keras_lr.cli._options import output_file


def add_parser(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "report",
        help="make an HTML report of stored results",
        description="Makes one HTML page of stored results and searches.",
    )
    parser.add_argument(
        "results", nargs="+", type=Path, metavar="RESULT", help="what `result.save` wrote, or a search's folder"
    )
    parser.add_argument("-o", "--output", type=output_file, required=True, metavar="F", help="the page to write")
    parser.add_argument("--title", default="Learning-rate report", help="title of the report")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Reads every result before it writes."""
    from keras_lr.errors import ResultFormatError
    from keras_lr.report import Report
    from keras_lr.report._sections import record_from_dict
    from keras_lr.results._record import parse_json, read_text

    if any(path.is_dir() for path in options.results):
        start_tensorflow()
    report = Report(options.title)
    for path in options.results:
        try:
            report.add(path if path.is_dir() else record_from_dict(parse_json(read_text(path))))
        except ResultFormatError as err:
            raise ResultFormatError(f"{path}: {err}") from err
    print(f"Report: {report.save(options.output)}")
    return 0
