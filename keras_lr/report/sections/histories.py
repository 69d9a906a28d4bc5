"""Training histories beside each other, for every section that shows some."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_lr.plots.history import history_panels, plot_history
from keras_lr.plots.numbers import format_number
from keras_lr.plots.thinning import evenly_chosen, spike_keeping_indices
from keras_lr.records.diagnosis import Diagnosis
from keras_lr.records.rate_words import format_rate
from keras_lr.report.characters import shortened
from keras_lr.report.figures import figure, panel_figure
from keras_lr.report.sections import histories_text as wording
from keras_lr.report.tables import data, table
from keras_lr.report.wording import count, thinning_note

MAX_RUNS = 12
_CSV_ROWS = 1200
_LEAST_ROWS = 20
_TABLE_ROWS = 40
_NAME_LIMIT = 60
_RUN_COLUMNS = ["Run", "Learning rate was", "Best reached", "Try next", "Why"]
_FINDING_COLUMNS = ["Finding", "Run", "Where", "Evidence", "Advice"]


def runs_in_common(diagnoses: Mapping[str, Diagnosis], prefix: str) -> dict[str, Any]:
    """What the page says of the runs, other than heading, verdict, warnings and records.

    Args:
        diagnoses: The runs by name.
        prefix: Starts every id.
    """
    shown = dict(list(diagnoses.items())[:MAX_RUNS])
    findings = wording.finding_rows(diagnoses)
    tables = [table("Verdict on each run", _RUN_COLUMNS, [wording.run_row(*item) for item in diagnoses.items()])]
    if findings:
        tables.append(table("What was found in the runs", _FINDING_COLUMNS, findings))
    return {
        "note": wording.figure_note(diagnoses, shown=len(shown)),
        "tables": tables,
        "figure": _figure(shown, prefix),
        "method": wording.method(diagnoses),
        "script": wording.script(len(diagnoses)),
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
    told = [wording.describe({name: diagnosis}) for name, diagnosis in shown.items()]
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
            [shortened(name, _NAME_LIMIT), str(epoch), format_number(loss), format_number(val_loss), _rate(rate)]
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
