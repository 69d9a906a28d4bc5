"""A look at a schedule before training with it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_lr.errors import InvalidArgumentError
from keras_lr.records.schedule import SchedulePreview
from keras_lr.schedules import arguments
from keras_lr.schedules.evaluate import compiled


def preview(
    schedule: Any, steps: int, *, max_points: int = 2000, annotations: Mapping[int, str] | None = None
) -> SchedulePreview:
    """The rates of the first `steps` optimizer steps.

    Args:
        schedule: A Keras schedule or a positive rate.
        steps: Number of steps to look at, counted from step 0.
        max_points: Where there are more steps than this, that many are taken evenly, the first and the last with them.
        annotations: Labels by the step they belong to, for the plot.

    Returns:
        A `SchedulePreview`: `.to_frame()` for the numbers, `.plot()` for the picture.

    Raises:
        InvalidArgumentError: `schedule` is none, or a count breaks its rule.
    """
    checked = arguments.schedule_or_rate("schedule", schedule)
    steps = arguments.steps("steps", steps)
    max_points = arguments.steps("max_points", max_points, minimum=2)
    chosen = np.arange(steps) if steps <= max_points else np.linspace(0, steps - 1, max_points).round().astype(np.int64)
    marks = tuple(
        sorted((arguments.steps("annotations", step, minimum=0), label) for step, label in (annotations or {}).items())
    )
    if isinstance(checked, float):
        return SchedulePreview("constant", chosen, np.full(len(chosen), checked), steps, annotations=marks)
    rates = compiled(checked)(chosen)
    if not np.isfinite(rates).all():
        first = int(chosen[~np.isfinite(rates)][0])
        raise InvalidArgumentError(
            f"`schedule` must give finite learning rates. Received: a non-finite one at step {first}. "
            "Check its arguments."
        )
    return SchedulePreview(type(checked).__name__, chosen, rates, steps, config=_config(checked), annotations=marks)


def _config(schedule: Any) -> dict[str, Any]:
    """The schedule's arguments as plain JSON values; none of a schedule that defines no `get_config`."""
    try:
        return dict(keras.saving.serialize_keras_object(schedule)["config"])
    except NotImplementedError:
        return {}
