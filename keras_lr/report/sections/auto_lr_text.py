"""What the report says of a run under `AutoLR`, in words."""

from __future__ import annotations

import numpy as np

from keras_lr.plots.numbers import format_number
from keras_lr.records.auto_lr import AutoLRAction, AutoLRLog
from keras_lr.records.rate_words import format_rate
from keras_lr.report.wording import count, optimizer_call, sentence, verdict

_LATE_EPOCHS = 2
_MOST_TOLD = 8
_MEANINGS = {
    "probe": "a short range test before the first epoch",
    "rollback": "back to the last good epoch's weights, at a lower rate",
    "lower": "lowered",
    "raise": "raised",
    "anneal": "the decay over the last epochs began",
}


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
