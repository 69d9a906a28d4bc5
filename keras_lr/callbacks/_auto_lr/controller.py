"""The live side of `AutoLR`: the rate of the optimizer, and the last good state of the model."""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import Any

import keras

from keras_lr._keras.learning_rate import RateFactor, current_learning_rate
from keras_lr._keras.snapshot import StateSnapshot, seed_variables
from keras_lr.analysis._auto_lr_rules import Change, annealed
from keras_lr.callbacks._auto_lr.state import MAX_ROLLBACKS, AutoLRState, EpochRecord
from keras_lr.results._auto_lr import ActionKind, AutoLRAction


class Controller:
    """Sets the rate, keeps the last good state and goes back to it.

    Args:
        model: The model in training, built.
        state: The run so far; every action is added to it.
        planned_epochs: The epoch at which `fit` ends.
        monitor: Name of the training loss among the model's metrics.
        dry_run: Whether to remember only.
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
            self._keep()

    @property
    def learning_rate(self) -> float:
        """The optimizer's rate now."""
        return current_learning_rate(self._model.optimizer)

    def update_rate(self, epoch: int, middle: float, *, last: float) -> None:
        """Sets the rate for the next steps.

        Args:
            epoch: The present epoch.
            middle: Share of the epoch done half-way through these steps.
            last: The same of the last steps of an epoch.
        """
        self._last = last
        self._anneal = self._annealed(epoch + middle)
        if self._anneal < 1 and not any(action.kind == "anneal" for action in self._state.actions):
            self._begin_anneal(epoch, "The last of the planned epochs begin.")
        self._set()

    def watch(self, epoch: int) -> None:
        """Within an epoch, goes back where the mean loss so far is not finite."""
        if self._dry_run or math.isfinite(self._running_loss()):
            return
        divergence = self._state.divergence(math.nan)
        if divergence is not None:
            self._roll_back(epoch, divergence)
            self._model.reset_metrics()

    def end_epoch(self, epoch: int, loss: float, val_loss: float) -> None:
        """Remembers an epoch that ended, and acts on it."""
        state = self._state
        divergence = state.divergence(loss if self._weights_finite() else math.nan)
        told_before = self._dry_run and bool(state.rows) and not state.rows[-1].kept
        kept = divergence is None and math.isfinite(loss)
        row = EpochRecord(epoch, self.learning_rate, loss, val_loss, kept, state.segment)
        state.rows.append(row)
        if divergence is not None and not told_before:
            self._roll_back(epoch + 1, divergence)
        elif kept:
            state.reset_rollbacks()
            self._keep()
            self._follow(epoch + 1)
        row.then = state.segment

    def release(self) -> None:
        """Leaves the rate as before the anneal."""
        self._anneal = 1.0
        self._set()

    def _follow(self, epoch: int) -> None:
        """Acts on the course of the loss, for the epochs from `epoch` on."""
        planned = self._planned_epochs - self._state.first_epoch
        if epoch >= self._planned_epochs or self._annealed(epoch) < 1:
            return
        change = self._state.change(planned)
        if change is None:
            return
        if change.kind == "anneal":
            if self._state.segment.anneal_from < 1:
                self._begin_anneal(epoch, change.reason, anneal_from=(epoch - self._state.first_epoch) / planned)
        else:
            self._change(epoch, change)

    def _begin_anneal(self, epoch: int, reason: str, **changes: Any) -> None:
        self._state.segment = dataclasses.replace(self._state.segment, **changes)
        end = self._annealed(self._planned_epochs - 1 + self._last)
        self._remember("anneal", epoch, self._base, self._base * end, reason)

    def _roll_back(self, epoch: int, change: Change) -> None:
        if self._good is not None:
            self._good.restore(keep_seeds=seed_variables(self._model))
        rollbacks = self._state.segment.rollbacks + 1
        # A rate that fails again is far too high, not a little.
        self._change(epoch, dataclasses.replace(change, factor=change.factor**rollbacks), rollbacks=rollbacks)
        if rollbacks == MAX_ROLLBACKS and not self._dry_run:
            warnings.warn(
                f"`{self._monitor}` has diverged {rollbacks} times in a row, at ever lower learning rates: the rate is "
                "not the cause. `AutoLR` lets it run on. Look at the data and the loss.",
                stacklevel=2,
            )

    def _change(self, epoch: int, change: Change, **changes: Any) -> None:
        before = self._base * self._anneal
        if not self._dry_run:
            factor = self._state.segment.factor * change.factor
            self._state.segment = dataclasses.replace(self._state.segment, factor=factor)
        first_row = len(self._state.rows)
        self._remember(
            change.kind, epoch, before, before * change.factor, change.reason, first_row=first_row, **changes
        )
        self._set()

    def _remember(self, kind: ActionKind, epoch: int, before: float, after: float, reason: str, **changes: Any) -> None:
        self._state.act(AutoLRAction(kind, epoch, before, after, reason, not self._dry_run), **changes)

    @property
    def _base(self) -> float:
        """The rate without the anneal; a schedule's highest."""
        return self._state.reference * self._state.segment.factor

    def _annealed(self, epochs_done: float) -> float:
        first = self._state.first_epoch
        progress = (epochs_done - first) / (self._planned_epochs - first)
        return annealed(progress, 1 - self._state.segment.anneal_from)

    def _set(self) -> None:
        if self._rate is not None:
            self._rate.set(self._state.segment.factor * self._anneal)

    def _keep(self) -> None:
        if not self._dry_run:
            # The old copy goes first, so that there are never two.
            self._good = None
            self._good = StateSnapshot(self._model)

    def _running_loss(self) -> float:
        metrics = (metric for metric in self._model.metrics if metric.name == self._monitor)
        return next((float(keras.ops.convert_to_tensor(metric.result())) for metric in metrics), 0.0)

    def _weights_finite(self) -> bool:
        weights = map(keras.ops.convert_to_tensor, self._model.trainable_variables)
        return all(bool(keras.ops.all(keras.ops.isfinite(weight))) for weight in weights)
