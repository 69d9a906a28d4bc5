"""Several schedules, one after the other."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_lr._utils import validation
from keras_lr.errors import InvalidArgumentError
from keras_lr.schedules._base import Schedule, rate_at, schedule_or_rate


@keras.saving.register_keras_serializable(package="keras_lr")
class Sequential(Schedule):
    """Schedules joined at boundaries, each counting steps from its own beginning.

    The first schedule applies from step 0 to the step before the first boundary. Schedule `k` begins with its own step
    0 at `boundaries[k - 1]`, so a boundary belongs to the schedule after it. The last schedule has no end.

    Args:
        schedules: At least two Keras schedules or positive rates.
        boundaries: Increasing steps, one fewer than the schedules.

    Raises:
        InvalidArgumentError: The lengths do not match, the boundaries do not increase, or an element of `schedules` is
            neither a schedule nor a positive rate.

    Source:
        `optax.join_schedules`.
    """

    def __init__(self, schedules: Sequence[Any], boundaries: Sequence[int]) -> None:
        for name, value in (("schedules", schedules), ("boundaries", boundaries)):
            if not isinstance(value, (list, tuple)):
                raise InvalidArgumentError(f"`{name}` must be a list. Received: {value!r}. Wrap it in brackets.")
        self.schedules = [schedule_or_rate("schedules", schedule) for schedule in schedules]
        self.boundaries = [validation.steps("boundaries", boundary) for boundary in boundaries]
        if len(self.schedules) < 2 or len(self.boundaries) != len(self.schedules) - 1:
            raise InvalidArgumentError(
                "`boundaries` must be one fewer than `schedules`, and at least one. Received: "
                f"{len(self.schedules)} schedules, {len(self.boundaries)} boundaries. Put a boundary between each two."
            )
        if any(later <= earlier for earlier, later in itertools.pairwise(self.boundaries)):
            raise InvalidArgumentError(f"`boundaries` must increase. Received: {self.boundaries}. Sort them.")

    def _rate(self, step: Any) -> Any:
        rate = rate_at(self.schedules[0], step)
        for schedule, begin in zip(self.schedules[1:], self.boundaries, strict=True):
            rate = ops.where(step < begin, rate, rate_at(schedule, ops.maximum(step - begin, 0.0)))
        return rate
