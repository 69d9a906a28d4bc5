"""The section of a run under `AutoLR`."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from keras_lr._utils.downsampling import evenly_chosen, spike_keeping_indices
from keras_lr._utils.formatting import format_number, format_rate
from keras_lr.plots._auto_lr import plot_auto_lr, stacked
from keras_lr.report._components import (
    count,
    data,
    environment_rows,
    figure,
    number,
    optimizer_call,
    sentence,
    table,
    thinning_note,
    verdict,
)
from keras_lr.report._sections.base import Section, section_view
from keras_lr.results._auto_lr import AutoLRAction, AutoLRLog

_EPOCHS = 1000
_TABLE_ROWS = 40

_LATE_EPOCHS = 2
_MOST_TOLD = 8
_MEANINGS = {
    "probe": "a short range test before the first epoch",
    "rollback": "back to the last good epoch's weights, at a lower rate",
    "lower": "lowered",
    "raise": "raised",
    "anneal": "the decay over the last epochs began",
}


def summarize(logs: tuple[AutoLRLog], prefix: str) -> dict[str, Any]:
    """Everything the page says of the run."""
    (log,) = logs
    kept = _thinned(log)
    return section_view(
        heading="AutoLR",
        verdict=verdict_of(log),
        warnings=warnings(log),
        note="What the callback did to the learning rate while the model trained, and why.",
        facts=facts(log),
        figure=figure(
            lambda fig: plot_auto_lr(kept, axes=stacked(fig)),
            title="Learning rate and losses under AutoLR",
            description=describe(log),
            prefix=f"{prefix}-auto",
            heights=(5.0, 4.6),
        ),
        tables=_actions(log),
        method=method(log),
        environment=[] if log.probe is None else environment_rows(log.probe.environment),
        script=script(log),
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


SECTION = Section("auto_lr_log", AutoLRLog, summarize, rank=45)


def verdict_of(log: AutoLRLog) -> dict[str, str]:
    """The first screen: what rate the run came to."""
    made = f"{count(len(log.actions), 'change')} in {count(len(log.epochs), 'epoch')}"
    rest = (
        f"{'It would have made' if log.dry_run else 'It made'} {made}, from {format_rate(log.start_learning_rate)} on."
    )
    settled = _settled(log)
    reason = sentence(settled.reason) if settled else "Nothing in the run asked for a change."
    if not np.isfinite(_last(log.losses)):
        return verdict(level="none", lead="The run ended without a finite loss", rest=rest, reason=reason)
    rate = format_rate(settled.learning_rate_after if settled else log.start_learning_rate)
    late = settled is not None and settled.epoch >= log.epochs[-1] - _LATE_EPOCHS
    return verdict(
        level="tentative" if log.dry_run or late else "clear",
        lead="AutoLR came to" if not log.dry_run else "AutoLR would have gone to",
        rate=rate,
        rest=rest,
        reason=reason,
        code=optimizer_call(log.probe.environment if log.probe else {}, rate),
    )


def warnings(log: AutoLRLog) -> list[dict[str, str]]:
    """What the reader should do something about."""
    found = []
    rollbacks = [action for action in log.actions if action.kind == "rollback"]
    if rollbacks:
        highest = format_rate(min(action.learning_rate_before for action in rollbacks))
        found.append(
            {
                "problem": f"The run broke {count(len(rollbacks), 'time')}, first in epoch {rollbacks[0].epoch}.",
                "action": f"Start the next one below {highest}.",
            }
        )
    if log.planned_epochs is not None and len(np.unique(log.epochs)) < log.planned_epochs:
        found.append(
            {
                "problem": f"{len(np.unique(log.epochs))} of {count(log.planned_epochs, 'epoch')} were trained.",
                "action": "Train to the end before comparing.",
            }
        )
    return found


def facts(log: AutoLRLog) -> list[dict[str, str]]:
    """The few numbers a reader asks for first."""
    rows = [("Compiled with", format_rate(log.start_learning_rate))]
    if len(log.learning_rates):
        rows.append(("Last rate", format_rate(_last(log.learning_rates))))
    planned = "" if log.planned_epochs is None else f" of {log.planned_epochs}"
    rows += [("Epochs", f"{len(log.epochs)}{planned}"), ("Changes", str(len(log.actions)))]
    if np.isfinite(log.losses).any():
        rows.append(("Lowest loss", format_number(float(np.nanmin(log.losses)))))
    return [{"label": label, "value": value} for label, value in rows]


def describe(log: AutoLRLog) -> str:
    """The finding of the picture."""
    if not len(log.epochs):
        return "No epoch was trained."
    changes = "; ".join(
        f"epoch {action.epoch}: {action.kind} to {format_rate(action.learning_rate_after)}"
        for action in log.actions[:_MOST_TOLD]
    )
    more = f"; {len(log.actions) - _MOST_TOLD} more" if len(log.actions) > _MOST_TOLD else ""
    course = (
        f"The loss went from {format_number(float(log.losses[0]), digits=3)} to "
        f"{format_number(_last(log.losses), digits=3)}."
    )
    return f"{changes.capitalize()}{more}. {course}" if changes else f"No change. {course}"


def method(log: AutoLRLog) -> list[str]:
    """How it acted, and what was not tried."""
    kinds = dict.fromkeys(action.kind for action in log.actions)
    lines = [f"{kind.capitalize()}: {_MEANINGS[kind]}." for kind in kinds]
    lines.append(f"Watched: `{log.monitor}` of each epoch, as the diagnosis judges it.")
    if log.dry_run:
        lines.append("`dry_run`: the changes were only told, none was made.")
    lines.append("Not tried: the same run without AutoLR, other seeds.")
    return lines


def script(log: AutoLRLog) -> str:
    """A script that trains the same way again; the reader supplies the model and the data."""
    epochs = log.planned_epochs or max(1, len(log.epochs))
    options = "dry_run=True" if log.dry_run else ""
    return f"""import keras_lr

from my_project import build_model, load_data  # a compiled model; training and validation data

x, y, x_val, y_val = load_data()
auto = keras_lr.AutoLR({options})
build_model().fit(x, y, validation_data=(x_val, y_val), epochs={epochs}, callbacks=[auto])
keras_lr.Report("AutoLR").add(auto.log).save("auto_lr.html")
"""


def _settled(log: AutoLRLog) -> AutoLRAction | None:
    """The last change other than the planned decay at the end."""
    return next((action for action in reversed(log.actions) if action.kind != "anneal"), None)


def _last(values: np.ndarray) -> float:
    return float(values[-1]) if len(values) else float("nan")
