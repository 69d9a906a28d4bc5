"""Series with a planted finding, and an oracle that knows their shapes but neither the onset nor the sizes.

Every plant is added to a decay and independent normal noise. The signal-to-noise ratio is the size of the plant (the
amplitude of an oscillation, the fall before a plateau, the rise of a divergence, the fall of a slow decay) relative to
the noise of one epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from keras_lr.analysis._diagnosis.decay import fit_decay, residual_noise

MAX_STARTS = 100


@dataclass(frozen=True)
class Plant:
    """A series, its true finding and that finding's first index; `columns` gives the plant's shapes for an onset."""

    values: np.ndarray
    kind: str
    onset: int
    columns: Callable[[int], list[np.ndarray]] | None
    decay: np.ndarray

    def right(self, start: int, end: int) -> bool:
        """Whether a span is off by at most a tenth of the true length, or by one epoch if that is more."""
        last = self.values.size - 1
        tolerance = max(1.0, 0.1 * (last + 1 - self.onset))
        return abs(start - self.onset) <= tolerance and abs(end - last) <= tolerance


def _course(size: int, time_constant: float) -> np.ndarray:
    return np.exp(-np.arange(size) / size / time_constant)


def oscillation(size: int, ratio: float, generator: np.random.Generator) -> Plant:
    """A sinusoid with a period of 3 to 10 epochs and at least two cycles, from its onset to the end."""
    onset = min(int(generator.uniform(0, 0.6) * size), size - 7)
    period = generator.uniform(3, min(10, (size - onset) / 2))
    decay, time = _course(size, 0.3), np.arange(size)

    # Frequencies that differ by far more than one cycle per run do not overlap with the sinusoid.
    frequencies = 1 / period + np.linspace(-2, 2, 17) / size

    def columns(start: int) -> list[np.ndarray]:
        phases = [2 * np.pi * time * frequency for frequency in frequencies if 0.1 <= frequency <= 0.34]
        return [np.column_stack([np.sin(phase), np.cos(phase)]) * (time >= start)[:, np.newaxis] for phase in phases]

    wave = (time >= onset) * 0.02 * ratio * np.sin(2 * np.pi * (time - onset) / period)
    return Plant(decay + wave + generator.normal(0, 0.02, size), "oscillation", onset, columns, decay)


def plateau(size: int, ratio: float, generator: np.random.Generator) -> Plant:
    """A straight fall, then a constant."""
    onset, time = max(2, int(generator.uniform(0.2, 0.7) * size)), np.arange(size)

    def columns(start: int) -> list[np.ndarray]:
        return [np.maximum(0.0, 1 - time / max(start, 1))[:, np.newaxis]]

    values = columns(onset)[0][:, 0] + generator.normal(0, 1 / ratio, size)
    return Plant(values, "early_plateau", onset, columns, np.ones(size))


def _rise(size: int, ratio: float, generator: np.random.Generator, growths: tuple[float, ...]) -> Plant:
    """A rise that grows e-fold `growths[0]` times; the oracle tries all of `growths`."""
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
    """A decay with a time constant of 1.5 to 5 times the length of the run."""
    decay = _course(size, generator.uniform(1.5, 5))
    noise = generator.normal(0, (decay[0] - decay[-1]) / ratio, size)
    return Plant(decay + noise, "slow_learning", 0, None, decay)


PLANTS = (oscillation, plateau, straight_divergence, exponential_divergence, slow_decay)


def pure_decay(generator: np.random.Generator) -> np.ndarray:
    """A decay of random speed with noise, over 10 to 2,000 epochs."""
    size = int(np.exp(generator.uniform(np.log(10), np.log(2000))))
    noise, time_constant = np.exp(generator.uniform(np.log(0.002), np.log(0.3))), np.exp(generator.uniform(-3, 1))
    return _course(size, time_constant) + generator.normal(0, noise, size)


def oracle(plant: Plant, generator: np.random.Generator, draws: int) -> tuple[int, float, np.ndarray]:
    """The least-squares onset, its evidence, and the evidence in each of `draws` series without the plant."""
    assert plant.columns is not None
    size = plant.values.size
    plain, course = fit_decay(plant.values)
    falls = bool(np.ptp(plant.decay))
    # With a decay, the evidence does not depend on the size of the decay or of the noise, so any size will do.
    null, noise = (plant.decay, 1.0) if falls else (course, residual_noise(plain, plant.values))
    series = np.column_stack([plant.values, null[:, np.newaxis] + generator.normal(0, noise, (size, draws))])
    span = np.linalg.qr(np.column_stack([np.ones(size), plant.decay]) if falls else np.ones((size, 1)))[0]
    rest = series - span @ (span.T @ series)
    total = np.sum(rest**2, axis=0)
    without = total if falls else np.array([fit_decay(values)[0] for values in series.T])
    starts = np.unique(np.linspace(0, size - 3, min(size - 2, MAX_STARTS)).astype(int))
    gains = np.array([_most_taken(rest, span, plant.columns(int(start))) for start in starts])
    evidence = size * np.log(without / np.maximum(total - gains.max(axis=0), 1e-12 * total))
    return int(starts[np.argmax(gains[:, 0])]), float(evidence[0]), evidence[1:]


def _most_taken(rest: np.ndarray, span: np.ndarray, shapes: list[np.ndarray]) -> np.ndarray:
    """The largest reduction of the sum of squares of each column of `rest` by one of `shapes`, given `span`."""
    columns = np.stack(shapes)
    free = np.linalg.qr(columns - span @ (span.T @ columns))[0]
    return np.asarray(np.max(np.sum((np.swapaxes(free, 1, 2) @ rest) ** 2, axis=1), axis=0))
