"""Swings in a series too short for its spectrum: every window and frequency is tried beside the decay."""

from __future__ import annotations

import numpy as np

from keras_lr.analysis.findings.decay import chance_of, exponentials, fit_non_negative

MAX_LENGTH = 50
MIN_WINDOW = 6
MIN_CYCLES = 2.0
# Over all windows and frequencies; those that differ grow in number as the square of the length.
CHANCE = 0.008
TURNS = 3


def find_short_swing(values: np.ndarray) -> tuple[int, int, float, float, float] | None:
    """First and last index, frequency in cycles an epoch, amplitude and noise of a swing; None where there is none.

    The decay is fitted without the swing and the swing without the decay, in turns, as each hides in the other; then
    both at once, for the evidence.
    """
    basis, wave = exponentials(values.size), np.zeros(values.size)
    plain, _ = fit_non_negative(values, basis)
    start, end, frequency = 0, values.size, 0.25
    for _ in range(TURNS):
        _, course = fit_non_negative(values - wave, basis)
        start, end, frequency = _strongest_window(values - course)
        swing = _swing(values.size, start, end, frequency)
        wave = swing @ np.linalg.lstsq(swing, values - course, rcond=None)[0]
    # Non-negative weights of a column and its mirror image make one of either sign.
    residual, _ = fit_non_negative(values, basis, np.column_stack([swing, -swing]))
    if chance_of(plain, residual, values.size, 2) > CHANCE / values.size**2:
        return None
    noise = max(float(np.sqrt(residual / values.size)), 1e-9 * float(np.ptp(values)))
    return start, end - 1, frequency, float(np.abs(wave).max()), noise


def _swing(size: int, start: int, end: int, frequency: float) -> np.ndarray:
    time = np.arange(size)
    phase = 2 * np.pi * frequency * time
    inside = (time >= start) & (time < end)
    return np.column_stack([np.cos(phase), np.sin(phase)]) * inside[:, np.newaxis]


def _strongest_window(rest: np.ndarray) -> tuple[int, int, float]:
    """The window `[start, end)` and the frequency whose sinusoid leaves the least, by running sums."""
    size = rest.size
    frequencies = np.arange(1, 2 * size + 1) / (4 * size)
    starts, ends = (grid.ravel() for grid in np.meshgrid(np.arange(size), np.arange(1, size + 1)))
    wide = ends - starts >= MIN_WINDOW
    starts, ends = starts[wide], ends[wide]
    phase = 2 * np.pi * frequencies[:, np.newaxis] * np.arange(size)
    cosine, sine = np.cos(phase), np.sin(phase)

    def within(products: np.ndarray) -> np.ndarray:
        sums = np.pad(np.cumsum(products, axis=1), ((0, 0), (1, 0)))
        return np.asarray(sums[:, ends] - sums[:, starts])

    a, b = within(rest * cosine), within(rest * sine)
    cc, ss, cs = within(cosine**2), within(sine**2), within(cosine * sine)
    determinant = cc * ss - cs**2
    # At two epochs a cycle the sine is zero and the cosine is all there is.
    regular = determinant > 1e-6 * cc**2
    both = (ss * a**2 - 2 * cs * a * b + cc * b**2) / np.where(regular, determinant, 1.0)
    gain = np.where(regular, both, a**2 / np.maximum(cc, 1e-9))
    total = float(rest @ rest)
    evidence = -size * np.log1p(-np.minimum(gain / total, 1 - 1e-9))
    # A swing that ends before the series does has one number more, which must earn its place.
    evidence -= 2 * np.log(size) * (ends < size)
    evidence[frequencies[:, np.newaxis] * (ends - starts) < MIN_CYCLES] = -np.inf
    row, column = np.unravel_index(int(np.argmax(evidence)), evidence.shape)
    return int(starts[column]), int(ends[column]), float(frequencies[row])
