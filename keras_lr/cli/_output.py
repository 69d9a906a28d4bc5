"""What commands print."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

    from rich.console import Console

    from keras_lr.results._range_test import Confidence, Suggestion
    from keras_lr.results._record import Record
    from keras_lr.results._sensitivity import SensitivityResult

_STYLES = {"clear": ("green", "Clear"), "tentative": ("yellow", "Tentative"), "none": ("red", "No answer")}


def standard_output() -> Console:
    """The console for results; plain where the output is not a terminal."""
    from rich.console import Console

    return Console(highlight=False, soft_wrap=True)


def print_suggestion(console: Console, suggestion: Suggestion) -> None:
    """Prints the badge, the learning rate with its interval, and the reason."""
    _print_rate(
        console, suggestion.confidence, suggestion.learning_rate, (suggestion.low, suggestion.high), suggestion.reason
    )


def print_sensitivity(console: Console, result: SensitivityResult) -> None:
    """Prints the badge, the best learning rate with its basin, the reason, and how the runs were trained."""
    _print_rate(console, result.confidence, result.best_learning_rate, (result.low, result.high), result.reason)
    if len(result.batch_sizes) > 1 and result.best_batch_size is not None:
        console.print(f"Best batch size: {result.best_batch_size}", markup=False)
    why = f" ({result.engine_reason})" if result.engine_reason else ""
    console.print(f"Trained by: {result.engine}{why}", markup=False)


def _print_rate(
    console: Console,
    confidence: Confidence,
    rate: float | None,
    interval: tuple[float | None, float | None],
    reason: str,
) -> None:
    from rich.text import Text

    from keras_lr._utils.formatting import format_rate

    color, badge = _STYLES[confidence]
    line = Text.assemble((f"{badge}: ", f"bold {color}"))
    low, high = interval
    if rate is None or low is None or high is None:
        line.append("no usable learning rate found")
    else:
        line.append(f"learning_rate={format_rate(rate)}", style="bold")
        line.append(f"  (usable from {format_rate(low)} to {format_rate(high)})")
    console.print(line)
    console.print(Text(reason))


def write_outputs(console: Console, options: argparse.Namespace, result: Record, words: Sequence[str]) -> None:
    """Writes the result and its report where they were asked for, and says where; `words` make the result again."""
    if options.json:
        console.print(f"Result: {result.save(options.json)}", markup=False)
    if options.report:
        from keras_lr.report import Report

        report = Report(options.title, script=shlex.join(words)).add(result)
        console.print(f"Report: {report.save(options.report)}", markup=False)
