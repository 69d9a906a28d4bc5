"""`keras-lr analyze`: judges learning rates by training histories, without TensorFlow."""

from __future__ import annotations

import argparse
import contextlib
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from keras_lr.cli._options import add_fail_on, check_exist, json_output, learning_rate, output_file
from keras_lr.cli._output import BAD_INPUT, FOUND, STDOUT, print_error, standard_output, write_json
from keras_lr.errors import CurveError, InvalidArgumentError, KerasLRError

if TYPE_CHECKING:
    from rich.console import Console

    from keras_lr.analysis._diagnosis.history import TrainingHistory
    from keras_lr.results._diagnosis import Diagnosis, HistoryComparison

# The arguments of `analyze_history` that are options too.
KNOWN = ("untrained_loss", "baseline_loss", "optimizer", "learning_rate", "loss")
STANDARD_INPUT = "standard input"
MAX_NAMED = 6


@dataclass
class _Judged:
    """What became of the runs.

    Attributes:
        diagnoses: The verdicts, by the names of the runs.
        histories: What was judged, by the same names.
        errors: Why a log that was named cannot be judged.
        left_out: The files in a directory that hold no history.
    """

    diagnoses: dict[str, Diagnosis] = field(default_factory=dict)
    histories: dict[str, TrainingHistory] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def add_parser(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "analyze",
        help="judge the learning rates of finished runs",
        description="Judges the learning rate of each run by its log, and compares the runs if there are several. A "
        "log is a CSV or JSON file, the console output of a training loop, a notebook that shows it, or a directory of "
        "TensorBoard or MLflow.",
    )
    parser.add_argument(
        "runs",
        nargs="*",
        metavar="RUN",
        help="a log, or a directory of logs; - or nothing reads the standard input",
    )
    parser.add_argument(
        "--json", type=json_output, nargs="?", const=STDOUT, metavar="=FILE", help="print JSON, or write it to FILE"
    )
    known = parser.add_argument_group("what else is known about the runs", "Makes the verdicts more certain.")
    known.add_argument("--untrained-loss", type=float, metavar="LOSS", help="training loss before the first step")
    known.add_argument("--baseline-loss", type=float, metavar="LOSS", help="loss of the best constant output")
    known.add_argument("--optimizer", metavar="NAME", help="for example adam, or momentum for SGD with momentum")
    known.add_argument("--learning-rate", type=learning_rate, metavar="LR", help="if the runs do not record it")
    known.add_argument("--loss", metavar="NAME", help="for example binary_crossentropy")
    parser.add_argument("--report", type=output_file, metavar="FILE", help="write an HTML report to FILE")
    parser.add_argument("--title", default="Training histories", help="title of the report")
    add_fail_on(parser, default="never")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Prints the verdicts and findings.

    Returns:
        0; 1 if `--fail-on` names one of them; 2 if a log that was named cannot be judged.
    """
    known = {name: getattr(options, name) for name in KNOWN}
    with _readable(options.runs) as paths:
        judged = _judge(paths, known)
    for error in judged.errors:
        print_error(error)
    if judged.left_out:
        _print_left_out(judged.left_out)
    if not judged.diagnoses:
        return BAD_INPUT
    console = standard_output(json=options.json)
    result: Diagnosis | HistoryComparison = next(iter(judged.diagnoses.values()))
    if len(judged.histories) > 1:
        from keras_lr.analysis._diagnosis.compare import analyze_histories

        result = analyze_histories(judged.histories, **known)
    if options.json:
        write_json(console, result, options.json)
    else:
        _print(console, judged.diagnoses, result)
    if options.report:
        _write_report(console, options, result)
    if judged.errors:
        return BAD_INPUT
    return FOUND if any(_words(diagnosis) & options.fail_on for diagnosis in judged.diagnoses.values()) else 0


@contextlib.contextmanager
def _readable(runs: Sequence[str]) -> Iterator[dict[str, Path]]:
    """The runs' paths by name; the standard input as a file that exists within the block."""
    check_exist("RUN", (path for path in runs if path != "-"))
    if runs and "-" not in runs:
        yield {path: Path(path) for path in runs}
        return
    if not runs and sys.stdin.isatty():
        raise InvalidArgumentError("`RUN` must name at least one history. Pass a file, or pipe one into the command.")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, STANDARD_INPUT)
        copy.write_bytes(sys.stdin.buffer.read())
        yield dict((STANDARD_INPUT, copy) if path == "-" else (path, Path(path)) for path in runs or ["-"])


def _judge(paths: Mapping[str, Path], known: Mapping[str, Any]) -> _Judged:
    """Judges every run in the logs at `paths`, which are given by their names.

    Raises:
        KerasLRError: There is only one log, and it cannot be judged.
        OSError: There is only one log, and it cannot be read.
    """
    from keras_lr.analysis._diagnosis.diagnose import analyze_history
    from keras_lr.analysis._diagnosis.files import logs_in
    from keras_lr.analysis._diagnosis.history import USUAL_RATES
    from keras_lr.analysis._diagnosis.readers import readable_runs

    if known["optimizer"] is not None and known["optimizer"].lower() not in USUAL_RATES:
        problem = f"the usual learning rates of {known['optimizer']} are not known, so it makes no verdict more certain"
        print(f"keras-lr: {problem}. Known are {', '.join(USUAL_RATES)}.", file=sys.stderr)
    judged = _Judged()
    for given, path in paths.items():
        found = logs_in(path) if path.is_dir() else [path]
        if not found:
            raise CurveError(
                f"`RUN` must hold logs. Received: {given}, in which no file is named like one. Pass the file that "
                "`CSVLogger` wrote, or the `log_dir` of TensorBoard."
            )
        for log in found:
            name = given if log == path else str(log)
            try:
                for run, read in readable_runs(log).items():
                    label = name if run is None else run if log.is_dir() else f"{name}, {run}"
                    history = read()
                    judged.diagnoses[label] = analyze_history(history, **known)
                    judged.histories[label] = history
            except (KerasLRError, OSError) as err:
                reason = str(err).replace("`source`", "`RUN`").replace(str(path), given)
                if log != path:
                    judged.left_out.append(name)
                elif len(paths) == 1:
                    raise err if isinstance(err, OSError) else type(err)(reason) from err
                else:
                    judged.errors.append(reason if name in reason else f"{name}: {reason}")
    return judged


def _print_left_out(names: Sequence[str]) -> None:
    named = ", ".join(names[:MAX_NAMED]) + (f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else "")
    print(f"keras-lr: left out, without a history that can be judged: {named}", file=sys.stderr)


def _words(diagnosis: Diagnosis) -> set[str]:
    return {diagnosis.verdict, *(finding.kind for finding in diagnosis.findings)}


def _write_report(console: Console, options: argparse.Namespace, result: Diagnosis | HistoryComparison) -> None:
    from keras_lr.report import Report

    report = Report(options.title, script=shlex.join(_argv(options))).add(result)
    console.print(f"Report: {report.save(options.report)}", markup=False)


def _argv(options: argparse.Namespace) -> list[str]:
    """The command line that judges the same runs again."""
    given = {name: getattr(options, name) for name in KNOWN}
    words = [word for name, value in given.items() if value is not None for word in (_option(name), str(value))]
    return ["keras-lr", "analyze", *options.runs, *words]


def _option(name: str) -> str:
    """`--untrained-loss` for `untrained_loss`."""
    return f"--{name.replace('_', '-')}"


def _print(console: Console, diagnoses: Mapping[str, Diagnosis], result: Diagnosis | HistoryComparison) -> None:
    from keras_lr.results._diagnosis import HistoryComparison

    for name, diagnosis in diagnoses.items():
        if len(diagnoses) > 1:
            console.print(name, markup=False)
        _print_one(console, diagnosis)
    if isinstance(result, HistoryComparison):
        _print_comparison(console, result)


def _print_one(console: Console, diagnosis: Diagnosis) -> None:
    from rich.text import Text

    from keras_lr.results._diagnosis import FINDING_KINDS, span_in_words, verdict_sentence

    judged = f"{verdict_sentence(diagnosis.verdict, share=diagnosis.share)} ({diagnosis.n_epochs} {diagnosis.unit}s)."
    console.print(Text(judged, style="bold"))
    for reason in diagnosis.reasons:
        console.print(Text(f"  {_with_options(reason)}"))
    for finding in diagnosis.findings:
        heading = FINDING_KINDS[finding.kind].name.capitalize()
        span = span_in_words(finding, diagnosis.unit)
        console.print(Text(f"{heading}, {span}: {finding.evidence} {finding.advice}"))


def _with_options(reason: str) -> str:
    """The sentence on what would make a verdict surer, with the options of this command in place of arguments."""
    if not reason.startswith("This would be surer"):
        return reason
    return re.sub(rf"`({'|'.join(KNOWN)})`", lambda name: f"`{_option(name[1])}`", reason)


def _print_comparison(console: Console, comparison: HistoryComparison) -> None:
    from rich.text import Text

    from keras_lr._utils.formatting import format_number
    from keras_lr.analysis._diagnosis.diagnose import try_between
    from keras_lr.report._sections.diagnosis import compared_series, lead_in_words

    for row in _table(comparison):
        console.print(Text(row))
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


def _table(comparison: HistoryComparison) -> list[str]:
    """One line per run, with the verdict, the best value and the rates to try."""
    from keras_lr._utils.formatting import format_number
    from keras_lr.analysis._diagnosis.diagnose import times_in_words
    from keras_lr.results._diagnosis import rate_span, verdict_badge

    cells = [("Run", "Learning rate was", "Best value", "Try next")]
    for name, diagnosis in comparison.diagnoses.items():
        best = format_number(comparison.best_losses.get(name))
        tried = rate_span(diagnosis.suggested_low, diagnosis.suggested_high) or times_in_words(diagnosis.verdict)
        cells.append((name, verdict_badge(diagnosis.verdict, diagnosis.share), best, tried))
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in cells]
