"""The undisturbed decay of a loss: a mixture of falling exponentials, and the tests of what it leaves unexplained."""

from __future__ import annotations

import numpy as np
from scipy.optimize import nnls
from scipy.stats import f

# Time constants of the mixture, in units of the run's length.
TIME_CONSTANTS = np.geomspace(0.005, 10.0, 30)
# A fitted mixture counts as this many parameters in an F test.
DECAY_PARAMETERS = 4
# Noise below this fraction of the series' range is rounding.
MIN_NOISE_FRACTION = 1e-9


def exponentials(size: int, time_constants: np.ndarray = TIME_CONSTANTS) -> np.ndarray:
    """Falling exponentials over the unit interval, one per column, shape `(size, len(time_constants))`."""
    return np.asarray(np.exp(-np.linspace(0.0, 1.0, size)[:, np.newaxis] / time_constants))


def fit_decay(values: np.ndarray, extra: np.ndarray | None = None) -> tuple[float, np.ndarray]:
    """Fits a completely monotone decay plus non-negative multiples of `extra`.

    Args:
        values: Shape `(n,)`, evenly spaced in time.
        extra: Further columns, shape `(n, k)`.

    Returns:
        The residual sum of squares and the fitted curve, shape `(n,)`.

    Source:
        Bernstein's theorem: the completely monotone functions are the non-negative mixtures of exponentials.
    """
    return fit_non_negative(values, exponentials(values.size), extra)


def fit_non_negative(
    values: np.ndarray, basis: np.ndarray, extra: np.ndarray | None = None
) -> tuple[float, np.ndarray]:
    """Fits non-negative multiples of the columns of `basis` and `extra` plus a free constant.

    Args:
        values: Shape `(n,)`.
        basis: Shape `(n, m)`.
        extra: Further columns, shape `(n, k)`.

    Returns:
        The residual sum of squares and the fitted curve, shape `(n,)`.
    """
    columns = basis if extra is None else np.column_stack([basis, extra])
    residual, weights = _weights(values, columns)
    return residual, values.mean() + (columns - columns.mean(axis=0)) @ weights


def extrapolated_fall(values: np.ndarray) -> tuple[float, float]:
    """How far the fitted decay would fall if the run went on for as long again, and the noise of the fit.

    Args:
        values: Shape `(n,)`, evenly spaced in time.

    Returns:
        The fall and the `residual_noise`, both in the unit of `values` and at least 0.
    """
    residual, weights = _weights(values, exponentials(values.size))
    fall = float((np.exp(-1 / TIME_CONSTANTS) - np.exp(-2 / TIME_CONSTANTS)) @ weights)
    return fall, residual_noise(residual, values)


def residual_noise(residual: float, values: np.ndarray) -> float:
    """Root mean square of a fit's residuals, in the unit of `values` and never below rounding."""
    return max(float(np.sqrt(residual / values.size)), MIN_NOISE_FRACTION * float(np.ptp(values)))


def f_test(
    before: float, after: float, size: int, parameters: int, *, decay_parameters: int = DECAY_PARAMETERS
) -> float:
    """The p-value of an F test: how probably noise alone lowers the residual sum of squares from `before` to `after`.

    Args:
        before: Residual sum of squares of the decay alone.
        after: The same with `parameters` more.
        size: Number of values fitted.
        parameters: Number of added parameters.
        decay_parameters: Number of parameters of the decay.

    Returns:
        A probability in [0, 1].
    """
    freedom = max(1, size - parameters - decay_parameters)
    if not after > 0:
        return 0.0 if before > after else 1.0
    return float(f.sf((before - after) / parameters / (after / freedom), parameters, freedom))


def _weights(values: np.ndarray, columns: np.ndarray) -> tuple[float, np.ndarray]:
    """The residual sum of squares, and the non-negative weight of each column."""
    # Removing the means projects the free constant out, so that shifting the loss changes nothing.
    weights, norm = nnls(columns - columns.mean(axis=0), values - values.mean())
    return float(norm**2), weights
