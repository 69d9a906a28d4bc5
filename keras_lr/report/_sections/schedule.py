"""The section of a schedule that was looked at before training."""

from __future__ import annotations

import dataclasses
import keyword
from typing import Any

import numpy as np

from keras_lr._utils.downsampling import spike_keeping_indices
from keras_lr._utils.formatting import format_number, format_rate, shortened
from keras_lr.plots._schedule import plot_schedule
from keras_lr.report._components import count, data, figure, number, table, thinning_note, verdict
from keras_lr.report._sections.base import Section, section_view
from keras_lr.results._schedule import SchedulePreview

_STEPS = 1000
_TABLE_ROWS = 40

OURS = (
    "CosineRestarts",
    "Cyclical",
    "FlatCosine",
    "InverseSqrt",
    "OneCycle",
    "Polynomial",
    "Scaled",
    "Warmup",
    "WarmupStableDecay",
)
KERAS = (
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
)
_MOST_ARGUMENTS = 20


def summarize(schedules: tuple[SchedulePreview], prefix: str) -> dict[str, Any]:
    """Everything the page says of a schedule."""
    (schedule,) = schedules
    kept = _thinned(schedule)
    drawn = with_peak(kept)
    return section_view(
        heading="Schedule",
        verdict=verdict_of(schedule),
        note="A plan: these rates were computed, not trained with.",
        facts=facts(schedule),
        figure=figure(
            lambda fig: plot_schedule(drawn, ax=fig.subplots()),
            title="Learning rate against step",
            description=describe(schedule),
            prefix=f"{prefix}-schedule",
            heights=(3.8, 3.4),
        ),
        tables=_arguments(schedule),
        method=method(schedule),
        script=script(schedule),
        data=_data(schedule, kept),
        records=[kept.to_dict()],
    )


def _arguments(schedule: SchedulePreview) -> list[dict[str, Any]]:
    rows = [[str(name)[:60], number(str(value)[:200])] for name, value in list(schedule.config.items())[:_TABLE_ROWS]]
    return [table("Arguments of the schedule", ["Argument", "Value"], rows)] if rows else []


def _thinned(schedule: SchedulePreview) -> SchedulePreview:
    kept = spike_keeping_indices(schedule.learning_rates, _STEPS)
    momentums = None if schedule.momentums is None else schedule.momentums[kept]
    return dataclasses.replace(
        schedule, steps=schedule.steps[kept], learning_rates=schedule.learning_rates[kept], momentums=momentums
    )


def _data(schedule: SchedulePreview, kept: SchedulePreview) -> dict[str, Any]:
    frame = kept.to_frame()
    shown = frame.iloc[spike_keeping_indices(kept.learning_rates, _TABLE_ROWS)]
    return data(
        caption=f"Schedule, {len(shown)} of {count(schedule.total_steps, 'step')}",
        columns=[str(column) for column in frame.columns],
        rows=[
            [str(int(row[0])), format_rate(row[1], digits=4), *(format_number(value) for value in row[2:])]
            for row in shown.itertuples(index=False)
        ],
        csv_name="schedule.csv",
        csv_rows=([int(row[0]), *map(float, row[1:])] for row in frame.itertuples(index=False)),
        note=thinning_note(schedule.total_steps, len(kept.steps), "step"),
    )


SECTION = Section("schedule", SchedulePreview, summarize, rank=10)


def verdict_of(schedule: SchedulePreview) -> dict[str, str]:
    """The first screen: what the schedule does."""
    first, last = (format_rate(float(schedule.learning_rates[at])) for at in (0, -1))
    return verdict(
        level="tentative",
        badge="A plan",
        lead=f"{shortened(schedule.name, 60)} over {count(schedule.total_steps, 'step')}, with a peak of",
        rate=format_rate(float(np.max(schedule.learning_rates))),
        rest=f"It starts at {first} and ends at {last}.",
        reason="Nothing was measured with it here.",
        code=_code(schedule),
    )


def facts(schedule: SchedulePreview) -> list[dict[str, str]]:
    """The few numbers a reader asks for first."""
    rates = schedule.learning_rates
    rows = [
        ("First step", format_rate(float(rates[0]))),
        ("Peak", f"{format_rate(float(np.max(rates)))} at step {_peak(schedule):,}"),
        ("Last step", format_rate(float(rates[-1]))),
        ("Steps", f"{schedule.total_steps:,}"),
    ]
    return [{"label": label, "value": value} for label, value in rows]


def describe(schedule: SchedulePreview) -> str:
    """The finding of the picture."""
    rates = schedule.learning_rates
    told = (
        f"The learning rate starts at {format_rate(float(rates[0]))}, is highest, {format_rate(float(np.max(rates)))}, "
        f"at step {_peak(schedule):,}, and ends at {format_rate(float(rates[-1]))}."
    )
    if schedule.momentums is not None:
        low, high = float(np.min(schedule.momentums)), float(np.max(schedule.momentums))
        told += f" The momentum moves between {low:.3g} and {high:.3g}."
    return told


def with_peak(schedule: SchedulePreview) -> SchedulePreview:
    """The schedule with its peak pointed out, where it is neither at the first step nor named already."""
    peak = _peak(schedule)
    if peak == schedule.steps[0] or peak == schedule.steps[-1] or peak in dict(schedule.annotations):
        return schedule
    label = f"peak {format_rate(float(np.max(schedule.learning_rates)))}"
    return dataclasses.replace(schedule, annotations=(*schedule.annotations, (peak, label)))


def method(schedule: SchedulePreview) -> list[str]:
    """How the numbers came about, and what was not tried."""
    return [
        f"The schedule was computed at {count(len(schedule.steps), 'step')} of {schedule.total_steps:,}.",
        "Not tried: a training with it.",
    ]


def script(schedule: SchedulePreview) -> str:
    """A script that makes the schedule again."""
    line = _code(schedule) or "schedule = ...  # your schedule"
    return f"""import keras
import keras_lr

{line}
preview = keras_lr.schedules.preview(schedule, {schedule.total_steps})
keras_lr.Report("Schedule").add(preview).save("schedule.html")
"""


def _code(schedule: SchedulePreview) -> str:
    home = "keras_lr.schedules" if schedule.name in OURS else "keras.optimizers.schedules"
    arguments = {name: value for name, value in schedule.config.items() if name != "name" and value is not None}
    usable = (
        schedule.name in (*OURS, *KERAS)
        and len(arguments) <= _MOST_ARGUMENTS
        and all(_is_name(name) and _is_plain(value) for name, value in arguments.items())
    )
    if not usable:
        return ""
    lines = "".join(f"    {name}={value!r},\n" for name, value in arguments.items())
    return f"schedule = {home}.{schedule.name}(\n{lines})"


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and name.isascii() and name.isidentifier() and not keyword.iskeyword(name)


def _is_plain(value: Any) -> bool:
    return isinstance(value, (bool, int, float)) or (isinstance(value, str) and len(value) < 60 and value.isprintable())


def _peak(schedule: SchedulePreview) -> int:
    return int(schedule.steps[int(np.argmax(schedule.learning_rates))])
