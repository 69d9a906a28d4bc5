"""Multiplying the learning rate of an optimizer while it trains, whatever the rate was compiled as."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras

from keras_lr.schedules.scaled import Scaled
from keras_lr.training.rate_control import leaf_optimizers


def current_learning_rate(optimizer: Any) -> float:
    """The rate of the next step; of several optimizers the first one's."""
    return float(keras.ops.convert_to_tensor(leaf_optimizers(optimizer)[0].learning_rate))


class RateFactor:
    """One factor on the learning rate of each optimizer of a model.

    A constant rate is assigned. A schedule is wrapped in `Scaled`, a callable likewise, once; the training function
    must then be made anew, since it may have been traced with the bare one.

    Args:
        optimizer: The compiled optimizer.

    Attributes:
        rewired: Whether a schedule or a callable was wrapped.
    """

    def __init__(self, optimizer: Any) -> None:
        self._optimizer = optimizer
        self._setters: list[Callable[[float], None]] = []
        self.rewired = False
        for leaf in leaf_optimizers(optimizer):
            self._setters.append(self._attach(leaf))

    def set(self, factor: float) -> None:
        """Makes the rate `factor` times what it was compiled as; takes effect at the next step."""
        for assign in self._setters:
            assign(factor)

    @property
    def learning_rate(self) -> float:
        """The rate of the next step."""
        return current_learning_rate(self._optimizer)

    def _attach(self, leaf: Any) -> Callable[[float], None]:
        rate = leaf._learning_rate
        if isinstance(rate, keras.Variable):
            base = float(keras.ops.convert_to_tensor(rate))
            return lambda factor: rate.assign(base * factor)
        if isinstance(rate, Scaled):
            scaled, base_factor = rate, rate.factor
            return lambda factor: setattr(scaled, "factor", base_factor * factor)
        self.rewired = True
        if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
            wrapped = Scaled(rate)
            leaf.learning_rate = wrapped
            return lambda factor: setattr(wrapped, "factor", factor)
        multiplier = keras.Variable(1.0, trainable=False, dtype=keras.config.floatx(), name="learning_rate_factor")
        leaf.learning_rate = lambda: rate() * multiplier.value
        return lambda factor: multiplier.assign(factor)
