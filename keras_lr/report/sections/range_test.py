"""The section of a range test."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from keras_lr.plots.curve import SmoothCurve, regions, smooth_curve
from keras_lr.plots.numbers import format_number
from keras_lr.plots.range_test import plot_range_test
from keras_lr.plots.slope import plot_slope
from keras_lr.plots.thinning import spike_keeping_indices
from keras_lr.records.range_test import RangeTestResult
from keras_lr.records.rate_words import format_rate
from keras_lr.report.environment import environment_rows
from keras_lr.report.figures import figure
from keras_lr.report.sections import range_test_text as wording
from keras_lr.report.sections.base import Section, section_view
from keras_lr.report.tables import chip, data, number, table
from keras_lr.report.wording import count, thinning_note

_EMBEDDED_STEPS = 1000
_EMBEDDED_NUMBERS = 6000
_LEAST_STEPS = 100
_TABLE_STEPS = 40


def summarize(results: tuple[RangeTestResult], prefix: str) -> dict[str, Any]:
    """Everything the page says of a range test, as text and numbers."""
    (result,) = results
    curve = smooth_curve(result)
    embedded = _thinned(result)
    return section_view(
        heading="Range test",
        verdict=wording.verdict_of(result),
        warnings=wording.warnings(result),
        note="A short-run hint: it shows where training starts to move and where it breaks. The search decides.",
        facts=wording.facts(result),
        tables=_regions(result),
        figure=figure(
            lambda fig: plot_range_test(result, ax=fig.subplots()),
            title="Loss against learning rate",
            description=wording.describe_curve(result, curve),
            prefix=f"{prefix}-curve",
        ),
        folded=[
            {
                "summary": "Slope: where the loss falls fastest",
                "figure": figure(
                    lambda fig: plot_slope(result, ax=fig.subplots()),
                    title="Slope of the smoothed loss",
                    description=wording.describe_slope(result, curve),
                    prefix=f"{prefix}-slope",
                ),
            }
        ],
        method=wording.method(result),
        environment=environment_rows(result.environment),
        script=wording.script(result),
        data=_data(result, embedded, curve),
        records=[embedded.to_dict()],
    )


def _regions(result: RangeTestResult) -> list[dict[str, Any]]:
    rows = [
        [
            chip(region.name, region.name.replace(" ", "-")),
            number(format_rate(region.low)),
            number(format_rate(region.high)),
            wording.REGION_MEANINGS[region.name],
        ]
        for region in regions(result)
    ]
    caption = "Regions of the learning rate, as read off this curve"
    return [table(caption, ["Region", "From", "To", "What it means"], rows)] if rows else []


def _thinned(result: RangeTestResult) -> RangeTestResult:
    limit = max(_LEAST_STEPS, min(_EMBEDDED_STEPS, _EMBEDDED_NUMBERS // max(1, len(result.repeat_losses))))
    kept = spike_keeping_indices(result.losses, limit)
    if len(kept) == len(result.losses):
        return result
    repeats = result.repeat_losses[:, kept] if result.repeat_losses.size else result.repeat_losses
    rates, losses = result.learning_rates[kept], result.losses[kept]
    return dataclasses.replace(result, learning_rates=rates, losses=losses, repeat_losses=repeats)


def _data(result: RangeTestResult, embedded: RangeTestResult, curve: SmoothCurve) -> dict[str, Any]:
    repeats = embedded.repeat_losses if len(embedded.repeat_losses) > 1 else np.empty((0, len(embedded.losses)))
    smoothed, slopes = (
        np.interp(embedded.learning_rates, curve.learning_rates, values) if len(values) else embedded.losses
        for values in (curve.losses, curve.slopes)
    )
    names = (f"loss_repeat_{index + 1}" for index in range(len(repeats)))
    columns = ["learning_rate", "loss", "smoothed_loss", "slope", *names]
    numbers = np.column_stack([embedded.learning_rates, embedded.losses, smoothed, slopes, *repeats])
    shown = spike_keeping_indices(embedded.losses, _TABLE_STEPS)
    measured = len(result.losses)
    note = thinning_note(measured, len(embedded.losses), "step")
    return data(
        caption=f"Range test, {len(shown)} of {count(measured, 'step')}",
        columns=columns,
        rows=[[format_rate(row[0], digits=4), *(format_number(value) for value in row[1:])] for row in numbers[shown]],
        csv_name="range_test.csv",
        csv_rows=numbers,
        note=note,
    )


SECTION = Section("range_test", "keras_lr.records.range_test:RangeTestResult", summarize, rank=50)
