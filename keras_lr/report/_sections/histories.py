"""What the report says of training histories, in words."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_lr._utils.downsampling import evenly_chosen, spike_keeping_indices
from keras_lr._utils.formatting import format_number, format_rate, shortened
from keras_lr.analysis._diagnosis.history import is_higher_better
from keras_lr.plots._history import history_panels, plot_history
from keras_lr.report._components import badge, count, data, figure, number, panel_figure, sentence, table, thinning_note
from keras_lr.results._diagnosis import Diagnosis

MAX_RUNS = 12
_CSV_ROWS = 1200
_LEAST_ROWS = 20
_TABLE_ROWS = 40
_LONG_NAME_LIMIT = 60
_RUN_COLUMNS = ["Run", "Learning rate was", "Best reached", "Try next", "Why"]
_FINDING_COLUMNS = ["Finding", "Run", "Where", "Evidence", "Advice"]

VERDICTS = {"too_low": "Too low", "good": "Good", "too_high": "Too high", "unclear": "Unclear"}
LEVELS = {"too_low": "tentative", "good": "clear", "too_high": "none", "unclear": "tentative"}
_WARNED = ("critical", "warning")
_KEYS = (
    ("hatched: oscillation", {"oscillation"}),
    ("dotted: stagnation or a plateau", {"stagnation", "early_plateau"}),
    ("crossed: divergence", {"divergence"}),
    ("hatched the other way: overfitting", {"overfitting"}),
)
_NAME_LIMIT = 48


def runs_in_common(diagnoses: Mapping[str, Diagnosis], prefix: str) -> dict[str, Any]:
    """What the page says of the runs, other than heading, verdict, warnings and records.

    Args:
        diagnoses: The runs by name.
        prefix: Starts every id.
    """
    shown = dict(list(diagnoses.items())[:MAX_RUNS])
    findings = finding_rows(diagnoses)
    tables = [table("Verdict on each run", _RUN_COLUMNS, [run_row(*item) for item in diagnoses.items()])]
    if findings:
        tables.append(table("What was found in the runs", _FINDING_COLUMNS, findings))
    return {
        "note": figure_note(diagnoses, shown=len(shown)),
        "tables": tables,
        "figure": _figure(shown, prefix),
        "method": method(diagnoses),
        "script": script(len(diagnoses)),
        "data": _data(diagnoses),
    }


def thinned(diagnosis: Diagnosis, limit: int) -> Diagnosis:
    """The diagnosis with at most `limit` points of its series, of which no stretch loses its extremes."""
    kept = spike_keeping_indices([np.nan if loss is None else loss for loss in diagnosis.losses], limit)
    series = ("epochs", "losses", "val_losses", "learning_rates")
    chosen: dict[str, Any] = {
        name: tuple(values[i] for i in kept) for name in series if (values := getattr(diagnosis, name))
    }
    return dataclasses.replace(diagnosis, **chosen)


def rows_a_run(runs: int) -> int:
    """How many points of each of `runs` series the page holds."""
    return max(_LEAST_ROWS, _CSV_ROWS // max(1, runs))


def _figure(shown: dict[str, Diagnosis], prefix: str) -> dict[str, Any]:
    told = [describe({name: diagnosis}) for name, diagnosis in shown.items()]
    described: dict[str, Any] = {
        "title": "Training histories",
        "description": " ".join(told),
        "prefix": f"{prefix}-runs",
    }
    if len(shown) == 1:
        (diagnosis,) = shown.values()
        return figure(lambda fig: plot_history(diagnosis, ax=fig.subplots()), heights=(3.8, 3.4), **described)
    return panel_figure(history_panels(shown), descriptions=told, **described)


def _data(diagnoses: Mapping[str, Diagnosis]) -> dict[str, Any]:
    limit = rows_a_run(len(diagnoses))
    rows = [row for name, diagnosis in diagnoses.items() for row in _rows(name, thinned(diagnosis, limit))]
    shown = [rows[place] for place in evenly_chosen(len(rows), _TABLE_ROWS)]
    units = {diagnosis.unit for diagnosis in diagnoses.values()}
    unit = units.pop() if len(units) == 1 else "point"
    measured = sum(diagnosis.n_epochs for diagnosis in diagnoses.values())
    return data(
        caption=f"Training histories, {len(shown)} of {count(measured, unit)}",
        columns=["run", unit, "loss", "val_loss", "learning_rate"],
        rows=[
            [shortened(name, _LONG_NAME_LIMIT), str(epoch), format_number(loss), format_number(val_loss), _rate(rate)]
            for name, epoch, loss, val_loss, rate in shown
        ],
        csv_name="histories.csv",
        csv_rows=rows,
        note=thinning_note(measured, len(rows), unit),
    )


def _rows(name: str, diagnosis: Diagnosis) -> list[list[Any]]:
    missing = (None,) * len(diagnosis.epochs)
    series = (diagnosis.losses, diagnosis.val_losses or missing, diagnosis.learning_rates or missing)
    return [[name, *row] for row in zip(diagnosis.epochs, *series, strict=True)]


def _rate(rate: float | None) -> str:
    return "–" if rate is None else format_rate(rate, digits=4)


def run_names(diagnoses: Sequence[Diagnosis]) -> list[str]:
    """A name a run: its learning rate where that is known and no other run has it, else its place."""
    rates = [
        "" if run.learning_rate is None else f"learning_rate={format_rate(run.learning_rate)}" for run in diagnoses
    ]
    return [
        rate if rate and rates.count(rate) == 1 else f"run {place}" + (f", {rate}" if rate else "")
        for place, rate in enumerate(rates, 1)
    ]


def run_row(name: str, diagnosis: Diagnosis) -> list[Any]:
    """One line of the table of runs."""
    return [
        shortened(name, _NAME_LIMIT),
        badge(VERDICTS[diagnosis.verdict], LEVELS[diagnosis.verdict]),
        number(best_in_words(diagnosis, _best(diagnosis))[1]),
        number(span(diagnosis.suggested_low, diagnosis.suggested_high) or "–"),
        " ".join(diagnosis.reasons),
    ]


def finding_rows(diagnoses: Mapping[str, Diagnosis]) -> list[list[Any]]:
    """The table of findings, a line each."""
    return [
        [
            finding.kind.replace("_", " "),
            shortened(name, _NAME_LIMIT),
            number(f"{diagnosis.unit}s {finding.start_epoch} to {finding.end_epoch}"),
            f"{finding.evidence} ({format_number(finding.effect_size, digits=3)} {finding.effect_unit})",
            finding.advice,
        ]
        for name, diagnosis in diagnoses.items()
        for finding in diagnosis.findings
    ]


def findings_in_words(diagnosis: Diagnosis) -> str:
    """`oscillation in epochs 12 to 19, stagnation in epochs 20 to 30`."""
    return ", ".join(
        f"{finding.kind.replace('_', ' ')} in {diagnosis.unit}s {finding.start_epoch} to {finding.end_epoch}"
        for finding in diagnosis.findings
    )


def warnings(name: str, diagnosis: Diagnosis) -> list[dict[str, str]]:
    """The findings that want an action, the gravest first."""
    found = [finding for finding in diagnosis.findings if finding.severity in _WARNED]
    found.sort(key=lambda finding: _WARNED.index(finding.severity))
    place = f" of {shortened(name, _NAME_LIMIT)}" if name else ""
    return [
        {
            "problem": f"{finding.kind.replace('_', ' ').capitalize()}, {diagnosis.unit}s {finding.start_epoch} to "
            f"{finding.end_epoch}{place}.",
            "action": finding.advice,
        }
        for finding in found
    ]


def figure_note(diagnoses: Mapping[str, Diagnosis], *, shown: int | None = None) -> str:
    """How to read the picture, and what is not in it.

    Args:
        diagnoses: The runs.
        shown: How many of them the picture holds; all where None.
    """
    kinds = {finding.kind for diagnosis in diagnoses.values() for finding in diagnosis.findings}
    keys = [key for key, explained in _KEYS if kinds & explained]
    parts = [f"{'; '.join(keys).capitalize()}."] if keys else []
    parts.append("Crosses at the upper edge: losses above the scale, or not finite.")
    if shown is not None and shown < len(diagnoses):
        parts.append(f"The picture shows the first {shown} runs; {len(diagnoses) - shown} are left out of it.")
    return " ".join(parts)


def describe(diagnoses: Mapping[str, Diagnosis]) -> str:
    """The finding of the picture."""
    return " ".join(_describe_run(name, diagnosis) for name, diagnosis in diagnoses.items())


def method(diagnoses: Mapping[str, Diagnosis]) -> list[str]:
    """How the runs were judged, and what was not looked at."""
    monitors = sorted({shortened(diagnosis.monitor, _NAME_LIMIT) for diagnosis in diagnoses.values()})
    return [
        f"Judged by {' and '.join(f'`{name}`' for name in monitors)} over "
        f"{count(sum(diagnosis.n_epochs for diagnosis in diagnoses.values()), 'point')} of "
        f"{count(len(diagnoses), 'run')}; every threshold is in units of the series' own noise, none in units of loss.",
        "A verdict is the one of too low, good and too high for which the series' features speak most; where none "
        "stands out it is unclear.",
        "Not looked at: gradients, weights, and anything else that the history does not hold.",
    ]


def script(runs: int) -> str:
    """A script that judges the same again; the reader supplies the histories."""
    if runs == 1:
        return """import keras_lr

diagnosis = keras_lr.analyze_history("history.csv")  # what keras.callbacks.CSVLogger wrote
print(diagnosis.verdict, diagnosis.reasons)
keras_lr.Report("One run").add(diagnosis).save("report.html")
"""
    return """import keras_lr

# What keras.callbacks.CSVLogger wrote for each run.
comparison = keras_lr.analyze_histories({"first": "first.csv", "second": "second.csv"})
print(comparison.reason)
keras_lr.Report("Runs compared").add(comparison).save("report.html")
"""


def span(low: float | None, high: float | None) -> str:
    """`1e-4 to 1e-3`; empty where there is none."""
    return "" if low is None or high is None else f"{format_rate(low)} to {format_rate(high)}"


def best_in_words(diagnosis: Diagnosis, loss: float | None) -> tuple[str, str]:
    """What a run's best value is, and its number; a metric that should grow stands negated in the record."""
    if is_higher_better(diagnosis.monitor):
        return f"highest {shortened(diagnosis.monitor, _NAME_LIMIT)}", format_number(None if loss is None else -loss)
    return "lowest loss", format_number(loss)


def _describe_run(name: str, diagnosis: Diagnosis) -> str:
    grows = is_higher_better(diagnosis.monitor)
    losses = [-loss if grows else loss for loss in diagnosis.losses if loss is not None]
    what = shortened(diagnosis.monitor, _NAME_LIMIT) if grows else "the loss"
    course = (
        f"{what} went from {format_number(losses[0], digits=3)} to {format_number(losses[-1], digits=3)} in "
        f"{count(diagnosis.n_epochs, diagnosis.unit)}"
        if losses
        else "no loss was finite"
    )
    seen = findings_in_words(diagnosis)
    judged = f"{VERDICTS[diagnosis.verdict].lower()}, {course}" + (f"; {seen}" if seen else "")
    return sentence(f"{shortened(name, _NAME_LIMIT)}: {judged}")


def _best(diagnosis: Diagnosis) -> float | None:
    judged = [loss for loss in diagnosis.val_losses or diagnosis.losses if loss is not None]
    return min(judged) if judged else None
