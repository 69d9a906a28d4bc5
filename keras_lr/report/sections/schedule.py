"""The section of a schedule that was looked at before training."""

from __future__ import annotations

import dataclasses
from typing import Any

from keras_lr.plots.numbers import format_number
from keras_lr.plots.schedule import plot_schedule
from keras_lr.plots.thinning import spike_keeping_indices
from keras_lr.records.rate_words import format_rate
from keras_lr.records.schedule import SchedulePreview
from keras_lr.report.figures import figure
from keras_lr.report.sections import schedule_text as wording
from keras_lr.report.sections.base import Section, section_view
from keras_lr.report.tables import data, number, table
from keras_lr.report.wording import count, thinning_note

_STEPS = 1000
_TABLE_ROWS = 40


def summarize(schedules: tuple[SchedulePreview], prefix: str) -> dict[str, Any]:
    """Everything the page says of a schedule."""
    (schedule,) = schedules
    kept = _thinned(schedule)
    drawn = wording.with_peak(kept)
    return section_view(
        heading="Schedule",
        verdict=wording.verdict_of(schedule),
        note="A plan: these rates were computed, not trained with.",
        facts=wording.facts(schedule),
        figure=figure(
            lambda fig: plot_schedule(drawn, ax=fig.subplots()),
            title="Learning rate against step",
            description=wording.describe(schedule),
            prefix=f"{prefix}-schedule",
            heights=(3.8, 3.4),
        ),
        tables=_arguments(schedule),
        method=wording.method(schedule),
        script=wording.script(schedule),
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


SECTION = Section("schedule", "keras_lr.records.schedule:SchedulePreview", summarize, rank=10)
