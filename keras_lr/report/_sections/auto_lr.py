"""The section of a run under `AutoLR`."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from keras_lr._utils.downsampling import evenly_chosen, spike_keeping_indices
from keras_lr._utils.formatting import counted, format_number, format_rate
from keras_lr.plots._history import Scale
from keras_lr.plots._rate_curves import loss_lines, plot_auto_lr, stacked_axes
from keras_lr.report._components import (
    TABLE_ROWS,
    Section,
    as_sentence,
    code_to_paste,
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
from keras_lr.results._auto_lr import ActionKind, AutoLRAction, AutoLRLog

_EMBEDDED_EPOCHS = 1000
_MAX_DESCRIBED = 8
# A learning rate set this close to the end has not been tested for long.
_LATE_EPOCHS = 2
_ACTION_MEANINGS: dict[ActionKind, str] = {
    "probe": "a short range test before the first epoch",
    "rollback": "a return to the weights of the last good epoch, at a lower learning rate",
    "lower": "a lower learning rate from this epoch on",
    "raise": "a higher learning rate from this epoch on",
    "anneal": "the start of the decay over the last epochs",
}


def auto_lr_section(logs: tuple[AutoLRLog], prefix: str) -> dict[str, Any]:
    """Everything the page shows of the run."""
    (log,) = logs
    kept = _thinned(log)
    lines = loss_lines(kept)
    return section_view(
        heading="AutoLR",
        verdict=_verdict(log),
        warnings=_warnings(log),
        note="What the callback did to the learning rate while the model trained, and why.",
        facts=_facts(log),
        figure=figure_view(
            lambda figure: plot_auto_lr(kept, axes=stacked_axes(figure)),
            title="Learning rate and losses under AutoLR",
            description=_describe(log),
            prefix=f"{prefix}-auto",
            key=Scale.of([lines]).crosses_note([lines]),
            heights=(5.0, 4.6),
        ),
        tables=_actions(log),
        method=_method(log),
        environment=[] if log.probe is None else environment_rows(log.probe.environment),
        script=_script(log),
        data=_data(log, kept),
        records=[kept.to_dict()],
    )


def _verdict(log: AutoLRLog) -> dict[str, str]:
    made = f"{'would have made' if log.dry_run else 'made'} {counted(len(log.actions), 'change')}"
    rest = (
        f"It started at a learning rate of {format_rate(log.start_learning_rate)} and {made} in "
        f"{counted(len(log.epochs), 'epoch')}."
    )
    settled = _settled(log)
    reason = as_sentence(settled.reason) if settled else "Nothing in the run called for a change."
    if not np.isfinite(_last(log.losses)):
        return verdict_view(level="none", lead="The run ended without a finite loss", rest=rest, reason=reason)
    rate = format_rate(settled.learning_rate_after if settled else log.start_learning_rate)
    late = settled is not None and settled.epoch >= log.epochs[-1] - _LATE_EPOCHS
    return verdict_view(
        level="tentative" if log.dry_run or late else "clear",
        lead="AutoLR would have settled on" if log.dry_run else "AutoLR settled on",
        rate=rate,
        rest=rest,
        reason=reason,
        code=code_to_paste(log.probe.environment if log.probe else {}, rate, batch_size=log.known.get("batch_size")),
    )


def _settled(log: AutoLRLog) -> AutoLRAction | None:
    """The last change apart from the planned decay at the end."""
    return next((action for action in reversed(log.actions) if action.kind != "anneal"), None)


def _last(values: np.ndarray) -> float:
    return float(values[-1]) if len(values) else float("nan")


def _warnings(log: AutoLRLog) -> list[dict[str, str]]:
    found = []
    rollbacks = [action for action in log.actions if action.kind == "rollback"]
    if rollbacks:
        highest = format_rate(min(action.learning_rate_before for action in rollbacks))
        times = "" if len(rollbacks) == 1 else f" {len(rollbacks)} times, first"
        problem = f"The run broke down{times} in epoch {rollbacks[0].epoch}."
        found.append(warning_view(problem, f"Start the next one below {highest}."))
    trained = len(np.unique(log.epochs))
    if log.planned_epochs is not None and trained < log.planned_epochs:
        problem = f"Only {trained} of {counted(log.planned_epochs, 'epoch')} were trained."
        found.append(warning_view(problem, "Train to the end before comparing."))
    return found


def _facts(log: AutoLRLog) -> list[dict[str, str]]:
    facts = [("Initial rate", format_rate(log.start_learning_rate))]
    if len(log.learning_rates):
        facts.append(("Last rate", format_rate(_last(log.learning_rates))))
    planned = "" if log.planned_epochs is None else f" of {log.planned_epochs}"
    facts += [("Epochs", f"{len(log.epochs)}{planned}"), ("Changes", str(len(log.actions)))]
    if np.isfinite(log.losses).any():
        facts.append(("Lowest loss", format_number(float(np.nanmin(log.losses)))))
    return fact_views(facts)


def _describe(log: AutoLRLog) -> str:
    if not len(log.epochs):
        return "No epoch was trained."
    changes = "; ".join(
        f"epoch {action.epoch}: {action.kind} to {format_rate(action.learning_rate_after)}"
        for action in log.actions[:_MAX_DESCRIBED]
    )
    more = f"; {len(log.actions) - _MAX_DESCRIBED} more" if len(log.actions) > _MAX_DESCRIBED else ""
    course = (
        f"The loss went from {format_number(float(log.losses[0]), digits=3)} to "
        f"{format_number(_last(log.losses), digits=3)}."
    )
    return f"{changes.capitalize()}{more}. {course}" if changes else f"No change. {course}"


def _actions(log: AutoLRLog) -> list[dict[str, Any]]:
    if not log.actions:
        return []
    shown = [log.actions[place] for place in evenly_chosen(len(log.actions), TABLE_ROWS)]
    caption = "Changes to the learning rate" + (", reported but not made (`dry_run`)" if log.dry_run else "")
    if len(shown) < len(log.actions):
        caption += f"; {len(shown)} of {len(log.actions)}"
    rows = [
        [
            action.kind,
            number_cell(str(action.epoch)),
            number_cell(format_rate(action.learning_rate_before)),
            number_cell(format_rate(action.learning_rate_after)),
            action.reason,
        ]
        for action in shown
    ]
    return [table_view(caption, ["Change", "Epoch", "From", "To", "Why"], rows)]


def _method(log: AutoLRLog) -> list[str]:
    kinds = dict.fromkeys(action.kind for action in log.actions)
    lines = [f"{kind.capitalize()}: {_ACTION_MEANINGS[kind]}." for kind in kinds]
    lines.append(f"Watched: `{log.monitor}` per epoch, judged as in a diagnosis.")
    if log.dry_run:
        lines.append("`dry_run`: the changes were reported, but none was made.")
    lines.append("Not tried: the same run without AutoLR, other seeds.")
    return lines


def _script(log: AutoLRLog) -> str:
    epochs = log.planned_epochs or max(1, len(log.epochs))
    options = "dry_run=True" if log.dry_run else ""
    return f"""import keras_lr

from my_project import build_model, load_data  # a compiled model; training and validation data

x, y, x_val, y_val = load_data()
auto = keras_lr.AutoLR({options})
build_model().fit(x, y, validation_data=(x_val, y_val), epochs={epochs}, callbacks=[auto])
keras_lr.Report("AutoLR").add(auto.log).save("auto_lr.html")
"""


def _thinned(log: AutoLRLog) -> AutoLRLog:
    kept = spike_keeping_indices(log.losses, _EMBEDDED_EPOCHS)
    series = ("epochs", "learning_rates", "losses", "val_losses")
    return dataclasses.replace(log, **{name: getattr(log, name)[kept] for name in series})  # type: ignore[arg-type]


def _data(log: AutoLRLog, kept: AutoLRLog) -> dict[str, Any]:
    frame = kept.to_frame()
    shown = frame.iloc[spike_keeping_indices(kept.losses, TABLE_ROWS)]
    return data_view(
        caption=f"AutoLR, {len(shown)} of {counted(len(log.epochs), 'epoch')}",
        columns=[str(column) for column in frame.columns],
        rows=[
            [str(epoch), format_rate(rate, digits=4), format_number(loss), format_number(val_loss)]
            for epoch, rate, loss, val_loss in shown.itertuples(index=False)
        ],
        csv_name="auto_lr.csv",
        csv_rows=frame.itertuples(index=False),
        note=thinning_note(len(log.epochs), len(kept.epochs), "epoch"),
    )


SECTION = Section("auto_lr_log", AutoLRLog, auto_lr_section, rank=45)
