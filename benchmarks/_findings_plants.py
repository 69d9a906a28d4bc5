"""Series with something planted in them, and an oracle that knows the shapes in them but not the onset and the sizes.

Every plant lies over a decay and independent normal noise. The signal-to-noise ratio is what the plant moves the loss
by (a swing's amplitude, a plateau's fall before it, a divergence's rise, a slow decay's fall) over the noise of one
epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from keras_lr.analysis._diagnosis.decay import noise_left, residual_sum

MAX_STARTS = 100


@dataclass(frozen=True)
class Plant:
    """A series, the finding due in it and its first index; `columns` the plant's shapes for a supposed onset."""

    values: np.ndarray
    kind: str
    onset: int
    columns: Callable[[int], list[np.ndarray]] | None
    decay: np.ndarray

    def right(self, start: int, end: int) -> bool:
        """Whether a span is off by at most a tenth of the true one's length, or an epoch where that is less."""
        last = self.values.size - 1
        tolerance = max(1.0, 0.1 * (last + 1 - self.onset))
        return abs(start - self.onset) <= tolerance and abs(end - last) <= tolerance


def _course(size: int, time_constant: float) -> np.ndarray:
    return np.exp(-np.arange(size) / size / time_constant)


def oscillation(size: int, ratio: float, generator: np.random.Generator) -> Plant:
    """A sinusoid of period 3 to 10 epochs, two cycles at least, from its onset to the end."""
    onset = min(int(generator.uniform(0, 0.6) * size), size - 7)
    period = generator.uniform(3, min(10, (size - onset) / 2))
    decay, time = _course(size, 0.3), np.arange(size)

    # Far more than a cycle a run apart, no frequency takes part of the swing.
    frequencies = 1 / period + np.linspace(-2, 2, 17) / size

    def columns(start: int) -> list[np.ndarray]:
        phases = [2 * np.pi * time * frequency for frequency in frequencies if 0.1 <= frequency <= 0.34]
        return [np.column_stack([np.sin(phase), np.cos(phase)]) * (time >= start)[:, np.newaxis] for phase in phases]

    wave = (time >= onset) * 0.02 * ratio * np.sin(2 * np.pi * (time - onset) / period)
    return Plant(decay + wave + generator.normal(0, 0.02, size), "oscillation", onset, columns, decay)


def plateau(size: int, ratio: float, generator: np.random.Generator) -> Plant:
    """A straight fall, then none."""
    onset, time = max(2, int(generator.uniform(0.2, 0.7) * size)), np.arange(size)

    def columns(start: int) -> list[np.ndarray]:
        return [np.maximum(0.0, 1 - time / max(start, 1))[:, np.newaxis]]

    values = columns(onset)[0][:, 0] + generator.normal(0, 1 / ratio, size)
    return Plant(values, "early_plateau", onset, columns, np.ones(size))


def _rise(size: int, ratio: float, generator: np.random.Generator, growths: tuple[float, ...]) -> Plant:
    """A rise that grows e-fold as often as the first of `growths` says; the oracle tries them all."""
    onset, time, decay = int(generator.uniform(0.2, 0.6) * size), np.arange(size), _course(size, 0.1)

    def columns(start: int) -> list[np.ndarray]:
        ramp = np.maximum(0.0, time - start)[:, np.newaxis] / (size - onset)
        return [np.expm1(growth * ramp) if growth else ramp for growth in growths]

    rise = columns(onset)[0][:, 0]
    values = decay + rise / rise[-1] + generator.normal(0, 1 / ratio, size)
    return Plant(values, "divergence", onset, columns, decay)


def straight_divergence(size: int, ratio: float, generator: np.random.Generator) -> Plant:
    """A decay and, from the onset, a straight rise."""
    return _rise(size, ratio, generator, (0.0,))


def exponential_divergence(size: int, ratio: float, generator: np.random.Generator) -> Plant:
    """A decay and, from the onset, a rise that grows e-fold one to four times."""
    return _rise(size, ratio, generator, (generator.uniform(1, 4), *np.linspace(1, 4, 7)))


def slow_decay(size: int, ratio: float, generator: np.random.Generator) -> Plant:
    """A decay with a time constant of 1.5 to 5 runs."""
    decay = _course(size, generator.uniform(1.5, 5))
    noise = generator.normal(0, (decay[0] - decay[-1]) / ratio, size)
    return Plant(decay + noise, "slow_learning", 0, None, decay)


PLANTS = (oscillation, plateau, straight_divergence, exponential_divergence, slow_decay)


def pure_decay(generator: np.random.Generator) -> np.ndarray:
    """A decay of any speed with noise, 10 to 2,000 epochs."""
    size = int(np.exp(generator.uniform(np.log(10), np.log(2000))))
    noise, time_constant = np.exp(generator.uniform(np.log(0.002), np.log(0.3))), np.exp(generator.uniform(-3, 1))
    return _course(size, time_constant) + generator.normal(0, noise, size)


def oracle(plant: Plant, generator: np.random.Generator, draws: int) -> tuple[int, float, np.ndarray]:
    """The onset of least squares, its evidence, and the evidence in each of `draws` series without the plant."""
    assert plant.columns is not None
    size = plant.values.size
    plain, course = residual_sum(plant.values)
    falls = bool(np.ptp(plant.decay))
    # What does not depend on the decay's size or on the noise's is drawn with any.
    null, noise = (plant.decay, 1.0) if falls else (course, noise_left(plain, plant.values))
    series = np.column_stack([plant.values, null[:, np.newaxis] + generator.normal(0, noise, (size, draws))])
    span = np.linalg.qr(np.column_stack([np.ones(size), plant.decay]) if falls else np.ones((size, 1)))[0]
    rest = series - span @ (span.T @ series)
    total = np.sum(rest**2, axis=0)
    without = total if falls else np.array([residual_sum(values)[0] for values in series.T])
    starts = np.unique(np.linspace(0, size - 3, min(size - 2, MAX_STARTS)).astype(int))
    gains = np.array([_most_taken(rest, span, plant.columns(int(start))) for start in starts])
    evidence = size * np.log(without / np.maximum(total - gains.max(axis=0), 1e-12 * total))
    return int(starts[np.argmax(gains[:, 0])]), float(evidence[0]), evidence[1:]


def _most_taken(rest: np.ndarray, span: np.ndarray, shapes: list[np.ndarray]) -> np.ndarray:
    """The most that one of `shapes`, beside `span`, takes from the sum of squares of each column of `rest`."""
    free = [np.linalg.qr(shape - span @ (span.T @ shape))[0] for shape in shapes]
    return np.max([np.sum((columns.T @ rest) ** 2, axis=0) for columns in free], axis=0)
