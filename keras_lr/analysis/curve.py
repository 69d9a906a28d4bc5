"""The loss curve of a range test, checked and brought into decades."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_lr.errors import CurveError


@dataclass(frozen=True, eq=False)
class Curve:
    """One sweep's losses over log learning rate.

    Attributes:
        decades: Log10 of the learning rates, strictly increasing, shape `(n_steps,)`.
        losses: Finite losses, shape `(n_steps,)`.
    """

    decades: np.ndarray
    losses: np.ndarray

    @property
    def span_decades(self) -> float:
        """Width of the sweep, in decades."""
        return float(self.decades[-1] - self.decades[0]) if len(self.decades) else 0.0

    @property
    def steps_per_decade(self) -> float:
        """Density of the sweep; a linear sweep counts as dense as its median gap."""
        return float(1 / np.median(np.diff(self.decades)))


def read_curves(learning_rates: Any, losses: Any) -> list[Curve]:
    """One curve a repeat, with non-finite losses dropped and steps at one learning rate averaged.

    Args:
        learning_rates: Positive, not decreasing, dimensionless, shape `(n_steps,)`.
        losses: Shape `(n_steps,)`, or `(repeats, n_steps)` with NaN after a repeat stopped.

    Raises:
        CurveError: Shapes do not match, a rate is not positive and finite, rates decrease, or no loss is finite.
    """
    rates = _floats(learning_rates, name="learning_rates")
    values = _floats(losses, name="losses")
    if rates.ndim != 1:
        raise CurveError(
            f"`learning_rates` must be one-dimensional. Received shape: {rates.shape}. Pass one rate a step."
        )
    if values.ndim not in (1, 2) or values.shape[-1] != rates.shape[0]:
        raise CurveError(
            f"`losses` must have shape (n_steps,) or (repeats, n_steps) with n_steps={rates.shape[0]}, as "
            f"`learning_rates` has. Received shape: {values.shape}. Pass one loss a rate."
        )
    if not (np.isfinite(rates).all() and (rates > 0).all()):
        raise CurveError(
            f"`learning_rates` must be positive and finite. Received: {_first_bad(rates)}. Drop such steps."
        )
    if (np.diff(rates) < 0).any():
        step = int(np.argmax(np.diff(rates) < 0))
        raise CurveError(
            f"`learning_rates` must not decrease. Received: {rates[step]:g} followed by {rates[step + 1]:g} at step "
            f"{step + 1}. Sort the steps by learning rate."
        )
    if not np.isfinite(values).any():
        raise CurveError(
            f"`losses` must hold a finite loss. Received: {values.size} values, none finite. Lower `min_lr`."
        )
    return [_curve(rates, repeat) for repeat in np.atleast_2d(values)]


def _curve(rates: np.ndarray, losses: np.ndarray) -> Curve:
    finite = np.isfinite(losses)
    distinct, place, count = np.unique(rates[finite], return_inverse=True, return_counts=True)
    return Curve(np.log10(distinct), np.bincount(place, weights=losses[finite], minlength=len(distinct)) / count)


def _floats(values: Any, *, name: str) -> np.ndarray:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as err:
        raise CurveError(f"`{name}` must be an array of numbers. Received: {type(values).__name__}. {err}.") from err


def _first_bad(rates: np.ndarray) -> str:
    step = int(np.argmin(np.isfinite(rates) & (rates > 0)))
    return f"{rates[step]:g} at step {step}"
