"""The controller that applies `AutoLR`'s rules to a model in training."""

from __future__ import annotations

import dataclasses
import math
import warnings
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from keras_lr._keras.learning_rate import RateFactor, current_learning_rate, follows_schedule, unwrap_schedules
from keras_lr._keras.snapshot import VariableSnapshot, seed_variables
from keras_lr._utils.formatting import format_number, format_rate
from keras_lr.analysis._auto_lr_rules import (
    COLLAPSE_FACTOR,
    LOWER_FACTOR,
    RAISE_FACTOR,
    Change,
    anneal_factor,
    is_falling_fast,
    is_level,
)
from keras_lr.analysis._statistics import beats_constant
from keras_lr.callbacks._auto_lr_state import AutoLRState, EpochRecord
from keras_lr.results._auto_lr import ActionKind, AutoLRAction

MAX_ROLLBACKS = 5
MAX_ROLLBACKS_OF_GOOD = 3
"""Rollbacks in a row after which the rate is not the cause: a higher one has been good for a while."""

MAX_COLLAPSES = 2
SAME_RATE = 1e-6
"""Rates that differ by less than this fraction are the same but for rounding."""


class Checkpoint(VariableSnapshot):
    """A copy of a model's and its optimizer's variables that can be moved to main memory and written to a file.

    Args:
        model: A compiled model, built.
    """

    def __init__(self, model: keras.Model) -> None:
        super().__init__([*model.variables, *model.optimizer.variables])

    def move_to_host(self) -> None:
        """Moves the copy to main memory."""
        with tf.device("CPU:0"):
            self._values = [tf.identity(value) for value in self._values]

    def arrays(self) -> list[np.ndarray]:
        """The values, in the order of the variables."""
        return [np.asarray(value) for value in self._values]

    def load(self, arrays: list[np.ndarray]) -> bool:
        """Replaces the values, unless they are those of another model; returns whether it has."""
        fits = len(arrays) == len(self._values) and all(
            array.shape == tuple(value.shape) for array, value in zip(arrays, self._values, strict=True)
        )
        if fits:
            with tf.device("CPU:0"):
                self._values = [
                    tf.convert_to_tensor(array, value.dtype) for array, value in zip(arrays, self._values, strict=True)
                ]
        return fits


class Checkpoints:
    """The initial state of a run and its last two good ones, of which the newest is on the device.

    Args:
        model: The model in training.
        arrays: What `to_arrays` returned before a restart.
    """

    def __init__(self, model: keras.Model, arrays: dict[str, np.ndarray] | None = None) -> None:
        self._model = model
        self._good: list[Checkpoint] = []
        self._newest = -1
        self._initial: Checkpoint | None = None
        if model.built and model.optimizer.built:
            self._initial = Checkpoint(model)
            self._initial.move_to_host()
            self._good = [self._initial]
            self._load(arrays or {})

    def save(self) -> None:
        """Adds the present state, after whichever the model was last restored to."""
        self._good = self._good[: len(self._good) + self._newest + 1]
        for checkpoint in self._good:
            checkpoint.move_to_host()
        # Drop the oldest copy first, so that there are never more than three.
        self._good = self._good[-1:]
        self._good.append(Checkpoint(self._model))
        self._newest = -1

    def restore(self, *, further_back: bool = False) -> None:
        """Returns to the newest good state, or to the one before it; the random state goes on."""
        if self._good:
            self._newest = max(-2 if further_back else -1, -len(self._good))
            self._good[self._newest].restore(keep_seeds=seed_variables(self._model))

    @property
    def knows_initial(self) -> bool:
        """Whether the model was built when the run began, so that its initial state is known."""
        return self._initial is not None

    def restore_initial(self) -> None:
        """Returns to the initial state, if it is known, and forgets the others."""
        if self._initial is not None:
            self._good, self._newest = [self._initial], -1
            self.restore()

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Every state, as arrays by name."""
        states = {"initial": self._initial, **{f"good{place}": state for place, state in enumerate(self._good)}}
        found = {
            f"{name}_{place}": array
            for name, state in states.items()
            if state is not None
            for place, array in enumerate(state.arrays())
        }
        return {**found, "newest": np.array(self._newest)}

    def _load(self, arrays: dict[str, np.ndarray]) -> None:
        states = []
        for name in ("initial", "good0", "good1"):
            values: list[np.ndarray] = []
            while (key := f"{name}_{len(values)}") in arrays:
                values.append(arrays[key])
            state = Checkpoint(self._model)
            if values and state.load(values):
                states.append(state)
        if states:
            self._initial, self._good = states[0], states[1:] or [states[0]]
            self._newest = max(int(arrays["newest"]), -len(self._good))


@dataclasses.dataclass(frozen=True)
class Fit:
    """What the controller knows of the fit.

    Attributes:
        planned_epochs: The epoch at which `fit` ends.
        monitor: Name of the training loss among the model's metrics.
        dry_run: Whether to record actions without applying them.
        passive: Whether to record epochs alone.
        min_lr: No action lowers the rate below this.
        rivals: Whether another callback that sets the rate is known.
        data_fault: Says what is wrong with the data if they are why the loss is not finite; else empty.
        outputs_are_constant: Whether the model gives the same output for different inputs.
        output_remedy: Says what to do about outputs that are nearly the same for all inputs; empty if they are not.
    """

    planned_epochs: int
    monitor: str
    dry_run: bool
    passive: bool
    min_lr: float
    rivals: bool
    data_fault: Callable[[], str]
    outputs_are_constant: Callable[[], bool]
    output_remedy: Callable[[], str]


class Controller:
    """Sets the optimizer's rate, keeps the last good states of the model and rolls back to them.

    Args:
        model: The model in training.
        state: The run so far; every action is added to it.
        fit: What is known of the fit.
        arrays: The checkpoints before a restart.
    """

    def __init__(
        self, model: keras.Model, state: AutoLRState, fit: Fit, arrays: dict[str, np.ndarray] | None = None
    ) -> None:
        self._model = model
        self._state = state
        self._fit = fit
        self._anneal = self._last = 1.0
        self._assigned: float | None = None
        self._rate: RateFactor | None = None
        self.checkpoints: Checkpoints | None = None
        if not (fit.dry_run or fit.passive):
            with model.distribute_strategy.scope():
                self._rate = RateFactor(model.optimizer, state.bases)
            state.bases = self._rate.bases
            if self._rate.rewired:
                model.make_train_function(force=True)
            self.checkpoints = Checkpoints(model, arrays)

    @property
    def passive(self) -> bool:
        """Whether epochs are only recorded."""
        return self._fit.passive

    def stand_aside(self) -> None:
        """Restores the compiled rate and only records from now on."""
        self._state.change_segment(factor=1.0)
        self.release()
        self._fit = dataclasses.replace(self._fit, passive=True)
        self._rate = self.checkpoints = None

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
        if self._fit.passive:
            return
        self._last = last
        self._anneal = self._anneal_factor(epoch + middle)
        if self._anneal < 1 and not self._state.segment.decays:
            self._begin_anneal(epoch, "The last part of the planned epochs begins.")
        self._assign_rate()

    def check_running_loss(self, epoch: int) -> None:
        """Rolls back within an epoch if its mean loss so far is not finite."""
        if self._fit.dry_run or self._fit.passive or math.isfinite(self._running_loss()):
            return
        divergence = self._state.find_divergence(math.nan)
        if divergence is not None and not self._state.segment.ended:
            self._roll_back(epoch, divergence, broken=True)
            self._model.reset_metrics()

    def keep_first_loss(self) -> None:
        """Keeps the loss that the very first batch had before its step, unless the range test has measured it."""
        state = self._state
        if state.rows or "untrained_loss" in state.known:
            return
        loss = self._running_loss()
        if math.isfinite(loss) and loss != 0:
            state.known["untrained_loss"] = loss

    def end_epoch(self, epoch: int, loss: float, val_loss: float) -> None:
        """Records an epoch that ended, and acts on it."""
        state = self._state
        row = EpochRecord(epoch, self.learning_rate, loss, val_loss, None, None, state.segment)
        state.rows.append(row)
        if not self._fit.passive:
            self._judge(row)
        row.next_segment = state.segment

    def release(self) -> None:
        """Restores the rate from before the anneal, and the user's own schedule if its factor is 1."""
        self._anneal = 1.0
        self._assign_rate()
        if self._rate is not None:
            unwrap_schedules(self._model.optimizer)
            factor = self._state.segment.factor
            if follows_schedule(self._model.optimizer) and factor != 1:
                self._state.add_note(
                    f"The optimizer keeps its schedule times {factor:.3g}, as `keras_lr.schedules.Scaled`. Import "
                    "keras_lr before loading a model saved with it."
                )

    def _judge(self, row: EpochRecord) -> None:
        """Judges the epochs since the last judgement if they are enough, or if the last one broke down."""
        state = self._state
        before = next((former.kept for former in reversed(state.rows) if former.kept is not None), True)
        losses = state.unjudged_losses()
        broken = not (math.isfinite(row.loss) and self._weights_finite())
        mean = math.nan if broken else state.judged_loss()
        few_steps = len(losses) < state.epochs_per_judgement
        change = None if state.segment.ended else state.find_divergence(mean, few_steps=few_steps)
        if change is None and few_steps and not broken:
            return
        row.judged = mean
        row.kept = change is None and not broken
        if row.kept:
            self._accept(row.epoch + 1)
        elif change is not None and (before or not self._fit.dry_run):
            # A dry run does not undo a divergence, so the epochs after it diverge too.
            self._roll_back(row.epoch + 1, change, broken=broken)

    def _accept(self, epoch: int) -> None:
        """Trusts the state of the model before `epoch`, or notices that it has collapsed."""
        if self._has_collapsed(epoch):
            self._start_over(epoch)
            return
        state = self._state
        state.change_segment(rollbacks=0, trusted_factor=state.segment.factor)
        if self.checkpoints is not None:
            self.checkpoints.save()
        self._act_on_trend(epoch)
        self._postpone_anneal(epoch)

    def _act_on_trend(self, epoch: int) -> None:
        """Applies the rules to the losses so far, for the epochs from `epoch` on."""
        end = self._fit.planned_epochs
        planned = end - self._state.first_epoch
        if epoch >= end or self._anneal_factor(epoch) < 1 or self._state.is_settled(end):
            return
        change = self._state.find_change(planned)
        if change is None:
            return
        if change.kind == "anneal":
            if self._state.segment.anneal_from < 1:
                self._begin_anneal(epoch, change.reason, anneal_from=(epoch - self._state.first_epoch) / planned)
        elif change.factor > 1:
            allowed = (factor for factor in (change.factor, RAISE_FACTOR) if not self._has_failed(factor))
            if factor := next(allowed, None):
                self._change_rate(epoch, dataclasses.replace(change, factor=factor))
        elif self._can_lower():
            self._change_rate(epoch, change)

    def _has_failed(self, change: float) -> bool:
        """Whether the rate times `change` is at or above one that was rolled back."""
        segment = self._state.segment
        return segment.failed_factor is not None and segment.factor * change > segment.failed_factor * (1 - SAME_RATE)

    def _postpone_anneal(self, epoch: int) -> None:
        """Puts off an anneal that would begin before the next judgement if the loss still falls fast."""
        state, first = self._state, self._state.first_epoch
        planned, together = self._fit.planned_epochs - first, state.epochs_per_judgement
        then = (epoch + together - first) / planned
        settled = state.is_settled(self._fit.planned_epochs)
        if state.baseline is None or settled or self._anneal_factor(epoch) < 1:
            return
        if state.segment.anneal_from < then and state.segment.anneal_from < 1:
            remaining = -(-(self._fit.planned_epochs - epoch) // together)
            if is_falling_fast(state.judged_losses(), start=state.baseline.start, remaining=remaining):
                state.change_segment(anneal_from=min(then, 1.0))

    def _begin_anneal(self, epoch: int, reason: str, **changes: float) -> None:
        self._state.change_segment(decays=True, **changes)
        end = self._anneal_factor(self._fit.planned_epochs - 1 + self._last)
        self._add_action("anneal", epoch, self._base, self._base * end, reason)

    def _roll_back(self, epoch: int, change: Change, *, broken: bool) -> None:
        rollbacks = self._state.segment.rollbacks + 1
        most = MAX_ROLLBACKS_OF_GOOD if self._state.judged_losses() else MAX_ROLLBACKS
        fault = self._fit.data_fault() if broken else ""
        if fault or rollbacks > most or not self._can_lower():
            self._end_rollbacks(fault, lowest=rollbacks <= most)
            return
        if self.checkpoints is not None:
            self.checkpoints.restore(further_back=rollbacks > 1)
            self._assigned = None
            if rollbacks == 2:
                self._state.disown(1)
        # A rate that fails again is far too high, not just a little.
        change = dataclasses.replace(change, factor=change.factor**rollbacks)
        self._change_rate(epoch, change, rollbacks=rollbacks, failed_factor=self._lowest_failed())

    def _lowest_failed(self) -> float:
        segment = self._state.segment
        return segment.factor if segment.failed_factor is None else min(segment.factor, segment.failed_factor)

    def _end_rollbacks(self, fault: str, *, lowest: bool) -> None:
        """Stops rolling back and returns to the last rate that was good.

        Args:
            fault: What is wrong with the data; empty if nothing is known.
            lowest: Whether a lower rate could help, but is not allowed.
        """
        state, segment = self._state, self._state.segment
        if self.checkpoints is not None:
            self.checkpoints.restore()
            self._assigned = None
        rate = format_rate(self._base)
        if fault:
            why = f"{fault} So the learning rate is not the cause, and `AutoLR` does not roll back."
        elif lowest:
            why = (
                f"`{self._fit.monitor}` diverged at a learning rate of {rate}, and `min_lr` allows no lower one, so "
                "`AutoLR` does not roll back. Check the data, the loss and the scale of the targets, or lower `min_lr`."
            )
        else:
            why = (
                f"`{self._fit.monitor}` diverged {segment.rollbacks + 1} times in a row although the learning rate was "
                f"lowered to {rate}, so the rate is not the cause. `AutoLR` stops rolling back. Check the data and the "
                "loss."
            )
        state.change_segment(ended=True, rollbacks=0, factor=segment.trusted_factor, first_row=len(state.rows))
        state.add_note(why)
        self._assign_rate()
        if not self._fit.dry_run:
            warnings.warn(why, stacklevel=2)

    def _has_collapsed(self, epoch: int) -> bool:
        """Whether the model gives one output for every input.

        The model is asked where the loss has levelled off, or is known to be no better than that of such an output.
        """
        state, fit = self._state, self._fit
        knows_initial = self.checkpoints is not None and self.checkpoints.knows_initial
        if not knows_initial or state.segment.collapses >= MAX_COLLAPSES or not self._can_lower():
            return False
        losses = [row.judged for row in state.rows[state.segment.first_row :] if row.judged is not None]
        reach = state.baseline.reach if state.baseline else 0.0
        start = state.baseline.start if state.baseline else state.judged_losses()[0]
        no_better = bool(losses) and not self._beats_constant(losses[-1])
        level = self._anneal_factor(epoch) == 1 and is_level(losses, start=start, reach=reach)
        return bool(epoch < fit.planned_epochs and (no_better or level) and fit.outputs_are_constant())

    def _beats_constant(self, loss: float) -> bool:
        """Whether a loss is clearly below that of the best constant output; also if that is unknown."""
        constant = self._state.known.get("baseline_loss")
        return constant is None or beats_constant(loss, constant)

    def _start_over(self, epoch: int) -> None:
        """Returns to the initial state, at a lower rate: far lower, unless the model had learned before it died."""
        state, planned = self._state, self._fit.planned_epochs
        learned = "baseline_loss" in state.known and any(map(self._beats_constant, state.judged_losses()))
        if self.checkpoints is not None:
            self.checkpoints.restore_initial()
        self._assigned, self._anneal = None, 1.0
        state.disown(None)
        left = (planned - epoch) / (planned - state.first_epoch)
        reason = "The model gives the same output for every input, so it starts again from its initial weights."
        collapses = state.segment.collapses + 1
        # As with a rate that diverges again, one at which the model dies again is far too high.
        factor = (LOWER_FACTOR if learned else COLLAPSE_FACTOR) ** collapses
        self._change_rate(
            epoch,
            Change("rollback", factor, reason),
            collapses=collapses,
            failed_factor=self._lowest_failed(),
            # What is left is a training of its own, of which the same share decays.
            anneal_from=1 - left * (1 - state.segment.anneal_from),
            decays=False,
        )

    def end_training(self) -> None:
        """Says so if the model has learned nothing from its inputs."""
        state, fit = self._state, self._fit
        losses = [row.loss for row in state.rows if math.isfinite(row.loss)]
        if fit.passive or not losses or (self._beats_constant(losses[-1]) and not state.segment.collapses):
            return
        remedy = fit.output_remedy()
        if not remedy:
            return
        constant = state.known.get("baseline_loss")
        compared = "" if constant is None else f", where the best constant output has {format_number(constant)}"
        note = (
            f"The fit ends with nearly the same output for every input, at a loss of {format_number(losses[-1])}"
            f"{compared}. {remedy}"
        )
        state.add_note(note)
        if not fit.dry_run:
            warnings.warn(note, stacklevel=2)

    def _change_rate(self, epoch: int, change: Change, **changes: float) -> None:
        before = self._base * self._anneal
        factor = change.factor
        if factor < 1:
            factor = max(factor, min(self._fit.min_lr / self._base, 1.0))
        if not self._fit.dry_run:
            self._state.change_segment(factor=self._state.segment.factor * factor)
        first_row = len(self._state.rows)
        self._add_action(change.kind, epoch, before, before * factor, change.reason, first_row=first_row, **changes)
        self._assign_rate()

    def _add_action(
        self, kind: ActionKind, epoch: int, before: float, after: float, reason: str, **changes: float
    ) -> None:
        action = AutoLRAction(kind, epoch, before, after, reason, not self._fit.dry_run)
        self._state.add_action(action, **changes)

    def _can_lower(self) -> bool:
        return self._base > self._fit.min_lr * (1 + SAME_RATE)

    @property
    def _base(self) -> float:
        """The rate without the anneal; a schedule's highest."""
        return self._state.reference * self._state.segment.factor

    def _anneal_factor(self, epochs_done: float) -> float:
        first = self._state.first_epoch
        progress = (epochs_done - first) / (self._fit.planned_epochs - first)
        return anneal_factor(progress, 1 - self._state.segment.anneal_from)

    def _assign_rate(self) -> None:
        if self._rate is None:
            return
        if self._assigned is not None and not self._fit.rivals and not self._rate.is_at(self._assigned):
            self._report_rival()
        self._assigned = self._state.segment.factor * self._anneal
        self._rate.set(self._assigned)

    def _report_rival(self) -> None:
        note = (
            "Something other than `AutoLR` sets the learning rate during the fit. That does not last, since `AutoLR` "
            "sets its own several times per epoch."
        )
        if note not in self._state.notes:
            self._state.add_note(note)
            warnings.warn(
                f"{note} It found {format_rate(self.learning_rate)}. Let only one callback set the rate.", stacklevel=2
            )

    def _running_loss(self) -> float:
        metrics = (metric for metric in self._model.metrics if metric.name == self._fit.monitor)
        return next((float(keras.ops.convert_to_tensor(metric.result())) for metric in metrics), 0.0)

    def _weights_finite(self) -> bool:
        weights = map(keras.ops.convert_to_tensor, self._model.trainable_variables)
        return all(bool(keras.ops.all(keras.ops.isfinite(weight))) for weight in weights)
