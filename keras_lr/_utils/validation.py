"""Argument checks. Each returns the value as a plain Python type, or raises an error that names the argument."""

from __future__ import annotations

import math
import numbers
from collections.abc import Collection, Mapping
from typing import Any, Literal, Protocol

from keras_lr._utils.names import similar_name
from keras_lr.errors import InvalidArgumentError, InvalidRangeError, MissingPackageError, ModelError

MIN_LR = 1e-7
MAX_LR = 10.0
NUM_STEPS = 100
SWEEP: Literal["exponential", "linear"] = "exponential"
REPEATS = 1


class AnyModel(Protocol):
    """A Keras model as a type checker sees it. Keras has no type information, so mypy takes `keras.Model` for Any."""

    def compile(self, *args: Any, **kwargs: Any) -> Any:
        """`keras.Model.compile`."""

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """`keras.Model.fit`."""


def _is_bool(value: Any) -> bool:
    """Whether `value` is a bool of Python or NumPy, without the time that importing NumPy takes."""
    kind = type(value)
    return isinstance(value, bool) or (kind.__module__, kind.__name__) == ("numpy", "bool")


def is_number(value: Any) -> bool:
    """Whether `value` is a real number of Python or NumPy, finite or not; a bool is not a number."""
    return isinstance(value, numbers.Real) and not _is_bool(value)


def real(name: str, value: Any) -> float:
    """`value` as a float; raises `InvalidArgumentError` unless it is a finite number."""
    if not is_number(value) or not math.isfinite(value):
        raise InvalidArgumentError(f"`{name}` must be a finite number. Received: {value!r}. Pass a float.")
    return float(value)


def positive(name: str, value: Any) -> float:
    """`value` as a float greater than 0."""
    number = real(name, value)
    if number <= 0:
        raise InvalidArgumentError(f"`{name}` must be greater than 0. Received: {value!r}. Pass a positive number.")
    return number


def non_negative(name: str, value: Any) -> float:
    """`value` as a float of at least 0."""
    number = real(name, value)
    if number < 0:
        raise InvalidArgumentError(f"`{name}` must be 0 or more. Received: {value!r}. Pass a non-negative number.")
    return number


def at_most(name: str, value: float, limit_name: str, limit: float) -> None:
    """Raises `InvalidRangeError` if `value` exceeds `limit`; the message names both arguments."""
    if value > limit:
        raise InvalidRangeError(
            f"`{name}` must be at most `{limit_name}`. Received: {name}={value!r}, {limit_name}={limit!r}. "
            f"Lower `{name}`."
        )


def increasing_pair(name: str, value: Any) -> tuple[float, float]:
    """`value` as two floats of at least 0, the second greater than the first."""
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


def share(name: str, value: Any) -> float:
    """`value` as a float from 0 to 1."""
    number = real(name, value)
    if not 0 <= number <= 1:
        raise InvalidArgumentError(
            f"`{name}` must be a number in [0, 1]. Received: {value!r}. Pass a share such as 0.4."
        )
    return number


def whole_number(name: str, value: Any, *, least: int = 1, remedy: str = "Pass a whole number.") -> int:
    """`value` as an int of at least `least`; `remedy` is a sentence to end the error message with."""
    if _is_bool(value) or not isinstance(value, numbers.Integral) or value < least:
        raise InvalidArgumentError(f"`{name}` must be an integer >= {least}. Received: {value!r}. {remedy}")
    return int(value)


def steps(name: str, value: Any, *, least: int = 1) -> int:
    """`value` as a number of optimizer steps, an int of at least `least`."""
    return whole_number(name, value, least=least, remedy="Count optimizer steps, not epochs.")


def learning_rate_range(min_lr: Any, max_lr: Any) -> tuple[float, float]:
    """`min_lr` and `max_lr` as floats above 0, the second greater than the first."""
    for name, rate in (("min_lr", min_lr), ("max_lr", max_lr)):
        if not (is_number(rate) and math.isfinite(rate) and rate > 0):
            remedy = "Try 1e-7 to 10."
            if hasattr(rate, "fit"):
                remedy = "A callback takes no model: pass it to `model.fit(..., callbacks=[...])`."
            raise InvalidRangeError(f"`{name}` must be a finite number above 0. Received: {name}={rate!r}. {remedy}")
    if min_lr >= max_lr:
        raise InvalidRangeError(
            f"`max_lr` must be greater than `min_lr`. Received: min_lr={min_lr}, max_lr={max_lr}. "
            + ("Swap them." if min_lr > max_lr else "Widen the range.")
        )
    return float(min_lr), float(max_lr)


def flag(name: str, value: Any) -> bool:
    """`value` as a bool; raises `InvalidArgumentError` for anything else, also 0 and 1."""
    if not _is_bool(value):
        raise InvalidArgumentError(f"`{name}` must be True or False. Received: {value!r}. Pass one of them.")
    return bool(value)


def choice(name: str, value: Any, options: Collection[str]) -> str:
    """`value` itself; raises `InvalidArgumentError` unless it is one of `options`."""
    if not isinstance(value, str) or value not in options:
        meant = similar_name(value, options) if isinstance(value, str) else None
        remedy = f"Did you mean {meant!r}?" if meant else "Choose one of these."
        raise InvalidArgumentError(f"`{name}` must be one of {sorted(options)}. Received: {value!r}. {remedy}")
    return value


def missing_package(user: str, package: str, extra: str) -> MissingPackageError:
    """The error for a package that `user` needs, but that only an extra of keras_lr installs."""
    return MissingPackageError(
        f'{user} needs {package}, which is not installed. Install it with: pip install "keras-lr[{extra}]"'
    )


def check_own_model(name: str, value: Any) -> None:
    """Raises `ModelError`, which says what to do, if `value` is a model of Keras 2 or of PyTorch."""
    homes = {f"{base.__module__}." for base in type(value).__mro__}
    if any(home.startswith(("tf_keras.", "tensorflow.python.keras.")) for home in homes):
        raise ModelError(
            f"`{name}` must be a Keras 3 model. Received: a model of Keras 2 (tf_keras). Unset TF_USE_LEGACY_KERAS "
            "and build the model with `import keras`."
        )
    if any(home.startswith("torch.") for home in homes):
        raise ModelError(
            f"`{name}` must be a Keras 3 model. Received: a PyTorch module. keras_lr works with Keras on TensorFlow."
        )


def check_logged(monitor: str, logs: Mapping[str, Any]) -> None:
    """Raises `ModelError` if an epoch's `logs` do not contain `monitor`."""
    if monitor not in logs:
        raise ModelError(
            f"`monitor` must name a loss in the logs. Received: {monitor!r}; the logs hold {sorted(logs)}. "
            "Name one of these."
        )
