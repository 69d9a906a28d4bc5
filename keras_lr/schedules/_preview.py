"""The rates and momentums of a schedule: `preview` computes them before training, `MomentumCycle` during it."""

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
from keras_lr.schedules._composed import Resumed, Scaled


def preview(
    schedule: Any,
    steps: int,
    *,
    momentum: tuple[float, float] | None = None,
    max_points: int = 2000,
    annotations: Mapping[int, str] | None = None,
) -> SchedulePreview:
    """Computes the learning rates of the first `steps` optimizer steps.

    Args:
        schedule: A Keras schedule or a positive rate.
        steps: Number of steps, counted from step 0.
        momentum: Lowest and highest momentum, to preview `keras_lr.MomentumCycle` too; None for no momentum.
        max_points: Largest number of steps to evaluate. Of more steps, this many are taken at even distances, including
            the first and the last.
        annotations: Labels for the plot, by the step they mark.

    Returns:
        A `SchedulePreview`: `.to_frame()` gives the numbers, `.plot()` draws them.

    Raises:
        InvalidArgumentError: `schedule` is neither a schedule nor a positive rate or gives a non-finite rate, or a
            number is out of its range.
        InvalidRangeError: `momentum` is not two increasing numbers, or is given for a rate that does not change.
    """
    checked = schedule_or_rate("schedule", schedule)
    steps = validation.steps("steps", steps)
    max_points = validation.whole_number("max_points", max_points, least=2)
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


def cycle_position_of(rate: Any) -> Callable[[Any], Any] | None:
    """The `cycle_position` of a schedule that has a cycle (`OneCycle`, `Cyclical`), also inside others; else None."""
    if isinstance(rate, Scaled):
        return cycle_position_of(rate.schedule)
    if isinstance(rate, Resumed):
        position, first = cycle_position_of(rate.schedule), rate.first_step
        return None if position is None else lambda step: position(step + first)
    return getattr(rate, "cycle_position", None)


def position_in_range(rate: Any, low: float, high: float) -> Any:
    """Position of a rate between `low` (0) and `high` (1), clipped to this range, in float64."""
    return ops.clip((ops.cast(rate, PRECISION) - low) / (high - low), 0.0, 1.0)


def momentum_at(position: Any, low: float, high: float) -> Any:
    """The momentum at a position in the cycle: `high` at its bottom (0), `low` at its top (1)."""
    return high - (high - low) * position


def _finite_rates(schedule: Any, steps: np.ndarray) -> np.ndarray:
    rates = _compiled_rates(schedule)(steps)
    if not np.isfinite(rates).all():
        first = int(steps[~np.isfinite(rates)][0])
        raise InvalidArgumentError(
            f"`schedule` must give finite learning rates. Received: a non-finite one at step {first}. "
            "Check its arguments."
        )
    return rates


def _compiled_rates(schedule: Any) -> Callable[[np.ndarray], np.ndarray]:
    """A function from steps (int64) to rates (float64), both of shape `(n_steps,)`.

    The schedule is traced once and evaluated one scalar step at a time, as in training, since one that branches on its
    step does not accept a vector.
    """

    def rates(steps: Any) -> Any:
        return tf.map_fn(lambda step: ops.cast(schedule(step), PRECISION), steps, fn_output_signature=tf.float64)

    traced = tf.function(rates, input_signature=[tf.TensorSpec([None], tf.int64)]).get_concrete_function()

    def evaluate(steps: np.ndarray) -> np.ndarray:
        return np.asarray(traced(tf.constant(steps, tf.int64)), dtype=np.float64)

    return evaluate


def _momentums(schedule: Any, steps: np.ndarray, rates: np.ndarray, momentum: Any) -> np.ndarray:
    low, high = validation.increasing_pair("momentum", momentum)
    position = cycle_position_of(schedule)
    if position is not None:
        return np.asarray(momentum_at(position(steps.astype(np.float64)), low, high))
    lowest, highest = validation.increasing_pair("schedule", (float(rates.min()), float(rates.max())))
    return np.asarray(momentum_at(position_in_range(rates, lowest, highest), low, high))


def _config(schedule: Any) -> dict[str, Any]:
    """The schedule's arguments as plain JSON values; empty for a schedule without `get_config`."""
    try:
        return dict(keras.saving.serialize_keras_object(schedule)["config"])
    except NotImplementedError:
        return {}
