"""Schedules that rise and fall: once, again and again, or with sudden restarts."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops

from keras_lr._utils import validation
from keras_lr.errors import InvalidArgumentError, InvalidRangeError
from keras_lr.schedules._base import Phase, Schedule, UpAndDown


@keras.saving.register_keras_serializable(package="keras_lr")
class OneCycle(Schedule):
    """Rises to a peak and falls to almost zero, once over the whole run.

    With `n = total_steps` and `r = warmup_fraction` the rate is `peak_learning_rate / div_factor` at step 0, the peak
    at step `r * n - 1`, and `peak_learning_rate / div_factor / final_div_factor` from step `n - 1`, the last of the
    training. With `three_phase` it is back at the initial rate at step `2 * r * n - 2` and falls to the final rate from
    there.

    Args:
        peak_learning_rate: Highest rate, positive.
        total_steps: Number of optimizer steps of the whole run.
        warmup_fraction: Fraction of the steps in which the rate rises, in (0, 1), at most 0.5 with `three_phase`.
        div_factor: Ratio of peak to initial rate, at least 1.
        final_div_factor: Ratio of initial to final rate, at least 1.
        shape: "cosine" or "linear".
        three_phase: Whether to fall to the initial rate first, in as many steps as the rise, and then to the final
            rate.

    Raises:
        InvalidArgumentError: An argument is out of its range, or the rise is shorter than one step.

    Source:
        Smith & Topin 2017, arXiv:1708.07120; the rates are those of `torch.optim.lr_scheduler.OneCycleLR`, which raises
        an error past the last step, where this schedule keeps its final rate.

    Example:
        >>> schedule = keras_lr.schedules.OneCycle(1e-2, total_steps=1000)
        >>> keras.optimizers.Adam(schedule)
    """

    def __init__(
        self,
        peak_learning_rate: float,
        total_steps: int,
        *,
        warmup_fraction: float = 0.3,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        shape: str = "cosine",
        three_phase: bool = False,
    ) -> None:
        self.peak_learning_rate = validation.positive("peak_learning_rate", peak_learning_rate)
        self.total_steps = validation.steps("total_steps", total_steps, least=2)
        self.warmup_fraction = validation.open_fraction("warmup_fraction", warmup_fraction)
        self.div_factor = _at_least_one("div_factor", div_factor)
        self.final_div_factor = _at_least_one("final_div_factor", final_div_factor)
        self.shape = validation.choice("shape", shape, ("cosine", "linear"))
        self.three_phase = validation.flag("three_phase", three_phase)
        if self.warmup_fraction * self.total_steps <= 1:
            raise InvalidArgumentError(
                "`warmup_fraction * total_steps` must be greater than 1. Received: "
                f"warmup_fraction={warmup_fraction}, total_steps={total_steps}. Raise either."
            )
        if self.three_phase and self.warmup_fraction > 0.5:
            raise InvalidArgumentError(
                f"`warmup_fraction` must be at most 0.5 with `three_phase`. Received: {warmup_fraction}. "
                "Lower it: the first fall takes as many steps as the rise."
            )
        initial = self.peak_learning_rate / self.div_factor
        self._curve = self._cycle(initial, self.peak_learning_rate, initial / self.final_div_factor)
        self._position = self._cycle(0.0, 1.0, 0.0)

    def _cycle(self, initial: float, peak: float, final: float) -> UpAndDown:
        up = self.warmup_fraction * self.total_steps - 1
        phases = [Phase(up, initial, peak, self.shape)]
        if self.three_phase:
            phases.append(Phase(up, peak, initial, self.shape))
        left = self.total_steps - 1 - up * len(phases)
        return UpAndDown([*phases, Phase(left, phases[-1].end, final, self.shape)])

    def _rate(self, step: Any) -> Any:
        return self._curve(step)

    def cycle_position(self, step: Any) -> Any:
        """Height of the cycle at `step`, in float64: 0 at both ends, 1 at the peak."""
        return self._position(step)


def _at_least_one(name: str, value: Any) -> float:
    number = validation.real(name, value)
    if number < 1:
        raise InvalidArgumentError(
            f"`{name}` must be at least 1. Received: {value!r}. A smaller divisor would raise the rate."
        )
    return number


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

    Example:
        >>> keras_lr.schedules.Cyclical(1e-4, 1e-3, up_steps=500)
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

    Example:
        >>> keras_lr.schedules.CosineRestarts(1e-3, first_decay_steps=500)
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
