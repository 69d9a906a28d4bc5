"""Where a rise beside a decay begins: the onset's likelihood over all the rises and decays that may be."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from keras_lr.analysis._diagnosis.decay import chance_of, exponentials, noise_left, residual_sum
from keras_lr.analysis._statistics import noise_level

# Of the decay, in units of the run's length: first all, then times the best.
TIME_CONSTANTS = np.geomspace(0.01, 10.0, 60)
NEAR_TIME_CONSTANTS = np.geomspace(0.85, 1.18, 15)
MAX_COARSE_ONSETS = 40
NEAR_STRIDES = 10
# E-folds over the whole rise; the first is as good as straight.
GROWTHS = np.array([1e-3, *np.linspace(0.25, 6.0, 24)])
NEAR_GROWTHS = np.linspace(-1.5, 1.5, 25)
# A loss that begins to rise has about done falling: what its decay would still fall is, over the rise, a priori normal
# with this standard deviation.
HIDDEN_FALL = 0.08
# Of the span, by which an onset may be off.
TOLERANCE = 0.1
LINEAR_PARAMETERS = 3

MIN_LENGTH = 8
# The loss must rise beyond three times its noise as well; under 2% of decays with noise alone do both, at any length.
CHANCE = 0.2
MIN_STRENGTH = 3.0
MIN_FAR_POINTS = 3
# Of the early range, by which a loss may have begun to rise before it counts as a jump no more.
MAX_CREEP = 0.1


class Placed(NamedTuple):
    """A rise's onset by all likelihoods together; the likeliest rise's own onset, growth and decay's time constant."""

    onset: int
    likeliest_onset: int
    growth: float
    time_constant: float

    def shape(self, size: int) -> np.ndarray:
        """The likeliest rise, from 0 at its onset to 1 at the end."""
        return _shapes(size, np.array([self.likeliest_onset]), np.array([self.growth]))[:, 0]


def place_rise(series: np.ndarray) -> Placed | None:
    """The rise in which the series ends, sought in two passes, the second near the first; None where there is none.

    Args:
        series: Shape `(n,)`, `n` at least 5, not constant.
    """
    size = series.size
    stride = max(1, size // MAX_COARSE_ONSETS)
    coarse = _place(series, range(1, size - 2, stride), GROWTHS, TIME_CONSTANTS)
    if coarse is None:
        return None
    near = range(max(1, coarse.onset - NEAR_STRIDES * stride), min(size - 2, coarse.onset + NEAR_STRIDES * stride + 1))
    growths = np.unique(np.maximum(GROWTHS[0], coarse.growth + NEAR_GROWTHS))
    return _place(series, near, growths, coarse.time_constant * NEAR_TIME_CONSTANTS) or coarse


def _place(series: np.ndarray, onsets: range, growths: np.ndarray, time_constants: np.ndarray) -> Placed | None:
    """Where a rise beside one exponential decay begins; None where none leaves less than no rise.

    Every decay is tried with every rise, by least squares on the two and a constant in closed form, and each onset has
    the likelihood of all its rises and decays together: a quick rise from an early onset fits as well as a slow one
    from a late onset, and the single best of them says little. The onset is the one nearest which most of it lies.
    """
    size = series.size
    growth, onset = (grid.ravel() for grid in np.meshgrid(growths, onsets, indexing="ij"))
    left, fall, rise = _least_squares(series, exponentials(size, time_constants), _shapes(size, onset, growth))
    hidden = _hidden_fall(onset / (size - 1), fall, time_constants) / np.where(rise > 0, rise, 1.0)
    evidence = -0.5 * (size - LINEAR_PARAMETERS) * np.log(left) - 0.5 * (hidden / HIDDEN_FALL) ** 2
    evidence[rise <= 0] = -np.inf
    slow, best = np.unravel_index(int(np.argmax(evidence)), evidence.shape)
    if not np.isfinite(evidence[slow, best]):
        return None
    likelihoods = np.exp(evidence - evidence[slow, best]).reshape(-1, len(onsets)).sum(axis=0)
    densest = _densest(np.array(onsets), likelihoods, size)
    return Placed(densest, int(onset[best]), float(growth[best]), float(time_constants[slow]))


def _shapes(size: int, onset: np.ndarray, growth: np.ndarray) -> np.ndarray:
    """Rises from 0 at the onset to 1 at the end, one a column."""
    ramp = np.maximum(0.0, np.arange(size)[:, np.newaxis] - onset) / (size - 1 - onset)
    return np.asarray(np.expm1(growth * ramp) / np.expm1(growth))


def _least_squares(series: np.ndarray, decays: np.ndarray, rises: np.ndarray) -> tuple[np.ndarray, ...]:
    """What each decay with each rise leaves of the sum of squares, and the two's weights, shapes `(m, k)`.

    No decay weighs less than 0: where it would, the rise stands alone.
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


def _hidden_fall(onset: np.ndarray, fall: np.ndarray, time_constants: np.ndarray) -> np.ndarray:
    """How far the decay alone still falls after the onset.

    Args:
        onset: In units of the run's length, shape `(k,)`.
        fall: The decay's weight, shape `(m, k)`.
        time_constants: In units of the run's length, shape `(m,)`.
    """
    pace = 1 / time_constants[:, np.newaxis]
    return np.asarray(fall * (np.exp(-onset * pace) - np.exp(-pace)))


def _densest(onsets: np.ndarray, likelihoods: np.ndarray, size: int) -> int:
    """The onset most likely off by at most a tenth of the span, or an epoch; the likeliest one of equals."""
    near = np.abs(onsets - onsets[:, np.newaxis]) <= np.maximum(1.0, TOLERANCE * (size - onsets))
    mass = near @ likelihoods
    equals = np.flatnonzero(mass >= (1 - 1e-6) * mass.max())
    return int(onsets[equals[np.argmax(likelihoods[equals])]])


class Rise(NamedTuple):
    """The index where a series starts to rise, how far it rises, and the noise, both in the series's unit."""

    onset: int
    size: float
    noise: float

    @property
    def strength(self) -> float:
        """The rise in units of the noise."""
        return self.size / self.noise


def find_rise(values: np.ndarray) -> Rise | None:
    """The rise in which the series ends, None where it has none that noise would not make."""
    if jump := _jump(values):
        return jump
    series = _near_part(values)
    size = series.size
    if size < MIN_LENGTH or not np.ptp(series) > 0:
        return None
    placed = place_rise(series)
    if placed is None:
        return None
    plain, _ = residual_sum(series)
    residual, course = residual_sum(series, placed.shape(size)[:, np.newaxis])
    if chance_of(plain, residual, size, 3, decay_parameters=3) > CHANCE:
        return None
    rise = Rise(placed.onset, float(course[-1] - course[placed.onset]), noise_left(residual, series))
    return rise if rise.strength > MIN_STRENGTH else None


def _jump(values: np.ndarray) -> Rise | None:
    """A rise within one epoch: at least three last values beyond the early range, and none before on its way there."""
    early, ceiling = _early_range(values)
    start = int(np.flatnonzero(values <= ceiling)[-1]) + 1
    if values.size - start < MIN_FAR_POINTS or start < MIN_FAR_POINTS:
        return None
    lowest = float(values[:start].min())
    if values[start - 1] - lowest > MAX_CREEP * early:
        return None
    size = float(np.median(values[start:])) - lowest
    return Rise(start, size, max(noise_level(values[:start]), 1e-9 * size))


def _near_part(values: np.ndarray) -> np.ndarray:
    """The series up to where it leaves its early range for good: an explosion's size says nothing about its onset."""
    early, ceiling = _early_range(values)
    last_near = int(np.flatnonzero(values <= ceiling)[-1])
    if last_near == values.size - 1:
        return np.asarray(np.minimum(values, ceiling))
    return np.asarray(np.minimum(values[: last_near + 2], ceiling + 2 * early))


def _early_range(values: np.ndarray) -> tuple[float, float]:
    """How far the loss moved while it still fell, and what lies clearly beyond it."""
    early = float(max(values[0] - values.min(), np.ptp(values[: max(3, values.size // 3)])))
    return early, float(values.min()) + 2 * early
