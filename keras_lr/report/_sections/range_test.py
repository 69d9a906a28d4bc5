"""The section of a range test."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from keras_lr._utils.downsampling import spike_keeping_indices
from keras_lr._utils.formatting import format_number, format_rate
from keras_lr.analysis._suggestion.regions import SmoothCurve, regions, smooth_curve
from keras_lr.plots._range_test import plot_range_test, plot_slope
from keras_lr.report._components import (
    NO_RATE,
    chip,
    count,
    data,
    environment_rows,
    figure,
    known,
    number,
    optimizer_call,
    sentence,
    table,
    thinning_note,
    verdict,
)
from keras_lr.report._sections.base import Section, section_view
from keras_lr.results._range_test import RangeTestResult

_EMBEDDED_STEPS = 1000
_EMBEDDED_NUMBERS = 6000
_LEAST_STEPS = 100
_TABLE_STEPS = 40

REGION_MEANINGS = {
    "too low": "The loss hardly moves: training would work, but slowly.",
    "good": "The loss falls steadily.",
    "unstable": "The loss is at its lowest or already jumps: too risky for a full training.",
    "diverged": "The loss has left the curve.",
}
STOPS = {
    "completed": "End of the range",
    "diverged": "Loss diverged",
    "non_finite": "Loss not finite",
    "data_exhausted": "Data ended",
    "interrupted": "Interrupted",
    "error": "Error",
}
_STOP_ACTIONS = {
    "data_exhausted": "Repeat the dataset (`dataset.repeat()`) or ask for fewer steps.",
    "interrupted": "Run it again to the end before trusting the answer.",
    "error": "Mend the error and run it again.",
}


def summarize(results: tuple[RangeTestResult], prefix: str) -> dict[str, Any]:
    """Everything the page says of a range test, as text and numbers."""
    (result,) = results
    curve = smooth_curve(result)
    embedded = _thinned(result)
    return section_view(
        heading="Range test",
        verdict=verdict_of(result),
        warnings=warnings(result),
        note="A short-run hint: it shows where training starts to move and where it breaks. The search decides.",
        facts=facts(result),
        tables=_regions(result),
        figure=figure(
            lambda fig: plot_range_test(result, ax=fig.subplots()),
            title="Loss against learning rate",
            description=describe_curve(result, curve),
            prefix=f"{prefix}-curve",
        ),
        folded=[
            {
                "summary": "Slope: where the loss falls fastest",
                "figure": figure(
                    lambda fig: plot_slope(result, ax=fig.subplots()),
                    title="Slope of the smoothed loss",
                    description=describe_slope(result, curve),
                    prefix=f"{prefix}-slope",
                ),
            }
        ],
        method=method(result),
        environment=environment_rows(result.environment),
        script=script(result),
        data=_data(result, embedded, curve),
        records=[embedded.to_dict()],
    )


def _regions(result: RangeTestResult) -> list[dict[str, Any]]:
    rows = [
        [
            chip(region.name, region.name.replace(" ", "-")),
            number(format_rate(region.low)),
            number(format_rate(region.high)),
            REGION_MEANINGS[region.name],
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


SECTION = Section("range_test", RangeTestResult, summarize, rank=50)


def verdict_of(result: RangeTestResult) -> dict[str, str]:
    """The first screen: a badge, one sentence, one reason, and code to paste."""
    advice = result.suggestion
    if advice.learning_rate is None or advice.low is None or advice.high is None:
        rest = f"Range test of {_setup(result)}."
        return verdict(level=advice.confidence, lead=NO_RATE, rest=rest, reason=advice.reason)
    rate = format_rate(advice.learning_rate)
    return verdict(
        level=advice.confidence,
        lead="Use" if advice.confidence == "clear" else "Try",
        rate=rate,
        rest=f"In this range test anything from {format_rate(advice.low)} to {format_rate(advice.high)} was usable "
        f"({_setup(result)}).",
        reason=advice.reason,
        code=optimizer_call(result.environment, rate),
    )


def warnings(result: RangeTestResult) -> list[dict[str, str]]:
    """What the reader should do something about, at most three."""
    found = []
    if action := _STOP_ACTIONS.get(result.stop_reason):
        found.append({"problem": sentence(result.stop_detail) or f"{STOPS[result.stop_reason]}.", "action": action})
    lost = int(np.sum(~np.isfinite(result.losses)))
    if lost and result.stop_reason != "non_finite":
        found.append(
            {"problem": f"{count(lost, 'step')} had no finite loss.", "action": "Look at those batches of the data."}
        )
    if result.suggestion.confidence == "tentative" and len(result.repeat_losses) < 2:
        found.append({"problem": "One repeat cannot show the noise.", "action": "Measure again with `repeats=3`."})
    return found[:3]


def facts(result: RangeTestResult) -> list[dict[str, str]]:
    """The few numbers a reader asks for first."""
    advice = result.suggestion
    usable = (
        []
        if advice.low is None or advice.high is None
        else [{"label": "Usable range", "value": f"{format_rate(advice.low)} to {format_rate(advice.high)}"}]
    )
    swept = (
        [format_rate(float(result.learning_rates[at])) for at in (0, -1)] if len(result.learning_rates) else ["–", "–"]
    )
    return [
        *usable,
        {"label": "Swept", "value": f"{swept[0]} to {swept[1]}"},
        {"label": "Steps", "value": f"{len(result.losses):,} of {result.num_steps:,}"},
        {"label": "Repeats", "value": str(max(1, len(result.repeat_losses)))},
        {"label": "Stopped by", "value": STOPS[result.stop_reason]},
    ]


def describe_curve(result: RangeTestResult, curve: SmoothCurve) -> str:
    """The finding of the range-test figure, for those who cannot see it."""
    if not len(curve.losses):
        return "No step had a finite loss, so there is no curve."
    falling = curve.losses[: max(curve.divergence, 1)]
    lowest = int(np.argmin(falling))
    parts = [
        f"The smoothed loss starts at {format_number(curve.start, digits=3)} and is lowest, "
        f"{format_number(float(falling[lowest]), digits=3)}, at a learning rate of "
        f"{format_rate(curve.learning_rates[lowest])}."
    ]
    if curve.divergence < len(curve.losses):
        parts.append(f"From {format_rate(curve.learning_rates[curve.divergence])} on it is above its start.")
    advice = result.suggestion
    if advice.learning_rate is not None and advice.low is not None and advice.high is not None:
        parts.append(
            f"Suggested: {format_rate(advice.learning_rate)}, usable from {format_rate(advice.low)} to "
            f"{format_rate(advice.high)}."
        )
    return " ".join(parts)


def describe_slope(result: RangeTestResult, curve: SmoothCurve) -> str:
    """The finding of the slope figure."""
    if (at := curve.steepest) is None:
        return "The smoothed loss never falls."
    unit = "decade" if result.sweep == "exponential" else "unit of learning rate"
    return (
        f"The smoothed loss falls fastest at a learning rate of {format_rate(curve.learning_rates[at])}, "
        f"by {format_number(-float(curve.slopes[at]), digits=2)} a {unit}."
    )


def method(result: RangeTestResult) -> list[str]:
    """How it was measured and judged, and what was not tried."""
    scored = (
        "a fixed validation batch's loss after the step"
        if result.scored_on == "validation"
        else "that batch's own loss, not a running mean"
    )
    lines = [
        f"{result.sweep.capitalize()} sweep: the learning rate rises at each step; each point is {scored}.",
        f"Over {count(max(1, len(result.repeat_losses)), 'repeat')}"
        + (", the curve is the median; every repeat is drawn." if len(result.repeat_losses) > 1 else "."),
        f"Rule: {result.suggestion.rule}. The bold line is a centred Gaussian average, drawn to guide the eye.",
    ]
    if result.stop_detail:
        lines.append(f"Stop: {sentence(result.stop_detail)}")
    if result.engine == "per_batch":
        lines.append(f"Each batch ran on its own: {sentence(result.engine_reason)}")
    lines.append("Not tried: a full training at these learning rates, another batch size, another optimizer.")
    return lines


def script(result: RangeTestResult) -> str:
    """A script that measures the same again; the reader supplies the model and the data."""
    first, last = _bounds(result)
    batch_size = known(result.environment, "batch_size", "32")
    return f"""import keras
import keras_lr

from my_project import build_model, load_data  # a compiled model, and its training data

keras.utils.set_random_seed(0)
x, y = load_data()
result = keras_lr.find_lr(
    build_model(),
    x,
    y,
    batch_size={batch_size},
    min_lr={first},
    max_lr={last},
    num_steps={result.num_steps},
    sweep="{result.sweep}",
    repeats={max(1, len(result.repeat_losses))},
)
print(result.suggestion)
result.to_html("range_test.html")
"""


def _setup(result: RangeTestResult) -> str:
    repeats = len(result.repeat_losses)
    steps = count(len(result.losses), "step") + (f" x {repeats} repeats" if repeats > 1 else "")
    optimizer, batch_size = known(result.environment, "optimizer", ""), known(result.environment, "batch_size", "")
    return ", ".join(filter(None, [steps, optimizer, batch_size and f"batch {batch_size}"]))


def _bounds(result: RangeTestResult) -> tuple[str, str]:
    rates = result.learning_rates
    if len(rates) < 2:
        return "1e-7", "10.0"
    steps = result.num_steps - 1
    last = (
        rates[0] * (rates[1] / rates[0]) ** steps
        if result.sweep == "exponential"
        else rates[0] + (rates[1] - rates[0]) * steps
    )
    return tuple(format_rate(float(rate), digits=6) for rate in (rates[0], last))  # type: ignore[return-value]
