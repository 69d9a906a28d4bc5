"""Where a falling loss starts to rise for good."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from keras_lr.analysis.findings.decay import chance_of, noise_left, residual_sum
from keras_lr.analysis.findings.rise_onset import place_rise
from keras_lr.analysis.series import noise_level

MIN_LENGTH = 8
# The loss must rise beyond three times its noise as well; under 2% of decays with noise alone do both, at any length.
CHANCE = 0.2
MIN_STRENGTH = 3.0
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
