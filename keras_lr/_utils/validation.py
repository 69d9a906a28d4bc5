"""Checks of what a user passes to a schedule: each returns the plain Python value or refuses it."""

from __future__ import annotations

import math
import numbers
from collections.abc import Collection, Mapping
from typing import Any

import keras

from keras_lr.errors import InvalidArgumentError, InvalidRangeError, ModelError


def real(name: str, value: Any) -> float:
    """`value` as a float; raises `InvalidArgumentError` unless it is a finite number."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise InvalidArgumentError(f"`{name}` must be a finite number. Received: {value!r}. Pass a float.")
    return float(value)


def positive(name: str, value: Any) -> float:
    """`value` as a float above zero."""
    number = real(name, value)
    if number <= 0:
        raise InvalidArgumentError(f"`{name}` must be greater than 0. Received: {value!r}. Pass a positive number.")
    return number


def non_negative(name: str, value: Any) -> float:
    """`value` as a float that is zero or more."""
    number = real(name, value)
    if number < 0:
        raise InvalidArgumentError(f"`{name}` must be 0 or more. Received: {value!r}. Pass a non-negative number.")
    return number


def at_most(name: str, value: float, limit_name: str, limit: float) -> None:
    """Refuses a rate above the one that must bound it."""
    if value > limit:
        raise InvalidRangeError(
            f"`{name}` must be at most `{limit_name}`. Received: {name}={value!r}, {limit_name}={limit!r}. "
            f"Lower `{name}`."
        )


def increasing_pair(name: str, value: Any) -> tuple[float, float]:
    """`value` as two floats, zero or more, the second greater than the first."""
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        raise InvalidArgumentError(f"`{name}` must be two numbers. Received: {value!r}. Pass (lowest, highest).")
    low, high = non_negative(name, value[0]), non_negative(name, value[1])
    if low >= high:
        raise InvalidRangeError(
            f"`{name}` must go from a lower to a higher number. Received: {low} to {high}. Swap or widen them."
        )
    return low, high


def open_fraction(name: str, value: Any) -> float:
    """`value` as a float strictly between 0 and 1."""
    number = real(name, value)
    if not 0 < number < 1:
        raise InvalidArgumentError(
            f"`{name}` must be greater than 0 and less than 1. Received: {value!r}. Pass a fraction such as 0.3."
        )
    return number


def steps(name: str, value: Any, *, minimum: int = 1) -> int:
    """`value` as an int of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < minimum:
        raise InvalidArgumentError(
            f"`{name}` must be an integer of at least {minimum}. Received: {value!r}. "
            "Count optimizer steps, not epochs."
        )
    return int(value)


def flag(name: str, value: Any) -> bool:
    """`value` itself where it is a bool."""
    if not isinstance(value, bool):
        raise InvalidArgumentError(f"`{name}` must be True or False. Received: {value!r}. Pass a bool.")
    return value


def choice(name: str, value: Any, options: Collection[str]) -> str:
    """`value` itself where it is one of `options`."""
    if not isinstance(value, str) or value not in options:
        raise InvalidArgumentError(
            f"`{name}` must be one of {sorted(options)}. Received: {value!r}. Choose one of these."
        )
    return value


def schedule_or_rate(name: str, value: Any) -> Any:
    """A Keras schedule as it is, or a positive constant rate as a float."""
    if isinstance(value, keras.optimizers.schedules.LearningRateSchedule):
        return value
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise InvalidArgumentError(
            f"`{name}` must be a keras LearningRateSchedule or a learning rate. Received: {value!r}. "
            "Pass a schedule object or a positive float."
        )
    return positive(name, value)


def check_logged(monitor: str, logs: Mapping[str, Any]) -> None:
    """Refuses the name of a loss that an epoch does not log.

    Raises:
        ModelError: `logs` do not hold it.
    """
    if monitor not in logs:
        raise ModelError(
            f"`monitor` must name a loss in the logs. Received: {monitor!r}; the logs hold {sorted(logs)}. "
            "Name one of these."
        )
