"""What `AutoLR` did to the learning rate of a run, epoch by epoch, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np

from keras_lr._utils.formatting import format_rate
from keras_lr.results._range_test import RangeTestResult
from keras_lr.results._record import PageRecord, RecordPart, float_array, integer, json_object, optional_float, text

if TYPE_CHECKING:
    import pandas as pd

ActionKind = Literal["probe", "rollback", "lower", "raise", "anneal"]


@dataclass(frozen=True)
class AutoLRAction(RecordPart):
    """One change of the learning rate.

    Attributes:
        kind: "probe" (set by the short range test before the first epoch), "rollback" (lowered, with the weights of
            the last good epoch restored), "lower", "raise" or "anneal" (the decay over the last planned epochs begins).
        epoch: First epoch with the new rate, counted from 0.
        learning_rate_before: Rate until then, dimensionless.
        learning_rate_after: Rate from then on; with `dry_run` the rate that would have been set.
        reason: Why, in one sentence.
        applied: False if `dry_run` only reported the change.

    Example:
        >>> for action in log.actions:
        ...     print(action.kind, action.epoch, action.learning_rate_after)
    """

    kind: ActionKind
    epoch: int
    learning_rate_before: float
    learning_rate_after: float
    reason: str
    applied: bool = True

    def __post_init__(self) -> None:
        if self.kind not in get_args(ActionKind):
            raise ValueError(f"`kind` must be one of {get_args(ActionKind)}. Received: {self.kind!r}.")


def action_in_words(action: AutoLRAction) -> str:
    """The change in one line: `AutoLR, epoch 3 (rollback): learning rate 3 to 1e-2. The loss became NaN.`"""
    before, after = format_rate(action.learning_rate_before), format_rate(action.learning_rate_after)
    not_made = "" if action.applied else ", not applied"
    rates = f"{before} to {after}" if before != after else f"stays {before}"
    return f"AutoLR, epoch {action.epoch} ({action.kind}{not_made}): learning rate {rates}. {action.reason}"


@dataclass(frozen=True, eq=False)
class AutoLRLog(PageRecord):
    """A run under `AutoLR`: the rate and losses of each epoch, and each change of the rate with its reason.

    Attributes:
        actions: The changes, in order.
        epochs: Epochs trained, shape `(n_epochs,)`, int64; an epoch that was rolled back stays in the list.
        learning_rates: Rate at the end of each epoch, dimensionless, shape `(n_epochs,)`, float64.
        losses: Training loss of each epoch, shape `(n_epochs,)`, float64; NaN if it was not finite.
        val_losses: Validation loss of each epoch, shape `(n_epochs,)`, float64; NaN if it was not evaluated.
        start_learning_rate: Rate the model was compiled with; for a schedule, its rate at the first step.
        planned_epochs: Number of epochs passed to `fit`; None if unknown.
        dry_run: Whether the changes were only reported.
        monitor: Name of the training loss.
        probe: The range test before the first epoch; None if it was not run.
        notes: What else there is to know of the run, one sentence or two each: why it began again, what became of a
            compiled schedule, which other callback sets the rate, why it stopped rolling back.
        known: What is known of the fit beside its series, as in `HistoryMonitor.known`; empty in logs that earlier
            versions stored.

    Example:
        >>> log.save("auto_lr.json")
        >>> keras_lr.AutoLRLog.load("auto_lr.json").to_frame()
    """

    kind: ClassVar[str] = "auto_lr_log"
    page_title: ClassVar[str] = "AutoLR"

    actions: tuple[AutoLRAction, ...]
    epochs: np.ndarray
    learning_rates: np.ndarray
    losses: np.ndarray
    val_losses: np.ndarray
    start_learning_rate: float
    planned_epochs: int | None = None
    dry_run: bool = False
    monitor: str = "loss"
    probe: RangeTestResult | None = None
    notes: tuple[str, ...] = ()
    known: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shapes = {np.shape(series) for series in (self.epochs, self.learning_rates, self.losses, self.val_losses)}
        if len(shapes) != 1:
            raise ValueError(f"The series of an `AutoLRLog` must have the same shape. Received: {sorted(shapes)}.")

    def to_frame(self) -> pd.DataFrame:
        """One row per epoch: `epoch`, `learning_rate`, `loss`, `val_loss`."""
        import pandas as pd

        return pd.DataFrame(
            {
                "epoch": self.epochs,
                "learning_rate": self.learning_rates,
                "loss": self.losses,
                "val_loss": self.val_losses,
            }
        )

    def plot(self, axes: Any = None) -> Any:
        """Draws the rates and the losses on a list of two Axes (those of a new pyplot figure if None); returns them."""
        from keras_lr.plots import plot_auto_lr

        return plot_auto_lr(self, axes=axes)

    def __repr__(self) -> str:
        kinds = ", ".join(action.kind for action in self.actions) or "none"
        return f"AutoLRLog({len(self.epochs)} epochs, actions: {kinds})"

    @classmethod
    def _parse(cls, values: dict[str, Any]) -> dict[str, Any]:
        parsed = dict(values)
        parsed["actions"] = tuple(AutoLRAction.from_dict(action) for action in values["actions"])
        for name in ("learning_rates", "losses", "val_losses"):
            parsed[name] = float_array(values[name], ndim=1)
        parsed["epochs"] = float_array(values["epochs"], ndim=1).astype(np.int64)
        parsed["start_learning_rate"] = float(optional_float(values["start_learning_rate"]) or 0.0)
        planned = values.get("planned_epochs")
        parsed["planned_epochs"] = None if planned is None else integer(planned)
        parsed["monitor"] = text(values.get("monitor", "loss"))
        probe = values.get("probe")
        parsed["probe"] = None if probe is None else RangeTestResult.from_dict(probe)
        parsed["notes"] = tuple(text(note) for note in values.get("notes", ()))
        parsed["known"] = json_object("known", values.get("known", {}))
        return parsed
