"""Any schedule behind a warmup."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_lr._utils import validation
from keras_lr.schedules._base import Schedule, rate_at, schedule_or_rate
from keras_lr.schedules._phases import SHAPES


@keras.saving.register_keras_serializable(package="keras_lr")
class Warmup(Schedule):
    """A schedule, or a constant rate, that begins after a warmup.

    The rate is `initial_learning_rate` at step 0, rises to the schedule's own first rate at step `warmup_steps`, and is
    `schedule(step - warmup_steps)` from there on, so past the end it does what the schedule does.

    Args:
        schedule: A Keras schedule or a positive rate.
        warmup_steps: Number of steps before the schedule's step 0.
        initial_learning_rate: Rate at step 0; must be positive for a constant warmup, which holds it.
        shape: "linear", "cosine" or "constant".

    Raises:
        InvalidArgumentError: An argument breaks its rule.

    Source:
        Goyal et al. 2017, arXiv:1706.02677. Around `keras.optimizers.schedules.CosineDecay` the linear warmup is
        Hugging Face's `get_cosine_schedule_with_warmup`, around a rate its `get_constant_schedule_with_warmup`.
    """

    def __init__(
        self,
        schedule: Any,
        warmup_steps: int,
        *,
        initial_learning_rate: float = 0.0,
        shape: str = "linear",
    ) -> None:
        self.schedule = schedule_or_rate("schedule", schedule)
        self.warmup_steps = validation.steps("warmup_steps", warmup_steps)
        self.shape = validation.choice("shape", shape, ("linear", "cosine", "constant"))
        check = validation.positive if self.shape == "constant" else validation.non_negative
        self.initial_learning_rate = check("initial_learning_rate", initial_learning_rate)

    def _rate(self, step: Any) -> Any:
        # During the warmup this is the schedule's first rate, the one to rise to.
        target = rate_at(self.schedule, ops.maximum(step - self.warmup_steps, 0.0))
        initial = self.initial_learning_rate
        if self.shape == "constant":
            return ops.where(step < self.warmup_steps, initial, target)
        height = SHAPES[self.shape](ops.minimum(step / self.warmup_steps, 1.0))
        return height * target + (1 - height) * initial if initial else height * target
