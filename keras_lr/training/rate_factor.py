"""Multiplying the learning rate of an optimizer while it trains, whatever the rate was compiled as."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_lr.schedules.scaled import Scaled
from keras_lr.training.rate_control import leaf_optimizers

_SAMPLES = 65


def current_learning_rate(optimizer: Any) -> float:
    """The rate of the next step; of several optimizers the first one's."""
    return float(tf.convert_to_tensor(leaf_optimizers(optimizer)[0].learning_rate))


def rates_ahead(optimizer: Any, num_steps: int) -> np.ndarray:
    """The rates of the next `num_steps` steps at 65 of them: a schedule's, or the constant rate; of several optimizers
    the first one's.
    """
    leaf = leaf_optimizers(optimizer)[0]
    if not isinstance(leaf._learning_rate, keras.optimizers.schedules.LearningRateSchedule):
        return np.array([current_learning_rate(optimizer)])
    first = int(tf.convert_to_tensor(leaf._iterations))
    steps = np.unique(np.linspace(first, first + max(num_steps - 1, 0), _SAMPLES).astype(int))
    return np.array([float(tf.convert_to_tensor(leaf._learning_rate(step))) for step in steps.tolist()])


class RateFactor:
    """One factor on the learning rate of each optimizer of a model.

    A constant rate is assigned. A schedule is wrapped in `Scaled`, a callable likewise, once; the training function
    must then be made anew, since it may have been traced with the bare one.

    Args:
        optimizer: The compiled optimizer.
        bases: What `bases` was before a restart, where the optimizer may since hold changed rates.

    Attributes:
        rewired: Whether a schedule or a callable was wrapped.
        bases: Each optimizer's constant rate, or the factor already on its schedule, at a factor of 1.
    """

    def __init__(self, optimizer: Any, bases: Sequence[float] | None = None) -> None:
        self._optimizer = optimizer
        self.rewired = False
        leaves = leaf_optimizers(optimizer)
        setters = [self._attach(leaf) for leaf in leaves]
        self._assign = [assign for _, assign in setters]
        self.bases = tuple(base for base, _ in setters) if bases is None else tuple(bases)

    def set(self, factor: float) -> None:
        """Makes the rate `factor` times what it was compiled as; takes effect at the next step."""
        for base, assign in zip(self.bases, self._assign, strict=True):
            assign(base * factor)

    @property
    def learning_rate(self) -> float:
        """The rate of the next step."""
        return current_learning_rate(self._optimizer)

    def _attach(self, leaf: Any) -> tuple[float, Callable[[float], None]]:
        """What the rate is multiplied from, and the function that assigns the product."""
        rate = leaf._learning_rate
        if isinstance(rate, keras.Variable):
            return float(tf.convert_to_tensor(rate)), rate.assign
        if not isinstance(rate, (Scaled, _ScaledCallable)):
            self.rewired = True
            scheduled = isinstance(rate, keras.optimizers.schedules.LearningRateSchedule)
            rate = Scaled(rate) if scheduled else _ScaledCallable(rate)
            leaf.learning_rate = rate
        return rate.factor, lambda factor: setattr(rate, "factor", factor)


class _ScaledCallable:
    """A rate that is computed by a callable, times a variable factor."""

    def __init__(self, rate: Callable[[], Any]) -> None:
        self._rate = rate
        self._factor = keras.Variable(1.0, trainable=False, dtype=keras.config.floatx(), name="learning_rate_factor")

    @property
    def factor(self) -> float:
        return float(tf.convert_to_tensor(self._factor))

    @factor.setter
    def factor(self, value: float) -> None:
        self._factor.assign(value)

    def __call__(self) -> Any:
        return self._rate() * self._factor.value
