"""The section of a learning-rate range test."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from keras_lr.plots.curve import SmoothCurve, regions, smooth_curve
from keras_lr.plots.numbers import format_number, format_rate
from keras_lr.plots.range_test import plot_range_test
from keras_lr.plots.slope import plot_slope
from keras_lr.records.range_test import RangeTestResult
from keras_lr.report.environment import environment_rows
from keras_lr.report.figures import figure
from keras_lr.report.sections import range_test_text as wording
from keras_lr.report.sections.base import Section
from keras_lr.report.tables import csv_text, data_link, spike_keeping_indices

_EMBEDDED_STEPS = 1000
_TABLE_STEPS = 60


def summarize(result: RangeTestResult, prefix: str) -> dict[str, Any]:
    """Everything the page says of `result`, as text and numbers."""
    curve = smooth_curve(result)
    embedded = _thinned(result)
    return {
        "heading": "Range test",
        "verdict": wording.verdict(result),
        "warnings": wording.warnings(result),
        "facts": wording.facts(result),
        "regions": [
            {"name": region.name, "low": format_rate(region.low), "high": format_rate(region.high)}
            | {"meaning": wording.REGION_MEANINGS[region.name]}
            for region in regions(result)
        ],
        "figure": figure(
            lambda ax: plot_range_test(result, ax=ax),
            title="Loss against learning rate",
            description=wording.describe_curve(result, curve),
            prefix=f"{prefix}-curve",
        ),
        "slope": figure(
            lambda ax: plot_slope(result, ax=ax),
            title="Slope of the smoothed loss",
            description=wording.describe_slope(result, curve),
            prefix=f"{prefix}-slope",
        ),
        "method": wording.method(result),
        "environment": environment_rows(result.environment),
        "script": wording.script(result),
        "data": _data(result, embedded, curve),
        "record": embedded.to_dict(),
    }


def _thinned(result: RangeTestResult) -> RangeTestResult:
    kept = spike_keeping_indices(result.losses, _EMBEDDED_STEPS)
    if len(kept) == len(result.losses):
        return result
    repeats = result.repeat_losses[:, kept] if result.repeat_losses.size else result.repeat_losses
    rates, losses = result.learning_rates[kept], result.losses[kept]
    return dataclasses.replace(result, learning_rates=rates, losses=losses, repeat_losses=repeats)


def _data(result: RangeTestResult, embedded: RangeTestResult, curve: SmoothCurve) -> dict[str, Any]:
    repeats = embedded.repeat_losses if len(embedded.repeat_losses) > 1 else np.empty((0, len(embedded.losses)))
    smoothed = (
        np.interp(embedded.learning_rates, curve.learning_rates, curve.losses) if len(curve.losses) else embedded.losses
    )
    columns = ["learning_rate", "loss", "smoothed_loss", *(f"loss_repeat_{index + 1}" for index in range(len(repeats)))]
    numbers = np.column_stack([embedded.learning_rates, embedded.losses, smoothed, *repeats])
    shown = spike_keeping_indices(embedded.losses, _TABLE_STEPS)
    text = csv_text(columns, numbers)
    measured, kept = len(result.losses), len(embedded.losses)
    return {
        "caption": f"Range test, {len(shown)} of {wording.count(measured, 'step')}",
        "columns": columns,
        "rows": [
            [format_rate(row[0], digits=4), *(format_number(value) for value in row[1:])] for row in numbers[shown]
        ],
        "csv": text,
        "csv_link": data_link(text),
        "csv_name": "range_test.csv",
        "note": _thinning_note(measured, kept),
    }


def _thinning_note(measured: int, kept: int) -> str:
    if kept == measured:
        return ""
    return (
        f"Thinned from {measured} to {kept} steps here, in the CSV and in the JSON; each stretch kept its lowest and "
        "highest loss. The pictures show all steps."
    )


SECTION = Section(RangeTestResult, summarize, "range_test.html.j2", rank=10)
