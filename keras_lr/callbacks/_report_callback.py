"""`ReportCallback`: a report of a training run, written when it ends, also by an error."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_lr._keras.callback_state import Callback, attach_state, detach_state, ignore_loads, only_observes
from keras_lr._keras.logs import LogInterceptor
from keras_lr._keras.running_fit import callbacks_of_fit, move_before_backup, on_fit_error
from keras_lr._utils.files import folder_of
from keras_lr._utils.progress import shown_in_fit, summary
from keras_lr.callbacks._auto_lr import AutoLR
from keras_lr.callbacks._history_monitor import EpochHistory
from keras_lr.errors import CurveError, InvalidArgumentError
from keras_lr.range_test._callback import LRRangeTest
from keras_lr.results._diagnosis import Diagnosis, direction_of
from keras_lr.results._record import Record

_STATE = "report_callback"


@only_observes
class ReportCallback(Callback):
    """Writes an HTML report at the end of a `fit`, also when Ctrl-C or an exception ends it early.

    The report contains the diagnosis of the training history and the results of any `LRRangeTest` and `AutoLR` in the
    same list of callbacks. An existing file is replaced. A line on stderr says where it is, unless `fit` has
    `verbose=0`. If a fit fails before its first epoch has ended, and nothing else was measured, no report is written.

    A fit that `keras.callbacks.BackupAndRestore` resumes, or that has a later `initial_epoch`, continues with the
    epochs from before, unless the optimizer, the `compile` or the trainable weights are others: then the report begins
    there and says so. If the file cannot be written at the end of a fit, a warning says so.

    Args:
        path: The file to write; its folder must exist.
        title: Title of the report.
        monitor: Name of the training loss in the logs.

    Attributes:
        report: The last `Report` that was written; None before the first.

    Raises:
        InvalidArgumentError: `title` is empty; or, as training begins, the folder of `path` does not exist.
        ModelError: A `monitor` other than "loss" is not in the logs; raised when the first epoch ends.

    Example:
        >>> model.fit(x, y, validation_split=0.2, epochs=20, callbacks=[ReportCallback("report.html")])
    """

    def __init__(
        self, path: str | Path = "report.html", *, title: str = "Training report", monitor: str = "loss"
    ) -> None:
        super().__init__()
        if not isinstance(title, str) or not title.strip():
            raise InvalidArgumentError(f"`title` must be a non-empty string. Received: {title!r}. Name the model.")
        self.path = Path(path)
        self.title = title
        self.monitor = monitor
        self.report: Any = None
        self._history = EpochHistory(monitor, "ReportCallback")
        self._siblings: list[keras.callbacks.Callback] = []
        self._stop_watching: Callable[[], None] | None = None
        self._first_step: LogInterceptor | None = None

    def get_state(self) -> dict[str, Any]:
        """The epochs so far, as plain JSON values."""
        return {"rows": self._history.to_list()}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continues from what `get_state` returned."""
        self._history.restore(state["rows"])

    @property
    def history(self) -> dict[str, np.ndarray]:
        """One array per quantity, with one value per epoch so far; `analyze_history` takes this callback itself."""
        return self._history.columns()

    @property
    def known(self) -> dict[str, Any]:
        """What is known of the fit beside its series, as in `HistoryMonitor.known`."""
        return self._history.known

    def set_model(self, model: keras.Model) -> None:
        """Attaches the state of this callback to the model's weights."""
        super().set_model(model)
        if model.optimizer is not None:
            attach_state(model, self, name=_STATE)

    def on_train_begin(self, logs: Any = None) -> None:
        """Checks that the report can be written, before any time is spent."""
        super().on_train_begin(logs)
        if not folder_of(self.path).is_dir():
            raise InvalidArgumentError(
                f"`path` must be in a folder that exists. Received: {self.path}. Create the folder first."
            )
        move_before_backup(self)
        self._history.begin_fit(self.model, self.params)
        self._first_step = LogInterceptor(self.model, on_epoch=lambda logs: {})
        callbacks = callbacks_of_fit()
        self._siblings = [] if callbacks is None else callbacks.callbacks
        self._stop_watching = on_fit_error(self.model, self._on_error)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Forgets the epochs that a new fit trains again."""
        ignore_loads(self.model, name=_STATE)
        self._history.begin_epoch(epoch, self.model)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Prepares to read the loss of the first step of a fit."""
        if self._first_step is not None and not self._first_step.first_logs:
            self._first_step.arm()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Stores the losses and the learning rate of the epoch."""
        first = {} if self._first_step is None else self._first_step.first_logs
        if self.monitor in first and self.model.steps_per_execution == 1:
            self._history.end_batch(0, float(first[self.monitor]))
        self._first_step = None
        self._history.end_epoch(epoch, logs or {}, self.model)

    def on_train_end(self, logs: Any = None) -> None:
        """Writes the report."""
        if self._stop_watching is not None:
            self._stop_watching()
            self._stop_watching = None
        detach_state(self.model, name=_STATE)
        try:
            self._write()
            if self.report is not None:
                summary(f"report written to {self.path}.", verbose=shown_in_fit("auto", self.params))
        except OSError as err:
            warnings.warn(f"`ReportCallback` could not write its report: {err}", stacklevel=2)

    def _on_error(self, error: BaseException) -> None:
        self._stop_watching = None
        detach_state(self.model, name=_STATE)
        trained, planned = len(self._history.rows), (self.params or {}).get("epochs")
        done = f"{trained} of {planned} epochs" if planned else f"{trained} epochs"
        what = "interrupted" if isinstance(error, KeyboardInterrupt) else f"ended by {type(error).__name__}"
        try:
            self._write(
                problem=f"The training was {what} after {done}.", action="Finish it before trusting the diagnosis."
            )
        except OSError as err:
            # Raising this one would hide why the training ended.
            error.add_note(f"keras_lr: the report could not be written: {err}")

    def _write(self, problem: str = "", action: str = "") -> None:
        records = self._results()
        if not records:
            return
        from keras_lr.report import Report

        report = Report(self.title)
        for record in records:
            report.add(record)
        if self._history.restarted:
            report.warn(self._history.restarted, "Read the stage before in a report of its own.")
        if problem:
            report.warn(problem, action)
        report.save(self.path)
        self.report = report

    def _results(self) -> list[Record]:
        found: list[Record | None] = [self._diagnosis()] if self._history.rows else []
        for callback in self._siblings:
            if isinstance(callback, LRRangeTest):
                found.append(callback.result)
            elif isinstance(callback, AutoLR):
                found.append(callback.log)
        return [record for record in found if record is not None]

    def _diagnosis(self) -> Diagnosis:
        columns = self._history.columns()
        try:
            return self._history.diagnose(columns)
        except CurveError as err:
            return self._without_verdict(columns, str(err))

    def _without_verdict(self, columns: dict[str, np.ndarray], reason: str) -> Diagnosis:
        def series(name: str) -> tuple[float | None, ...]:
            values = columns.get(name, np.empty(0)).tolist()
            return tuple(value if np.isfinite(value) else None for value in values)

        return Diagnosis(
            verdict="unclear",
            reasons=(reason,),
            findings=(),
            n_epochs=len(self._history.rows),
            learning_rate=float(np.median(columns["learning_rate"])),
            monitor=self.monitor,
            epochs=tuple(int(epoch) for epoch in columns["epoch"]),
            losses=series(self.monitor),
            val_losses=series(f"val_{self.monitor}"),
            learning_rates=series("learning_rate"),
            direction=direction_of(self.monitor),
        )
