"""Where a falling loss turns: it starts to rise, or it stops falling at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from keras_lr.analysis.findings.decay import TIME_CONSTANTS, chance_of, exponentials, fit_non_negative

# The best of some forty onsets is taken, so that a single test must be far stricter than the 1% wanted over all.
CHANCE = 1e-4


def rising_onset(values: np.ndarray) -> tuple[int, float] | None:
    """Index where the series starts to rise for good and the rise in units of the noise, None where it does not."""
    ceiling = values.min() + 2 * max(values[0] - values.min(), np.ptp(values[: max(3, values.size // 3)]))
    clipped = np.minimum(values, ceiling)
    basis = exponentials(values.size)

    def fit(onset: int) -> tuple[float, np.ndarray]:
        ramp = np.maximum(0.0, np.arange(values.size) - onset) / values.size
        return fit_non_negative(clipped, basis, np.column_stack([ramp, ramp**2]))

    found = _best_kink(clipped, fit, range(1, values.size - 2))
    if found is None:
        return None
    onset, noise, course = found
    rise = course[-1] - course[onset]
    return (onset, rise / noise) if rise > 3 * noise else None


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


def _best_kink(
    values: np.ndarray, fit: Callable[[int], tuple[float, np.ndarray]], onsets: range
) -> tuple[int, float, np.ndarray] | None:
    """The onset with the least residual, its noise and its course, where it beats an undisturbed decay clearly."""
    if values.size < 8 or not np.ptp(values) > 0:
        return None
    plain, _ = fit_non_negative(values, exponentials(values.size))
    stride = max(1, len(onsets) // 24)
    coarse = min(onsets[::stride], key=lambda onset: fit(onset)[0])
    near = range(max(onsets.start, coarse - stride + 1), min(onsets.stop, coarse + stride))
    onset = min(near[:: max(1, len(near) // 12)], key=lambda onset: fit(onset)[0])
    residual, course = fit(onset)
    if chance_of(plain, residual, values.size, 2) > CHANCE:
        return None
    return onset, max(np.sqrt(residual / values.size), 1e-9 * np.ptp(values)), course
