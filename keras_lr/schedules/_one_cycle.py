"""The one-cycle policy."""

from __future__ import annotations

from typing import Any

import keras

from keras_lr._utils import validation
from keras_lr.errors import InvalidArgumentError
from keras_lr.schedules._base import Phase, Schedule, UpAndDown


@keras.saving.register_keras_serializable(package="keras_lr")
class OneCycle(Schedule):
    """Rises to a peak and falls to almost zero, once over the whole training.

    With `n = total_steps` and `r = warmup_fraction` the rate is `peak_learning_rate / div_factor` at step 0, the peak
    at step `r * n - 1`, and `peak_learning_rate / div_factor / final_div_factor` from step `n - 1`, the last of the
    training. With `three_phase` it is back at the initial rate at step `2 * r * n - 2` and falls to the final rate from
    there.

    Args:
        peak_learning_rate: Highest rate, positive.
        total_steps: Number of optimizer steps of the whole training.
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
