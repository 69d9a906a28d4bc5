"""Periodic oscillations beside a decay: the strongest sinusoid, and the epochs it covers.

A long series is searched by its spectrum. A series of at most `MAX_SHORT_LENGTH` values is too short for that: every
window and frequency is tried.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from keras_lr.analysis._diagnosis.decay import exponentials, f_test, fit_decay, fit_non_negative, residual_noise

MIN_LENGTH = 8
MIN_CYCLES = 2.0

MAX_SHORT_LENGTH = 50
MIN_WINDOW = 6
# Rounds in which the decay and the sinusoid are fitted alternately.
FIT_ROUNDS = 3
# In a shorter series, a mixture of exponentials explains much of an oscillation too, so one exponential is fitted.
MIN_MIXTURE_LENGTH = 20
SINGLE_TIME_CONSTANTS = np.geomspace(0.05, 5.0, 24)
# Limit on the p-value after correction for all windows and frequencies tried; under 2% of noisy decays pass, at any
# length.
SHORT_P_VALUE = 0.05

# Limit on the p-value in a long series, for the three stretches searched together.
LONG_P_VALUE = 0.005
# In cycles per stretch: fewer are part of the trend, not a peak of the spectrum.
LOWEST_FREQUENCY = 3
# Zero padding of the spectrum, to locate its peak between two frequencies.
PADDING = 8


@dataclass(frozen=True)
class Oscillation:
    """A periodic oscillation of a series.

    Attributes:
        start: Index of its first value.
        end: Index of its last value.
        period: In epochs, or whatever the series is spaced by.
        amplitude: In standard deviations of the noise.
    """

    start: int
    end: int
    period: float
    amplitude: float


def find_oscillation(values: np.ndarray) -> Oscillation | None:
    """The strongest periodic oscillation of the series; None if noise could produce one as strong.

    An oscillation rises and falls for at least two cycles. Monotone series, and a single bend (a loss that turns upward
    once), are not oscillations.

    Args:
        values: Finite, shape `(n,)`.
    """
    if values.size < MIN_LENGTH or not np.ptp(values) > 0:
        return None
    found = _find_in_short_series(values) if values.size <= MAX_SHORT_LENGTH else _find_in_long_series(values)
    if found is None:
        return None
    cycles = (found.end - found.start + 1) / found.period
    changes = np.diff(values[found.start : found.end + 1])
    reversals = min(np.count_nonzero(changes > 0), np.count_nonzero(changes < 0))
    return found if cycles >= MIN_CYCLES and reversals >= cycles / 2 else None


def _find_in_long_series(values: np.ndarray) -> Oscillation | None:
    """The strongest peak in the spectrum of the residuals of a decay, over all of them or the last half or quarter.

    Source:
        Fisher 1929, Tests of significance in harmonic analysis, for the g test.
    """
    _, curve = fit_decay(values)
    rest = values - curve
    if not rest.std() > 1e-9 * np.ptp(values):
        return None
    p_value, frequency = min(_spectral_peak(rest[-size:]) for size in (rest.size, rest.size // 2, rest.size // 4))
    if p_value > LONG_P_VALUE / 3:
        return None
    start, end = _extent(rest, frequency)
    inside = rest[start : end + 1]
    phase = np.exp(-2j * np.pi * frequency * np.arange(inside.size))
    coefficient = 2 * (inside @ phase) / inside.size
    noise = np.std(inside - np.real(coefficient * phase.conj()))
    return Oscillation(start, end, 1 / frequency, float(abs(coefficient) / max(noise, 1e-9 * rest.std())))


def _spectral_peak(rest: np.ndarray) -> tuple[float, float]:
    """The p-value of the strongest peak (Fisher's g test), and its frequency in cycles per epoch."""
    power = np.abs(np.fft.rfft(rest - rest.mean())) ** 2
    power = power[LOWEST_FREQUENCY:]
    if power.size < 2 or not power.sum() > 0:
        return 1.0, 0.25
    p_value = power.size * (1 - power.max() / power.sum()) ** (power.size - 1)
    padded = np.abs(np.fft.rfft(rest - rest.mean(), PADDING * rest.size))
    peak = (int(np.argmax(power)) + LOWEST_FREQUENCY) * PADDING
    near = slice(peak - PADDING + 1, min(padded.size, peak + PADDING))
    return float(p_value), (near.start + int(np.argmax(padded[near]))) / (PADDING * rest.size)


def _extent(rest: np.ndarray, frequency: float) -> tuple[int, int]:
    """First and last index of the window in which a sinusoid of this frequency explains most of the sum of squares."""
    demodulated = rest * np.exp(-2j * np.pi * frequency * np.arange(rest.size))
    lengths = np.arange(1, rest.size + 1)
    backwards = np.abs(np.cumsum(demodulated[::-1])) ** 2 / lengths
    start = rest.size - 1 - (MIN_LENGTH - 1 + int(np.argmax(backwards[MIN_LENGTH - 1 :])))
    forwards = np.abs(np.cumsum(demodulated[start:])) ** 2 / lengths[: rest.size - start]
    return start, start + MIN_LENGTH - 1 + int(np.argmax(forwards[MIN_LENGTH - 1 :]))


class Sinusoid(NamedTuple):
    """A sinusoid in the window `[start, end)`; its frequency in cycles per epoch."""

    start: int
    end: int
    frequency: float

    def columns(self, size: int) -> np.ndarray:
        """Its cosine and its sine, zero outside the window, shape `(size, 2)`."""
        time = np.arange(size)
        phase = 2 * np.pi * self.frequency * time
        inside = (time >= self.start) & (time < self.end)
        return np.column_stack([np.cos(phase), np.sin(phase)]) * inside[:, np.newaxis]


def _find_in_short_series(values: np.ndarray) -> Oscillation | None:
    """The strongest sinusoid of all windows and frequencies, if it passes an F test corrected for their number."""
    size, basis = values.size, exponentials(values.size)
    very_short = size < MIN_MIXTURE_LENGTH
    sinusoid, curve, fitted_together = (
        _fit_beside_one_exponential(values) if very_short else _fit_alternately(values, basis)
    )
    columns = sinusoid.columns(size)
    without, _ = fit_non_negative(values, basis)
    # Non-negative weights of a column and its negative amount to one weight of either sign.
    beside_mixture, _ = fit_non_negative(values, basis, np.column_stack([columns, -columns]))
    p_value = f_test(without, beside_mixture, size, 2)
    if very_short:
        p_value = min(p_value, f_test(without, fitted_together, size, 2, decay_parameters=2))
    # Frequencies, and windows that reach the end, grow in number as the length; windows in general as its square.
    tried = size ** (2 if sinusoid.end == size else 3)
    if p_value * tried > SHORT_P_VALUE:
        return None
    amplitude = float(np.abs(curve).max()) / residual_noise(min(fitted_together, beside_mixture), values)
    return Oscillation(sinusoid.start, sinusoid.end - 1, 1 / sinusoid.frequency, amplitude)


def _fit_alternately(values: np.ndarray, basis: np.ndarray) -> tuple[Sinusoid, np.ndarray, float]:
    """Fits any decay and a sinusoid in turns, because each hides the other.

    Returns:
        The sinusoid, its fitted curve of shape `(n,)`, and the residual sum of squares.
    """
    sinusoid, curve, residual = Sinusoid(0, values.size, 0.25), np.zeros(values.size), 0.0
    nothing = np.empty((values.size, 0))
    for _ in range(FIT_ROUNDS):
        _, decay = fit_non_negative(values - curve, basis)
        sinusoid, _ = _best_sinusoid(values - decay, nothing)
        curve, residual = _fit_sinusoid(values - decay, nothing, sinusoid)
    return sinusoid, curve, residual


def _fit_beside_one_exponential(values: np.ndarray) -> tuple[Sinusoid, np.ndarray, float]:
    """Fits one exponential and a sinusoid together; returns the same as `_fit_alternately`.

    The exponential is chosen beside sinusoids that last to the end, which leaves far fewer windows to try.
    """
    decays = exponentials(values.size, SINGLE_TIME_CONSTANTS).T
    spans = [np.linalg.qr(np.column_stack([np.ones(values.size), decay]))[0] for decay in decays]
    span = max(spans, key=lambda span: _best_sinusoid(values, span, to_the_end=True)[1])
    sinusoid, _ = _best_sinusoid(values, span)
    return sinusoid, *_fit_sinusoid(values, span, sinusoid)


def _fit_sinusoid(values: np.ndarray, span: np.ndarray, sinusoid: Sinusoid) -> tuple[np.ndarray, float]:
    """The sinusoid's part of the least-squares fit with `span`, shape `(n,)`, and the residual sum of squares."""
    columns = np.column_stack([sinusoid.columns(values.size), span])
    weights = np.linalg.lstsq(columns, values, rcond=None)[0]
    return columns[:, :2] @ weights[:2], float(np.sum((values - columns @ weights) ** 2))


def _best_sinusoid(values: np.ndarray, span: np.ndarray, *, to_the_end: bool = False) -> tuple[Sinusoid, float]:
    """The window and frequency of the sinusoid that explains most beside `span`, and its evidence.

    Args:
        values: Shape `(n,)`.
        span: Orthonormal columns, shape `(n, k)`.
        to_the_end: Whether to try only windows that reach the end.
    """
    size = values.size
    frequencies = np.arange(1, 2 * size + 1) / (4 * size)
    starts, ends = (grid.ravel() for grid in np.meshgrid(np.arange(size), np.arange(1, size + 1)))
    wide = (ends - starts >= MIN_WINDOW) & ((ends == size) | (not to_the_end))
    starts, ends = starts[wide], ends[wide]
    rest = values - span @ (span.T @ values)
    explained = _explained(rest, span, frequencies, starts, ends)
    total = float(rest @ rest)
    evidence = -size * np.log(np.maximum(total - explained, 1e-9 * total))
    # A sinusoid that ends before the series does has one parameter more, which must earn its place.
    evidence -= 2 * np.log(size) * (ends < size)
    evidence[frequencies[:, np.newaxis] * (ends - starts) < MIN_CYCLES] = -np.inf
    row, column = np.unravel_index(int(np.argmax(evidence)), evidence.shape)
    return Sinusoid(int(starts[column]), int(ends[column]), float(frequencies[row])), float(evidence[row, column])


def _explained(
    rest: np.ndarray, span: np.ndarray, frequencies: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> np.ndarray:
    """The sum of squares of `rest` that a sinusoid of each frequency in each window explains beside `span`.

    Sums over all windows are differences of cumulative sums. The normal equations of the cosine and the sine, after
    `span` has been projected out, are solved in closed form.

    Returns:
        Shape `(n_frequencies, n_windows)`.
    """
    phase = 2 * np.pi * frequencies[:, np.newaxis] * np.arange(rest.size)
    cosine, sine = np.cos(phase), np.sin(phase)

    def window_sums(products: np.ndarray) -> np.ndarray:
        sums = np.zeros((len(products), rest.size + 1))
        np.cumsum(products, axis=1, out=sums[:, 1:])
        return np.asarray(sums[:, ends] - sums[:, starts])

    a, b = window_sums(rest * cosine), window_sums(rest * sine)
    cc, ss, cs = window_sums(cosine**2), window_sums(sine**2), window_sums(cosine * sine)
    for column in span.T:
        along_cosine, along_sine = window_sums(column * cosine), window_sums(column * sine)
        cc, ss, cs = cc - along_cosine**2, ss - along_sine**2, cs - along_cosine * along_sine
    determinant = cc * ss - cs**2
    # At two epochs per cycle the sine vanishes and only the cosine is left.
    regular = determinant > 1e-6 * cc**2
    both = (ss * a**2 - 2 * cs * a * b + cc * b**2) / np.where(regular, determinant, 1.0)
    return np.asarray(np.where(regular, both, a**2 / np.maximum(cc, 1e-9)))
