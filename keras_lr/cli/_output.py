"""What commands print, and the codes they exit with."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from rich.console import Console

    from keras_lr.results._range_test import Confidence, Suggestion
    from keras_lr.results._record import Record
    from keras_lr.results._sensitivity import SensitivityResult

FOUND = 1
"""What `--fail-on` names was found."""
BAD_INPUT = 2
INTERRUPTED = 130
"""Ctrl-C."""
PIPE_CLOSED = 141
"""The reader of the output is gone."""

STDOUT = Path("-")

_COLORS = {"clear": "green", "tentative": "yellow", "none": "red"}


def standard_output(*, json: Path | None = None) -> Console:
    """The console for results, plain text if it is not a terminal; stderr if the JSON goes to the standard output."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True, stderr=json == STDOUT)


def write_json(console: Console, result: Record, path: Path) -> None:
    """Writes the JSON form to `path` and says so, or to the standard output if `path` is "-"."""
    if path == STDOUT:
        print(result.to_json())
    else:
        console.print(f"Result: {result.save(path)}", markup=False)


def print_error(err: Exception | str) -> None:
    """Prints an error to stderr, in one line."""
    text = str(err)
    if isinstance(err, OSError) and err.filename is not None and err.strerror:
        text = f"{err.filename}: {err.strerror}"
    print(f"keras-lr: error: {' '.join(text.split())}", file=sys.stderr)


def print_suggestion(console: Console, suggestion: Suggestion) -> None:
    """Prints the badge, the learning rate with its interval, and the reason."""
    from keras_lr._utils.formatting import format_rate

    rate, low, high = (
        None if value is None else format_rate(value)
        for value in (suggestion.learning_rate, suggestion.low, suggestion.high)
    )
    _print_rate(console, suggestion.confidence, rate, f"usable from {low} to {high}", suggestion.reason)


def print_sensitivity(console: Console, result: SensitivityResult) -> None:
    """Prints the badge, the best learning rate with its basin, the reason, and the engine that trained the runs."""
    from keras_lr._utils.formatting import format_rate
    from keras_lr.results._sensitivity import basins_in_words, chaos_in_words

    best = result.best_learning_rate
    rate = None if best is None else format_rate(best, digits=3)
    _print_rate(console, result.confidence, rate, basins_in_words(result), result.reason)
    if result.lr_sensitivity is not None:
        meaning = "the share of the gain that a rate drawn at random from the grid loses on average"
        console.print(f"Learning-rate sensitivity: {result.lr_sensitivity:.2f}, {meaning}", markup=False)
    if len(result.batch_sizes) > 1 and result.best_batch_size is not None:
        console.print(f"Best batch size: {result.best_batch_size}", markup=False)
    if (chaos := chaos_in_words(result)) is not None:
        console.print(" ".join(chaos), markup=False)
    why = f" ({result.engine_reason})" if result.engine_reason else ""
    console.print(f"Trained by: {result.engine}{why}{_workers_in_words(result)}", markup=False)


def _workers_in_words(result: SensitivityResult) -> str:
    """Where the runs were trained, if not in one process; a text to append."""
    from keras_lr._utils.formatting import counted

    count, again = (result.environment.get(name) for name in ("workers", "shares_trained_again"))
    if not count:
        return ""
    repeated = f"; {counted(again, 'share')} trained again" if again else ""
    return f" on {counted(count, 'worker')}{repeated}"


def _print_rate(console: Console, confidence: Confidence, rate: str | None, span: str, reason: str) -> None:
    from rich.text import Text

    from keras_lr.results._range_test import CONFIDENCE_BADGES

    line = Text.assemble((f"{CONFIDENCE_BADGES[confidence]}: ", f"bold {_COLORS[confidence]}"))
    if rate is None:
        line.append("no usable learning rate found")
    else:
        line.append(f"learning_rate={rate}", style="bold")
        line.append(f"  ({span})")
    console.print(line)
    console.print(Text(reason))


def write_outputs(console: Console, options: argparse.Namespace, result: Record, argv: Sequence[str]) -> None:
    """Writes the requested files and prints their paths; the report shows `argv`, the command to reproduce it."""
    if options.json:
        write_json(console, result, options.json)
    if options.report:
        from keras_lr.report import Report

        report = Report(options.title, script=shlex.join(argv)).add(result)
        console.print(f"Report: {report.save(options.report)}", markup=False)
