"""Schedules made of others: with a warmup, one after the other, from a later step, or times a factor."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_lr._utils import validation
from keras_lr.errors import InvalidArgumentError
from keras_lr.schedules._base import PRECISION, SHAPES, Schedule, rate_at, schedule_or_rate


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

    Example:
        >>> keras_lr.schedules.Warmup(1e-3, warmup_steps=100)
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

    Example:
        >>> warmup = keras_lr.schedules.Warmup(1e-3, warmup_steps=100)
        >>> keras_lr.schedules.Sequential([warmup, keras_lr.schedules.FlatCosine(1e-3, 900)], [100])
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


@keras.saving.register_keras_serializable(package="keras_lr")
class Resumed(Schedule):
    """A schedule from a later step on, for a run that continues with a new optimizer, which counts from 0.

    The rate at every step is `schedule(first_step + step)`.

    Args:
        schedule: A Keras schedule or a positive rate.
        first_step: Step of the schedule at which to begin, 0 or more.

    Raises:
        InvalidArgumentError: An argument is out of its range.

    Example:
        >>> keras_lr.schedules.Resumed(keras_lr.schedules.OneCycle(1e-2, 1000), 400)
    """

    def __init__(self, schedule: Any, first_step: int) -> None:
        self.schedule = schedule_or_rate("schedule", schedule)
        self.first_step = validation.steps("first_step", first_step, least=0)

    def _rate(self, step: Any) -> Any:
        return rate_at(self.schedule, step + self.first_step)


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

    Example:
        >>> keras_lr.schedules.Scaled(1e-3, 0.1)
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
