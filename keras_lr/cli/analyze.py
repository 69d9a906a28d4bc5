"""`keras-lr analyze`: what a training history says about its learning rate, without TensorFlow."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from keras_lr.cli.console import standard_output

if TYPE_CHECKING:
    from keras_lr.records.diagnosis import Diagnosis

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
        help="judge a finished run by its history",
        description="Judges the learning rate of a run from its CSVLogger file, JSON history or TensorBoard folder.",
    )
    parser.add_argument("source", metavar="RUN.csv", help="a CSVLogger file, a JSON history or a TensorBoard folder")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Prints the verdict and the findings."""
    from keras_lr.analysis.diagnosis import analyze_history

    diagnosis = analyze_history(options.source)
    if options.json:
        print(diagnosis.to_json())
    else:
        _print(diagnosis)
    return 0


def _print(diagnosis: Diagnosis) -> None:
    from rich.text import Text

    console = standard_output()
    console.print(Text(f"{_VERDICTS[diagnosis.verdict]} ({diagnosis.n_epochs} epochs).", style="bold"))
    for reason in diagnosis.reasons:
        console.print(Text(f"  {reason}"))
    for finding in diagnosis.findings:
        heading = finding.kind.replace("_", " ").capitalize()
        console.print(
            Text(f"{heading}, epochs {finding.start_epoch}-{finding.end_epoch}: {finding.evidence} {finding.advice}")
        )
