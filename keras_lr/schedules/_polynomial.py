"""Polynomial decay with warmup."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_lr._utils import validation
from keras_lr.schedules._base import Schedule


@keras.saving.register_keras_serializable(package="keras_lr")
class Polynomial(Schedule):
    """A linear rise, then a fall proportional to a power of the remaining fraction of steps.

    The rate is `initial_learning_rate` at step 0 (the peak without a warmup), the peak at step `warmup_steps`, and
    `end_learning_rate` from step `warmup_steps + decay_steps` on.

    Args:
        peak_learning_rate: Highest rate, positive.
        decay_steps: Number of steps of the fall, after the warmup.
        end_learning_rate: Rate after the fall, at most the peak.
        power: Exponent, positive; 1 falls linearly, 2 falls faster at first.
        warmup_steps: Number of steps of the rise, 0 or more.
        initial_learning_rate: Rate at step 0 if there is a warmup, at most the peak.

    Raises:
        InvalidArgumentError: An argument is out of its range.
        InvalidRangeError: The initial or the end rate is above the peak.

    Source:
        Hugging Face's `get_polynomial_decay_schedule_with_warmup`, whose `num_training_steps` is
        `warmup_steps + decay_steps`; after the warmup also `keras.optimizers.schedules.PolynomialDecay`.
    """

    def __init__(
        self,
        peak_learning_rate: float,
        decay_steps: int,
        *,
        end_learning_rate: float = 0.0,
        power: float = 1.0,
        warmup_steps: int = 0,
        initial_learning_rate: float = 0.0,
    ) -> None:
        self.peak_learning_rate = validation.positive("peak_learning_rate", peak_learning_rate)
        self.decay_steps = validation.steps("decay_steps", decay_steps)
        self.end_learning_rate = validation.non_negative("end_learning_rate", end_learning_rate)
        self.power = validation.positive("power", power)
        self.warmup_steps = validation.steps("warmup_steps", warmup_steps, least=0)
        self.initial_learning_rate = validation.non_negative("initial_learning_rate", initial_learning_rate)
        for name in ("initial_learning_rate", "end_learning_rate"):
            validation.at_most(name, getattr(self, name), "peak_learning_rate", self.peak_learning_rate)

    def _rate(self, step: Any) -> Any:
        left = 1 - ops.clip((step - self.warmup_steps) / self.decay_steps, 0.0, 1.0)
        fall = self.end_learning_rate + (self.peak_learning_rate - self.end_learning_rate) * ops.power(left, self.power)
        if not self.warmup_steps:
            return fall
        slope = (self.peak_learning_rate - self.initial_learning_rate) / self.warmup_steps
        return ops.minimum(self.initial_learning_rate + slope * step, fall)
