"""A constant rate with a cosine decay at the end."""

from __future__ import annotations

from typing import Any

import keras

from keras_lr._utils import validation
from keras_lr.schedules._base import Phase, Schedule, UpAndDown


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
