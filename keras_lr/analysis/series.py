"""Small measures of a series that a judge of histories builds on."""

from __future__ import annotations

import numpy as np


def block_means(values: np.ndarray, max_points: int) -> np.ndarray:
    """Means of at most `max_points` consecutive blocks of nearly equal size."""
    if values.size <= max_points:
        return values
    edges = np.linspace(0, values.size, max_points + 1).astype(int)
    return np.asarray(np.add.reduceat(values, edges[:-1]) / np.diff(edges))


def rank_trend(values: np.ndarray) -> float:
    """Share of pairs that rise minus share that fall, in [-1, 1]: Kendall's tau against time."""
    first, second = np.triu_indices(values.size, 1)
    return float(np.sign(values[second] - values[first]).mean()) if first.size else 0.0


def noise_level(values: np.ndarray) -> float:
    """Standard deviation of the noise about a smooth course, from the median absolute second difference."""
    return float(np.median(np.abs(np.diff(values, 2))) / 0.6745 / np.sqrt(6)) if values.size > 2 else 0.0


def share(part: float, whole: float) -> float:
    """`part / whole`; infinite with the sign of `part` where there is no positive whole to compare it with."""
    if part == 0:
        return 0.0
    return float(part / whole) if whole > 0 else float(np.copysign(np.inf, part))


def compress(ratio: float) -> float:
    """Signed logarithm of a ratio in percent, so that an exploded loss does not dwarf everything else."""
    return float(np.sign(ratio) * np.log10(1 + 100 * min(abs(ratio), 1e4)))


def reaches_zero(losses: np.ndarray) -> bool:
    """Whether a loss that is never negative has fallen to 0 at its end: it lies flat there because it is perfect."""
    return bool(losses[-1] == 0 and losses.min() == 0 and losses.max() > 0)
