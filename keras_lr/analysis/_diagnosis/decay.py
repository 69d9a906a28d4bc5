"""The undisturbed decay of a loss, and how it ends: on a plateau, or in a rise.

The decay is a mixture of falling exponentials, and an F test says what it leaves unexplained. A series rises for good
in a jump within one epoch, or gradually beside a decay. A gradual rise is placed by its likelihood: every onset is
tried with every growth of the rise and every time constant of the decay. It counts only if it explains the series
better than a decay alone, and exceeds the noise.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import nnls
from scipy.stats import f

from keras_lr.analysis._statistics import curvature_noise

# Time constants of the mixture, in units of the run's length.
TIME_CONSTANTS = np.geomspace(0.005, 10.0, 30)
# A fitted mixture counts as this many parameters in an F test.
DECAY_PARAMETERS = 4
# Noise below this fraction of the series' range is rounding.
MIN_NOISE_FRACTION = 1e-9

# The shortest series in which a plateau or a rise is sought.
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

# A loose limit, because the rise must also exceed `MIN_STRENGTH`; under 2% of noisy decays pass both, at any length.
RISE_P_VALUE = 0.2
RISE_PARAMETERS = 3
RISE_DECAY_PARAMETERS = 3

# A jump needs this many values before it, and after it.
MIN_JUMP_POINTS = 3
# Fraction of the early range; a loss that crept up by more than this before the jump is not a jump.
MAX_CREEP = 0.1

# Time constants of the decay in the first pass, in units of the run's length; the second multiplies the best one.
RISE_TIME_CONSTANTS = np.geomspace(0.01, 10.0, 60)
FINE_TIME_FACTORS = np.geomspace(0.85, 1.18, 15)
# Growths of the rise, in e-folds from its onset to the end; the smallest is a straight line. The second pass adds to
# the best one.
GROWTHS = np.array([1e-3, *np.linspace(0.25, 6.0, 24)])
FINE_GROWTH_STEPS = np.linspace(-1.5, 1.5, 25)
# The first pass tries about this many onsets; the second tries all within so many strides of the best one.
MAX_COARSE_ONSETS = 40
FINE_STRIDES = 10

# Standard deviation of the prior on how far the decay still falls after the onset, as a fraction of the rise: a loss
# that starts to rise has nearly finished falling.
REMAINING_FALL = 0.08
# How far an onset may be off, as a fraction of the rise's length.
ONSET_TOLERANCE = 0.1
# The weights of the decay and the rise, and the constant.
LINEAR_PARAMETERS = 3


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


class Divergence(NamedTuple):
    """The index where a series starts to rise, how far it rises, and the noise, both in the series's unit."""

    onset: int
    rise: float
    noise: float

    @property
    def strength(self) -> float:
        """The rise in standard deviations of the noise."""
        return self.rise / self.noise


class RiseFit(NamedTuple):
    """A fitted rise: the most probable onset, and the onset, growth and time constant of the single best fit."""

    onset: int
    best_onset: int
    growth: float
    time_constant: float

    def shape(self, size: int) -> np.ndarray:
        """The rise of the best fit, from 0 at its onset to 1 at the end, shape `(size,)`."""
        return _rises(size, np.array([self.best_onset]), np.array([self.growth]))[:, 0]


def find_divergence(values: np.ndarray) -> Divergence | None:
    """The rise in which the series ends; None if noise could produce it.

    Args:
        values: Finite, shape `(n,)`, n at least 1.
    """
    if jump := _find_jump(values):
        return jump
    series = _until_far_above(values)
    size = series.size
    if size < MIN_LENGTH or not np.ptp(series) > 0:
        return None
    fit = _fit_rise(series)
    if fit is None:
        return None
    without, _ = fit_decay(series)
    residual, curve = fit_decay(series, fit.shape(size)[:, np.newaxis])
    if f_test(without, residual, size, RISE_PARAMETERS, decay_parameters=RISE_DECAY_PARAMETERS) > RISE_P_VALUE:
        return None
    found = Divergence(fit.onset, float(curve[-1] - curve[fit.onset]), residual_noise(residual, series))
    return found if found.strength > MIN_STRENGTH else None


def _find_jump(values: np.ndarray) -> Divergence | None:
    """A rise within one epoch, after which at least three values stay far above the early range."""
    early, ceiling = _early_range(values)
    start = int(np.flatnonzero(values <= ceiling)[-1]) + 1
    if values.size - start < MIN_JUMP_POINTS or start < MIN_JUMP_POINTS:
        return None
    lowest = float(values[:start].min())
    if values[start - 1] - lowest > MAX_CREEP * early:
        return None
    rise = float(np.median(values[start:])) - lowest
    return Divergence(start, rise, max(curvature_noise(values[:start]), 1e-9 * rise))


def _until_far_above(values: np.ndarray) -> np.ndarray:
    """The series up to where it leaves its early range for good: the size of an explosion does not show its onset."""
    early, ceiling = _early_range(values)
    last_near = int(np.flatnonzero(values <= ceiling)[-1])
    if last_near == values.size - 1:
        return np.asarray(np.minimum(values, ceiling))
    return np.asarray(np.minimum(values[: last_near + 2], ceiling + 2 * early))


def _early_range(values: np.ndarray) -> tuple[float, float]:
    """How far the series moved while it still fell, and the value above which it is clearly outside that range."""
    early = float(max(values[0] - values.min(), np.ptp(values[: max(3, values.size // 3)])))
    return early, float(values.min()) + 2 * early


def _fit_rise(series: np.ndarray) -> RiseFit | None:
    """The rise in which the series ends, searched coarsely, then finely around the coarse fit; None without a rise.

    Args:
        series: Shape `(n,)`, n at least 5, not constant.
    """
    size = series.size
    stride = max(1, size // MAX_COARSE_ONSETS)
    coarse = _most_likely_rise(series, range(1, size - 2, stride), GROWTHS, RISE_TIME_CONSTANTS)
    if coarse is None:
        return None
    reach = FINE_STRIDES * stride
    onsets = range(max(1, coarse.onset - reach), min(size - 2, coarse.onset + reach + 1))
    growths = np.unique(np.maximum(GROWTHS[0], coarse.growth + FINE_GROWTH_STEPS))
    return _most_likely_rise(series, onsets, growths, coarse.time_constant * FINE_TIME_FACTORS) or coarse


def _most_likely_rise(
    series: np.ndarray, onsets: range, growths: np.ndarray, time_constants: np.ndarray
) -> RiseFit | None:
    """Where a rise beside one exponential decay begins; None if no fit has a rise.

    Every decay is fitted with every rise and a constant, by least squares in closed form. The likelihood of an onset is
    the sum over all its growths and decays, because a quick rise from an early onset fits as well as a slow one from a
    late onset, so the single best fit says little about where the rise begins.
    """
    size = series.size
    growth, onset = (grid.ravel() for grid in np.meshgrid(growths, onsets, indexing="ij"))
    left, fall, rise = _least_squares(series, exponentials(size, time_constants), _rises(size, onset, growth))
    remaining = _remaining_fall(onset / (size - 1), fall, time_constants) / np.where(rise > 0, rise, 1.0)
    evidence = -0.5 * (size - LINEAR_PARAMETERS) * np.log(left) - 0.5 * (remaining / REMAINING_FALL) ** 2
    evidence[rise <= 0] = -np.inf
    row, column = np.unravel_index(int(np.argmax(evidence)), evidence.shape)
    if not np.isfinite(evidence[row, column]):
        return None
    likelihoods = np.exp(evidence - evidence[row, column]).reshape(-1, len(onsets)).sum(axis=0)
    most_probable = _most_probable_onset(np.array(onsets), likelihoods, size)
    return RiseFit(most_probable, int(onset[column]), float(growth[column]), float(time_constants[row]))


def _rises(size: int, onset: np.ndarray, growth: np.ndarray) -> np.ndarray:
    """Rises from 0 at the onset to 1 at the end, one per column, shape `(size, k)`."""
    ramp = np.maximum(0.0, np.arange(size)[:, np.newaxis] - onset) / (size - 1 - onset)
    return np.asarray(np.expm1(growth * ramp) / np.expm1(growth))


def _least_squares(series: np.ndarray, decays: np.ndarray, rises: np.ndarray) -> tuple[np.ndarray, ...]:
    """Fits each decay together with each rise and a constant.

    A decay whose weight would be negative gets the weight 0.

    Args:
        series: Shape `(n,)`.
        decays: One per column, shape `(n, m)`.
        rises: One per column, shape `(n, k)`.

    Returns:
        The residual sum of squares, the weight of the decay and the weight of the rise, each of shape `(m, k)`.
    """
    centred, falls, rises = (part - part.mean(axis=0) for part in (series, decays, rises))
    ff, rr, fr = np.sum(falls**2, axis=0)[:, np.newaxis], np.sum(rises**2, axis=0), falls.T @ rises
    fy, ry = (falls.T @ centred)[:, np.newaxis], rises.T @ centred
    determinant = np.maximum(ff * rr - fr**2, 1e-12 * ff * rr)
    fall = np.maximum((rr * fy - fr * ry) / determinant, 0.0)
    rise = (ry - fall * fr) / rr
    total = float(centred @ centred)
    explained = fall * (2 * fy - fall * ff - 2 * rise * fr) + rise * (2 * ry - rise * rr)
    return np.maximum(total - explained, 1e-18 * total), fall, rise


def _remaining_fall(onset: np.ndarray, fall: np.ndarray, time_constants: np.ndarray) -> np.ndarray:
    """How far the decay alone still falls after the onset.

    Args:
        onset: In units of the run's length, shape `(k,)`.
        fall: The decay's weight, shape `(m, k)`.
        time_constants: In units of the run's length, shape `(m,)`.

    Returns:
        In the unit of `fall`, shape `(m, k)`.
    """
    speed = 1 / time_constants[:, np.newaxis]
    return np.asarray(fall * (np.exp(-onset * speed) - np.exp(-speed)))


def _most_probable_onset(onsets: np.ndarray, likelihoods: np.ndarray, size: int) -> int:
    """The onset with most likelihood within the tolerance of it, at least one epoch; of equals, the likeliest."""
    near = np.abs(onsets - onsets[:, np.newaxis]) <= np.maximum(1.0, ONSET_TOLERANCE * (size - onsets))
    mass = near @ likelihoods
    equals = np.flatnonzero(mass >= (1 - 1e-6) * mass.max())
    return int(onsets[equals[np.argmax(likelihoods[equals])]])
