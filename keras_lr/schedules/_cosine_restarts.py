"""Cosine decay with warm restarts."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from keras_lr._utils import validation
from keras_lr.errors import InvalidArgumentError
from keras_lr.schedules._base import Schedule


@keras.saving.register_keras_serializable(package="keras_lr")
class CosineRestarts(Schedule):
    """Falling half cosines, one after the other and without end; each may be longer and lower than the last.

    Cycle `k`, counted from 0, begins at its peak `end + (initial - end) * m_mul ** k`, lasts
    `first_decay_steps * t_mul ** k` steps, and falls to `end_learning_rate`. The rate at step 0 is the initial one.

    `keras.optimizers.schedules.CosineDecayRestarts` finds the cycle by a float32 logarithm and misses restarts; here
    each restart falls on its step.

    Args:
        initial_learning_rate: Peak of the first cycle, positive.
        first_decay_steps: Length of the first cycle in steps.
        t_mul: Ratio of the lengths of consecutive cycles, at least 1.
        m_mul: Ratio of the heights of consecutive peaks above the end rate, in (0, 1].
        end_learning_rate: Rate at the end of each cycle, at most the initial rate.

    Raises:
        InvalidArgumentError: An argument is out of its range.
        InvalidRangeError: The end rate is above the initial rate.

    Source:
        Loshchilov & Hutter 2017, arXiv:1608.03983. With `m_mul=1` the rates are those of
        `torch.optim.lr_scheduler.CosineAnnealingWarmRestarts`.
    """

    def __init__(
        self,
        initial_learning_rate: float,
        first_decay_steps: int,
        *,
        t_mul: float = 1.0,
        m_mul: float = 1.0,
        end_learning_rate: float = 0.0,
    ) -> None:
        self.initial_learning_rate = validation.positive("initial_learning_rate", initial_learning_rate)
        self.first_decay_steps = validation.steps("first_decay_steps", first_decay_steps)
        self.t_mul = validation.real("t_mul", t_mul)
        self.m_mul = validation.positive("m_mul", m_mul)
        self.end_learning_rate = validation.non_negative("end_learning_rate", end_learning_rate)
        if self.t_mul < 1:
            raise InvalidArgumentError(
                f"`t_mul` must be at least 1. Received: {t_mul}. Cycles must not become shorter and shorter."
            )
        if self.m_mul > 1:
            raise InvalidArgumentError(f"`m_mul` must be at most 1. Received: {m_mul}. Peaks must not grow.")
        validation.at_most(
            "end_learning_rate", self.end_learning_rate, "initial_learning_rate", self.initial_learning_rate
        )

    def _rate(self, step: Any) -> Any:
        cycle = self._cycle(step)
        begin, end = self._begin(cycle), self._begin(cycle + 1)
        left = ops.clip((end - step) / (end - begin), 0.0, 1.0)
        amplitude = (self.initial_learning_rate - self.end_learning_rate) * ops.power(self.m_mul, cycle)
        return self.end_learning_rate + amplitude * ops.square(ops.sin(left * (math.pi / 2)))

    def _begin(self, cycle: Any) -> Any:
        """First step of a cycle, the sum of a geometric series."""
        if self.t_mul == 1:
            return cycle * self.first_decay_steps
        return self.first_decay_steps * (ops.power(self.t_mul, cycle) - 1) / (self.t_mul - 1)

    def _cycle(self, step: Any) -> Any:
        """Index of the cycle that contains `step`."""
        if self.t_mul == 1:
            return ops.floor(step / self.first_decay_steps)
        growth = self.t_mul - 1
        cycle = ops.floor(ops.log1p(step * (growth / self.first_decay_steps)) / math.log(self.t_mul))
        # The logarithm may be a rounding error below a whole number, which would delay a restart by one step.
        return cycle + ops.cast(step >= self._begin(cycle + 1), cycle.dtype)
