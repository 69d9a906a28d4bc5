"""A schedule times a factor that can change during training."""

from __future__ import annotations

from typing import Any

import keras
from keras import ops

from keras_lr._utils import validation
from keras_lr.schedules._base import PRECISION, Schedule, rate_at, schedule_or_rate


@keras.saving.register_keras_serializable(package="keras_lr")
class Scaled(Schedule):
    """A schedule times a variable factor, so that a callback can lower any schedule.

    The rate at every step, also past the schedule's end, is `factor * schedule(step)`. The factor is a variable, so
    assigning it takes effect at the next step even if the training function is already compiled. A saved model keeps
    the factor it was saved with.

    Args:
        schedule: A Keras schedule or a positive rate.
        factor: Initial value of the factor, 0 or more, stored in `keras.config.floatx()`.

    Raises:
        InvalidArgumentError: An argument is out of its range.
    """

    def __init__(self, schedule: Any, factor: float = 1.0) -> None:
        self.schedule = schedule_or_rate("schedule", schedule)
        self._factor = keras.Variable(
            validation.non_negative("factor", factor),
            trainable=False,
            dtype=keras.config.floatx(),
            aggregation="only_first_replica",
            name="learning_rate_factor",
        )

    @property
    def factor(self) -> float:
        """The current factor; assign a number, 0 or more, to change it."""
        return float(ops.convert_to_numpy(self._factor))

    @factor.setter
    def factor(self, value: float) -> None:
        self._factor.assign(validation.non_negative("factor", value))

    def _rate(self, step: Any) -> Any:
        return rate_at(self.schedule, step) * ops.cast(self._factor, PRECISION)
