"""Diagnosing a run while it trains."""

from __future__ import annotations

import time
import warnings
from typing import Any

import keras
import numpy as np

from keras_lr._keras.learning_rate import current_learning_rate
from keras_lr._utils import validation
from keras_lr._utils.validation import check_logged
from keras_lr.analysis._diagnosis.diagnose import analyze_history
from keras_lr.analysis._diagnosis.history import MIN_EPOCHS
from keras_lr.errors import InvalidArgumentError
from keras_lr.results._diagnosis import Diagnosis, Finding

MIN_STEPS = 200
STEP_POINTS = 400
_STEP_GROWTH = 1.25
# Half-way through a run every loss is still falling; that is told at its end.
_END_ONLY = ("slow_learning",)


def step_losses(steps: np.ndarray, running_means: np.ndarray, *, max_points: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean losses of consecutive stretches of an epoch.

    A running mean `m` after `n` steps is a sum `n m`, so that the mean over a stretch is a difference quotient of the
    sums. Keras keeps `m` in float32: the mean over `k` of `n` steps is known to about `n / k` times 6e-8 of `m`.

    Args:
        steps: Number of steps done at each reading since the metrics were reset, increasing, shape `(n,)`.
        running_means: Mean loss over these steps, shape `(n,)`.
        max_points: Largest number of stretches.

    Returns:
        The last step of each stretch and the mean loss over it, both of shape `(k,)` with `k <= max_points`.
    """
    stride = -(-steps.size // max_points)
    ends = np.arange(stride - 1, steps.size, stride)
    counts = np.concatenate([[0.0], steps[ends]])
    sums = np.concatenate([[0.0], steps[ends] * running_means[ends].astype(np.float64)])
    with np.errstate(invalid="ignore"):
        return steps[ends], np.diff(sums) / np.diff(counts)


class HistoryMonitor(keras.callbacks.Callback):
    """Reads the history while it grows, as `analyze_history` does after, and warns once of each finding.

    After each epoch the epochs so far are read; within an epoch of at least 200 steps its steps are, for divergence and
    oscillation. The losses are taken from what Keras hands to every callback, off the training thread, so that no step
    waits for one. A reading is left out while the readings so far have taken more than `max_cost` of the training's
    time; the last one, when training ends, never is.

    Args:
        monitor: Name of the training loss in the logs; `val_` of it is read too.
        max_cost: Share of the training's time to spend on reading, in (0, 1].

    Attributes:
        diagnosis: The `Diagnosis` of the epochs at the last reading; None before there were three.
        findings: Every `Finding` that was warned of, in order.

    Raises:
        InvalidArgumentError: `max_cost` is not in (0, 1].
        ModelError: `monitor` is not in the logs; raised when the first epoch ends.
    """

    # Keras may then hand over the steps' logs from threads of its own, without waiting for the device.
    async_safe = True

    def __init__(self, *, monitor: str = "loss", max_cost: float = 0.01) -> None:
        super().__init__()
        if not 0 < validation.real("max_cost", max_cost) <= 1:
            raise InvalidArgumentError(f"`max_cost` must be a number in (0, 1]. Received: {max_cost!r}. Try 0.01.")
        self.monitor = monitor
        self.max_cost = max_cost
        self.diagnosis: Diagnosis | None = None
        self.findings: list[Finding] = []
        self._rows: list[dict[str, float]] = []
        self._told: set[str] = set()
        self._running: dict[int, float] = {}
        self._next_step = MIN_STEPS
        self._epoch = 0
        self._spent = 0.0
        self._began = time.perf_counter()

    def get_state(self) -> dict[str, Any]:
        """The epochs read and the findings told, as plain JSON values, to go on with after a restart."""
        return {
            "rows": [dict(row) for row in self._rows],
            "told": sorted(self._told),
            "findings": [finding.to_dict() for finding in self.findings],
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from what `get_state` returned."""
        self._rows = [dict(row) for row in state["rows"]]
        self._told = set(state["told"])
        self.findings = [Finding.from_dict(finding) for finding in state["findings"]]

    def on_train_begin(self, logs: Any = None) -> None:
        """Starts the clock."""
        self._began, self._spent = time.perf_counter(), 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Forgets the steps of the last epoch, and the epochs that a new fit does again."""
        self._epoch, self._running, self._next_step = epoch, {}, MIN_STEPS
        self._rows = [row for row in self._rows if row["epoch"] < epoch]
        if not self._rows:
            self._told, self.findings, self.diagnosis = set(), [], None

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Keeps the loss; may run in a thread of Keras's, out of order."""
        if logs and self.monitor in logs:
            self._running[batch] = float(logs[self.monitor])

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Reads the steps so far whenever they have grown by a quarter."""
        if batch >= self._next_step:
            self._next_step = int(batch * _STEP_GROWTH)
            if self._affordable():
                self._read_steps()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Reads the epochs so far."""
        logs = logs or {}
        check_logged(self.monitor, logs)
        row = {"epoch": float(epoch), "learning_rate": current_learning_rate(self.model.optimizer)}
        names = (self.monitor, f"val_{self.monitor}")
        self._rows.append(row | {name: float(logs[name]) for name in names if name in logs})
        if self._affordable():
            self._read_epochs(skip=_END_ONLY)

    def on_train_end(self, logs: Any = None) -> None:
        """Reads the whole run."""
        self._read_epochs()

    def _affordable(self) -> bool:
        return self._spent <= self.max_cost * (time.perf_counter() - self._began)

    def _read_epochs(self, *, skip: tuple[str, ...] = ()) -> None:
        losses = np.array([row.get(self.monitor, np.nan) for row in self._rows])
        if losses.size == 0 or (losses.size < MIN_EPOCHS and np.isfinite(losses).all()):
            return
        began = time.perf_counter()
        names = ("epoch", "learning_rate", self.monitor, f"val_{self.monitor}")
        present = [name for name in names if any(name in row for row in self._rows)]
        columns = {name: np.array([row.get(name, np.nan) for row in self._rows]) for name in present}
        self.diagnosis = analyze_history(columns)
        for finding in self.diagnosis.findings:
            if finding.kind not in skip:
                self._tell(finding, f"epochs {finding.start_epoch}-{finding.end_epoch}")
        self._spent += time.perf_counter() - began

    def _read_steps(self) -> None:
        began = time.perf_counter()
        # A copy first: Keras's threads may add to the dict meanwhile.
        readings = np.array(sorted(self._running.copy().items()))
        if len(readings) >= MIN_EPOCHS:
            steps, losses = readings[:, 0] + 1, readings[:, 1]
            if self._logs_running_mean():
                steps, losses = step_losses(steps, losses, max_points=STEP_POINTS)
            if np.isfinite(losses).any():
                rate = np.full(steps.size, current_learning_rate(self.model.optimizer))
                found = analyze_history({"step": steps, self.monitor: losses, "learning_rate": rate}).findings
                for finding in found:
                    if finding.kind in ("divergence", "oscillation"):
                        span = f"steps {finding.start_epoch}-{finding.end_epoch} of epoch {self._epoch}"
                        self._tell(finding, span)
        self._spent += time.perf_counter() - began

    def _logs_running_mean(self) -> bool:
        """Whether the logged loss is a metric's result; a custom `train_step` may return each batch's own."""
        return any(metric.name == self.monitor for metric in self.model.metrics)

    def _tell(self, finding: Finding, span: str) -> None:
        if finding.kind in self._told:
            return
        self._told.add(finding.kind)
        self.findings.append(finding)
        heading = finding.kind.replace("_", " ").capitalize()
        warnings.warn(f"{heading}, {span}: {finding.evidence} {finding.advice}", stacklevel=2)
