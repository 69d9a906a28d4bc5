"""The arguments of a range test, checked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from keras_lr.errors import InvalidArgumentError, InvalidRangeError


@dataclass(frozen=True, eq=False)
class RangeTestSettings:
    """What a range test is asked to do; the arguments of `LRRangeTest` after their check.

    Attributes:
        learning_rates: Increasing, shape `(num_steps,)`, float64.
        sweep: "exponential" or "linear".
        repeats: Number of sweeps.
        validation_data: `(x, y)` or `(x, y, sample_weight)`, or None.
        monitor: Name of the loss in what `train_step` returns.
        stop_on_divergence: Whether to stop once the loss has diverged.
        verbose: "auto", a bool, or 0, 1 or 2 as in `fit`.
        refine: Whether to settle the suggestion by short runs with as many steps again.
    """

    learning_rates: np.ndarray
    sweep: Literal["exponential", "linear"]
    repeats: int
    validation_data: Any
    monitor: str
    stop_on_divergence: bool
    verbose: bool | Literal["auto", 0, 1, 2]
    refine: bool = False

    def __post_init__(self) -> None:
        check_count("repeats", self.repeats, 1)
        check_flag("stop_on_divergence", self.stop_on_divergence)
        check_flag("refine", self.refine)
        if self.verbose != "auto" and not (isinstance(self.verbose, (bool, int, np.bool_)) and 0 <= self.verbose <= 2):
            raise InvalidArgumentError(
                f'`verbose` must be "auto", True, False, 0, 1 or 2. Received: {self.verbose!r}. Leave it out.'
            )
        batch = self.validation_data
        if batch is not None and not (isinstance(batch, tuple) and len(batch) in (2, 3)):
            raise InvalidArgumentError(
                "`validation_data` must be a tuple (x, y) or (x, y, sample_weight). "
                f"Received: {type(batch).__name__}. Take one batch of your set."
            )


def sweep_learning_rates(min_lr: float, max_lr: float, num_steps: int, sweep: str) -> np.ndarray:
    """The learning rates of a sweep, increasing from `min_lr` to `max_lr`, shape `(num_steps,)`, float64.

    Raises:
        InvalidRangeError: A rate is not a finite number above 0, or `min_lr >= max_lr`.
        InvalidArgumentError: `num_steps` is below 2, or `sweep` is unknown.
    """
    for name, rate in (("min_lr", min_lr), ("max_lr", max_lr)):
        if (
            isinstance(rate, bool)
            or not isinstance(rate, (int, float, np.number))
            or not (math.isfinite(rate) and rate > 0)
        ):
            raise InvalidRangeError(
                f"`{name}` must be a finite number above 0. Received: {name}={rate!r}. Try 1e-7 to 10."
            )
    if min_lr >= max_lr:
        raise InvalidRangeError(
            f"`max_lr` must be greater than `min_lr`. Received: min_lr={min_lr}, max_lr={max_lr}. "
            + ("Swap them." if min_lr > max_lr else "Widen the range.")
        )
    check_count("num_steps", num_steps, 2)
    if sweep not in ("exponential", "linear"):
        raise InvalidArgumentError(
            f'`sweep` must be "exponential" or "linear". Received: {sweep!r}. Use "exponential".'
        )
    return np.geomspace(min_lr, max_lr, num_steps) if sweep == "exponential" else np.linspace(min_lr, max_lr, num_steps)


def check_flag(name: str, value: Any) -> None:
    """Raises `InvalidArgumentError` unless `value` is True or False."""
    if not isinstance(value, (bool, np.bool_)):
        raise InvalidArgumentError(f"`{name}` must be True or False. Received: {name}={value!r}. Pass a bool.")


def check_count(name: str, value: Any, least: int) -> None:
    """Raises `InvalidArgumentError` unless `value` is an integer of at least `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise InvalidArgumentError(
            f"`{name}` must be an integer of at least {least}. Received: {name}={value!r}. Raise it."
        )
