"""`keras-lr analyze`: judges learning rates by training histories, without TensorFlow."""

from __future__ import annotations

import argparse
import contextlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_lr.cli._options import add_fail_on, check_exist, json_output, output_file
from keras_lr.cli._output import FOUND, STDOUT, standard_output, write_json
from keras_lr.errors import InvalidArgumentError

if TYPE_CHECKING:
    from rich.console import Console

    from keras_lr.results._diagnosis import Diagnosis, HistoryComparison

# The arguments of `analyze_history` that are options too.
KNOWN = ("untrained_loss", "baseline_loss", "optimizer", "learning_rate", "loss")


def add_parser(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "analyze",
        help="judge the learning rates of finished runs",
        description="Judges the learning rate of each run by its CSVLogger file, JSON history or TensorBoard "
        "directory, and compares the runs if there are several.",
    )
    parser.add_argument(
        "runs",
        nargs="*",
        metavar="RUN",
        help="a CSVLogger file, a JSON history or a TensorBoard directory; - or nothing reads the standard input",
    )
    parser.add_argument(
        "--json", type=json_output, nargs="?", const=STDOUT, metavar="=FILE", help="print JSON, or write it to FILE"
    )
    known = parser.add_argument_group("what else is known about the runs", "Makes the verdicts more certain.")
    known.add_argument("--untrained-loss", type=float, metavar="LOSS", help="training loss before the first step")
    known.add_argument("--baseline-loss", type=float, metavar="LOSS", help="loss of the best constant output")
    known.add_argument("--optimizer", metavar="NAME", help="for example adam, or momentum for SGD with momentum")
    known.add_argument("--learning-rate", type=float, metavar="LR", help="if the runs do not record it")
    known.add_argument("--loss", metavar="NAME", help="for example binary_crossentropy")
    parser.add_argument("--report", type=output_file, metavar="FILE", help="write an HTML report to FILE")
    parser.add_argument("--title", default="Training histories", help="title of the report")
    add_fail_on(parser, default="never")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Prints the verdicts and findings; returns 1 if `--fail-on` names one of them."""
    known = {name: getattr(options, name) for name in KNOWN}
    comparison = None
    with _readable(options.runs) as paths:
        from keras_lr.analysis._diagnosis.compare import analyze_histories
        from keras_lr.analysis._diagnosis.diagnose import analyze_history

        if len(paths) == 1:
            diagnoses = {name: analyze_history(path, **known) for name, path in paths.items()}
        else:
            comparison = analyze_histories(paths, **known)
            diagnoses = comparison.diagnoses
    console = standard_output(json=options.json)
    if options.json:
        write_json(console, comparison or next(iter(diagnoses.values())), options.json)
    else:
        _print(console, diagnoses, comparison)
    if options.report:
        _write_report(console, options, diagnoses)
    return FOUND if any(_words(diagnosis) & options.fail_on for diagnosis in diagnoses.values()) else 0


@contextlib.contextmanager
def _readable(runs: Sequence[str]) -> Iterator[dict[str, str]]:
    """The runs' paths by name; the standard input as a file that exists within the block."""
    check_exist("RUN", (path for path in runs if path != "-"))
    if runs and "-" not in runs:
        yield {path: path for path in runs}
        return
    if not runs and sys.stdin.isatty():
        raise InvalidArgumentError("`RUN` must name at least one history. Pass a file, or pipe one into the command.")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "standard input")
        copy.write_bytes(sys.stdin.buffer.read())
        standard_input = ("standard input", str(copy))
        yield dict(standard_input if path == "-" else (path, path) for path in runs or ["-"])


def _words(diagnosis: Diagnosis) -> set[str]:
    return {diagnosis.verdict, *(finding.kind for finding in diagnosis.findings)}


def _write_report(console: Console, options: argparse.Namespace, diagnoses: dict[str, Diagnosis]) -> None:
    from keras_lr.report import Report

    report = Report(options.title)
    for diagnosis in diagnoses.values():
        report.add(diagnosis)
    console.print(f"Report: {report.save(options.report)}", markup=False)


def _print(console: Console, diagnoses: dict[str, Diagnosis], comparison: HistoryComparison | None) -> None:
    for name, diagnosis in diagnoses.items():
        if comparison is not None:
            console.print(name, markup=False)
        _print_one(console, diagnosis)
    if comparison is not None:
        _print_comparison(console, comparison)


def _print_one(console: Console, diagnosis: Diagnosis) -> None:
    from rich.text import Text

    from keras_lr.results._diagnosis import FINDING_KINDS, span_in_words, verdict_sentence

    judged = f"{verdict_sentence(diagnosis.verdict, share=diagnosis.share)} ({diagnosis.n_epochs} {diagnosis.unit}s)."
    console.print(Text(judged, style="bold"))
    for reason in diagnosis.reasons:
        console.print(Text(f"  {reason}"))
    for finding in diagnosis.findings:
        heading = FINDING_KINDS[finding.kind].name.capitalize()
        span = span_in_words(finding, diagnosis.unit)
        console.print(Text(f"{heading}, {span}: {finding.evidence} {finding.advice}"))


def _print_comparison(console: Console, comparison: HistoryComparison) -> None:
    from rich.text import Text

    from keras_lr._utils.formatting import format_number
    from keras_lr.analysis._diagnosis.diagnose import try_between
    from keras_lr.report._sections.diagnosis import compared_series, lead_in_words

    name = comparison.best_run
    if name is None:
        finite = any(loss is not None for loss in comparison.best_losses.values())
        best = f"No best run: {'the runs were judged by different series' if finite else 'no run has a finite loss'}."
    else:
        reached = f"{compared_series(comparison)} {format_number(comparison.best_losses.get(name))}"
        best = f"Best: {name} ({', '.join(filter(None, (reached, lead_in_words(comparison, name))))})."
    console.print(Text(best, style="bold"))
    if comparison.suggested_low is not None and comparison.suggested_high is not None:
        console.print(try_between(comparison.suggested_low, comparison.suggested_high))
    console.print(Text(comparison.reason))
