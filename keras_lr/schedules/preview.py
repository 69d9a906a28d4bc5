"""A look at a schedule before training with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from keras_lr.errors import InvalidArgumentError
from keras_lr.records.base import Record, float_array, present, text
from keras_lr.schedules import arguments
from keras_lr.schedules.evaluate import compiled


@dataclass(frozen=True, eq=False)
class SchedulePreview(Record):
    """The learning rates a schedule will give.

    Attributes:
        name: What the schedule is called.
        steps: Optimizer steps, counted from 0, shape `(n_steps,)`, float64 whole numbers.
        learning_rates: Rate of each step, dimensionless, shape `(n_steps,)`, float64.
    """

    kind: ClassVar[str] = "schedule_preview"

    name: str
    steps: np.ndarray
    learning_rates: np.ndarray

    def __post_init__(self) -> None:
        if np.shape(self.steps) != np.shape(self.learning_rates):
            raise ValueError(
                f"`steps` and `learning_rates` must have one shape. Received: {np.shape(self.steps)} and "
                f"{np.shape(self.learning_rates)}."
            )

    def to_frame(self) -> pd.DataFrame:
        """One row a step: `step` (int64) and `learning_rate`."""
        return pd.DataFrame({"step": self.steps.astype(np.int64), "learning_rate": self.learning_rates})

    def plot(self, ax: Any = None) -> Any:
        """Draws the rates on `ax`, a matplotlib Axes (a new one where None), and returns it."""
        return present("plots").plot_schedule(self, ax=ax)

    @classmethod
    def _parse(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {
            "name": text(values["name"]),
            "steps": float_array(values["steps"], ndim=1),
            "learning_rates": float_array(values["learning_rates"], ndim=1),
        }


def preview(schedule: Any, steps: int, *, max_points: int = 2000) -> SchedulePreview:
    """The rates of the first `steps` optimizer steps.

    Args:
        schedule: A Keras schedule or a positive rate.
        steps: Number of steps to look at, counted from step 0.
        max_points: Where there are more steps than this, that many are taken evenly, the first and the last with them.

    Returns:
        A `SchedulePreview`: `.to_frame()` for the numbers, `.plot()` for the picture.

    Raises:
        InvalidArgumentError: `schedule` is none, or a count breaks its rule.
    """
    checked = arguments.schedule_or_rate("schedule", schedule)
    steps = arguments.steps("steps", steps)
    max_points = arguments.steps("max_points", max_points, minimum=2)
    chosen = np.arange(steps) if steps <= max_points else np.linspace(0, steps - 1, max_points).round().astype(np.int64)
    if isinstance(checked, float):
        return SchedulePreview("constant", chosen.astype(np.float64), np.full(len(chosen), checked))
    rates = compiled(checked)(chosen)
    if not np.isfinite(rates).all():
        first = int(chosen[~np.isfinite(rates)][0])
        raise InvalidArgumentError(
            f"`schedule` must give finite learning rates. Received: a non-finite one at step {first}. "
            "Check its arguments."
        )
    return SchedulePreview(type(checked).__name__, chosen.astype(np.float64), rates)
