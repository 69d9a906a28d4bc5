"""`keras-lr report`: saved results as one HTML page."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from keras_lr._utils.files import write_text_atomically
from keras_lr.cli._options import check_exist, json_output, output_file
from keras_lr.cli._output import STDOUT


def add_parser(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "report",
        help="make an HTML report from saved results",
        description="Makes one HTML page from saved results and searches.",
    )
    parser.add_argument(
        "results",
        nargs="+",
        type=Path,
        metavar="RESULT",
        help="a file written by `result.save`, or a search directory",
    )
    parser.add_argument("-o", "--output", type=output_file, required=True, metavar="FILE", help="the page to write")
    parser.add_argument("--title", default="Learning-rate report", help="title of the report")
    parser.add_argument("--json", type=json_output, metavar="FILE", help="write all results to FILE, - for stdout")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Reads all results, then writes the page."""
    check_exist("RESULT", options.results)
    from keras_lr.errors import ResultFormatError
    from keras_lr.report import Report
    from keras_lr.report._sections import record_from_dict
    from keras_lr.results._record import parse_json, read_text

    report = Report(options.title)
    paths = [path.resolve() for path in options.results]
    short = [path.stem if path.is_file() else path.name for path in paths]
    names = short if len({*short}) == len(short) else list(map(str, options.results))
    for path, name in zip(options.results, names, strict=True):
        try:
            result = path if path.is_dir() else record_from_dict(parse_json(read_text(path)))
            report.add(result, name=name if len(names) > 1 else "")
        except ResultFormatError as err:
            remedy = "" if path.is_dir() else " Pass what `result.save` wrote; `keras-lr analyze` judges training logs."
            raise ResultFormatError(f"{path}: {err}{remedy}") from err
    print(f"Report: {report.save(options.output)}", file=sys.stderr if options.json == STDOUT else sys.stdout)
    if options.json == STDOUT:
        print(report.to_json())
    elif options.json:
        write_text_atomically(options.json, report.to_json() + "\n")
    return 0
