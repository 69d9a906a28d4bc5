"""Where a falling loss turns: it starts to rise, or it stops falling at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from keras_lr.analysis.findings.decay import (
    TIME_CONSTANTS,
    active_columns,
    best_column,
    chance_of,
    exponentials,
    fit_non_negative,
)
from keras_lr.analysis.series import noise_level

MIN_LENGTH = 8
# The best of many onsets is taken, so that a single test must be far stricter than the 1% wanted over all.
CHANCE = 1e-4
RISE_CHANCE = 3e-3
STRAIGHT_CHANCE = 0.01
# Of the exponential over the whole rise; 0 is a straight one.
GROWTH_RATES = np.array([0.0, *np.geomspace(0.3, 16.0, 14)])
FINE_TIME_CONSTANTS = np.geomspace(0.01, 10.0, 200)
TURNS = 4
MIN_FAR_POINTS = 3
# Of the early range, by which a loss may have begun to rise before it counts as a jump no more.
MAX_CREEP = 0.1

Turn = tuple[int, float, np.ndarray]


class Rises(NamedTuple):
    """Supposed rises from 0 at the onset to 1 at the end, shape `(size, k)`, with each one's onset and growth rate."""

    onsets: np.ndarray
    growth_rates: np.ndarray
    shapes: np.ndarray


def rising_onset(values: np.ndarray) -> tuple[int, float] | None:
    """Index where the series starts to rise for good and the rise in units of the noise, None where it does not."""
    if jump := _jump(values):
        return jump
    series = _near_part(values)
    if series.size < MIN_LENGTH or not np.ptp(series) > 0:
        return None
    onset, noise, course = _best_rise(series)
    plain, _ = fit_non_negative(series, exponentials(series.size))
    if chance_of(plain, noise**2 * series.size, series.size, 3) > RISE_CHANCE:
        return None
    rise = course[-1] - course[onset]
    return (onset, float(rise / noise)) if rise > 3 * noise else None


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


def _best_rise(series: np.ndarray) -> Turn:
    """The onset and growth rate of the rise that leaves the least beside a decay, one exponential or any that falls.

    A mixture of many bends with the rise and blurs its onset, so that each exponential more must earn its place.
    """
    turns = []
    stride = max(1, series.size // 40)
    coarse = _rises(series.size, range(1, series.size - 2, stride), GROWTH_RATES)
    for basis, choose in (
        (exponentials(series.size, FINE_TIME_CONSTANTS), best_column),
        (exponentials(series.size), active_columns),
    ):
        best, _ = _alternate(series, coarse, basis, choose)
        onset, rate = int(coarse.onsets[best]), float(coarse.growth_rates[best])
        # The faster a rise is taken to grow, the earlier it must begin: both are refined at once.
        near = range(max(1, onset - 5 * stride), min(series.size - 2, onset + 5 * stride + 1))
        fine = _rises(series.size, near, np.clip(np.linspace(0.75, 1.35, 13) * rate, 0.0, GROWTH_RATES[-1]))
        best, chosen = _alternate(series, fine, basis, choose)
        residual, course = fit_non_negative(series, basis[:, chosen], fine.shapes[:, [best]])
        turns.append((series.size ** (chosen.size / series.size) * residual, int(fine.onsets[best]), residual, course))
    _, onset, residual, course = min(turns, key=lambda turn: turn[0])
    return onset, _noise(residual, series), course


def _rises(size: int, onset_range: range, growth_rates: np.ndarray) -> Rises:
    onsets, rates = (grid.ravel() for grid in np.meshgrid(onset_range, growth_rates))
    ramps = np.maximum(0.0, np.arange(size)[:, np.newaxis] - onsets) / (size - 1 - onsets)
    growing = np.expm1(rates * ramps) / np.expm1(np.maximum(rates, 1e-9))
    return Rises(onsets, rates, np.where(rates > 0, growing, ramps))


def _alternate(
    series: np.ndarray,
    rises: Rises,
    basis: np.ndarray,
    choose: Callable[[np.ndarray, np.ndarray], np.ndarray],
) -> tuple[int, np.ndarray]:
    """Index of the best rise and the columns of the decay: each depends on the other, so that they take turns."""
    squares = np.einsum("ij,ij->j", rises.shapes, rises.shapes)
    best, rest, chosen = -1, series, np.empty(0, dtype=int)
    for _ in range(TURNS):
        chosen = choose(rest, basis)
        span, _ = np.linalg.qr(np.column_stack([np.ones(series.size), basis[:, chosen]]))
        left = series - span @ (span.T @ series)
        free = np.maximum(squares - np.sum((span.T @ rises.shapes) ** 2, axis=0), 1e-9)
        along = np.maximum(0.0, left @ rises.shapes)
        before, best = best, int(np.argmax(along**2 / free))
        if best == before:
            break
        rest = series - along[best] / free[best] * rises.shapes[:, best]
    return best, chosen


def flat_onset(values: np.ndarray) -> tuple[int, float] | None:
    """Index from which the series lies flat after a fall and the fall in units of the noise, None where it does not.

    A straight fall has one column and is told from a decay, and placed, where any fall would be lost in the noise.
    """
    if values.size < MIN_LENGTH or not np.ptp(values) > 0:
        return None
    plain, _ = fit_non_negative(values, exponentials(values.size))
    onsets = range(2, int(0.9 * values.size))
    straight, free = _straight_fall(values, onsets), _least(values, _cut_decay(values), onsets)
    turns = [
        turn
        for turn, chance in ((straight, STRAIGHT_CHANCE), (free, CHANCE))
        if chance_of(plain, turn[1] ** 2 * values.size, values.size, 2) <= chance
    ]
    if not turns:
        return None
    # Any fall has a column more than a straight one, which must earn its place.
    handicap = np.sqrt((values.size - 1) / (values.size - 2))
    onset, noise, course = min(turns, key=lambda turn: turn[1] * (handicap if turn is free else 1.0))
    fall = course[0] - course[-1]
    return (onset, float(fall / noise)) if fall > 3 * noise else None


def _straight_fall(values: np.ndarray, onsets: range) -> Turn:
    """The onset of the level after a straight fall, by least squares over all onsets at once."""
    falls = np.maximum(0.0, 1 - np.arange(values.size)[:, np.newaxis] / np.array(onsets))
    free, left = falls - falls.mean(axis=0), values - values.mean()
    sizes = np.maximum(0.0, left @ free) / np.sum(free**2, axis=0)
    best = int(np.argmax(sizes * (left @ free)))
    course = values.mean() + sizes[best] * free[:, best]
    return onsets[best], _noise(float(np.sum((values - course) ** 2)), values), course


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
    return onset, _noise(residual, values), course


def _noise(residual: float, values: np.ndarray) -> float:
    return max(float(np.sqrt(residual / values.size)), 1e-9 * float(np.ptp(values)))
