"""The section of a run under `AutoLR`."""

from __future__ import annotations

import dataclasses
from typing import Any

from keras_lr.plots.auto_lr import plot_auto_lr, stacked
from keras_lr.plots.numbers import format_number
from keras_lr.plots.thinning import evenly_chosen, spike_keeping_indices
from keras_lr.records.auto_lr import AutoLRLog
from keras_lr.records.rate_words import format_rate
from keras_lr.report.environment import environment_rows
from keras_lr.report.figures import figure
from keras_lr.report.sections import auto_lr_text as wording
from keras_lr.report.sections.base import Section, section_view
from keras_lr.report.tables import data, number, table
from keras_lr.report.wording import count, thinning_note

_EPOCHS = 1000
_TABLE_ROWS = 40


def summarize(logs: tuple[AutoLRLog], prefix: str) -> dict[str, Any]:
    """Everything the page says of the run."""
    (log,) = logs
    kept = _thinned(log)
    return section_view(
        heading="AutoLR",
        verdict=wording.verdict_of(log),
        warnings=wording.warnings(log),
        note="What the callback did to the learning rate while the model trained, and why.",
        facts=wording.facts(log),
        figure=figure(
            lambda fig: plot_auto_lr(kept, axes=stacked(fig)),
            title="Learning rate and losses under AutoLR",
            description=wording.describe(log),
            prefix=f"{prefix}-auto",
            heights=(5.0, 4.6),
        ),
        tables=_actions(log),
        method=wording.method(log),
        environment=[] if log.probe is None else environment_rows(log.probe.environment),
        script=wording.script(log),
        data=_data(log, kept),
        records=[kept.to_dict()],
    )


def _actions(log: AutoLRLog) -> list[dict[str, Any]]:
    if not log.actions:
        return []
    shown = [log.actions[place] for place in evenly_chosen(len(log.actions), _TABLE_ROWS)]
    caption = "Changes of the learning rate" + (", only told (`dry_run`)" if log.dry_run else "")
    if len(shown) < len(log.actions):
        caption += f"; {len(shown)} of {len(log.actions)}"
    rows = [
        [
            action.kind,
            number(str(action.epoch)),
            number(format_rate(action.learning_rate_before)),
            number(format_rate(action.learning_rate_after)),
            action.reason,
        ]
        for action in shown
    ]
    return [table(caption, ["Change", "Epoch", "From", "To", "Why"], rows)]


def _thinned(log: AutoLRLog) -> AutoLRLog:
    kept = spike_keeping_indices(log.losses, _EPOCHS)
    series = ("epochs", "learning_rates", "losses", "val_losses")
    return dataclasses.replace(log, **{name: getattr(log, name)[kept] for name in series})  # type: ignore[arg-type]


def _data(log: AutoLRLog, kept: AutoLRLog) -> dict[str, Any]:
    frame = kept.to_frame()
    shown = frame.iloc[spike_keeping_indices(kept.losses, _TABLE_ROWS)]
    return data(
        caption=f"AutoLR, {len(shown)} of {count(len(log.epochs), 'epoch')}",
        columns=[str(column) for column in frame.columns],
        rows=[
            [str(epoch), format_rate(rate, digits=4), format_number(loss), format_number(val_loss)]
            for epoch, rate, loss, val_loss in shown.itertuples(index=False)
        ],
        csv_name="auto_lr.csv",
        csv_rows=frame.itertuples(index=False),
        note=thinning_note(len(log.epochs), len(kept.epochs), "epoch"),
    )


SECTION = Section("auto_lr_log", "keras_lr.records.auto_lr:AutoLRLog", summarize, rank=45)
