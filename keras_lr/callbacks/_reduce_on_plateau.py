"""Lowering any learning rate when a monitored value stops improving."""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import Any

import keras
import tensorflow as tf

from keras_lr._keras.callback_state import attach_state, detach_state
from keras_lr._keras.learning_rate import RateFactor, leaf_optimizers
from keras_lr._keras.logs import LogInterceptor
from keras_lr._keras.model import metric_direction
from keras_lr._utils import validation
from keras_lr.errors import InvalidArgumentError


@dataclasses.dataclass
class Plateau:
    """Counts the epochs since a value was last better; lower is better.

    Attributes:
        best: Lowest value so far; None before the first.
        wait: Number of epochs since.
        cooldown: Number of epochs still not to count.
    """

    best: float | None = None
    wait: int = 0
    cooldown: int = 0

    def judge(self, value: float, *, min_delta: float, patience: int) -> bool:
        """Takes the value of an epoch and returns whether `patience` has run out; NaN is no improvement.

        The order of the counts is that of `keras.callbacks.ReduceLROnPlateau`.
        """
        if self.cooldown > 0:
            self.cooldown -= 1
            self.wait = 0
        if self.best is None or value < self.best - min_delta:
            # As the best so far NaN could never be undercut.
            self.best = None if math.isnan(value) else value
            self.wait = 0
        elif self.cooldown == 0:
            self.wait += 1
        return self.wait >= patience

    def begin_cooldown(self, cooldown: int) -> None:
        """Starts to wait anew, after the epochs of the cooldown."""
        self.cooldown, self.wait = cooldown, 0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        return dataclasses.asdict(self)


def metric_mode(model: keras.Model, monitor: str) -> str:
    """ "min" or "max", as the metric of that name says of itself; a loss is to be minimized.

    Raises:
        InvalidArgumentError: No metric of the model says so.
    """
    name = monitor.removeprefix("val_")
    if name == "loss" or name.endswith("_loss"):
        return "min"
    for metric in model.metrics:
        for part in getattr(metric, "metrics", None) or [metric]:
            direction = metric_direction(part)
            if part.name == name and direction is not None:
                return "max" if direction == "up" else "min"
    raise InvalidArgumentError(
        f'`mode` must be "min" or "max" where the metric does not say which is better. Received: mode="auto", '
        f"monitor={monitor!r}. Pass the mode."
    )


class ReduceOnPlateau(keras.callbacks.Callback):  # type: ignore[misc]
    """Multiplies the learning rate by `factor` when a value has not improved for `patience` epochs.

    `keras.callbacks.ReduceLROnPlateau` raises TypeError on a schedule (tensorflow#36612). Here a schedule goes on,
    times the factor, which stays on the optimizer (`keras_lr.schedules.Scaled`) and in a saved model; so do the rates
    of a `MultiOptimizer`, all by the same factor. A fit that `keras.callbacks.BackupAndRestore` resumes goes on
    exactly, wherever the two stand in the list.

    Args:
        monitor: Name of the value in the epoch's logs.
        factor: What the rate is multiplied by, in (0, 1).
        patience: Number of epochs without improvement before that, at least 1.
        mode: "min", "max", or "auto" to ask the metric which is better.
        min_delta: Smallest change that is an improvement, 0 or more, in the value's unit.
        cooldown: Number of epochs after a reduction that do not count.
        min_lr: Rate below which no reduction takes the rate of the moment; a schedule may still fall below it.

    Attributes:
        total_factor: Product of all reductions in this fit.

    Raises:
        InvalidArgumentError: An argument breaks its rule; at the end of an epoch, where `monitor` is not logged, or
            "auto" cannot tell which is better.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        *,
        factor: float = 0.1,
        patience: int = 10,
        mode: str = "auto",
        min_delta: float = 1e-4,
        cooldown: int = 0,
        min_lr: float = 0.0,
    ) -> None:
        super().__init__()
        if not isinstance(monitor, str) or not monitor:
            raise InvalidArgumentError(f"`monitor` must be a name. Received: {monitor!r}. Pass one such as 'val_loss'.")
        self.monitor = monitor
        self.factor = validation.open_fraction("factor", factor)
        self.mode = validation.choice("mode", mode, ("auto", "min", "max"))
        self.min_lr = validation.non_negative("min_lr", min_lr)
        self.patience = validation.whole_number("patience", patience, remedy="It counts epochs.")
        self.cooldown = validation.whole_number("cooldown", cooldown, least=0, remedy="It counts epochs.")
        self.min_delta = validation.non_negative("min_delta", min_delta)
        self._plateau = Plateau()
        self._seen = self._missed = self._judged = False
        self._bases: tuple[float, ...] | None = None
        self._resumed = self._attached = False
        self._interceptor: LogInterceptor | None = None
        self._unjudged: dict[str, Any] | None = None
        self.total_factor = 1.0

    def get_state(self) -> dict[str, Any]:
        """What was best, how long ago, and the factor so far, as plain JSON values."""
        # Whoever saves the state at an epoch's end may come before this callback's own turn.
        if self._unjudged is not None and self.monitor in self._unjudged:
            self._judge(self._unjudged)
        if self._attached:
            self._bases = self._take_rate().bases
        return {
            "total_factor": self.total_factor,
            "bases": None if self._bases is None else list(self._bases),
            "plateau": self._plateau.to_dict(),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from what `get_state` returned, now or in the next fit."""
        self.total_factor = state["total_factor"]
        self._bases = None if state["bases"] is None else tuple(state["bases"])
        self._plateau = Plateau(**state["plateau"])
        self._resumed = True
        if self._attached:
            self._take_rate(self._bases).set(1.0)

    def set_model(self, model: keras.Model) -> None:
        """Lets the model's weights carry the state; called by Keras before any training begins."""
        super().set_model(model)
        if model.optimizer is not None:
            self._attached = False
            attach_state(model, self, name=self._state_name)

    def on_train_begin(self, logs: Any = None) -> None:
        """Takes hold of the rate."""
        if not self._resumed:
            self.total_factor, self._bases, self._plateau = 1.0, None, Plateau()
        self._seen = self._missed = False
        self._take_rate(self._bases).set(1.0)
        self._attached = True
        self._interceptor = LogInterceptor(self.model, on_epoch=self._hold)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Awaits the epoch's logs."""
        self._judged, self._unjudged = False, None

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Makes ready to see the epoch's logs."""
        if self._interceptor is not None:
            self._interceptor.arm()

    def on_test_end(self, logs: Any = None) -> None:
        """Adds the validation to the epoch's logs."""
        if self._unjudged is not None:
            self._unjudged |= {f"val_{name}": value for name, value in (logs or {}).items()}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Judges the epoch, unless it has been already."""
        if not self._judged:
            self._judge(logs or {})

    def on_train_end(self, logs: Any = None) -> None:
        """Lets go of the rate; the factor stays."""
        detach_state(self.model, name=self._state_name)
        self._interceptor, self._resumed = None, False
        if self._missed and not self._seen:
            warnings.warn(
                f"`monitor` was in no epoch's logs: {self.monitor!r}, so no learning rate was reduced. "
                "Pass `validation_data` or monitor a training value.",
                stacklevel=2,
            )

    @property
    def _state_name(self) -> str:
        return "plateau_" + "".join(char if char.isalnum() else "_" for char in self.monitor)

    def _hold(self, logs: dict[str, Any]) -> dict[str, Any]:
        self._unjudged = dict(logs)
        return {}

    def _take_rate(self, bases: tuple[float, ...] | None = None) -> RateFactor:
        """The factor on `bases`, or on the rate of the moment, which another callback may have set."""
        with self.model.distribute_strategy.scope():
            rate = RateFactor(self.model.optimizer, bases)
        if rate.rewired:
            self.model.make_train_function(force=True)
        return rate

    def _judge(self, logs: dict[str, Any]) -> None:
        self._judged, self._unjudged = True, None
        if self.monitor not in logs:
            self._missed = True
            self._check_unlogged(logs)
            return
        self._seen = True
        mode = metric_mode(self.model, self.monitor) if self.mode == "auto" else self.mode
        sign = 1.0 if mode == "min" else -1.0
        if self._plateau.judge(sign * float(logs[self.monitor]), min_delta=self.min_delta, patience=self.patience):
            self._reduce()

    def _check_unlogged(self, logs: dict[str, Any]) -> None:
        """Refuses a name that no epoch will log; a validation value may come with a later epoch."""
        validated = any(name.startswith("val_") for name in logs)
        if validated or not self.monitor.startswith("val_"):
            raise InvalidArgumentError(
                f"`monitor` must name a value in the epoch's logs. Received: {self.monitor!r}; the logs hold "
                f"{sorted(logs)}. Name one of these."
            )

    def _reduce(self) -> None:
        lowest = min(float(tf.convert_to_tensor(leaf.learning_rate)) for leaf in self._leaves())
        reduced = max(self.factor, self.min_lr / lowest if lowest > 0 else 0.0)
        if reduced < 1 and not math.isclose(reduced, 1, rel_tol=1e-6):
            self.total_factor *= reduced
            self._take_rate().set(reduced)
            self._plateau.begin_cooldown(self.cooldown)

    def _leaves(self) -> list[Any]:
        return leaf_optimizers(self.model.optimizer)
