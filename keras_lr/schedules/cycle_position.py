"""How high in its cycle a learning rate stands, which a momentum can follow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import ops

from keras_lr.schedules.base import PRECISION
from keras_lr.schedules.scaled import Scaled


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
