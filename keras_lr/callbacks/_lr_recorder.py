"""`LRRecorder`: the learning rate among the logged values."""

from __future__ import annotations

import math
import warnings
from typing import Any

import keras
import numpy as np
import pandas as pd

from keras_lr._keras.callback_state import Callback, attach_state, detach_state, ignore_loads, only_observes
from keras_lr._keras.learning_rate import RateReader, steps_done
from keras_lr._keras.logs import LogInterceptor
from keras_lr._keras.running_fit import facts_of_fit, weighs_samples, without_optimizer
from keras_lr._utils import validation
from keras_lr.analysis._diagnosis.history import FACT_COLUMNS
from keras_lr.callbacks._history_monitor import UNTRAINED

_STATE = "lr_recorder"


@only_observes
class LRRecorder(Callback):
    """Logs the learning rate as if the model's step returned it, so that every other callback sees it.

    `History`, `CSVLogger`, `TensorBoard` and the progress bar then contain "learning_rate" for each epoch, the rate of
    its last step, wherever this callback stands in the list. With several optimizers (`MultiOptimizer`) the names are
    "learning_rate_" followed by the optimizer's name. With `frequency="step"` the logs of each batch contain the rate
    too (and `TensorBoard(update_freq=1)` shows it), `History` gains "learning_rate_steps", one list per epoch, and
    `to_frame` has one row per step, also if `steps_per_execution` runs several steps at once. (TensorBoard's
    "epoch_learning_rate" is Keras's own: the rate of the next step.)

    The logs of each epoch also hold what makes a later `analyze_history` surer: "untrained_loss", the first batch's own
    loss before the first step, and "baseline_loss", that of the best constant output, as far as they are known.

    A fit that `keras.callbacks.BackupAndRestore` resumes, or that has a later `initial_epoch`, continues with the
    epochs recorded before. If no compiled optimizer trains anything, since the model is frozen or its `train_step` uses
    other optimizers, there is no rate to record, and one warning says so.

    Args:
        frequency: "epoch" or "step"; reading a step takes about 50 microseconds.

    Raises:
        InvalidArgumentError: `frequency` is neither "epoch" nor "step".

    Example:
        >>> recorder = keras_lr.LRRecorder()
        >>> model.fit(x, y, epochs=2, verbose=0, callbacks=[recorder])
        >>> recorder.to_frame()
    """

    def __init__(self, *, frequency: str = "epoch") -> None:
        super().__init__()
        self.frequency = validation.choice("frequency", frequency, ("epoch", "step"))
        self._epochs: list[dict[str, Any]] = []
        self._executions: list[tuple[list[Any], Any]] = []
        self._epoch = self._steps_before = 0
        self._interceptor: LogInterceptor | None = None
        self._reader: RateReader | None = None
        self._warned = False
        self._known: dict[str, Any] = {}
        self._fit_facts: dict[str, Any] = {}
        self._weighted = False

    def get_state(self) -> dict[str, Any]:
        """The epochs so far, as plain JSON values."""
        return {"epochs": [dict(epoch) for epoch in self._epochs], "known": dict(self._known)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continues from what `get_state` returned."""
        self._epochs = [dict(epoch) for epoch in state["epochs"]]
        self._known = dict(state.get("known", {}))

    @property
    def history(self) -> dict[str, list[Any]]:
        """What `History` holds of the last fit; `analyze_history` takes this callback itself."""
        recorded = getattr(self.model, "history", None)
        return {} if recorded is None else {"epoch": recorded.epoch, **recorded.history}

    @property
    def known(self) -> dict[str, Any]:
        """What is known of the fit beside its series, as in `HistoryMonitor.known`."""
        return dict(self._known)

    def to_frame(self) -> pd.DataFrame:
        """One row per epoch or step: `epoch`, `step` (counted from 0) if by step, and one column per optimizer."""
        if self.frequency == "epoch":
            return pd.DataFrame([{"epoch": row["epoch"], **row["rates"]} for row in self._epochs] or {"epoch": []})
        parts = [pd.DataFrame({"epoch": row["epoch"], **row["steps"]}) for row in self._epochs]
        frame = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"epoch": []})
        frame.insert(1, "step", np.arange(len(frame)))
        return frame

    def set_model(self, model: keras.Model) -> None:
        """Attaches the state of this callback to the model's weights."""
        super().set_model(model)
        if model.optimizer is not None:
            attach_state(model, self, name=_STATE)

    def on_train_begin(self, logs: Any = None) -> None:
        """Prepares to read the rates."""
        super().on_train_begin(logs)
        by_step = self.frequency == "step"
        self._warned = False
        self._fit_facts = facts_of_fit(self.model, self.params)
        self._weighted = weighs_samples(self.model)
        self._reader = RateReader(self.model.optimizer, num_steps=self.model.steps_per_execution if by_step else 1)
        self._interceptor = LogInterceptor(
            self.model, on_step=self._read_step if by_step else None, on_epoch=self._read_epoch
        )

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Forgets the epochs that a new fit trains again."""
        ignore_loads(self.model, name=_STATE)
        self._epoch, self._executions = epoch, []
        self._steps_before = steps_done(self.model.optimizer)
        self._epochs = [row for row in self._epochs if row["epoch"] < epoch]
        if not self._epochs:
            self._known = {}
        self._known |= self._fit_facts

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Prepares to read the next execution."""
        if self._interceptor is not None:
            self._interceptor.arm()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Adds the steps to `History`; logs cannot hold a list. Reads the epoch of a loop of `train_on_batch`."""
        read = bool(self._epochs) and self._epochs[-1]["epoch"] == epoch
        if logs is not None and not read and steps_done(self.model.optimizer) > self._steps_before:
            logs.update(self._read_epoch(logs))
        if self.frequency == "step" and self._epochs and self._epochs[-1]["epoch"] == epoch:
            for name, rates in self._epochs[-1]["steps"].items():
                self.model.history.history.setdefault(f"{name}_steps", []).append(list(rates))

    def on_train_end(self, logs: Any = None) -> None:
        """Detaches this callback from the model."""
        if self._interceptor is not None:
            self._interceptor.disarm()
        self._interceptor = self._reader = None
        detach_state(self.model, name=_STATE)

    def _read_step(self) -> dict[str, Any]:
        reading = None if self._reader is None else self._reader.read()
        if self._reader is None or reading is None:
            return {}
        last, series, done = reading
        self._executions.append((series, done))
        return dict(zip(self._reader.names, last, strict=True))

    def _read_epoch(self, logs: dict[str, Any]) -> dict[str, Any]:
        reading = None if self._reader is None else self._reader.read()
        self._keep_first_loss()
        known = {name: self._known[name] for name in FACT_COLUMNS if name in self._known}
        if self._reader is None or reading is None:
            self._warn_once()
            if not self._epochs:
                self._known = without_optimizer(self._known)
            return known
        rates = dict(zip(self._reader.names, map(_plain, reading[0]), strict=True))
        row = {"epoch": self._epoch, "rates": rates}
        if self.frequency == "step":
            row["steps"] = self._steps(list(rates))
        self._epochs.append(row)
        return {**{name: math.nan if rate is None else rate for name, rate in rates.items()}, **known}

    def _keep_first_loss(self) -> None:
        """Keeps the loss of the very first step, unless it is known only together with those after it, or weighted."""
        logs = {} if self._interceptor is None else self._interceptor.first_logs
        known = "loss" in logs and self.model.steps_per_execution == 1 and not self._weighted
        if self._epoch == 0 and not self._epochs and known:
            loss = float(logs["loss"])
            if math.isfinite(loss):
                self._known[UNTRAINED] = loss

    def _warn_once(self) -> None:
        if not self._warned and self._reader is not None:
            self._warned = True
            warnings.warn(
                "`LRRecorder` records no learning rate in this fit, since the compiled optimizer trains nothing: the "
                "model is frozen, or its `train_step` uses other optimizers.",
                stacklevel=2,
            )

    def _steps(self, names: list[str]) -> dict[str, list[float | None]]:
        """The rates of the epoch's steps, without the steps of an execution that the data were too short for."""
        series: dict[str, list[float | None]] = {name: [] for name in names}
        before = self._steps_before
        for rates, done in self._executions:
            count = len(rates[0]) if len(rates[0]) == 1 else int(done) - before
            before = int(done)
            for name, values in zip(names, rates, strict=True):
                series[name].extend(_plain(value) for value in np.asarray(values)[len(values) - count :])
        return series


def _plain(rate: Any) -> float | None:
    """`rate` as a float, or None if it is not finite, which JSON cannot hold."""
    number = float(rate)
    return number if math.isfinite(number) else None
