"""A rate that moves from one value to the next in phases, each with a shape."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from keras import ops


def _linear(height: Any) -> Any:
    return height


def _cosine(height: Any) -> Any:
    return ops.square(ops.sin(height * (math.pi / 2)))


def _one_minus_sqrt(height: Any) -> Any:
    return 1 - ops.sqrt(1 - height)


SHAPES: dict[str, Callable[[Any], Any]] = {"linear": _linear, "cosine": _cosine, "1-sqrt": _one_minus_sqrt}
"""How high between its lower (0) and its upper (1) rate a phase stands, by how far up it has come."""


class Phase(NamedTuple):
    """One stretch of a schedule.

    Attributes:
        num_steps: Length in optimizer steps, positive; may have a fraction.
        start: Rate at its first step.
        end: Rate where the next phase begins.
        shape: A key of `SHAPES`.
    """

    num_steps: float
    start: float
    end: float
    shape: str

    def row(self, begin: float) -> tuple[float, float, float, float]:
        """Constants `a, b, low, span` with which the phase, begun at step `begin`, is `low + span * shape(height)`.

        The height `clip(a * step + b, 0, 1)` is counted from the lower rate, so that a rate close to it keeps its
        digits.
        """
        low, span = min(self.start, self.end), abs(self.end - self.start)
        slope = (1 if self.end > self.start else -1) / self.num_steps
        return slope, (0.0 if slope > 0 else 1.0) - slope * begin, low, span


def piecewise(step: Any, phases: Sequence[Phase]) -> Any:
    """The value of consecutive phases at `step`, in float64, held at the last phase's end.

    The phase's constants are chosen first, so that only one phase is computed.
    """
    begins = list(itertools.accumulate((phase.num_steps for phase in phases[:-1]), initial=0.0))
    rows = [ops.convert_to_tensor(phase.row(begin), step.dtype) for phase, begin in zip(phases, begins, strict=True)]
    row = rows[0]
    for begin, later in zip(begins[1:], rows[1:], strict=True):
        row = ops.where(ops.expand_dims(step < begin, -1), row, later)
    slope, offset, low, span = ops.unstack(row, 4, axis=-1)
    height = ops.clip(slope * step + offset, 0.0, 1.0)
    return low + span * _shaped(step, height, phases, begins)


def _shaped(step: Any, height: Any, phases: Sequence[Phase], begins: Sequence[float]) -> Any:
    """`height` in the shape of the phase that `step` is in; where a phase is level its shape does not matter."""
    moving = [(begin, phase.shape) for begin, phase in zip(begins, phases, strict=True) if phase.start != phase.end]
    if not moving:
        return height
    values = {shape: SHAPES[shape](height) for _, shape in moving}
    value = values[moving[0][1]]
    for (_, before), (begin, shape) in itertools.pairwise(moving):
        if shape != before:
            value = ops.where(step < begin, value, values[shape])
    return value
