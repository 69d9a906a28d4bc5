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

    def at(self, elapsed: Any) -> Any:
        """The value `elapsed` steps into the phase, held at `end` afterwards."""
        if self.start == self.end:
            return ops.full_like(elapsed, self.end)
        low, high = sorted((self.start, self.end))
        fraction = ops.clip(elapsed / self.num_steps, 0.0, 1.0)
        # Counted from the lower rate, so that a rate close to it keeps its digits.
        height = fraction if self.end > self.start else 1 - fraction
        return low + (high - low) * SHAPES[self.shape](height)


def piecewise(step: Any, phases: Sequence[Phase]) -> Any:
    """The value of consecutive phases at `step`, a float64 scalar, held at the last phase's end."""
    begin = 0.0
    value = phases[0].at(step)
    for before, phase in itertools.pairwise(phases):
        begin += before.num_steps
        value = ops.where(step < begin, value, phase.at(step - begin))
    return value
