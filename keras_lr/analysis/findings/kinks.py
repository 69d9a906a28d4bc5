"""Where a falling loss turns: it starts to rise, or it stops falling at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from keras_lr.analysis.findings.decay import TIME_CONSTANTS, chance_of, exponentials, fit_non_negative
from keras_lr.analysis.series import noise_level

# The best of some forty onsets is taken, so that a single test must be far stricter than the 1% wanted over all.
CHANCE = 1e-4
# Of the exponential over the whole rise; 0 is a straight one.
GROWTH_RATES = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)
MIN_FAR_POINTS = 3
# Of the early range, by which a loss may have begun to rise before it counts as a jump no more.
MAX_CREEP = 0.1

Turn = tuple[int, float, np.ndarray]


def rising_onset(values: np.ndarray) -> tuple[int, float] | None:
    """Index where the series starts to rise for good and the rise in units of the noise, None where it does not.

    The onset is searched with a bent ramp, which fits any rise, and then placed by the one of a straight and some
    exponential rises that fits best: the fewer its columns, the sharper the onset.
    """
    if jump := _jump(values):
        return jump
    series = _near_part(values)
    basis = exponentials(series.size)
    onsets = range(1, series.size - 2)

    def fit(growth_rate: float | None) -> Callable[[int], tuple[float, np.ndarray]]:
        def at(onset: int) -> tuple[float, np.ndarray]:
            ramp = np.maximum(0.0, np.arange(series.size) - onset) / (series.size - 1 - onset)
            return fit_non_negative(series, basis, _rise(ramp, growth_rate))

        return at

    found = _best_kink(series, fit(None), onsets)
    if found is None:
        return None
    single = [_least(series, fit(rate), onsets) for rate in GROWTH_RATES]
    # One column more must earn its place.
    handicap = np.sqrt((series.size - 1) / (series.size - 2))
    sharpest = min(single, key=lambda turn: turn[1])
    onset, noise, course = found if found[1] * handicap < sharpest[1] else sharpest
    rise = course[-1] - course[onset]
    return (onset, rise / noise) if rise > 3 * noise else None


def _jump(values: np.ndarray) -> tuple[int, float] | None:
    """A rise within one epoch: at least three last values beyond the early range, and none before on its way there."""
    early, ceiling = _early_range(values)
    start = int(np.flatnonzero(values <= ceiling)[-1]) + 1
    if values.size - start < MIN_FAR_POINTS or start < MIN_FAR_POINTS:
        return None
    if values[start - 1] - values[:start].min() > MAX_CREEP * early:
        return None
    noise = max(noise_level(values[:start]), 1e-9 * float(np.ptp(values)))
    return start, float(np.median(values[start:]) - values[:start].min()) / noise


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


def _rise(ramp: np.ndarray, growth_rate: float | None) -> np.ndarray:
    shapes = [ramp, ramp**2] if growth_rate is None else [np.expm1(growth_rate * ramp) if growth_rate else ramp]
    return np.column_stack(shapes)


def flat_onset(values: np.ndarray) -> tuple[int, float] | None:
    """Index from which the series lies flat after a fall and the fall in units of the noise, None where it does not."""
    time = np.linspace(0.0, 1.0, values.size)

    def fit(onset: int) -> tuple[float, np.ndarray]:
        end = time[onset]
        falling = np.exp(-time[:, np.newaxis] / TIME_CONSTANTS) - np.exp(-end / TIME_CONSTANTS)
        return fit_non_negative(values, np.maximum(0.0, falling))

    found = _best_kink(values, fit, range(2, int(0.9 * values.size)))
    if found is None:
        return None
    onset, noise, course = found
    fall = course[0] - course[-1]
    return (onset, fall / noise) if fall > 3 * noise else None


def _best_kink(values: np.ndarray, fit: Callable[[int], tuple[float, np.ndarray]], onsets: range) -> Turn | None:
    """The onset with the least residual, its noise and its course, where it beats an undisturbed decay clearly."""
    if values.size < 8 or not np.ptp(values) > 0:
        return None
    plain, _ = fit_non_negative(values, exponentials(values.size))
    onset, noise, course = _least(values, fit, onsets)
    if chance_of(plain, noise**2 * values.size, values.size, 2) > CHANCE:
        return None
    return onset, noise, course


def _least(values: np.ndarray, fit: Callable[[int], tuple[float, np.ndarray]], onsets: range) -> Turn:
    """The onset with the least residual, its noise and its course."""
    stride = max(1, len(onsets) // 24)
    coarse = min(onsets[::stride], key=lambda onset: fit(onset)[0])
    near = range(max(onsets.start, coarse - stride + 1), min(onsets.stop, coarse + stride))
    onset = min(near[:: max(1, len(near) // 12)], key=lambda onset: fit(onset)[0])
    residual, course = fit(onset)
    return onset, max(np.sqrt(residual / values.size), 1e-9 * np.ptp(values)), course
