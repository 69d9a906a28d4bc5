"""A warmup before any schedule."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_lr._utils import validation
from keras_lr.schedules._base import SHAPES, Schedule, rate_at, schedule_or_rate


@keras.saving.register_keras_serializable(package="keras_lr")
class Warmup(Schedule):
    """A schedule, or a constant rate, preceded by a warmup.

    The rate is `initial_learning_rate` at step 0, rises to the first rate of the schedule at step `warmup_steps`, and
    is `schedule(step - warmup_steps)` from there on.

    Args:
        schedule: A Keras schedule or a positive rate.
        warmup_steps: Number of steps before step 0 of the schedule.
        initial_learning_rate: Rate at step 0. A constant warmup keeps it throughout, so there it must be positive.
        shape: "linear", "cosine" or "constant".

    Raises:
        InvalidArgumentError: An argument is out of its range.

    Source:
        Goyal et al. 2017, arXiv:1706.02677. With `keras.optimizers.schedules.CosineDecay` the linear warmup is Hugging
        Face's `get_cosine_schedule_with_warmup`, with a constant rate its `get_constant_schedule_with_warmup`.
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
        # During the warmup this is the first rate of the schedule, the one to rise to.
        target = rate_at(self.schedule, ops.maximum(step - self.warmup_steps, 0.0))
        initial = self.initial_learning_rate
        if self.shape == "constant":
            return ops.where(step < self.warmup_steps, initial, target)
        height = SHAPES[self.shape](ops.minimum(step / self.warmup_steps, 1.0))
        return height * target + (1 - height) * initial if initial else height * target
