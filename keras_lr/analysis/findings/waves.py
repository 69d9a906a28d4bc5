"""Whether what remains of a series after its decay swings with a period."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_lr.analysis.findings.decay import residual_sum
from keras_lr.analysis.findings.short_waves import MAX_LENGTH, MIN_CYCLES, find_short_swing

MIN_LENGTH = 8
# Slower than three cycles a window is no peak of a spectrum.
LOWEST_FREQUENCY = 3
CHANCE = 0.005
PADDING = 8


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
