"""Inverse square root decay."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_lr._utils import validation
from keras_lr.schedules._base import Schedule


@keras.saving.register_keras_serializable(package="keras_lr")
class InverseSqrt(Schedule):
    """A linear rise, then an endless fall with the inverse square root of the step.

    With `s = step + offset_steps` the rate is `peak_learning_rate * s / warmup_steps` up to the peak at
    `s = warmup_steps`, and `peak_learning_rate * sqrt(warmup_steps / s)` from there on. At step 0 it is 0 unless
    `offset_steps` is positive.

    Args:
        peak_learning_rate: Highest rate, positive.
        warmup_steps: Number of steps of the rise, and the time scale of the fall.
        offset_steps: Number added to the step; 1 counts steps from 1, as Vaswani et al. do.

    Raises:
        InvalidArgumentError: An argument is out of its range.

    Source:
        Vaswani et al. 2017, arXiv:1706.03762, equation 3. With `offset_steps=0` the rates are those of Hugging Face's
        `get_inverse_sqrt_schedule`.
    """

    def __init__(self, peak_learning_rate: float, warmup_steps: int, *, offset_steps: int = 0) -> None:
        self.peak_learning_rate = validation.positive("peak_learning_rate", peak_learning_rate)
        self.warmup_steps = validation.steps("warmup_steps", warmup_steps)
        self.offset_steps = validation.steps("offset_steps", offset_steps, least=0)

    @classmethod
    def noam(cls, model_dim: int, warmup_steps: int, *, factor: float = 1.0) -> InverseSqrt:
        """The Transformer's schedule, `factor * model_dim**-0.5 * min(s**-0.5, s * warmup_steps**-1.5)` for s from 1.

        Args:
            model_dim: Width of the model, positive.
            warmup_steps: Number of steps of the rise.
            factor: Factor on the whole schedule, positive.

        Returns:
            An `InverseSqrt` whose step 0 is the paper's step 1.
        """
        model_dim = validation.whole_number("model_dim", model_dim, remedy="Pass the width of the model.")
        warmup_steps = validation.steps("warmup_steps", warmup_steps)
        peak = validation.positive("factor", factor) * (model_dim * warmup_steps) ** -0.5
        return cls(peak, warmup_steps, offset_steps=1)

    def _rate(self, step: Any) -> Any:
        warmup_steps = float(self.warmup_steps)
        counted = step + self.offset_steps
        rise = counted / warmup_steps
        fall = ops.sqrt(warmup_steps / ops.maximum(counted, warmup_steps))
        return self.peak_learning_rate * ops.minimum(rise, fall)
