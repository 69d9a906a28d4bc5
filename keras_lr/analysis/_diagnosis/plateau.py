"""Where a falling loss stops falling at once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from keras_lr.analysis._diagnosis.decay import TIME_CONSTANTS, chance_of, fit_non_negative, noise_left, residual_sum

MIN_LENGTH = 8
# The best of many onsets is taken, so that a single test must be far stricter than the 1% wanted over all. A straight
# fall, which has a number fewer and bends where no decay does, is told from under 0.5% of decays all the same.
CHANCE = 1e-4
STRAIGHT_CHANCE = 0.04

Turn = tuple[int, float, np.ndarray]


def flat_onset(values: np.ndarray) -> tuple[int, float] | None:
    """Index from which the series lies flat after a fall and the fall in units of the noise, None where it does not.

    A straight fall has one column and is told from a decay, and placed, where any fall would be lost in the noise.
    """
    if values.size < MIN_LENGTH or not np.ptp(values) > 0:
        return None
    plain, _ = residual_sum(values)
    onsets = range(2, int(0.9 * values.size))
    straight, free = _straight_fall(values, onsets), _least(values, _cut_decay(values), onsets)
    turns = [
        turn
        for turn, chance, decay_parameters in ((straight, STRAIGHT_CHANCE, 1), (free, CHANCE, 4))
        if _chance(plain, turn, values.size, decay_parameters) <= chance
    ]
    if not turns:
        return None
    # Any fall has a column more than a straight one, which must earn its place.
    handicap = np.sqrt((values.size - 1) / (values.size - 2))
    onset, noise, course = min(turns, key=lambda turn: turn[1] * (handicap if turn is free else 1.0))
    fall = course[0] - course[-1]
    return (onset, float(fall / noise)) if fall > 3 * noise else None


def _chance(plain: float, turn: Turn, size: int, decay_parameters: int) -> float:
    return chance_of(plain, turn[1] ** 2 * size, size, 2, decay_parameters=decay_parameters)


def _straight_fall(values: np.ndarray, onsets: range) -> Turn:
    """The onset of the level after a straight fall, by least squares over all onsets at once."""
    falls = np.maximum(0.0, 1 - np.arange(values.size)[:, np.newaxis] / np.array(onsets))
    free, left = falls - falls.mean(axis=0), values - values.mean()
    sizes = np.maximum(0.0, left @ free) / np.sum(free**2, axis=0)
    best = int(np.argmax(sizes * (left @ free)))
    course = values.mean() + sizes[best] * free[:, best]
    return onsets[best], noise_left(float(np.sum((values - course) ** 2)), values), course


def _cut_decay(values: np.ndarray) -> Callable[[int], tuple[float, np.ndarray]]:
    time = np.linspace(0.0, 1.0, values.size)

    def fit(onset: int) -> tuple[float, np.ndarray]:
        falling = np.exp(-time[:, np.newaxis] / TIME_CONSTANTS) - np.exp(-time[onset] / TIME_CONSTANTS)
        return fit_non_negative(values, np.maximum(0.0, falling))

    return fit


def _least(values: np.ndarray, fit: Callable[[int], tuple[float, np.ndarray]], onsets: range) -> Turn:
    """The onset with the least residual, its noise and its course."""
    stride = max(1, len(onsets) // 24)
    coarse = min(onsets[::stride], key=lambda onset: fit(onset)[0])
    near = range(max(onsets.start, coarse - stride + 1), min(onsets.stop, coarse + stride))
    onset = min(near[:: max(1, len(near) // 12)], key=lambda onset: fit(onset)[0])
    residual, course = fit(onset)
    return onset, noise_left(residual, values), course
