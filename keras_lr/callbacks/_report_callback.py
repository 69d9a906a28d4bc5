"""A report written when a training ends, however it ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_lr._keras.learning_rate import current_learning_rate
from keras_lr._keras.running_fit import BrokenFit, callbacks_of_fit
from keras_lr._utils.validation import check_logged
from keras_lr.analysis._diagnosis.diagnose import analyze_history
from keras_lr.callbacks._auto_lr.callback import AutoLR
from keras_lr.errors import CurveError, InvalidArgumentError
from keras_lr.range_test._callback import LRRangeTest
from keras_lr.results._diagnosis import Diagnosis
from keras_lr.results._record import Record


class ReportCallback(keras.callbacks.Callback):
    """Writes an HTML report at the end of a `fit`, and where Ctrl-C or an exception ends it early.

    The report holds the diagnosis of the training history, and what `LRRangeTest` and `AutoLR` in the same list of
    callbacks measured. A file that exists is replaced. Where a fit breaks before its first epoch has ended and nothing
    else was measured, there is nothing to show and nothing is written.

    Args:
        path: The file to write; its folder must exist.
        title: Title of the report.
        monitor: Name of the training loss in the logs.

    Attributes:
        report: The `Report` last written; None before.

    Raises:
        InvalidArgumentError: `title` is empty, or, once training begins, the folder of `path` does not exist.
        ModelError: `monitor` is not in the logs; raised when the first epoch ends.

    Example:
        >>> model.fit(x, y, validation_split=0.2, epochs=20, callbacks=[ReportCallback("report.html")])
    """

    def __init__(
        self, path: str | Path = "report.html", *, title: str = "Training report", monitor: str = "loss"
    ) -> None:
        super().__init__()
        if not isinstance(title, str) or not title.strip():
            raise InvalidArgumentError(
                f"`title` must be a text that is not empty. Received: {title!r}. Name the model."
            )
        self.path = Path(path)
        self.title = title
        self.monitor = monitor
        self.report: Any = None
        self._rows: list[dict[str, float]] = []
        self._siblings: list[keras.callbacks.Callback] = []
        self._watch: BrokenFit | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Looks whether the report can be written, before any time is spent."""
        if not self.path.parent.is_dir():
            raise InvalidArgumentError(
                f"`path` must be in a folder that exists. Received: {self.path}. Make the folder first."
            )
        callbacks = callbacks_of_fit()
        self._siblings = [] if callbacks is None else callbacks.callbacks
        self._watch = BrokenFit(self._on_break)
        self._watch.watch_fit(self.model)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Forgets the epochs that a new fit does again."""
        self._rows = [row for row in self._rows if row["epoch"] < epoch]

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Remembers the epoch."""
        logs = logs or {}
        check_logged(self.monitor, logs)
        names = (self.monitor, f"val_{self.monitor}")
        values = {name: float(logs[name]) for name in names if name in logs}
        rate = logs.get("learning_rate")
        rate = current_learning_rate(self.model.optimizer) if rate is None else float(rate)
        self._rows.append({"epoch": epoch, **values, "learning_rate": rate})

    def on_train_end(self, logs: Any = None) -> None:
        """Writes the report."""
        if self._watch is not None:
            self._watch.release()
            self._watch = None
        self._write()

    def _on_break(self, error: BaseException) -> None:
        self._watch = None
        planned = (self.params or {}).get("epochs")
        done = f"{len(self._rows)} of {planned} epochs" if planned else f"{len(self._rows)} epochs"
        what = "interrupted" if isinstance(error, KeyboardInterrupt) else f"ended by {type(error).__name__}"
        try:
            self._write(
                problem=f"The training was {what} after {done}.", action="Finish it before trusting the answer."
            )
        except OSError as err:
            # The reason why the training ended must not be hidden behind this one.
            error.add_note(f"keras_lr: the report could not be written: {err}")

    def _write(self, problem: str = "", action: str = "") -> None:
        records = self._results()
        if not records:
            return
        from keras_lr.report import Report

        report = Report(self.title)
        for record in records:
            report.add(record)
        if problem:
            report.warn(problem, action)
        report.save(self.path)
        self.report = report

    def _results(self) -> list[Record]:
        found: list[Record | None] = [self._diagnosis()] if self._rows else []
        for callback in self._siblings:
            if isinstance(callback, LRRangeTest):
                found.append(callback.result)
            elif isinstance(callback, AutoLR):
                found.append(callback.log)
        return [record for record in found if record is not None]

    def _diagnosis(self) -> Diagnosis:
        names = dict.fromkeys(name for row in self._rows for name in row)
        columns = {name: np.array([row.get(name, np.nan) for row in self._rows]) for name in names}
        try:
            return analyze_history(columns)
        except CurveError as err:
            return self._unjudged(columns, str(err))

    def _unjudged(self, columns: dict[str, np.ndarray], reason: str) -> Diagnosis:
        def series(name: str) -> tuple[float | None, ...]:
            values = columns.get(name, np.empty(0)).tolist()
            return tuple(value if np.isfinite(value) else None for value in values)

        return Diagnosis(
            verdict="unclear",
            reasons=(reason,),
            findings=(),
            n_epochs=len(self._rows),
            learning_rate=float(np.median(columns["learning_rate"])),
            monitor=self.monitor,
            epochs=tuple(int(epoch) for epoch in columns["epoch"]),
            losses=series(self.monitor) or (None,) * len(self._rows),
            val_losses=series(f"val_{self.monitor}"),
            learning_rates=series("learning_rate"),
        )
