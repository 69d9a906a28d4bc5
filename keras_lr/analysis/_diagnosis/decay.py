"""The undisturbed course of a loss: a sum of exponentials that fall, at every speed."""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls
from scipy.stats import f

TIME_CONSTANTS = np.geomspace(0.005, 10.0, 30)


def residual_sum(values: np.ndarray, extra: np.ndarray | None = None) -> tuple[float, np.ndarray]:
    """Fits a completely monotone decay, plus non-negative multiples of `extra`.

    Args:
        values: Shape `(n,)`, evenly spaced in time.
        extra: Further columns, shape `(n, k)`.

    Returns:
        The residual sum of squares and the fitted course, shape `(n,)`.

    Source:
        Bernstein's theorem: the completely monotone functions are the non-negative mixtures of exponentials.
    """
    return fit_non_negative(values, exponentials(values.size), extra)


def exponentials(size: int, time_constants: np.ndarray = TIME_CONSTANTS) -> np.ndarray:
    """Falling exponentials over the unit interval, one a column, shape `(size, len(time_constants))`."""
    return np.asarray(np.exp(-np.linspace(0.0, 1.0, size)[:, np.newaxis] / time_constants))


def fit_non_negative(
    values: np.ndarray, basis: np.ndarray, extra: np.ndarray | None = None
) -> tuple[float, np.ndarray]:
    """Non-negative least squares on `basis` and `extra`, with a free constant."""
    columns = basis if extra is None else np.column_stack([basis, extra])
    # A free constant is projected out, so that shifting the loss changes nothing.
    means, level = columns.mean(axis=0), values.mean()
    weights, norm = nnls(columns - means, values - level)
    return float(norm**2), level + (columns - means) @ weights


def noise_left(residual: float, values: np.ndarray) -> float:
    """Root mean square that a residual sum of squares leaves of `values`, in their unit, above rounding."""
    return max(float(np.sqrt(residual / values.size)), 1e-9 * float(np.ptp(values)))


def promised_gain(values: np.ndarray) -> tuple[float, float]:
    """The fall that the fitted decay promises from as long again, and the root mean square of what it leaves over."""
    columns = exponentials(values.size)
    means, level = columns.mean(axis=0), values.mean()
    weights, norm = nnls(columns - means, values - level)
    gain = float((np.exp(-1 / TIME_CONSTANTS) - np.exp(-2 / TIME_CONSTANTS)) @ weights)
    return gain, noise_left(float(norm**2), values)


def chance_of(before: float, after: float, size: int, parameters: int, *, decay_parameters: int = 4) -> float:
    """Probability that `parameters` useless numbers lower the residual sum from `before` to `after`: an F test."""
    freedom = max(1, size - parameters - decay_parameters)
    if not after > 0:
        return 0.0 if before > after else 1.0
    return float(f.sf((before - after) / parameters / (after / freedom), parameters, freedom))
