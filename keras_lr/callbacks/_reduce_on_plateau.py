"""`ReduceOnPlateau`: lowers any learning rate when a monitored value stops improving."""

from __future__ import annotations

import dataclasses
import math
import warnings
from typing import Any

import keras

from keras_lr._keras.callback_state import Callback, attach_state, detach_state
from keras_lr._keras.learning_rate import (
    RateFactor,
    current_learning_rate,
    leaf_optimizers,
    rate_bases,
    unwrap_schedules,
)
from keras_lr._keras.logs import LogInterceptor
from keras_lr._keras.model import metric_direction
from keras_lr._utils import validation
from keras_lr.errors import InvalidArgumentError


class ReduceOnPlateau(Callback):
    """Multiplies the learning rate by `factor` when a value has not improved for `patience` epochs.

    Unlike `keras.callbacks.ReduceLROnPlateau`, which raises TypeError on a schedule (tensorflow#36612), it works with
    any learning rate. A schedule continues, multiplied by the factor. After a fit without a reduction, the optimizer
    has the user's own schedule again; otherwise the factor stays on it, in a `keras_lr.schedules.Scaled`, also in a
    saved model, and keras_lr must be imported before that is loaded. The rates of a `MultiOptimizer` are all multiplied
    by the same factor. A fit that `keras.callbacks.BackupAndRestore` resumes continues exactly, in whatever order the
    two callbacks are listed.

    Args:
        monitor: Name of the value in the epoch's logs.
        factor: What the rate is multiplied by, in (0, 1).
        patience: Number of epochs without improvement after which the rate is reduced, at least 1.
        mode: "min" if lower is better, "max" if higher is, or "auto" to ask the metric.
        min_delta: Smallest change that counts as an improvement, 0 or more, in the value's unit.
        cooldown: Number of epochs after a reduction that are not counted.
        min_lr: No reduction lowers the present rate below this; a schedule may still fall below it later.

    Attributes:
        total_factor: Product of all reductions in this fit.

    Raises:
        InvalidArgumentError: An argument breaks its rule; or, at the end of an epoch, a `monitor` other than "val_loss"
            is not logged or "auto" cannot tell which direction is better.

    Example:
        >>> keras_lr.ReduceOnPlateau(factor=0.5)
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
        self._seen = self._missed = False
        self._bases: tuple[float, ...] | None = None
        self._resumed = self._attached = False
        self._interceptor: LogInterceptor | None = None
        self._epoch_logs: dict[str, Any] = {}
        self.total_factor = 1.0

    def get_state(self) -> dict[str, Any]:
        """The best value, the epochs since, and the factor so far, as plain JSON values.

        A callback that saves the model at the end of an epoch may come before this one in the list. The state is
        therefore that after the present epoch is judged, once its logs contain `monitor`.
        """
        plateau, reduction = self._plateau, 1.0
        if self.monitor in self._epoch_logs:
            plateau, reduction = self._judge(self._epoch_logs)
        bases = rate_bases(self.model.optimizer) if self._attached else self._bases
        return {
            "total_factor": self.total_factor * reduction,
            "bases": None if bases is None else [base * reduction for base in bases],
            "plateau": dataclasses.asdict(plateau),
        }

    def set_state(self, state: dict[str, Any]) -> None:
        """Continues from what `get_state` returned, in this fit or the next."""
        self.total_factor = state["total_factor"]
        self._bases = None if state["bases"] is None else tuple(state["bases"])
        self._plateau = Plateau(**state["plateau"])
        self._resumed = True
        if self._attached:
            self._attach_factor(self._bases).set(1.0)

    def set_model(self, model: keras.Model) -> None:
        """Attaches the state of this callback to the model's weights."""
        super().set_model(model)
        if model.optimizer is not None:
            self._attached = False
            attach_state(model, self, name=self._state_name)

    def on_train_begin(self, logs: Any = None) -> None:
        """Prepares the rate to be multiplied."""
        super().on_train_begin(logs)
        if not self._resumed:
            self.total_factor, self._bases, self._plateau = 1.0, None, Plateau()
        self._seen = self._missed = False
        if self.model.optimizer is None:
            warnings.warn(
                "`ReduceOnPlateau` does nothing in this fit, since the model was compiled without an optimizer.",
                stacklevel=2,
            )
            return
        self._attach_factor(self._bases).set(1.0)
        self._attached = True
        self._interceptor = LogInterceptor(self.model, on_epoch=self._store_logs)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Forgets the logs of the last epoch."""
        self._epoch_logs = {}

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Prepares to see the epoch's logs."""
        if self._interceptor is not None:
            self._interceptor.arm()

    def on_test_end(self, logs: Any = None) -> None:
        """Stores the validation of the epoch; an evaluation within it does not count."""
        if self._epoch_logs:
            self._epoch_logs |= {f"val_{name}": value for name, value in (logs or {}).items()}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Judges the epoch and reduces the rate if patience has run out."""
        self._epoch_logs = {}
        logs = logs or {}
        if self.model.optimizer is None:
            return
        if self.monitor not in logs:
            self._missed = True
            self._check_unlogged(logs)
            return
        self._seen = True
        self._plateau, reduction = self._judge(logs)
        if reduction < 1:
            self.total_factor *= reduction
            self._attach_factor().set(reduction)

    def on_train_end(self, logs: Any = None) -> None:
        """Detaches this callback from the model; the factor stays on the rate."""
        detach_state(self.model, name=self._state_name)
        unwrap_schedules(self.model.optimizer)
        if self._interceptor is not None:
            self._interceptor.disarm()
        self._interceptor, self._resumed = None, False
        if self._missed and not self._seen:
            warnings.warn(
                f"No epoch logged {self.monitor!r}, the `monitor` of `ReduceOnPlateau`, so the learning rate was never "
                "reduced. Pass `validation_data` or monitor a training value.",
                stacklevel=2,
            )

    @property
    def _state_name(self) -> str:
        return f"plateau_{self.monitor}"

    def _store_logs(self, logs: dict[str, Any]) -> dict[str, Any]:
        self._epoch_logs = dict(logs)
        return {}

    def _attach_factor(self, bases: tuple[float, ...] | None = None) -> RateFactor:
        """The factor on `bases`, or on the present rate, which another callback may have set."""
        with self.model.distribute_strategy.scope():
            rate = RateFactor(self.model.optimizer, bases)
        if rate.rewired:
            self.model.make_train_function(force=True)
        return rate

    def _judge(self, logs: dict[str, Any]) -> tuple[Plateau, float]:
        """The plateau after an epoch with these logs, and what to multiply the rate by; changes nothing."""
        mode = metric_mode(self.model, self.monitor) if self.mode == "auto" else self.mode
        sign = 1.0 if mode == "min" else -1.0
        plateau = self._plateau.after(sign * float(logs[self.monitor]), min_delta=self.min_delta)
        if plateau.wait < self.patience:
            return plateau, 1.0
        lowest = min(map(current_learning_rate, leaf_optimizers(self.model.optimizer)))
        reduction = max(self.factor, self.min_lr / lowest if lowest > 0 else 0.0)
        if reduction >= 1 or math.isclose(reduction, 1, rel_tol=1e-6):
            return plateau, 1.0
        return dataclasses.replace(plateau, wait=0, cooldown=self.cooldown), reduction

    def _check_unlogged(self, logs: dict[str, Any]) -> None:
        """Refuses a name that no epoch will log; a validation value may come with a later epoch.

        For "val_loss", the name that nobody chose, the warning at the end is enough.
        """
        validated = any(name.startswith("val_") for name in logs)
        if self.monitor != "val_loss" and (validated or not self.monitor.startswith("val_")):
            raise InvalidArgumentError(
                f"`monitor` must name a value in the epoch's logs. Received: {self.monitor!r}; the logs hold "
                f"{sorted(logs)}. Name one of these."
            )


@dataclasses.dataclass(frozen=True)
class Plateau:
    """How long a value has not improved; lower is better.

    Attributes:
        best: Lowest value so far; None before the first.
        wait: Number of epochs since then that count.
        cooldown: Number of coming epochs that do not count.
    """

    best: float | None = None
    wait: int = 0
    cooldown: int = 0

    def after(self, value: float, *, min_delta: float) -> Plateau:
        """The plateau after an epoch with this value; NaN is no improvement.

        The order of the counts is that of `keras.callbacks.ReduceLROnPlateau`.
        """
        cooldown = max(self.cooldown - 1, 0)
        wait = 0 if self.cooldown > 0 else self.wait
        if self.best is None or value < self.best - min_delta:
            # A NaN as the best value would never be improved on.
            return Plateau(None if math.isnan(value) else value, 0, cooldown)
        return Plateau(self.best, wait + 1 if cooldown == 0 else wait, cooldown)


def metric_mode(model: keras.Model, monitor: str) -> str:
    """ "min" or "max": the better direction that the metric declares; "min" for a loss.

    Raises:
        InvalidArgumentError: No metric of the model declares it.
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
        '`mode` must be "min" or "max" if no metric declares which is better. Received: mode="auto", '
        f"monitor={monitor!r}. Pass the mode."
    )
