"""`keras-lr analyze`: what training histories say about their learning rates, without TensorFlow."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, get_args

from keras_lr.cli._options import output_file
from keras_lr.cli._output import standard_output

if TYPE_CHECKING:
    from rich.console import Console

    from keras_lr.results._diagnosis import Diagnosis, HistoryComparison

FOUND = 1
_VERDICTS = {
    "too_low": "The learning rate was too low",
    "good": "The learning rate was good",
    "too_high": "The learning rate was too high",
    "unclear": "No verdict on the learning rate",
}


def add_parser(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "analyze",
        help="judge finished runs by their histories",
        description="Judges the learning rate of each run from its CSVLogger file, JSON history or TensorBoard folder, "
        "and compares several.",
    )
    parser.add_argument(
        "runs", nargs="+", metavar="RUN", help="a CSVLogger file, a JSON history or a TensorBoard folder"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--report", type=output_file, metavar="F", help="write an HTML report to F")
    parser.add_argument("--title", default="Training histories", help="title of the report")
    parser.add_argument(
        "--fail-on",
        type=_conditions,
        default=frozenset(),
        metavar="WORDS",
        help=f"exit with {FOUND} on any of these verdicts or findings, as too_high,divergence",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Prints the verdicts and findings; 1 where one of them is in `--fail-on`."""
    from keras_lr.analysis._diagnosis.compare import analyze_histories
    from keras_lr.analysis._diagnosis.diagnose import analyze_history

    comparison = None
    if len(options.runs) == 1:
        diagnoses = {options.runs[0]: analyze_history(options.runs[0])}
    else:
        comparison = analyze_histories({path: path for path in options.runs})
        diagnoses = comparison.diagnoses
    if options.json:
        print((comparison or next(iter(diagnoses.values()))).to_json())
    else:
        _print(diagnoses, comparison)
    if options.report:
        _write_report(options, diagnoses)
    return FOUND if any(_words(diagnosis) & options.fail_on for diagnosis in diagnoses.values()) else 0


def _conditions(text: str) -> frozenset[str]:
    from keras_lr.results._diagnosis import FindingKind, Verdict

    known = {*get_args(Verdict), *get_args(FindingKind)}
    words = frozenset(word.strip() for word in text.split(",") if word.strip())
    if not words or words - known:
        raise argparse.ArgumentTypeError(f"must be among {', '.join(sorted(known))}. Received: {text!r}")
    return words


def _words(diagnosis: Diagnosis) -> set[str]:
    return {diagnosis.verdict, *(finding.kind for finding in diagnosis.findings)}


def _write_report(options: argparse.Namespace, diagnoses: dict[str, Diagnosis]) -> None:
    from keras_lr.report import Report

    report = Report(options.title)
    for diagnosis in diagnoses.values():
        report.add(diagnosis)
    path = report.save(options.report)
    if not options.json:
        print(f"Report: {path}")


def _print(diagnoses: dict[str, Diagnosis], comparison: HistoryComparison | None) -> None:
    console = standard_output()
    for name, diagnosis in diagnoses.items():
        if comparison is not None:
            console.print(name, markup=False)
        _print_one(console, diagnosis)
    if comparison is not None:
        _print_comparison(console, comparison)


def _print_one(console: Console, diagnosis: Diagnosis) -> None:
    from rich.text import Text

    console.print(Text(f"{_VERDICTS[diagnosis.verdict]} ({diagnosis.n_epochs} {diagnosis.unit}s).", style="bold"))
    for reason in diagnosis.reasons:
        console.print(Text(f"  {reason}"))
    for finding in diagnosis.findings:
        heading = finding.kind.replace("_", " ").capitalize()
        span = f"{diagnosis.unit}s {finding.start_epoch}-{finding.end_epoch}"
        console.print(Text(f"{heading}, {span}: {finding.evidence} {finding.advice}"))


def _print_comparison(console: Console, comparison: HistoryComparison) -> None:
    from rich.text import Text

    from keras_lr.analysis._diagnosis.advice import try_between
    from keras_lr.report._sections.histories import best_in_words

    name = comparison.best_run
    if name is None:
        finite = any(loss is not None for loss in comparison.best_losses.values())
        best = "The runs were judged by different series: none is best." if finite else "No run has a finite loss."
    else:
        what, value = best_in_words(comparison.diagnoses[name], comparison.best_losses[name])
        ahead = "" if comparison.part_epoch is None else f", ahead from epoch {comparison.part_epoch}"
        best = f"Best: {name} ({what} {value}{ahead})."
    console.print(Text(best, style="bold"))
    if comparison.suggested_low is not None and comparison.suggested_high is not None:
        console.print(try_between(comparison.suggested_low, comparison.suggested_high))
    console.print(Text(comparison.reason))
