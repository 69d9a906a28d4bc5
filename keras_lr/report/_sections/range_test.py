"""The section of a range test."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from keras_lr._utils.downsampling import spike_keeping_indices
from keras_lr._utils.formatting import counted, format_number, format_rate
from keras_lr.analysis._suggestion.curve import SmoothCurve, regions, smooth_curve
from keras_lr.plots._range_test import plot_range_test, plot_slope
from keras_lr.report._components import (
    NO_RATE,
    TABLE_ROWS,
    Section,
    as_sentence,
    chip_cell,
    code_to_paste,
    code_value,
    data_view,
    environment_rows,
    fact_views,
    figure_view,
    number_cell,
    section_view,
    table_view,
    thinning_note,
    verdict_view,
    warning_view,
)
from keras_lr.results._range_test import RangeTestResult, StopReason

_EMBEDDED_STEPS = 1000
_EMBEDDED_NUMBERS = 6000
_MIN_EMBEDDED_STEPS = 100

_REGION_MEANINGS = {
    "too low": "The loss hardly moves: training would work, but slowly.",
    "good": "The loss falls steadily.",
    "unstable": "The loss is at its lowest or already jumping: too risky for a full training run.",
    "diverged": "The loss has risen well above its start.",
}
_TENTATIVE_RANGE = "The usable range around the suggestion, which is tentative."
_STOP_REASONS: dict[StopReason, str] = {
    "completed": "End of the range",
    "diverged": "Loss diverged",
    "non_finite": "Loss not finite",
    "data_exhausted": "Data ended",
    "interrupted": "Interrupted",
    "error": "Error",
}
_STOP_ACTIONS: dict[StopReason, str] = {
    "data_exhausted": "Repeat the dataset (`dataset.repeat()`) or ask for fewer steps.",
    "interrupted": "Run it to the end before trusting the answer.",
    "error": "Fix the error and run it again.",
}


def range_test_section(results: tuple[RangeTestResult], prefix: str) -> dict[str, Any]:
    """Everything the page shows of a range test."""
    (result,) = results
    curve = smooth_curve(result)
    embedded = _thinned(result)
    return section_view(
        heading="Range test",
        verdict=_verdict(result),
        warnings=_warnings(result),
        note="A short-run hint: it shows where training starts to move and where it breaks down. To be surer, "
        "train a few of these rates to the end, as `keras_lr.LogGridSearch` does.",
        facts=_facts(result),
        tables=_regions(result),
        figure=figure_view(
            lambda figure: plot_range_test(result, ax=figure.subplots()),
            title="Loss against learning rate",
            description=_describe_curve(curve),
            prefix=f"{prefix}-curve",
        ),
        folded=[
            {
                "summary": "Slope: where the loss falls fastest",
                "figure": figure_view(
                    lambda figure: plot_slope(result, ax=figure.subplots()),
                    title="Slope of the smoothed loss",
                    description=_describe_slope(result, curve),
                    prefix=f"{prefix}-slope",
                ),
            }
        ],
        method=_method(result),
        environment=environment_rows(result.environment),
        script=_script(result),
        data=_data(result, embedded, curve),
        records=[embedded.to_dict()],
    )


def _verdict(result: RangeTestResult) -> dict[str, str]:
    advice = result.suggestion
    if advice.learning_rate is None or advice.low is None or advice.high is None:
        rest = f"Range test of {_setup(result)}."
        return verdict_view(level=advice.confidence, lead=NO_RATE, rest=rest, reason=advice.reason)
    rate = format_rate(advice.learning_rate)
    return verdict_view(
        level=advice.confidence,
        lead="Use" if advice.confidence == "clear" else "Try",
        rate=rate,
        rest=f"In this range test anything from {format_rate(advice.low)} to {format_rate(advice.high)} was usable "
        f"({_setup(result)}).",
        reason=advice.reason,
        code=code_to_paste(result.environment, rate),
    )


def _setup(result: RangeTestResult) -> str:
    repeats = len(result.repeat_losses)
    steps = counted(len(result.losses), "step") + (f" x {repeats} repeats" if repeats > 1 else "")
    optimizer, size = (code_value(result.environment, name, "") for name in ("optimizer", "batch_size"))
    return ", ".join(filter(None, [steps, optimizer, size and f"batch {size}"]))


def _warnings(result: RangeTestResult) -> list[dict[str, str]]:
    found = []
    if action := _STOP_ACTIONS.get(result.stop_reason):
        found.append(warning_view(as_sentence(result.stop_detail or _STOP_REASONS[result.stop_reason]), action))
    lost = int(np.sum(~np.isfinite(result.losses)))
    if lost and result.stop_reason != "non_finite":
        found.append(warning_view(f"{counted(lost, 'step')} had no finite loss.", "Check the data of those batches."))
    if result.suggestion.confidence == "tentative" and len(result.repeat_losses) < 2:
        problem = "One repeat of the range test cannot show the noise."
        found.append(warning_view(problem, "Measure again with `repeats=3`."))
    return found


def _facts(result: RangeTestResult) -> list[dict[str, str]]:
    advice, rates = result.suggestion, result.learning_rates
    facts = []
    if advice.low is not None and advice.high is not None:
        facts.append(("Usable range", f"{format_rate(advice.low)} to {format_rate(advice.high)}"))
    swept = f"{format_rate(float(rates[0]))} to {format_rate(float(rates[-1]))}" if len(rates) else "–"
    facts += [
        ("Swept", swept),
        ("Steps", f"{len(result.losses):,} of {result.num_steps:,}"),
        ("Repeats", str(max(1, len(result.repeat_losses)))),
        ("Stopped by", _STOP_REASONS[result.stop_reason]),
    ]
    return fact_views(facts)


def _describe_curve(curve: SmoothCurve) -> str:
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
        parts.append(f"From {format_rate(curve.learning_rates[curve.divergence])} on, it is well above its start.")
    return " ".join(parts)


def _describe_slope(result: RangeTestResult, curve: SmoothCurve) -> str:
    if (at := curve.steepest) is None:
        return "The smoothed loss never falls."
    unit = "decade" if result.sweep == "exponential" else "unit of learning rate"
    return (
        f"The smoothed loss falls fastest at a learning rate of {format_rate(curve.learning_rates[at])}, "
        f"by {format_number(-float(curve.slopes[at]), digits=2)} per {unit}."
    )


def _regions(result: RangeTestResult) -> list[dict[str, Any]]:
    meanings = _REGION_MEANINGS | ({"good": _TENTATIVE_RANGE} if result.suggestion.confidence == "tentative" else {})
    rows = [
        [
            chip_cell(region.name),
            number_cell(format_rate(region.low)),
            number_cell(format_rate(region.high)),
            meanings[region.name],
        ]
        for region in regions(result)
    ]
    caption = "Regions of the learning rate, read off this curve"
    return [table_view(caption, ["Region", "From", "To", "What it means"], rows)] if rows else []


def _method(result: RangeTestResult) -> list[str]:
    scored = (
        "the loss of a fixed validation batch after the step"
        if result.scored_on == "validation"
        else "the loss of that batch alone, not a running mean"
    )
    lines = [
        f"{result.sweep.capitalize()} sweep: the learning rate rises with each step, and each point is {scored}.",
        counted(max(1, len(result.repeat_losses)), "repeat")
        + (": the curve is their median, and each of them is drawn." if len(result.repeat_losses) > 1 else "."),
        f"Rule: {result.suggestion.rule}. The bold line is a centred Gaussian average, drawn to guide the eye.",
    ]
    if result.stop_detail:
        lines.append(f"Stop: {as_sentence(result.stop_detail)}")
    if result.engine == "per_batch":
        lines.append(f"One call per batch, not one compiled loop: {as_sentence(result.engine_reason)}")
    lines.append("Not tried: full training at these learning rates, another batch size, another optimizer.")
    return lines


def _script(result: RangeTestResult) -> str:
    first, last = _swept_range(result)
    monitor = code_value({"monitor": result.monitor}, "monitor", "")
    options = {
        "batch_size": code_value(result.environment, "batch_size", ""),
        "min_lr": first,
        "max_lr": last,
        "num_steps": result.num_steps,
        "sweep": f'"{result.sweep}"',
        "repeats": max(1, len(result.repeat_losses)),
        "validation_data": "load_validation_batch()" if result.scored_on == "validation" else "",
        "monitor": f'"{monitor}"' if monitor and monitor != RangeTestResult.monitor else "",
        "refine": result.refinement is not None or "",
        "epochs": result.epochs or "",
    }
    given = "".join(f"    {name}={value},\n" for name, value in options.items() if value != "")
    validation = ", load_validation_batch" if options["validation_data"] else ""
    return f"""import keras
import keras_lr

from my_project import build_model, load_data{validation}  # a compiled model; training data

keras.utils.set_random_seed(0)
x, y = load_data()
result = keras_lr.find_lr(
    build_model(),
    x,
    y,
{given})
print(result.suggestion)
result.to_html("range_test.html")
"""


def _swept_range(result: RangeTestResult) -> tuple[str, str]:
    """The range that was asked for; the sweep may have stopped before its end."""
    rates = result.learning_rates
    if len(rates) < 2:
        return "1e-7", "10.0"
    steps = result.num_steps - 1
    last = (
        rates[0] * (rates[1] / rates[0]) ** steps
        if result.sweep == "exponential"
        else rates[0] + (rates[1] - rates[0]) * steps
    )
    return format_rate(float(rates[0]), digits=6), format_rate(float(last), digits=6)


def _thinned(result: RangeTestResult) -> RangeTestResult:
    limit = max(_MIN_EMBEDDED_STEPS, min(_EMBEDDED_STEPS, _EMBEDDED_NUMBERS // max(1, len(result.repeat_losses))))
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
    shown = spike_keeping_indices(embedded.losses, TABLE_ROWS)
    measured = len(result.losses)
    note = thinning_note(measured, len(embedded.losses), "step")
    return data_view(
        caption=f"Range test, {len(shown)} of {counted(measured, 'step')}",
        columns=columns,
        rows=[[format_rate(row[0], digits=4), *(format_number(value) for value in row[1:])] for row in numbers[shown]],
        csv_name="range_test.csv",
        csv_rows=numbers,
        note=note,
    )


SECTION = Section("range_test", RangeTestResult, range_test_section, rank=50)
