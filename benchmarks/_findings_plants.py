"""Series with something planted in them, and an oracle that knows the shapes in them but not the onset and the sizes.

Every plant lies over a decay and independent normal noise. The signal-to-noise ratio is what the plant moves the loss
by (a swing's amplitude, a plateau's fall before it, a divergence's rise, a slow decay's fall) over the noise of one
epoch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from keras_lr.analysis.findings.decay import residual_sum

# The 1% point of chi-square with two degrees of freedom, for a size and an onset.
ORACLE_EVIDENCE = 9.21


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

    def columns(start: int) -> list[np.ndarray]:
        phase = 2 * np.pi * time / period
        return [np.column_stack([np.sin(phase), np.cos(phase)]) * (time >= start)[:, np.newaxis]]

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


def oracle(plant: Plant) -> tuple[int, bool]:
    """The onset of least squares, and whether it beats a run without the plant at the 1% level."""
    assert plant.columns is not None
    size = plant.values.size
    base = np.column_stack([np.ones(size), plant.decay]) if np.ptp(plant.decay) else np.ones((size, 1))
    starts = np.unique(np.linspace(0, size - 3, min(size - 2, 200)).astype(int))
    sums = [
        min(_residual(plant.values, np.column_stack([base, shape])) for shape in plant.columns(int(start)))
        for start in starts
    ]
    best = int(np.argmin(sums))
    plain = residual_sum(plant.values)[0] if plant.kind == "early_plateau" else _residual(plant.values, base)
    return int(starts[best]), bool(size * np.log(plain / max(sums[best], 1e-300)) > ORACLE_EVIDENCE)


def _residual(values: np.ndarray, columns: np.ndarray) -> float:
    solution = np.linalg.lstsq(columns, values, rcond=None)[0]
    return float(np.sum((values - columns @ solution) ** 2))
