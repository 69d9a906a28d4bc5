"""Where a falling series suddenly stops falling: a straight fall, or any decay, that is cut off at an onset."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from keras_lr.analysis._diagnosis.decay import TIME_CONSTANTS, f_test, fit_decay, fit_non_negative, residual_noise

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
