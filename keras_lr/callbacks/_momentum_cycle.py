"""Momentum against the learning rate."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_lr._keras.dynamic_float import DynamicFloat
from keras_lr._keras.learning_rate import compiled_rate, iterations_of, leaf_optimizers
from keras_lr._keras.running_fit import BrokenFit
from keras_lr._utils import validation
from keras_lr.errors import InvalidArgumentError, ModelError
from keras_lr.schedules._base import PRECISION
from keras_lr.schedules._preview import opposed, own_position, position_in_range, preview
from keras_lr.schedules._scaled import Scaled

MOMENTA = ("momentum", "beta_1", "adam_beta_1")
# Its `beta_1` is where between two sequences the weights stand, and must not move between steps.
_WITHOUT = ("ScheduleFreeAdamW",)


class MomentumCycle(keras.callbacks.Callback):  # type: ignore[misc]
    """Lowers the momentum while the learning rate is high, and raises it while the rate is low.

    The momentum (`momentum`, or `beta_1` where the optimizer has that) is `max_momentum` at the bottom of the learning
    rate's cycle and `min_momentum` at its top. It is computed inside each step from the optimizer's own step counter,
    so it holds under `steps_per_execution` and XLA, and a resumed fit goes on exactly. After the fit, also a broken
    one, the optimizer has the momentum it was compiled with.

    `OneCycle` and `Cyclical` know their cycle. With any other schedule the momentum follows the rate itself, from the
    lowest to the highest of the fit's steps, or over `rate_range`.

    Args:
        min_momentum: Momentum at the highest rate, in (0, 1).
        max_momentum: Momentum at the lowest rate, in (0, 1), above `min_momentum`.
        rate_range: Lowest and highest learning rate; required where the rate does not change by a schedule, or where
            Keras cannot tell how many steps an epoch has.

    Raises:
        InvalidRangeError: A range is reversed or empty.
        InvalidArgumentError: Another argument breaks its rule, or `rate_range` is missing when `fit` begins.
        ModelError: The model's optimizer has no momentum; raised when `fit` begins.

    Source:
        Smith 2018, arXiv:1803.09820, section 4.3; the numbers are those of PyTorch's `OneCycleLR` and `CyclicLR`.
    """

    def __init__(
        self,
        min_momentum: float = 0.85,
        max_momentum: float = 0.95,
        *,
        rate_range: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        self.min_momentum = validation.open_fraction("min_momentum", min_momentum)
        self.max_momentum = validation.open_fraction("max_momentum", max_momentum)
        validation.increasing_pair("min_momentum, max_momentum", (min_momentum, max_momentum))
        self.rate_range = None if rate_range is None else validation.increasing_pair("rate_range", rate_range)
        self._momenta: list[Callable[[], Any]] = []
        self._watch: BrokenFit | None = None

    @property
    def momentum(self) -> float | None:
        """The momentum of the next step; of several optimizers the first one's. None before `fit` begins."""
        return float(tf.convert_to_tensor(self._momenta[0]())) if self._momenta else None

    def get_state(self) -> dict[str, Any]:
        """Nothing: the momentum is a function of the step, which the optimizer keeps."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Nothing to go on from."""

    def on_train_begin(self, logs: Any = None) -> None:
        """Watches for the end of the fit, by whatever way."""
        self._momenta = []
        self._watch = BrokenFit(lambda error: self._put_back())
        self._watch.watch_fit(self.model)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Puts the cycled momentum in the place of the fixed one, once."""
        if self._momenta:
            return
        for leaf, names in _cycled_names(self.model.optimizer):
            compute = self._momentum_of(leaf)
            self._momenta.append(compute)
            for name in names:
                setattr(leaf, name, DynamicFloat(getattr(leaf, name), compute))
        self.model.make_train_function(force=True)

    def on_train_end(self, logs: Any = None) -> None:
        """Puts the fixed momentum back."""
        if self._watch is not None:
            self._watch.release()
            self._watch = None
        self._put_back()

    def _put_back(self) -> None:
        for leaf in leaf_optimizers(self.model.optimizer):
            for name in MOMENTA:
                momentum = getattr(leaf, name, None)
                if isinstance(momentum, DynamicFloat):
                    setattr(leaf, name, float(momentum))
                    self.model.train_function = None

    def _momentum_of(self, leaf: Any) -> Callable[[], Any]:
        position = own_position(compiled_rate(leaf)) if self.rate_range is None else None
        if position is not None:
            return lambda: self._opposed(position(keras.ops.cast(iterations_of(leaf), PRECISION)))
        low, high = self.rate_range or self._planned_range(compiled_rate(leaf))
        return lambda: self._opposed(position_in_range(leaf.learning_rate, low, high))

    def _opposed(self, position: Any) -> Any:
        return opposed(position, self.min_momentum, self.max_momentum)

    def _planned_range(self, rate: Any) -> tuple[float, float]:
        """The lowest and the highest rate of the whole fit."""
        schedule = rate.schedule if isinstance(rate, Scaled) else rate
        steps, epochs = self.params.get("steps"), self.params.get("epochs")
        if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule) and steps and epochs:
            rates = preview(schedule, int(steps) * int(epochs)).learning_rates
            if rates.min() < rates.max():
                return float(rates.min()), float(rates.max())
        raise InvalidArgumentError(
            "`rate_range` must be given where the learning rate does not change by a schedule, or an epoch's length is "
            f"unknown. Received: rate_range=None, a {type(rate).__name__} as the rate, {steps} steps an epoch. Pass "
            "`rate_range=(lowest, highest)`."
        )


def _cycled_names(optimizer: Any) -> list[tuple[Any, list[str]]]:
    """Each optimizer with the attributes that are its momentum; it must have one that is not zero."""
    found = []
    for leaf in leaf_optimizers(optimizer):
        momenta = {name: getattr(leaf, name) for name in MOMENTA if isinstance(getattr(leaf, name, None), float)}
        names = [name for name, value in momenta.items() if value > 0 and type(leaf).__name__ not in _WITHOUT]
        if not names:
            raise ModelError(
                "The optimizer must have a `momentum`, or a `beta_1` that is one, greater than 0 to cycle. Received: "
                f"{type(leaf).__name__} with {momenta or 'neither'}. Compile with SGD(momentum=0.9) or Adam."
            )
        found.append((leaf, names))
    return found
