"""`HistoryMonitor`: diagnoses a training run while it trains."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from keras_lr._keras.callback_state import (
    Callback,
    TrainingSetup,
    attach_state,
    detach_state,
    ignore_loads,
    only_observes,
)
from keras_lr._keras.learning_rate import current_learning_rate, steps_done
from keras_lr._keras.model import check_is_loss
from keras_lr._keras.running_fit import facts_of_fit, move_before_backup, weighs_samples, without_optimizer
from keras_lr._utils import validation
from keras_lr._utils.validation import check_logged
from keras_lr.analysis._diagnosis.diagnose import analyze_history
from keras_lr.analysis._diagnosis.history import CONTEXT, MIN_EPOCHS
from keras_lr.errors import InvalidArgumentError
from keras_lr.results._diagnosis import FINDING_KINDS, Diagnosis, Finding, span_in_words

MIN_STEPS = 200
"""Steps of an epoch before they are read for the first time."""

STEP_POINTS = 400
"""Most blocks of steps whose mean losses are judged."""

_STEP_GROWTH = 1.25
"""Steps of an epoch at one reading relative to those at the reading before."""

# Of the first epoch's row; not a series, so `EpochHistory.columns` leaves it out.
UNTRAINED = "untrained_loss"


class EpochHistory:
    """The loss, validation loss and learning rate of each epoch so far, to be read by `analyze_history`.

    Args:
        monitor: Name of the training loss in the logs.
        owner: Name of the callback that keeps the history, for messages.

    Attributes:
        rows: One dict of numbers per epoch, in order.
        restarted: Why the history does not go back to the first epoch, as a sentence; empty if it does.
    """

    def __init__(self, monitor: str, owner: str) -> None:
        self.rows: list[dict[str, float]] = []
        self.restarted = ""
        self._monitor = monitor
        self._owner = owner
        self._setup: TrainingSetup | None = None
        self._begun = self._unlogged = self._weighted = False
        self._first_loss: float | None = None
        self._facts: dict[str, Any] = {}
        self._steps_before = 0

    def begin_fit(self, model: keras.Model, params: Mapping[str, Any] | None) -> None:
        """Prepares for the first epoch of a fit."""
        self._begun = self._unlogged = False
        self._facts = facts_of_fit(model, params, monitor=self._monitor)
        self._weighted = weighs_samples(model)

    def begin_epoch(self, epoch: int, model: keras.Model) -> None:
        """Drops the epochs that a new fit trains again, and all if it is not the same training that goes on."""
        self.rows = [row for row in self.rows if row["epoch"] < epoch]
        change = None if self._begun or self._setup is None else self._setup.change(model)
        self._begun = True
        self._first_loss = None
        self._steps_before = steps_done(model.optimizer)
        if not self.rows:
            self.restarted = ""
        elif change is not None:
            self.rows = []
            self.restarted = f"`{self._owner}` starts over at epoch {epoch}, because {change} after the last fit."
            warnings.warn(self.restarted, stacklevel=2)

    def end_batch(self, batch: int, loss: float) -> None:
        """Keeps the loss that the first batch of an epoch had before its own step.

        It is known only if the first step ends by itself, not within a longer `steps_per_execution`.
        """
        if batch == 0:
            self._first_loss = loss

    def end_epoch(self, epoch: int, logs: Mapping[str, Any], model: keras.Model) -> None:
        """Adds an epoch; its rate is the logged one, else that of the optimizer, NaN if that trained nothing.

        Without "loss" in the logs, the name that nobody chose, no epoch is added, and one warning says so.

        Raises:
            ModelError: The logs do not contain another monitored loss, or it is better when higher.
        """
        self._setup = TrainingSetup(model)
        if self._monitor == "loss" and self._monitor not in logs:
            self._warn_unlogged(logs)
            return
        check_logged(self._monitor, logs)
        check_is_loss(model, self._monitor)
        names = (self._monitor, f"val_{self._monitor}")
        values = {name: float(logs[name]) for name in names if name in logs}
        rate = logs["learning_rate"] if "learning_rate" in logs else self.rate_now(model)
        if not self.rows and epoch == 0 and self._first_loss is not None and not self._weighted:
            values[UNTRAINED] = self._first_loss
        self.rows.append({"epoch": float(epoch), "learning_rate": float(rate), **values})

    def rate_now(self, model: keras.Model) -> float:
        """The optimizer's learning rate; NaN if it has done no step in this epoch."""
        idle = steps_done(model.optimizer) == self._steps_before
        return math.nan if idle else current_learning_rate(model.optimizer)

    def _warn_unlogged(self, logs: Mapping[str, Any]) -> None:
        if not self._unlogged:
            self._unlogged = True
            warnings.warn(
                f"`{self._owner}` has nothing to read: the logs hold no 'loss', only {sorted(logs)}. Name one of these "
                "as `monitor`.",
                stacklevel=2,
            )

    def columns(self) -> dict[str, np.ndarray]:
        """One array per quantity, NaN for an epoch that did not log it."""
        names = dict.fromkeys(name for row in self.rows for name in row if name != UNTRAINED)
        return {name: np.array([row.get(name, np.nan) for row in self.rows]) for name in names}

    @property
    def known(self) -> dict[str, Any]:
        """What is known beside the columns: what `facts_of_fit` found, and the loss before the first step."""
        untrained = self.rows[0].get(UNTRAINED, math.nan) if self.rows else math.nan
        idle = bool(self.rows) and all(math.isnan(row["learning_rate"]) for row in self.rows)
        facts = without_optimizer(self._facts) if idle else self._facts
        return {**facts, **({UNTRAINED: untrained} if math.isfinite(untrained) else {})}

    def diagnose(self, columns: Mapping[str, np.ndarray] | None = None) -> Diagnosis:
        """The diagnosis of the epochs, or of other columns of the same run, with all that is known."""
        known = {name: value for name, value in self.known.items() if name in CONTEXT}
        return analyze_history(self.columns() if columns is None else columns, **known)

    def to_list(self) -> list[dict[str, float | str]]:
        """The rows as plain JSON values: NaN and infinity, which JSON does not have, as text."""
        return [
            {name: value if math.isfinite(value) else str(value) for name, value in row.items()} for row in self.rows
        ]

    def restore(self, rows: list[dict[str, float | str]]) -> None:
        """Continues from what `to_list` returned."""
        self._setup = None
        self.rows = [{name: float(value) for name, value in row.items()} for row in rows]


@only_observes
class HistoryMonitor(Callback):
    """Reads the history while it grows, as `analyze_history` does afterwards, and warns once about each finding.

    The epochs so far are read after each epoch. Within an epoch of at least 200 steps, its steps are read too, for
    divergence and oscillation. Keras passes the losses from a thread of its own, so no step waits for them. A reading
    is skipped while the readings so far have taken more than `max_cost` of the training time, except the last one, at
    the end of training.

    A fit that `keras.callbacks.BackupAndRestore` resumes, or that has a later `initial_epoch`, continues with the
    epochs and findings from before, unless the optimizer, the `compile` or the trainable weights are others: then it
    starts over and says so.

    Args:
        monitor: Name of the training loss in the logs; its `val_` twin is read too.
        max_cost: Share of the training time to spend on readings, in (0, 1].

    Attributes:
        diagnosis: The `Diagnosis` of the epochs at the last reading; None before there were three.
        findings: Every `Finding` that was warned about, in order.

    Raises:
        InvalidArgumentError: `max_cost` is not in (0, 1].
        ModelError: A `monitor` other than "loss" is not in the logs, or is better when higher; raised when the first
            epoch ends.

    Example:
        >>> monitor = keras_lr.HistoryMonitor()
        >>> model.fit(x, y, epochs=3, verbose=0, callbacks=[monitor])
    """

    # Lets Keras pass the logs of steps from a thread of its own, without waiting for the device.
    async_safe = True

    def __init__(self, *, monitor: str = "loss", max_cost: float = 0.01) -> None:
        super().__init__()
        if not 0 < validation.real("max_cost", max_cost) <= 1:
            raise InvalidArgumentError(f"`max_cost` must be a number in (0, 1]. Received: {max_cost!r}. Try 0.01.")
        self.monitor = monitor
        self.max_cost = max_cost
        self.diagnosis: Diagnosis | None = None
        self.findings: list[Finding] = []
        self._history = EpochHistory(monitor, "HistoryMonitor")
        self._step_means: dict[int, float] = {}
        self._next_step = MIN_STEPS
        self._epoch = 0
        self._spent = 0.0
        self._began = time.perf_counter()

    def get_state(self) -> dict[str, Any]:
        """The epochs and findings so far, as plain JSON values."""
        return {"rows": self._history.to_list(), "findings": [finding.to_dict() for finding in self.findings]}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continues from what `get_state` returned."""
        self._history.restore(state["rows"])
        self.findings = [Finding.from_dict(finding) for finding in state["findings"]]

    @property
    def history(self) -> dict[str, np.ndarray]:
        """One array per quantity, with one value per epoch so far; `analyze_history` takes this callback itself."""
        return self._history.columns()

    @property
    def known(self) -> dict[str, Any]:
        """What is known of the fit beside its series, as far as it is known.

        `untrained_loss` (the first batch's own, before the first step), `baseline_loss` (that of the best constant
        output), `optimizer`, `learning_rate`, `loss`, `batch_size` and `steps_per_epoch`.
        """
        return self._history.known

    def set_model(self, model: keras.Model) -> None:
        """Attaches the state of this callback to the model's weights."""
        super().set_model(model)
        if model.optimizer is not None:
            attach_state(model, self, name=self._state_name)

    def on_train_begin(self, logs: Any = None) -> None:
        """Starts the clock."""
        super().on_train_begin(logs)
        move_before_backup(self)
        self._history.begin_fit(self.model, self.params)
        self._began, self._spent = time.perf_counter(), 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Forgets the steps of the last epoch, and the epochs that a new fit trains again."""
        ignore_loads(self.model, name=self._state_name)
        self._epoch, self._step_means, self._next_step = epoch, {}, MIN_STEPS
        self._history.begin_epoch(epoch, self.model)
        if not self._history.rows:
            self.findings, self.diagnosis = [], None

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Stores the loss; Keras may call this from other threads, out of order."""
        if logs and self.monitor in logs:
            loss = self._step_means[batch] = float(logs[self.monitor])
            self._history.end_batch(batch, loss)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Reads the steps so far each time their number has grown by a quarter."""
        if batch >= self._next_step:
            self._next_step = int(batch * _STEP_GROWTH)
            if self._affordable():
                self._read_steps()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Reads the epochs so far."""
        self._history.end_epoch(epoch, logs or {}, self.model)
        if self._affordable():
            self._read_epochs()

    def on_train_end(self, logs: Any = None) -> None:
        """Reads the whole run."""
        detach_state(self.model, name=self._state_name)
        self._read_epochs(ended=True)

    @property
    def _state_name(self) -> str:
        return f"history_monitor_{self.monitor}"

    def _affordable(self) -> bool:
        return self._spent <= self.max_cost * (time.perf_counter() - self._began)

    def _read_epochs(self, *, ended: bool = False) -> None:
        columns = self._history.columns()
        losses = columns.get(self.monitor, np.empty(0))
        if losses.size == 0 or (losses.size < MIN_EPOCHS and np.isfinite(losses).all()):
            return
        with self._timed():
            self.diagnosis = self._history.diagnose(columns)
            for finding in self.diagnosis.findings:
                if ended or FINDING_KINDS[finding.kind].earliest != "end":
                    self._warn(finding, span_in_words(finding))

    def _read_steps(self) -> None:
        with self._timed():
            # Copy first: threads of Keras may add to the dict meanwhile.
            readings = np.array(sorted(self._step_means.copy().items()))
            if len(readings) < MIN_EPOCHS:
                return
            steps, losses = readings[:, 0] + 1, readings[:, 1]
            if self._logs_running_mean():
                steps, losses = step_losses(steps, losses, max_points=STEP_POINTS)
            if not np.isfinite(losses).any():
                return
            rate = np.full(steps.size, self._history.rate_now(self.model))
            columns = {"step": steps, self.monitor: losses, "learning_rate": rate}
            for finding in self._history.diagnose(columns).findings:
                if FINDING_KINDS[finding.kind].earliest == "step":
                    self._warn(finding, f"{span_in_words(finding, 'step')} of epoch {self._epoch}")

    @contextmanager
    def _timed(self) -> Iterator[None]:
        """Adds the time that the block takes to what the readings have cost."""
        began = time.perf_counter()
        yield
        self._spent += time.perf_counter() - began

    def _logs_running_mean(self) -> bool:
        """Whether the logged loss is a metric's result; a custom `train_step` may return each batch's own."""
        return any(metric.name == self.monitor for metric in self.model.metrics)

    def _warn(self, finding: Finding, span: str) -> None:
        if any(known.kind == finding.kind for known in self.findings):
            return
        self.findings.append(finding)
        heading = FINDING_KINDS[finding.kind].name.capitalize()
        warnings.warn(f"{heading}, {span}: {finding.evidence} {finding.advice}", stacklevel=2)


def step_losses(steps: np.ndarray, running_means: np.ndarray, *, max_points: int) -> tuple[np.ndarray, np.ndarray]:
    """The mean loss of consecutive blocks of steps, recovered from running means.

    A running mean `m` after `n` steps is a sum `n m`, so the mean over a block is a difference quotient of the sums.
    Keras stores `m` in float32: the mean over `k` of `n` steps has an error of about `n / k` times 6e-8 of `m`.

    Args:
        steps: Number of steps since the metrics were reset, at each reading, increasing, shape `(n,)`.
        running_means: Mean loss over these steps, shape `(n,)`.
        max_points: Largest number of blocks.

    Returns:
        The last step of each block and the mean loss over it, both of shape `(k,)` with `k <= max_points`.
    """
    stride = -(-steps.size // max_points)
    ends = np.arange(stride - 1, steps.size, stride)
    counts = np.concatenate([[0.0], steps[ends]])
    sums = np.concatenate([[0.0], steps[ends] * running_means[ends].astype(np.float64)])
    with np.errstate(invalid="ignore"):
        return steps[ends], np.diff(sums) / np.diff(counts)
