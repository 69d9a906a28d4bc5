"""The learning rates that a schedule will give, computed before training."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from keras_lr._utils.formatting import format_rate
from keras_lr.results._record import PageRecord, float_array, integer, json_object, text

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class SchedulePreview(PageRecord):
    """The learning rate at each step, and the momentum if that is cycled too.

    Attributes:
        name: Name of the schedule.
        steps: Optimizer steps, counted from 0, increasing, shape `(n_steps,)`, int64.
        learning_rates: Rate of each step, dimensionless, shape `(n_steps,)`, float64.
        total_steps: Length of the previewed training; more than `n_steps` if `steps` is only a sample of it.
        momentums: Momentum at each step, shape `(n_steps,)`, float64; None if it is not cycled.
        config: Arguments of the schedule by name, plain JSON values; may be empty.
        annotations: Steps to mark in the plot, each with a label, such as `((390, "epoch 2"),)`.

    Example:
        >>> preview = keras_lr.schedules.preview(keras_lr.schedules.OneCycle(1e-2, 1000), 1000)
        >>> preview.to_frame()
    """

    kind: ClassVar[str] = "schedule"
    page_title: ClassVar[str] = "Learning-rate schedule"

    name: str
    steps: np.ndarray
    learning_rates: np.ndarray
    total_steps: int
    momentums: np.ndarray | None = None
    config: dict[str, Any] = field(default_factory=dict)
    annotations: tuple[tuple[int, str], ...] = ()

    def __post_init__(self) -> None:
        series = [self.steps, self.learning_rates] + ([] if self.momentums is None else [self.momentums])
        shapes = [np.shape(values) for values in series]
        if len(set(shapes)) != 1 or shapes[0] == (0,):
            raise ValueError(
                f"The series of a `SchedulePreview` must be non-empty and have the same shape. Received: {shapes}."
            )

    def to_frame(self) -> pd.DataFrame:
        """One row per step: `step`, `learning_rate`, and `momentum` if it is cycled."""
        import pandas as pd

        columns = {"step": self.steps, "learning_rate": self.learning_rates}
        return pd.DataFrame(columns if self.momentums is None else {**columns, "momentum": self.momentums})

    def plot(self, ax: Any = None) -> Any:
        """Draws the rates on `ax`, a matplotlib Axes (that of a new pyplot figure if None), and returns it."""
        from keras_lr.plots import plot_schedule

        return plot_schedule(self, ax=ax)

    def __repr__(self) -> str:
        low, high = np.min(self.learning_rates), np.max(self.learning_rates)
        return (
            f"SchedulePreview({self.name!r}, {self.total_steps} steps, rates {format_rate(low)} to {format_rate(high)})"
        )

    @classmethod
    def _parse(cls, values: dict[str, Any]) -> dict[str, Any]:
        momentums = values.get("momentums")
        return {
            "name": text(values["name"]),
            "steps": _whole_numbers(values["steps"]),
            "learning_rates": float_array(values["learning_rates"], ndim=1),
            "total_steps": integer(values["total_steps"]),
            "momentums": None if momentums is None else float_array(momentums, ndim=1),
            "config": json_object("config", values.get("config", {})),
            "annotations": tuple((int(step), text(label)) for step, label in values.get("annotations", ())),
        }


def _whole_numbers(values: Any) -> np.ndarray:
    numbers = float_array(values, ndim=1)
    if not (np.isfinite(numbers).all() and (numbers == np.floor(numbers)).all()):
        raise ValueError("expected whole numbers for `steps`")
    steps = numbers.astype(np.int64)
    steps.setflags(write=False)
    return steps
