"""What `AutoLR` remembers of a run, and the controller that acts on the model."""

from __future__ import annotations

import dataclasses
import math
import warnings
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from keras_lr._keras.learning_rate import RateFactor, current_learning_rate
from keras_lr._keras.snapshot import StateSnapshot, seed_variables
from keras_lr.analysis._auto_lr_rules import (
    Baseline,
    Change,
    LossTrend,
    anneal_factor,
    epochs_per_point,
    find_change,
    typical_change,
)
from keras_lr.analysis._diverged import epoch_divergence
from keras_lr.errors import ResultFormatError
from keras_lr.results._auto_lr import ActionKind, AutoLRAction, AutoLRLog
from keras_lr.results._range_test import RangeTestResult

MAX_ROLLBACKS = 8


@dataclass(frozen=True)
class Segment:
    """Epochs under one factor on the compiled rate.

    Attributes:
        factor: The factor, without that of the anneal.
        first_row: Index of its first epoch in `AutoLRState.rows`.
        anneal_from: Share of the planned run after which the rate decays.
        rollbacks: Rollbacks since the last epoch that was kept.
        actions: Number of actions taken so far.
    """

    factor: float = 1.0
    first_row: int = 0
    anneal_from: float = 1.0
    rollbacks: int = 0
    actions: int = 0


@dataclass
class EpochRecord:
    """An epoch: its rate at the end, its losses, whether its weights were kept, and the segment that follows it."""

    epoch: int
    learning_rate: float
    loss: float
    val_loss: float
    kept: bool
    next_segment: Segment


@dataclass
class AutoLRState:
    """The state of a run under `AutoLR`, as plain values.

    Attributes:
        first_epoch: The epoch at which the run began.
        start_learning_rate: Rate the model was compiled with; a schedule's at its first step.
        reference: Rate at a factor of 1; a schedule's highest.
        bases: The rate factor's bases; None until it is attached.
        baseline: Loss before the first step; None without a range test.
        probe: The range test.
        rows: The epochs so far.
        actions: The actions so far.
        segment: The present segment.
    """

    first_epoch: int
    start_learning_rate: float
    reference: float
    bases: tuple[float, ...] | None = None
    baseline: Baseline | None = None
    probe: RangeTestResult | None = None
    rows: list[EpochRecord] = field(default_factory=list)
    actions: list[AutoLRAction] = field(default_factory=list)
    segment: Segment = field(default_factory=Segment)

    def add_action(self, action: AutoLRAction, **changes: Any) -> None:
        """Adds an action and applies `changes` to the segment."""
        self.actions.append(action)
        self.segment = dataclasses.replace(self.segment, actions=len(self.actions), **changes)

    def reset_rollbacks(self) -> None:
        """Counts rollbacks from 0 again, after an epoch that was kept."""
        self.segment = dataclasses.replace(self.segment, rollbacks=0)

    def find_divergence(self, loss: float) -> Change | None:
        """The rollback that an epoch of this loss calls for; None after `MAX_ROLLBACKS` in a row."""
        if self.segment.rollbacks >= MAX_ROLLBACKS:
            return None
        kept = self._kept_losses()
        start = self.baseline.start if self.baseline else (kept[0] if kept else math.nan)
        noise = self.baseline.noise if self.baseline else typical_change(kept)
        return epoch_divergence(loss, start=start, best=min(kept, default=start), noise=noise)

    def find_change(self, planned_epochs: int) -> Change | None:
        """The change that the epochs since the last one call for; to be called after an epoch that was kept."""
        width = epochs_per_point(planned_epochs)
        losses = np.array([row.loss for row in self.rows[self.segment.first_row :] if math.isfinite(row.loss)])
        if losses.size == 0 or losses.size % width:
            return None
        kept = self._kept_losses()
        start = self.baseline.start if self.baseline else kept[0]
        return find_change(LossTrend(start, min(kept), losses.reshape(-1, width).mean(axis=1)))

    def _kept_losses(self) -> list[float]:
        return [row.loss for row in self.rows if row.kept and math.isfinite(row.loss)]

    def rewind(self, epoch: int) -> bool:
        """Returns to the beginning of `epoch`; False if no epoch before it is known."""
        self.rows = [row for row in self.rows if row.epoch < epoch]
        if not self.rows:
            return False
        self.segment = self.rows[-1].next_segment
        self.actions = self.actions[: self.segment.actions]
        return True

    def to_log(self, *, planned_epochs: int | None, dry_run: bool, monitor: str) -> AutoLRLog:
        """The public record of the run."""

        def series(name: str) -> np.ndarray:
            values = np.array([getattr(row, name) for row in self.rows], dtype=np.float64)
            return np.where(np.isfinite(values), values, np.nan)

        return AutoLRLog(
            actions=tuple(self.actions),
            epochs=np.array([row.epoch for row in self.rows], dtype=np.int64),
            learning_rates=series("learning_rate"),
            losses=series("loss"),
            val_losses=series("val_loss"),
            start_learning_rate=self.start_learning_rate,
            planned_epochs=planned_epochs,
            dry_run=dry_run,
            monitor=monitor,
            probe=self.probe,
        )

    def to_dict(self) -> dict[str, Any]:
        """The state as plain JSON values."""
        rows = [
            {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row}
            for row in (dataclasses.asdict(row).items() for row in self.rows)
        ]
        return {
            "first_epoch": self.first_epoch,
            "start_learning_rate": self.start_learning_rate,
            "reference": self.reference,
            "bases": None if self.bases is None else list(self.bases),
            "baseline": None if self.baseline is None else dataclasses.asdict(self.baseline),
            "probe": None if self.probe is None else self.probe.to_dict(),
            "rows": rows,
            "actions": [action.to_dict() for action in self.actions],
            "segment": dataclasses.asdict(self.segment),
        }

    @classmethod
    def from_dict(cls, data: Any) -> AutoLRState:
        """The state that `to_dict` wrote; raises `ResultFormatError` for anything else."""
        try:
            return cls(
                first_epoch=int(data["first_epoch"]),
                start_learning_rate=float(data["start_learning_rate"]),
                reference=float(data["reference"]),
                bases=None if data["bases"] is None else tuple(map(float, data["bases"])),
                baseline=data["baseline"] and Baseline(**data["baseline"]),
                probe=data["probe"] and RangeTestResult.from_dict(data["probe"]),
                rows=[_epoch_record(**row) for row in data["rows"]],
                actions=[AutoLRAction.from_dict(action) for action in data["actions"]],
                segment=Segment(**data["segment"]),
            )
        except (TypeError, ValueError, KeyError) as err:
            raise ResultFormatError(
                f"`state` must be what `AutoLR.get_state` returned. Received: {err!r}. Start the fit over."
            ) from err


def _epoch_record(
    *, loss: float | None, val_loss: float | None, next_segment: dict[str, Any], **values: Any
) -> EpochRecord:
    loss, val_loss = (math.nan if value is None else float(value) for value in (loss, val_loss))
    return EpochRecord(loss=loss, val_loss=val_loss, next_segment=Segment(**next_segment), **values)


class Controller:
    """Sets the optimizer's rate, keeps the last good state of the model and rolls back to it.

    Args:
        model: The model in training, built.
        state: The run so far; every action is added to it.
        planned_epochs: The epoch at which `fit` ends.
        monitor: Name of the training loss among the model's metrics.
        dry_run: Whether to record actions without applying them.
    """

    def __init__(
        self, model: keras.Model, state: AutoLRState, *, planned_epochs: int, monitor: str, dry_run: bool
    ) -> None:
        self._model = model
        self._state = state
        self._planned_epochs = planned_epochs
        self._monitor = monitor
        self._dry_run = dry_run
        self._anneal = self._last = 1.0
        self._rate: RateFactor | None = None
        self._good: StateSnapshot | None = None
        if not dry_run:
            with model.distribute_strategy.scope():
                self._rate = RateFactor(model.optimizer, state.bases)
            state.bases = self._rate.bases
            if self._rate.rewired:
                model.make_train_function(force=True)
            self._save_good_state()

    @property
    def learning_rate(self) -> float:
        """The optimizer's rate now."""
        return current_learning_rate(self._model.optimizer)

    def update_rate(self, epoch: int, middle: float, *, last: float) -> None:
        """Sets the rate for the next steps.

        Args:
            epoch: The present epoch.
            middle: Share of the epoch that is done half-way through these steps.
            last: The same share for the last steps of an epoch.
        """
        self._last = last
        self._anneal = self._anneal_factor(epoch + middle)
        if self._anneal < 1 and not any(action.kind == "anneal" for action in self._state.actions):
            self._begin_anneal(epoch, "The last part of the planned epochs begins.")
        self._assign_rate()

    def check_running_loss(self, epoch: int) -> None:
        """Rolls back within an epoch if its mean loss so far is not finite."""
        if self._dry_run or math.isfinite(self._running_loss()):
            return
        divergence = self._state.find_divergence(math.nan)
        if divergence is not None:
            self._roll_back(epoch, divergence)
            self._model.reset_metrics()

    def end_epoch(self, epoch: int, loss: float, val_loss: float) -> None:
        """Records an epoch that ended, and acts on it."""
        state = self._state
        divergence = state.find_divergence(loss if self._weights_finite() else math.nan)
        # A dry run does not undo a divergence, so the epochs after it diverge too.
        known = self._dry_run and bool(state.rows) and not state.rows[-1].kept
        kept = divergence is None and math.isfinite(loss)
        row = EpochRecord(epoch, self.learning_rate, loss, val_loss, kept, state.segment)
        state.rows.append(row)
        if divergence is not None and not known:
            self._roll_back(epoch + 1, divergence)
        elif kept:
            state.reset_rollbacks()
            self._save_good_state()
            self._act_on_trend(epoch + 1)
        row.next_segment = state.segment

    def release(self) -> None:
        """Restores the rate from before the anneal."""
        self._anneal = 1.0
        self._assign_rate()

    def _act_on_trend(self, epoch: int) -> None:
        """Applies the rules to the losses so far, for the epochs from `epoch` on."""
        planned = self._planned_epochs - self._state.first_epoch
        if epoch >= self._planned_epochs or self._anneal_factor(epoch) < 1:
            return
        change = self._state.find_change(planned)
        if change is None:
            return
        if change.kind == "anneal":
            if self._state.segment.anneal_from < 1:
                self._begin_anneal(epoch, change.reason, anneal_from=(epoch - self._state.first_epoch) / planned)
        else:
            self._change_rate(epoch, change)

    def _begin_anneal(self, epoch: int, reason: str, **changes: Any) -> None:
        self._state.segment = dataclasses.replace(self._state.segment, **changes)
        end = self._anneal_factor(self._planned_epochs - 1 + self._last)
        self._add_action("anneal", epoch, self._base, self._base * end, reason)

    def _roll_back(self, epoch: int, change: Change) -> None:
        if self._good is not None:
            self._good.restore(keep_seeds=seed_variables(self._model))
        rollbacks = self._state.segment.rollbacks + 1
        # A rate that fails again is far too high, not just a little.
        self._change_rate(epoch, dataclasses.replace(change, factor=change.factor**rollbacks), rollbacks=rollbacks)
        if rollbacks == MAX_ROLLBACKS and not self._dry_run:
            warnings.warn(
                f"`{self._monitor}` diverged {rollbacks} times in a row although the learning rate was lowered each "
                "time, so the rate is not the cause. `AutoLR` stops rolling back. Check the data and the loss.",
                stacklevel=2,
            )

    def _change_rate(self, epoch: int, change: Change, **changes: Any) -> None:
        before = self._base * self._anneal
        if not self._dry_run:
            factor = self._state.segment.factor * change.factor
            self._state.segment = dataclasses.replace(self._state.segment, factor=factor)
        first_row = len(self._state.rows)
        self._add_action(
            change.kind, epoch, before, before * change.factor, change.reason, first_row=first_row, **changes
        )
        self._assign_rate()

    def _add_action(
        self, kind: ActionKind, epoch: int, before: float, after: float, reason: str, **changes: Any
    ) -> None:
        self._state.add_action(AutoLRAction(kind, epoch, before, after, reason, not self._dry_run), **changes)

    @property
    def _base(self) -> float:
        """The rate without the anneal; a schedule's highest."""
        return self._state.reference * self._state.segment.factor

    def _anneal_factor(self, epochs_done: float) -> float:
        first = self._state.first_epoch
        progress = (epochs_done - first) / (self._planned_epochs - first)
        return anneal_factor(progress, 1 - self._state.segment.anneal_from)

    def _assign_rate(self) -> None:
        if self._rate is not None:
            self._rate.set(self._state.segment.factor * self._anneal)

    def _save_good_state(self) -> None:
        if not self._dry_run:
            # Drop the old copy first, so that there are never two.
            self._good = None
            self._good = StateSnapshot(self._model)

    def _running_loss(self) -> float:
        metrics = (metric for metric in self._model.metrics if metric.name == self._monitor)
        return next((float(keras.ops.convert_to_tensor(metric.result())) for metric in metrics), 0.0)

    def _weights_finite(self) -> bool:
        weights = map(keras.ops.convert_to_tensor, self._model.trainable_variables)
        return all(bool(keras.ops.all(keras.ops.isfinite(weight))) for weight in weights)
