"""The base class of all schedules: double precision, configuration from the constructor's arguments, nesting."""

from __future__ import annotations

import inspect
from typing import Any

import keras
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
