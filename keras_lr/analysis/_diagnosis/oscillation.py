"""Swings in a series too short for its spectrum: every window and frequency is tried beside the decay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from keras_lr.analysis._diagnosis.decay import chance_of, exponentials, fit_non_negative, noise_left, residual_sum

MAX_LENGTH = 50
MIN_WINDOW = 6
MIN_CYCLES = 2.0
TURNS = 3
# In a shorter series a mixture of exponentials takes much of a swing with it, and the swing is sought beside one.
FEW_POINTS = 20
FEW_TIME_CONSTANTS = np.geomspace(0.05, 5.0, 24)
# That any of the windows and frequencies tried passes, which leaves under 2% of decays with noise alone at any length.
SHORT_CHANCE = 0.05

MIN_LENGTH = 8
# Slower than three cycles a window is no peak of a spectrum.
LOWEST_FREQUENCY = 3
CHANCE = 0.005
PADDING = 8


class Swing(NamedTuple):
    """A sinusoid over the window `[start, end)`, in cycles an epoch."""

    start: int
    end: int
    frequency: float

    def columns(self, size: int) -> np.ndarray:
        """Its cosine and its sine, zero outside the window, shape `(size, 2)`."""
        time = np.arange(size)
        phase = 2 * np.pi * self.frequency * time
        inside = (time >= self.start) & (time < self.end)
        return np.column_stack([np.cos(phase), np.sin(phase)]) * inside[:, np.newaxis]


def find_short_swing(values: np.ndarray) -> tuple[Swing, float] | None:
    """The strongest swing and its amplitude in units of the noise; None where chance would make one as strong."""
    size, basis = values.size, exponentials(values.size)
    few = size < FEW_POINTS
    swing, wave, beside_one = _beside_one_exponential(values) if few else _in_turns(values, basis)
    columns = swing.columns(size)
    plain, _ = fit_non_negative(values, basis)
    # Non-negative weights of a column and its mirror image make one of either sign.
    beside_any, _ = fit_non_negative(values, basis, np.column_stack([columns, -columns]))
    chance = chance_of(plain, beside_any, size, 2)
    if few:
        chance = min(chance, chance_of(plain, beside_one, size, 2, decay_parameters=2))
    # The frequencies, and the windows that reach the end, grow in number as the length; all windows as its square.
    tried = size ** (2 if swing.end == size else 3)
    if chance * tried > SHORT_CHANCE:
        return None
    return swing, float(np.abs(wave).max()) / noise_left(min(beside_one, beside_any), values)


def _in_turns(values: np.ndarray, basis: np.ndarray) -> tuple[Swing, np.ndarray, float]:
    """As `_beside_one_exponential`, beside any decay: each hides in the other, so that they are fitted in turns."""
    swing, wave, residual = Swing(0, values.size, 0.25), np.zeros(values.size), 0.0
    nothing = np.empty((values.size, 0))
    for _ in range(TURNS):
        _, course = fit_non_negative(values - wave, basis)
        swing, _ = _strongest_window(values - course, nothing)
        wave, residual = _fit(values - course, nothing, swing)
    return swing, wave, residual


def _beside_one_exponential(values: np.ndarray) -> tuple[Swing, np.ndarray, float]:
    """The swing fitted at once with one exponential, its course and what both leave.

    The exponential is the best beside a swing that lasts, which leaves far fewer windows.
    """
    decays = exponentials(values.size, FEW_TIME_CONSTANTS).T
    spans = [np.linalg.qr(np.column_stack([np.ones(values.size), decay]))[0] for decay in decays]
    span = max(spans, key=lambda span: _strongest_window(values, span, lasting=True)[1])
    swing, _ = _strongest_window(values, span)
    return swing, *_fit(values, span, swing)


def _fit(values: np.ndarray, span: np.ndarray, swing: Swing) -> tuple[np.ndarray, float]:
    """The swing's part of the least-squares fit on it and on `span`, and the residual sum of squares."""
    columns = np.column_stack([swing.columns(values.size), span])
    weights = np.linalg.lstsq(columns, values, rcond=None)[0]
    return columns[:, :2] @ weights[:2], float(np.sum((values - columns @ weights) ** 2))


def _strongest_window(values: np.ndarray, span: np.ndarray, *, lasting: bool = False) -> tuple[Swing, float]:
    """The window and the frequency of the sinusoid that leaves the least beside `span`, and its evidence.

    Args:
        values: Shape `(n,)`.
        span: Orthonormal columns, shape `(n, k)`.
        lasting: Whether to try only windows that reach the end.
    """
    size = values.size
    frequencies = np.arange(1, 2 * size + 1) / (4 * size)
    starts, ends = (grid.ravel() for grid in np.meshgrid(np.arange(size), np.arange(1, size + 1)))
    wide = (ends - starts >= MIN_WINDOW) & ((ends == size) | (not lasting))
    starts, ends = starts[wide], ends[wide]
    rest = values - span @ (span.T @ values)
    gain = _gain(rest, span, frequencies, starts, ends)
    left = float(rest @ rest)
    evidence = -size * np.log(np.maximum(left - gain, 1e-9 * left))
    # A swing that ends before the series does has one number more, which must earn its place.
    evidence -= 2 * np.log(size) * (ends < size)
    evidence[frequencies[:, np.newaxis] * (ends - starts) < MIN_CYCLES] = -np.inf
    row, column = np.unravel_index(int(np.argmax(evidence)), evidence.shape)
    return Swing(int(starts[column]), int(ends[column]), float(frequencies[row])), float(evidence[row, column])


def _gain(
    rest: np.ndarray, span: np.ndarray, frequencies: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> np.ndarray:
    """What each frequency's sinusoid in each window takes from the sum of squares of `rest`, by running sums."""
    phase = 2 * np.pi * frequencies[:, np.newaxis] * np.arange(rest.size)
    cosine, sine = np.cos(phase), np.sin(phase)

    def within(products: np.ndarray) -> np.ndarray:
        sums = np.pad(np.cumsum(products, axis=1), ((0, 0), (1, 0)))
        return np.asarray(sums[:, ends] - sums[:, starts])

    a, b = within(rest * cosine), within(rest * sine)
    cc, ss, cs = within(cosine**2), within(sine**2), within(cosine * sine)
    for column in span.T:
        along_cosine, along_sine = within(column * cosine), within(column * sine)
        cc, ss, cs = cc - along_cosine**2, ss - along_sine**2, cs - along_cosine * along_sine
    determinant = cc * ss - cs**2
    # At two epochs a cycle the sine is zero and the cosine is all there is.
    regular = determinant > 1e-6 * cc**2
    both = (ss * a**2 - 2 * cs * a * b + cc * b**2) / np.where(regular, determinant, 1.0)
    return np.asarray(np.where(regular, both, a**2 / np.maximum(cc, 1e-9)))


@dataclass(frozen=True)
class Wave:
    """A swing over `[start, end]` (indices) with its period in epochs and its amplitude in units of the noise."""

    start: int
    end: int
    period: float
    amplitude: float


def find_wave(values: np.ndarray) -> Wave | None:
    """The strongest periodic swing in the series, or None where chance would make one as strong.

    A loss that swings rises and falls again and again, for two cycles at least; what only falls or only rises, now
    faster and now slower, is none, nor is the single bend that a turn for the worse leaves beside a decay.
    """
    if values.size < MIN_LENGTH or not np.ptp(values) > 0:
        return None
    wave = _short_wave(values) if values.size <= MAX_LENGTH else _long_wave(values)
    if wave is None:
        return None
    cycles = (wave.end - wave.start + 1) / wave.period
    moves = np.diff(values[wave.start : wave.end + 1])
    turns = min(np.count_nonzero(moves > 0), np.count_nonzero(moves < 0))
    return wave if cycles >= MIN_CYCLES and turns >= cycles / 2 else None


def _short_wave(values: np.ndarray) -> Wave | None:
    found = find_short_swing(values)
    if found is None:
        return None
    swing, amplitude = found
    return Wave(swing.start, swing.end - 1, 1 / swing.frequency, amplitude)


def _long_wave(values: np.ndarray) -> Wave | None:
    """The strongest peak in the spectrum of what the decay leaves.

    Source:
        Fisher 1929, Tests of significance in harmonic analysis, for the g test.
    """
    _, course = residual_sum(values)
    rest = values - course
    if not rest.std() > 1e-9 * np.ptp(values):
        return None
    chance, frequency = min(_strongest(rest[-size:]) for size in (rest.size, rest.size // 2, rest.size // 4))
    if chance > CHANCE / 3:
        return None
    start, end = _span(rest, frequency)
    swing = rest[start : end + 1]
    phase = np.exp(-2j * np.pi * frequency * np.arange(swing.size))
    coefficient = 2 * (swing @ phase) / swing.size
    noise = np.std(swing - np.real(coefficient * phase.conj()))
    return Wave(start, end, 1 / frequency, float(abs(coefficient) / max(noise, 1e-9 * rest.std())))


def _strongest(rest: np.ndarray) -> tuple[float, float]:
    """Probability that noise has as strong a peak, and the peak's frequency in cycles an epoch."""
    power = np.abs(np.fft.rfft(rest - rest.mean())) ** 2
    power = power[LOWEST_FREQUENCY:]
    if power.size < 2 or not power.sum() > 0:
        return 1.0, 0.25
    chance = power.size * (1 - power.max() / power.sum()) ** (power.size - 1)
    padded = np.abs(np.fft.rfft(rest - rest.mean(), PADDING * rest.size))
    peak = (int(np.argmax(power)) + LOWEST_FREQUENCY) * PADDING
    near = slice(peak - PADDING + 1, min(padded.size, peak + PADDING))
    return float(chance), (near.start + int(np.argmax(padded[near]))) / (PADDING * rest.size)


def _span(rest: np.ndarray, frequency: float) -> tuple[int, int]:
    """First and last index of the swing: where a sinusoid explains most of the sum of squares."""
    turned = rest * np.exp(-2j * np.pi * frequency * np.arange(rest.size))
    lengths = np.arange(1, rest.size + 1)
    backwards = np.abs(np.cumsum(turned[::-1])) ** 2 / lengths
    start = rest.size - 1 - (MIN_LENGTH - 1 + int(np.argmax(backwards[MIN_LENGTH - 1 :])))
    forwards = np.abs(np.cumsum(turned[start:])) ** 2 / lengths[: rest.size - start]
    return start, start + MIN_LENGTH - 1 + int(np.argmax(forwards[MIN_LENGTH - 1 :]))
