"""Where a series starts to rise for good: a jump within one epoch, or a rise that grows beside a decay.

A gradual rise is placed by its likelihood: every onset is tried with every growth of the rise and every time constant
of the decay. It counts only if it explains the series better than a decay alone, and exceeds the noise.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from keras_lr.analysis._diagnosis.decay import exponentials, f_test, fit_decay, residual_noise
from keras_lr.analysis._statistics import curvature_noise

MIN_LENGTH = 8
# A loose limit, because the rise must also exceed `MIN_STRENGTH`; under 2% of noisy decays pass both, at any length.
P_VALUE = 0.2
# In standard deviations of the noise.
MIN_STRENGTH = 3.0
RISE_PARAMETERS = 3
DECAY_PARAMETERS = 3

# A jump needs this many values before it, and after it.
MIN_JUMP_POINTS = 3
# Fraction of the early range; a loss that crept up by more than this before the jump is not a jump.
MAX_CREEP = 0.1

# Time constants of the decay in the first pass, in units of the run's length; the second multiplies the best one.
TIME_CONSTANTS = np.geomspace(0.01, 10.0, 60)
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
    if f_test(without, residual, size, RISE_PARAMETERS, decay_parameters=DECAY_PARAMETERS) > P_VALUE:
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
    coarse = _most_likely_rise(series, range(1, size - 2, stride), GROWTHS, TIME_CONSTANTS)
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
