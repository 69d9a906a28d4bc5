"""A look at a schedule before training with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from keras_lr._utils import validation
from keras_lr.errors import InvalidArgumentError
from keras_lr.results._schedule import SchedulePreview
from keras_lr.schedules._base import PRECISION, schedule_or_rate
from keras_lr.schedules._scaled import Scaled


def own_position(rate: Any) -> Callable[[Any], Any] | None:
    """The `cycle_position` of a schedule that has a cycle (`OneCycle`, `Cyclical`), also under a factor; else None."""
    schedule = rate.schedule if isinstance(rate, Scaled) else rate
    return getattr(schedule, "cycle_position", None)


def position_in_range(rate: Any, low: float, high: float) -> Any:
    """Where a rate lies between `low` (0) and `high` (1), held at both ends, in float64."""
    return ops.clip((ops.cast(rate, PRECISION) - low) / (high - low), 0.0, 1.0)


def opposed(position: Any, low: float, high: float) -> Any:
    """`high` at the bottom of the cycle and `low` at its top."""
    return high - (high - low) * position


def compiled(schedule: Any) -> Callable[[np.ndarray], np.ndarray]:
    """A function from steps to the rates of `schedule`, both of shape `(n_steps,)`, int64 to float64.

    The schedule is traced once and sees one scalar step at a time, as in training; a schedule that branches on its step
    could not take a vector.
    """

    def rates(steps: Any) -> Any:
        return tf.map_fn(lambda step: ops.cast(schedule(step), "float64"), steps, fn_output_signature=tf.float64)

    traced = tf.function(rates, input_signature=[tf.TensorSpec([None], tf.int64)]).get_concrete_function()

    def evaluate(steps: np.ndarray) -> np.ndarray:
        return np.asarray(traced(tf.constant(steps, tf.int64)), dtype=np.float64)

    return evaluate


def preview(
    schedule: Any,
    steps: int,
    *,
    momentum: tuple[float, float] | None = None,
    max_points: int = 2000,
    annotations: Mapping[int, str] | None = None,
) -> SchedulePreview:
    """The rates of the first `steps` optimizer steps.

    Args:
        schedule: A Keras schedule or a positive rate.
        steps: Number of steps to look at, counted from step 0.
        momentum: Lowest and highest momentum, to see what `keras_lr.MomentumCycle` will do; None for none.
        max_points: Where there are more steps than this, that many are taken evenly, the first and the last with them.
        annotations: Labels by the step they belong to, for the plot.

    Returns:
        A `SchedulePreview`: `.to_frame()` for the numbers, `.plot()` for the picture.

    Raises:
        InvalidArgumentError: `schedule` is none, or a count breaks its rule.
        InvalidRangeError: `momentum` is not two increasing numbers, or follows a rate that does not change.
    """
    checked = schedule_or_rate("schedule", schedule)
    steps = validation.steps("steps", steps)
    max_points = validation.steps("max_points", max_points, least=2)
    chosen = np.arange(steps) if steps <= max_points else np.linspace(0, steps - 1, max_points).round().astype(np.int64)
    marks = [(validation.steps("annotations", step, least=0), label) for step, label in (annotations or {}).items()]
    constant = isinstance(checked, float)
    rates = np.full(len(chosen), checked) if constant else _finite_rates(checked, chosen)
    return SchedulePreview(
        "constant" if constant else type(checked).__name__,
        chosen,
        rates,
        steps,
        momentums=None if momentum is None else _momentums(checked, chosen, rates, momentum),
        config={} if constant else _config(checked),
        annotations=tuple(sorted(marks)),
    )


def _finite_rates(schedule: Any, steps: np.ndarray) -> np.ndarray:
    rates = compiled(schedule)(steps)
    if not np.isfinite(rates).all():
        first = int(steps[~np.isfinite(rates)][0])
        raise InvalidArgumentError(
            f"`schedule` must give finite learning rates. Received: a non-finite one at step {first}. "
            "Check its arguments."
        )
    return rates


def _momentums(schedule: Any, steps: np.ndarray, rates: np.ndarray, momentum: Any) -> np.ndarray:
    low, high = validation.increasing_pair("momentum", momentum)
    position = own_position(schedule)
    if position is not None:
        return np.asarray(opposed(position(steps.astype(np.float64)), low, high))
    bottom, top = validation.increasing_pair("schedule", (float(rates.min()), float(rates.max())))
    return np.asarray(opposed(position_in_range(rates, bottom, top), low, high))


def _config(schedule: Any) -> dict[str, Any]:
    """The schedule's arguments as plain JSON values; none of a schedule that defines no `get_config`."""
    try:
        return dict(keras.saving.serialize_keras_object(schedule)["config"])
    except NotImplementedError:
        return {}
