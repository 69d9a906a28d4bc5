"""Where a falling loss starts to rise for good."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from keras_lr.analysis.findings.decay import chance_of, exponentials, noise_left, residual_sum
from keras_lr.analysis.series import noise_level

MIN_LENGTH = 8
# The loss must rise beyond three times its noise as well, which leaves under 0.5% of decays with noise alone.
CHANCE = 0.05
MIN_STRENGTH = 3.0
# Of the decay, in units of the run's length: first all, then times the best.
TIME_CONSTANTS = np.geomspace(0.01, 10.0, 60)
NEAR_TIME_CONSTANTS = np.geomspace(0.85, 1.18, 15)
MAX_COARSE_ONSETS = 40
NEAR_STRIDES = 5
# E-folds over the whole rise; the first is as good as straight.
GROWTHS = np.array([1e-3, *np.linspace(0.25, 6.0, 24)])
# In twice the logarithm of the likelihood.
FALL_COST = 100.0
MIN_FAR_POINTS = 3
# Of the early range, by which a loss may have begun to rise before it counts as a jump no more.
MAX_CREEP = 0.1


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
    stride = max(1, size // MAX_COARSE_ONSETS)
    coarse, time_constant, _ = _place(series, range(1, size - 2, stride), TIME_CONSTANTS)
    near = range(max(1, coarse - NEAR_STRIDES * stride), min(size - 2, coarse + NEAR_STRIDES * stride + 1))
    onset, _, shape = _place(series, near, time_constant * NEAR_TIME_CONSTANTS)
    plain, _ = residual_sum(series)
    residual, course = residual_sum(series, shape[:, np.newaxis])
    if chance_of(plain, residual, size, 3, decay_parameters=3) > CHANCE:
        return None
    rise = Rise(onset, float(course[-1] - course[onset]), noise_left(residual, series))
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
    noise = max(noise_level(values[:start]), 1e-9 * float(np.ptp(values)))
    return Rise(start, float(np.median(values[start:])) - lowest, noise)


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


def _place(series: np.ndarray, onsets: range, time_constants: np.ndarray) -> tuple[int, float, np.ndarray]:
    """The rise that with one exponential decay leaves the least: its onset, the decay's time constant, its own shape.

    Every decay is tried with every rise, by least squares on the two and a constant in closed form. A quick rise from
    an early onset, hidden by a slow fall, fits as well as a slower one from where the loss turns: what the course
    still falls after the onset, as a share of the rise, is a cost beside the logarithm of the residual sum.
    """
    size = series.size
    onset, growth = (grid.ravel() for grid in np.meshgrid(onsets, GROWTHS))
    ramp = np.maximum(0.0, np.arange(size)[:, np.newaxis] - onset) / (size - 1 - onset)
    shapes = np.expm1(growth * ramp) / np.expm1(growth)
    decays = exponentials(size, time_constants)
    centred, falls, rises = (part - part.mean(axis=0) for part in (series, decays, shapes))
    ff, rr, fr = np.sum(falls**2, axis=0)[:, np.newaxis], np.sum(rises**2, axis=0), falls.T @ rises
    fy, ry = (falls.T @ centred)[:, np.newaxis], rises.T @ centred
    determinant = np.maximum(ff * rr - fr**2, 1e-12 * ff * rr)
    fall, rise = (rr * fy - fr * ry) / determinant, (ff * ry - fr * fy) / determinant
    total = float(centred @ centred)
    left = np.maximum(total - fall * fy - rise * ry, 1e-18 * total)
    with np.errstate(divide="ignore", invalid="ignore"):
        cost = size * np.log(left) + FALL_COST * _fall_after(onset / (size - 1), growth, fall / rise, time_constants)
    cost[(fall < 0) | (rise <= 0)] = np.inf
    slow, best = np.unravel_index(int(np.argmin(cost)), cost.shape)
    return int(onset[best]), float(time_constants[slow]), shapes[:, best]


def _fall_after(onset: np.ndarray, growth: np.ndarray, weight: np.ndarray, time_constants: np.ndarray) -> np.ndarray:
    """How far the course still falls after the onset, over the rise.

    Args:
        onset: In units of the run's length, shape `(k,)`.
        growth: E-folds from the onset to the end, shape `(k,)`.
        weight: The decay's over the rise's, shape `(m, k)`.
        time_constants: In units of the run's length, shape `(m,)`.
    """
    pace, rate = 1 / time_constants[:, np.newaxis], growth / (1 - onset)
    start = weight * np.exp(-onset * pace)
    # The slopes of the two cancel here.
    turn = np.log(start * pace * np.expm1(growth) / rate) / (rate + pace)
    turn = np.clip(turn, 0.0, 1 - onset)
    return np.asarray(-start * np.expm1(-turn * pace) - np.expm1(rate * turn) / np.expm1(growth))
