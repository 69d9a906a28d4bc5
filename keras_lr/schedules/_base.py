"""What schedules are built of: their base class, with configuration and nesting, and phases that rise and fall."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_lr._utils import validation
from keras_lr._utils.names import SuggestsArguments
from keras_lr.errors import InvalidArgumentError

PRECISION = "float64"
"""Data type of all computations inside a schedule."""


class Schedule(SuggestsArguments, keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """Base of every keras_lr schedule: a pure function of the optimizer's step.

    A subclass stores each constructor argument under its own name and defines `_rate`, which receives the step in
    float64. In float32, neighbouring steps above 2**24 are equal, and `1 + cos(x)` near the end of a decay has no
    correct digit. The result is cast to `keras.config.floatx()`.
    """

    def __call__(self, step: Any) -> Any:
        """The learning rate of optimizer step `step`, counted from 0, a scalar of `keras.config.floatx()`."""
        return ops.cast(self._rate(ops.cast(step, PRECISION)), keras.config.floatx())

    def _rate(self, step: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define `_rate`.")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments by name, with nested schedules in Keras's serialized form."""
        return {name: _serialize(getattr(self, name)) for name in _argument_names(type(self))}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """The schedule that `get_config` described."""
        return cls(**{name: _deserialize(value) for name, value in config.items()})

    def __repr__(self) -> str:
        arguments = ", ".join(f"{name}={getattr(self, name)!r}" for name in _argument_names(type(self)))
        return f"{type(self).__name__}({arguments})"


def rate_at(schedule: Any, step: Any) -> Any:
    """The rate of a schedule, or of a constant, at `step`, in float64.

    The rate of a keras_lr schedule is read before it is cast to `floatx`, so nesting costs no precision.
    """
    if isinstance(schedule, Schedule):
        return schedule._rate(step)
    if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        return ops.cast(schedule(ops.cast(step, "int64")), PRECISION)
    return ops.convert_to_tensor(schedule, PRECISION)


def schedule_or_rate(name: str, value: Any) -> Any:
    """`value` itself if it is a Keras schedule, or as a float if it is a positive rate."""
    if isinstance(value, keras.optimizers.schedules.LearningRateSchedule):
        return value
    if not validation.is_number(value):
        raise InvalidArgumentError(
            f"`{name}` must be a keras LearningRateSchedule or a learning rate. Received: {value!r}. "
            "Pass a schedule object or a positive float."
        )
    return validation.positive(name, value)


def _linear(height: Any) -> Any:
    return height


def _cosine(height: Any) -> Any:
    return ops.square(ops.sin(height * (math.pi / 2)))


def _one_minus_sqrt(height: Any) -> Any:
    return 1 - ops.sqrt(1 - height)


SHAPES: dict[str, Callable[[Any], Any]] = {"linear": _linear, "cosine": _cosine, "1-sqrt": _one_minus_sqrt}
"""The rate between the lower (0) and the upper (1) rate of a phase, as a function of the fraction of the way up."""


class Phase(NamedTuple):
    """One part of a schedule.

    Attributes:
        num_steps: Length in optimizer steps, positive, not necessarily whole.
        start: Rate at the first step.
        end: Rate at the first step of the next phase.
        shape: A key of `SHAPES`.
    """

    num_steps: float
    start: float
    end: float
    shape: str

    @property
    def rises(self) -> bool:
        """Whether the phase ends above its start."""
        return self.end > self.start

    def line(self, begin: float) -> tuple[float, float]:
        """`slope, offset` of the fraction of the way up, `slope * step + offset`, if the phase begins at step `begin`.

        The fraction is 0 at the lower rate and 1 at the upper rate. Measuring from the lower rate keeps the digits of
        rates close to it.
        """
        slope = (1 if self.rises else -1) / self.num_steps
        return slope, (0.0 if self.rises else 1.0) - slope * begin


class UpAndDown:
    """Phases that rise first and then fall: the rate as a function of the step, both in float64.

    Each phase is clipped to its two ends, so it is constant before it begins and after it ends. The rises then add up
    to one curve and the falls to another, and the rate is the lower of the two curves. All phases are computed at once,
    because choosing one by the step would cost most of the time. After the last phase the rate stays at its end.

    The phases of one shape are rows in an array `(slopes, offsets, spans)` of shape `(3, 2, n_phases)`, where index 0
    of the second axis holds the rises and index 1 the falls; `spans` are the differences between the two rates.

    Args:
        phases: At least one; constant phases may be anywhere.
    """

    def __init__(self, phases: Sequence[Phase]) -> None:
        begins = list(itertools.accumulate((phase.num_steps for phase in phases[:-1]), initial=0.0))
        moving = [pair for pair in zip(begins, phases, strict=True) if pair[1].start != pair[1].end]
        sides = [[pair for pair in moving if pair[1].rises is rises] for rises in (True, False)]
        self._lowest = np.array([phases[0].start if any(sides[0]) else np.inf, phases[-1].end])
        shapes = dict.fromkeys(phase.shape for _, phase in moving)
        self._lines = [(SHAPES[shape], _lines(sides, shape)) for shape in shapes]
        if sum(map(len, sides)) == 1:
            # Arrays with a single element would take three more operations per step than scalars.
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


def _argument_names(cls: type) -> list[str]:
    return [name for name in inspect.signature(cls).parameters if name != "self"]


def _serialize(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [_serialize(item) for item in value]
    if isinstance(value, keras.optimizers.schedules.LearningRateSchedule):
        return keras.saving.serialize_keras_object(value)
    return value


def _deserialize(value: Any) -> Any:
    if isinstance(value, list):
        return [_deserialize(item) for item in value]
    if isinstance(value, dict):
        return keras.saving.deserialize_keras_object(value)
    return value


def _lines(sides: Sequence[Sequence[tuple[float, Phase]]], shape: str) -> np.ndarray:
    """Slopes, offsets and spans of the phases of one shape, shape `(3, n_sides, n_phases)`; 0 for other shapes."""
    lines = np.zeros((3, len(sides), max(map(len, sides))))
    for row, side in enumerate(sides):
        for column, (begin, phase) in enumerate(side):
            if phase.shape == shape:
                lines[:, row, column] = (*phase.line(begin), abs(phase.end - phase.start))
    return lines
