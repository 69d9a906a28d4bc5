"""Cyclical learning rates."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from keras_lr._utils import validation
from keras_lr.errors import InvalidArgumentError, InvalidRangeError
from keras_lr.schedules._base import Schedule

MODES = ("triangular", "triangular2", "exp_range")


@keras.saving.register_keras_serializable(package="keras_lr")
class Cyclical(Schedule):
    """Rises and falls linearly between two rates, without end.

    The rate is `base_learning_rate` at step 0 and at every multiple of `up_steps + down_steps`, and reaches the top of
    each cycle `up_steps` later. The height of the top of cycle `k`, counted from 0, above the base is
    `max_learning_rate - base_learning_rate` ("triangular"), that times `0.5 ** k` ("triangular2"), or that times
    `gamma ** step` ("exp_range").

    Args:
        base_learning_rate: Lowest rate, positive.
        max_learning_rate: Highest rate, above the base.
        up_steps: Number of steps from base to top; Smith recommends 2 to 10 epochs.
        down_steps: Number of steps from top to base; if None, `up_steps`.
        mode: "triangular", "triangular2" or "exp_range".
        gamma: Factor on the amplitude per step for "exp_range", in (0, 1]; 1 in the other modes.

    Raises:
        InvalidRangeError: `max_learning_rate` is not above `base_learning_rate`.
        InvalidArgumentError: Another argument is out of its range.

    Source:
        Smith 2017, arXiv:1506.01186; the rates are those of `torch.optim.lr_scheduler.CyclicLR`.
    """

    def __init__(
        self,
        base_learning_rate: float,
        max_learning_rate: float,
        up_steps: int,
        *,
        down_steps: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
    ) -> None:
        self.base_learning_rate = validation.positive("base_learning_rate", base_learning_rate)
        self.max_learning_rate = validation.positive("max_learning_rate", max_learning_rate)
        if self.max_learning_rate <= self.base_learning_rate:
            raise InvalidRangeError(
                "`max_learning_rate` must be greater than `base_learning_rate`. Received: "
                f"base_learning_rate={base_learning_rate}, max_learning_rate={max_learning_rate}. Swap or widen them."
            )
        self.up_steps = validation.steps("up_steps", up_steps)
        self.down_steps = None if down_steps is None else validation.steps("down_steps", down_steps)
        self.mode = validation.choice("mode", mode, MODES)
        self.gamma = validation.positive("gamma", gamma)
        if self.gamma > 1 or (self.gamma < 1 and self.mode != "exp_range"):
            raise InvalidArgumentError(
                f'`gamma` must be in (0, 1] with mode="exp_range" and 1 otherwise. Received: gamma={gamma}, '
                f"mode={mode!r}. Change one of them."
            )

    def _rate(self, step: Any) -> Any:
        amplitude = self.max_learning_rate - self.base_learning_rate
        return self.base_learning_rate + amplitude * self.cycle_position(step)

    def cycle_position(self, step: Any) -> Any:
        """Height above the base at `step`, as a fraction of the first cycle's height, in float64."""
        down_steps = self.down_steps or self.up_steps
        period = float(self.up_steps + down_steps)
        cycle = ops.floor(step / period)
        elapsed = step - cycle * period
        height = ops.minimum(elapsed / self.up_steps, (period - elapsed) / down_steps)
        if self.mode == "triangular2":
            return height * ops.exp(cycle * -math.log(2))
        if self.mode == "exp_range":
            return height * ops.exp(step * math.log(self.gamma))
        return height
