"""A rate that moves from one value to the next in phases, each with a shape."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
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

    @property
    def rises(self) -> bool:
        """Whether it ends above its start."""
        return self.end > self.start

    def line(self, begin: float) -> tuple[float, float]:
        """`slope, offset` of the height of the phase begun at step `begin`: 0 at its lower rate, 1 at its upper one.

        It is counted from the lower rate, so that a rate close to it keeps its digits.
        """
        slope = (1 if self.rises else -1) / self.num_steps
        return slope, (0.0 if self.rises else 1.0) - slope * begin


class UpAndDown:
    """Phases that rise first and then fall, held at the last one's end: a function of the step, both in float64.

    The rises, each held at both its ends, add up to one curve and the falls to another, and the value is the lower of
    the two. So all phases are computed at once and none has to be chosen, which would cost a training step most.

    Args:
        phases: At least one; level phases may stand anywhere.
    """

    def __init__(self, phases: Sequence[Phase]) -> None:
        begins = list(itertools.accumulate((phase.num_steps for phase in phases[:-1]), initial=0.0))
        moving = [pair for pair in zip(begins, phases, strict=True) if pair[1].start != pair[1].end]
        sides = [[pair for pair in moving if pair[1].rises is rises] for rises in (True, False)]
        self._lowest = np.array([phases[0].start if any(sides[0]) else np.inf, phases[-1].end])
        shapes = dict.fromkeys(phase.shape for _, phase in moving)
        self._lines = [(SHAPES[shape], _lines(sides, shape)) for shape in shapes]
        if sum(map(len, sides)) == 1:
            # Scalars in place of arrays with one number in them, which take three more operations a step.
            self._lowest = self._lowest.min()
            self._lines = [(shaped, lines.sum(axis=(-2, -1))) for shaped, lines in self._lines]

    def __call__(self, step: Any) -> Any:
        arrays = self._lowest.ndim
        if arrays:
            step = ops.reshape(step, (*step.shape, 1, 1))
        curves = ops.convert_to_tensor(self._lowest, step.dtype)
        for shaped, (slopes, offsets, spans) in self._lines:
            climbed = spans * shaped(ops.clip(slopes * step + offsets, 0.0, 1.0))
            curves = curves + (ops.sum(climbed, axis=-1) if arrays else climbed)
        return ops.min(curves, axis=-1) if arrays else curves


def _lines(sides: Sequence[Sequence[tuple[float, Phase]]], shape: str) -> np.ndarray:
    """Slopes, offsets and spans of the phases of one shape, shape `(3, sides, most phases of a side)`, 0 elsewhere."""
    lines = np.zeros((3, len(sides), max(map(len, sides))))
    for row, side in enumerate(sides):
        for column, (begin, phase) in enumerate(side):
            if phase.shape == shape:
                lines[:, row, column] = (*phase.line(begin), abs(phase.end - phase.start))
    return lines
