"""The undisturbed decay of a loss: a mixture of falling exponentials, the tests of what it leaves unexplained, and
the plateau on which a fall suddenly ends.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls
from scipy.stats import f

# Time constants of the mixture, in units of the run's length.
TIME_CONSTANTS = np.geomspace(0.005, 10.0, 30)
# A fitted mixture counts as this many parameters in an F test.
DECAY_PARAMETERS = 4
# Noise below this fraction of the series' range is rounding.
MIN_NOISE_FRACTION = 1e-9

# The plateau: the shortest series in which one is sought.
MIN_LENGTH = 8
# In standard deviations of the noise.
MIN_STRENGTH = 3.0
FIRST_ONSET = 2
# The level must last for the rest of the run.
LAST_ONSET_FRACTION = 0.9
# The best of many onsets is tested, so a single test must be far stricter than the 1% wanted overall.
P_VALUE = 1e-4
# A straight fall has one parameter fewer; with this threshold under 0.5% of true decays are mistaken for one.
STRAIGHT_P_VALUE = 0.04
# The onset of a cut decay is searched in about so many steps, then around the best one in about so many.
COARSE_ONSETS = 24
FINE_ONSETS = 12


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


class Plateau(NamedTuple):
    """The index from which a series is level, and how far it fell before, in standard deviations of the noise."""

    onset: int
    strength: float


class PlateauFit(NamedTuple):
    """A fitted fall that ends at the onset: the noise it leaves, and the fitted curve, shape `(n,)`."""

    onset: int
    noise: float
    curve: np.ndarray


def find_plateau(values: np.ndarray) -> Plateau | None:
    """The level on which the series ends after a fall; None if a decay without an end explains it as well.

    The straight-fall model has a single column, so it can be detected and located at noise levels where a general decay
    cannot.

    Args:
        values: Finite, shape `(n,)`.
    """
    if values.size < MIN_LENGTH or not np.ptp(values) > 0:
        return None
    without, _ = fit_decay(values)
    onsets = range(FIRST_ONSET, int(LAST_ONSET_FRACTION * values.size))
    straight, cut = _fit_straight_fall(values, onsets), _fit_cut_decay(values, onsets)
    significant = [
        fit
        for fit, limit, decay_parameters in ((straight, STRAIGHT_P_VALUE, 1), (cut, P_VALUE, 4))
        if f_test(without, fit.noise**2 * values.size, values.size, 2, decay_parameters=decay_parameters) <= limit
    ]
    if not significant:
        return None
    # The cut decay has one column more, which must earn its place.
    handicap = np.sqrt((values.size - 1) / (values.size - 2))
    onset, noise, curve = min(significant, key=lambda fit: fit.noise * (handicap if fit is cut else 1.0))
    fall = curve[0] - curve[-1]
    return Plateau(onset, float(fall / noise)) if fall > MIN_STRENGTH * noise else None


def _fit_straight_fall(values: np.ndarray, onsets: range) -> PlateauFit:
    """The best straight fall to a level, by least squares over all onsets at once."""
    falls = np.maximum(0.0, 1 - np.arange(values.size)[:, np.newaxis] / np.array(onsets))
    free, left = falls - falls.mean(axis=0), values - values.mean()
    sizes = np.maximum(0.0, left @ free) / np.sum(free**2, axis=0)
    best = int(np.argmax(sizes * (left @ free)))
    curve = values.mean() + sizes[best] * free[:, best]
    return PlateauFit(onsets[best], residual_noise(float(np.sum((values - curve) ** 2)), values), curve)


def _fit_cut_decay(values: np.ndarray, onsets: range) -> PlateauFit:
    """The best decay that is level from an onset on, searched coarsely, then around the coarse onset."""
    time = np.linspace(0.0, 1.0, values.size)

    def fit(onset: int) -> tuple[float, np.ndarray]:
        falling = np.exp(-time[:, np.newaxis] / TIME_CONSTANTS) - np.exp(-time[onset] / TIME_CONSTANTS)
        return fit_non_negative(values, np.maximum(0.0, falling))

    stride = max(1, len(onsets) // COARSE_ONSETS)
    coarse = min(onsets[::stride], key=lambda onset: fit(onset)[0])
    near = range(max(onsets.start, coarse - stride + 1), min(onsets.stop, coarse + stride))
    onset = min(near[:: max(1, len(near) // FINE_ONSETS)], key=lambda onset: fit(onset)[0])
    residual, curve = fit(onset)
    return PlateauFit(onset, residual_noise(residual, values), curve)
