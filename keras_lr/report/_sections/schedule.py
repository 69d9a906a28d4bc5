"""The section of a schedule previewed before training."""

from __future__ import annotations

import dataclasses
import keyword
from typing import Any

import numpy as np

from keras_lr._utils.downsampling import spike_keeping_indices
from keras_lr._utils.formatting import counted, format_number, format_rate, shortened
from keras_lr.plots._rate_curves import plot_schedule
from keras_lr.report._components import (
    TABLE_ROWS,
    Section,
    data_view,
    fact_views,
    figure_view,
    section_view,
    table_view,
    thinning_note,
    verdict_view,
)
from keras_lr.results._schedule import SchedulePreview

_EMBEDDED_STEPS = 1000
_MAX_ARGUMENTS = 20

# Schedules that can be written as code from their config, if all its values are plain.
KERAS_LR_SCHEDULES = (
    "CosineRestarts",
    "Cyclical",
    "FlatCosine",
    "InverseSqrt",
    "OneCycle",
    "Polynomial",
    "Resumed",
    "Scaled",
    "Sequential",
    "Warmup",
    "WarmupStableDecay",
)
KERAS_SCHEDULES = (
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
)


def schedule_section(schedules: tuple[SchedulePreview], prefix: str) -> dict[str, Any]:
    """Everything the page shows of a schedule."""
    (schedule,) = schedules
    kept = _thinned(schedule)
    drawn = _with_peak(kept)
    return section_view(
        heading="Schedule",
        verdict=_verdict(schedule),
        note="A plan: these learning rates were computed, not used in training.",
        facts=_facts(schedule),
        figure=figure_view(
            lambda figure: plot_schedule(drawn, ax=figure.subplots()),
            title="Learning rate against step",
            description=_describe(schedule),
            prefix=f"{prefix}-schedule",
            heights=(3.8, 3.4),
        ),
        tables=_arguments(schedule),
        method=_method(schedule),
        script=_script(schedule),
        data=_data(schedule, kept),
        records=[kept.to_dict()],
    )


def _verdict(schedule: SchedulePreview) -> dict[str, str]:
    first, last = (format_rate(float(schedule.learning_rates[at])) for at in (0, -1))
    return verdict_view(
        level="tentative",
        badge="A plan",
        lead=f"{shortened(schedule.name, 60)} over {counted(schedule.total_steps, 'step')}, with a peak of",
        rate=format_rate(float(np.max(schedule.learning_rates))),
        rest=f"It starts at {first} and ends at {last}.",
        reason="No model was trained with it here.",
        code=_code(schedule),
    )


def _facts(schedule: SchedulePreview) -> list[dict[str, str]]:
    rates = schedule.learning_rates
    facts = [
        ("First step", format_rate(float(rates[0]))),
        ("Peak", f"{format_rate(float(np.max(rates)))} at step {_peak(schedule):,}"),
        ("Last step", format_rate(float(rates[-1]))),
        ("Steps", f"{schedule.total_steps:,}"),
    ]
    return fact_views(facts)


def _peak(schedule: SchedulePreview) -> int:
    return int(schedule.steps[int(np.argmax(schedule.learning_rates))])


def _with_peak(schedule: SchedulePreview) -> SchedulePreview:
    """The schedule with its peak annotated, unless that is the first or last step or has an annotation already."""
    peak = _peak(schedule)
    if peak == schedule.steps[0] or peak == schedule.steps[-1] or peak in dict(schedule.annotations):
        return schedule
    label = f"peak {format_rate(float(np.max(schedule.learning_rates)))}"
    return dataclasses.replace(schedule, annotations=(*schedule.annotations, (peak, label)))


def _describe(schedule: SchedulePreview) -> str:
    rates = schedule.learning_rates
    description = (
        f"The learning rate starts at {format_rate(float(rates[0]))}, peaks at {format_rate(float(np.max(rates)))} in "
        f"step {_peak(schedule):,} and ends at {format_rate(float(rates[-1]))}."
    )
    if schedule.momentums is not None:
        low, high = float(np.min(schedule.momentums)), float(np.max(schedule.momentums))
        description += f" The momentum varies between {low:.3g} and {high:.3g}."
    return description


def _arguments(schedule: SchedulePreview) -> list[dict[str, Any]]:
    """The arguments of a schedule whose code cannot be written."""
    arguments = [] if _code(schedule) else list(schedule.config.items())[:TABLE_ROWS]
    rows = [[str(name)[:60], _argument(str(name), value)[:200]] for name, value in arguments]
    return [table_view("Arguments of the schedule", ["Argument", "Value"], rows)] if rows else []


def _method(schedule: SchedulePreview) -> list[str]:
    return [
        f"The schedule was computed at {counted(len(schedule.steps), 'step')} of {schedule.total_steps:,}.",
        "Not tried: training with it.",
    ]


def _script(schedule: SchedulePreview) -> str:
    line = _code(schedule) or "schedule = ...  # your schedule"
    return f"""import keras
import keras_lr

{line}
preview = keras_lr.schedules.preview(schedule, {schedule.total_steps})
keras_lr.Report("Schedule").add(preview).save("schedule.html")
"""


def _code(schedule: SchedulePreview) -> str:
    """The line that constructs the schedule; empty if its config does not tell."""
    home = "keras_lr.schedules" if schedule.name in KERAS_LR_SCHEDULES else "keras.optimizers.schedules"
    arguments = {name: value for name, value in schedule.config.items() if name != "name" and value is not None}
    usable = (
        schedule.name in (*KERAS_LR_SCHEDULES, *KERAS_SCHEDULES)
        and len(arguments) <= _MAX_ARGUMENTS
        and all(_is_name(name) and _is_plain(value) for name, value in arguments.items())
    )
    if not usable:
        return ""
    lines = "".join(f"    {name}={_argument(name, value)},\n" for name, value in arguments.items())
    return f"schedule = {home}.{schedule.name}(\n{lines})"


def _argument(name: str, value: Any) -> str:
    """The value as code; a learning rate as the page writes rates, unless digits would be lost."""
    if isinstance(value, float) and name.endswith("learning_rate"):
        written = format_rate(value, digits=9)
        return written if float(written) == value else repr(value)
    return repr(value)


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and name.isascii() and name.isidentifier() and not keyword.iskeyword(name)


def _is_plain(value: Any) -> bool:
    return isinstance(value, (bool, int, float)) or (isinstance(value, str) and len(value) < 60 and value.isprintable())


def _thinned(schedule: SchedulePreview) -> SchedulePreview:
    kept = spike_keeping_indices(schedule.learning_rates, _EMBEDDED_STEPS)
    momentums = None if schedule.momentums is None else schedule.momentums[kept]
    return dataclasses.replace(
        schedule, steps=schedule.steps[kept], learning_rates=schedule.learning_rates[kept], momentums=momentums
    )


def _data(schedule: SchedulePreview, kept: SchedulePreview) -> dict[str, Any]:
    frame = kept.to_frame()
    shown = frame.iloc[spike_keeping_indices(kept.learning_rates, TABLE_ROWS)]
    return data_view(
        caption=f"Schedule, {len(shown)} of {counted(schedule.total_steps, 'step')}",
        columns=[str(column) for column in frame.columns],
        rows=[
            [str(int(row[0])), format_rate(row[1], digits=4), *(format_number(value) for value in row[2:])]
            for row in shown.itertuples(index=False)
        ],
        csv_name="schedule.csv",
        csv_rows=([int(row[0]), *map(float, row[1:])] for row in frame.itertuples(index=False)),
        note=thinning_note(schedule.total_steps, len(kept.steps), "step"),
    )


SECTION = Section("schedule", SchedulePreview, schedule_section, rank=10)
