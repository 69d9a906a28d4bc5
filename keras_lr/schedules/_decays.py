"""Schedules that fall once: from the start, after a rise, or after a constant rate."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_lr._utils import validation
from keras_lr.schedules._base import SHAPES, Phase, Schedule, UpAndDown


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


@keras.saving.register_keras_serializable(package="keras_lr")
class FlatCosine(Schedule):
    """A constant rate that falls along half a cosine at the end.

    The rate is `initial_learning_rate` from step 0 to step `flat_fraction * total_steps`, and `end_learning_rate` from
    step `total_steps` on.

    Args:
        initial_learning_rate: The constant rate, positive.
        total_steps: Number of steps until the end of the fall.
        flat_fraction: Fraction of these steps before the fall, in (0, 1).
        end_learning_rate: Rate after the fall, at most the initial rate.

    Raises:
        InvalidArgumentError: An argument is out of its range.
        InvalidRangeError: The end rate is above the initial rate.

    Source:
        fastai's `fit_flat_cos`.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        total_steps: int,
        *,
        flat_fraction: float = 0.75,
        end_learning_rate: float = 0.0,
    ) -> None:
        self.initial_learning_rate = validation.positive("initial_learning_rate", initial_learning_rate)
        self.total_steps = validation.steps("total_steps", total_steps)
        self.flat_fraction = validation.open_fraction("flat_fraction", flat_fraction)
        self.end_learning_rate = validation.non_negative("end_learning_rate", end_learning_rate)
        validation.at_most(
            "end_learning_rate", self.end_learning_rate, "initial_learning_rate", self.initial_learning_rate
        )
        flat_steps = self.flat_fraction * self.total_steps
        peak = self.initial_learning_rate
        flat = Phase(flat_steps, peak, peak, "linear")
        self._curve = UpAndDown([flat, Phase(self.total_steps - flat_steps, peak, self.end_learning_rate, "cosine")])

    def _rate(self, step: Any) -> Any:
        return self._curve(step)


@keras.saving.register_keras_serializable(package="keras_lr")
class WarmupStableDecay(Schedule):
    """A rise, a constant rate, and a fall at the end, so that the end of the training need not be known in advance.

    The rate is `initial_learning_rate` at step 0 (the peak without a warmup), the peak from step `warmup_steps` on,
    falls from step `warmup_steps + stable_steps` on, and is `end_learning_rate` from `decay_steps` later on.

    Args:
        peak_learning_rate: Highest rate, positive.
        decay_steps: Number of steps of the fall, usually 10 to 20% of the training.
        warmup_steps: Number of steps of the rise, 0 or more.
        stable_steps: Number of steps at the peak, 0 or more.
        initial_learning_rate: Rate at step 0 if there is a warmup, at most the peak.
        end_learning_rate: Rate after the fall, at most the peak.
        warmup_shape: "linear" or "cosine".
        decay_shape: "linear", "cosine" or "1-sqrt".

    Raises:
        InvalidArgumentError: An argument is out of its range.
        InvalidRangeError: The initial or the end rate is above the peak.

    Source:
        Hu et al. 2024, arXiv:2404.06395; Hägele et al. 2024, arXiv:2405.18392, for the 1-sqrt decay. The rates are
        those of Hugging Face's `get_wsd_schedule`.
    """

    def __init__(
        self,
        peak_learning_rate: float,
        decay_steps: int,
        *,
        warmup_steps: int = 0,
        stable_steps: int = 0,
        initial_learning_rate: float = 0.0,
        end_learning_rate: float = 0.0,
        warmup_shape: str = "linear",
        decay_shape: str = "linear",
    ) -> None:
        self.peak_learning_rate = validation.positive("peak_learning_rate", peak_learning_rate)
        self.decay_steps = validation.steps("decay_steps", decay_steps)
        self.warmup_steps = validation.steps("warmup_steps", warmup_steps, least=0)
        self.stable_steps = validation.steps("stable_steps", stable_steps, least=0)
        self.initial_learning_rate = validation.non_negative("initial_learning_rate", initial_learning_rate)
        self.end_learning_rate = validation.non_negative("end_learning_rate", end_learning_rate)
        self.warmup_shape = validation.choice("warmup_shape", warmup_shape, ("linear", "cosine"))
        self.decay_shape = validation.choice("decay_shape", decay_shape, SHAPES)
        for name in ("initial_learning_rate", "end_learning_rate"):
            validation.at_most(name, getattr(self, name), "peak_learning_rate", self.peak_learning_rate)
        peak = self.peak_learning_rate
        phases = (
            Phase(self.warmup_steps, self.initial_learning_rate, peak, self.warmup_shape),
            Phase(self.stable_steps, peak, peak, "linear"),
            Phase(self.decay_steps, peak, self.end_learning_rate, self.decay_shape),
        )
        self._curve = UpAndDown([phase for phase in phases if phase.num_steps])

    def _rate(self, step: Any) -> Any:
        return self._curve(step)
