"""Training histories beside each other, for every section that shows some."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_lr.plots.history import plot_histories, plot_history
from keras_lr.plots.numbers import format_number, format_rate
from keras_lr.plots.panels import columns_of, panels
from keras_lr.records.diagnosis import Diagnosis
from keras_lr.report.figures import NARROW, WIDE, figure
from keras_lr.report.sections import histories_text as wording
from keras_lr.report.tables import csv_text, data, spike_keeping_indices
from keras_lr.report.wording import count, thinning_note

MAX_RUNS = 12
_CSV_ROWS = 1200
_LEAST_ROWS = 20
_TABLE_ROWS = 60
_PANEL_INCHES = 2.0


def summarize_runs(diagnoses: Mapping[str, Diagnosis], prefix: str) -> dict[str, Any]:
    """What the page says of the runs, other than the verdict: figure, tables, method and data."""
    return {
        "heading": "Training histories",
        "note": wording.figure_note(diagnoses, MAX_RUNS),
        "runs": [wording.run_row(name, diagnosis) for name, diagnosis in diagnoses.items()],
        "findings": [
            wording.finding_row(name, diagnosis, finding)
            for name, diagnosis in diagnoses.items()
            for finding in diagnosis.findings
        ],
        "figure": _figure(dict(list(diagnoses.items())[:MAX_RUNS]), prefix),
        "method": wording.method(diagnoses),
        "environment": [],
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
    return max(_LEAST_ROWS, _CSV_ROWS // runs)


def _figure(shown: dict[str, Diagnosis], prefix: str) -> dict[str, Any]:
    described: dict[str, Any] = {
        "title": "Training histories",
        "description": wording.describe(shown),
        "prefix": f"{prefix}-runs",
    }
    if len(shown) == 1:
        (diagnosis,) = shown.values()
        return figure(lambda fig: plot_history(diagnosis, ax=fig.subplots()), **described, wide=(7.0, 3.8))
    heights = (0.4 + _PANEL_INCHES * -(-len(shown) // columns_of(width, len(shown))) for width in (WIDE[0], NARROW[0]))
    return figure(
        lambda fig: plot_histories(shown, axes=panels(fig, len(shown))),
        **described,
        wide=(WIDE[0], next(heights)),
        narrow=(NARROW[0], next(heights)),
    )


def _data(diagnoses: Mapping[str, Diagnosis]) -> dict[str, Any]:
    limit = rows_a_run(len(diagnoses))
    rows = [row for name, diagnosis in diagnoses.items() for row in _rows(name, thinned(diagnosis, limit))]
    shown = [rows[i] for i in np.unique(np.linspace(0, len(rows) - 1, min(len(rows), _TABLE_ROWS)).astype(int))]
    units = {diagnosis.unit for diagnosis in diagnoses.values()}
    unit = units.pop() if len(units) == 1 else "point"
    measured = sum(diagnosis.n_epochs for diagnosis in diagnoses.values())
    columns = ["run", unit, "loss", "val_loss", "learning_rate"]
    return data(
        caption=f"Training histories, {len(shown)} of {count(measured, unit)}",
        columns=columns,
        rows=[[row[0], str(row[1]), format_number(row[2]), format_number(row[3]), _rate(row[4])] for row in shown],
        csv_name="histories.csv",
        csv=csv_text(columns, rows),
        note=thinning_note(measured, len(rows), unit),
    )


def _rows(name: str, diagnosis: Diagnosis) -> list[list[Any]]:
    missing = (None,) * len(diagnosis.epochs)
    series = (diagnosis.losses, diagnosis.val_losses or missing, diagnosis.learning_rates or missing)
    numbers = ([float("nan") if value is None else value for value in values] for values in series)
    return [[name, *row] for row in zip(diagnosis.epochs, *numbers, strict=True)]


def _rate(rate: float) -> str:
    return format_rate(rate, digits=4) if np.isfinite(rate) else "–"
