"""Warmup, constant rate, decay: a trapezoid."""

from __future__ import annotations

from typing import Any

import keras

from keras_lr._utils import validation
from keras_lr.schedules._base import SHAPES, Phase, Schedule, UpAndDown


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
