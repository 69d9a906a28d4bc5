"""Smoothing a loss curve over log learning rate, with widths in decades so that the number of steps does not matter."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import median_filter

MAD_TO_SIGMA = 1.4826


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


def rolling_median(values: np.ndarray, *, width: int = 5) -> np.ndarray:
    """Centred running median, which drops lone spikes and keeps edges.

    Args:
        values: Finite values, shape `(n,)`.
        width: Window in steps, odd; the ends repeat their last value.

    Returns:
        Shape `(n,)`.
    """
    return np.asarray(median_filter(values, size=width, mode="nearest"))


def gaussian_smooth(decades: np.ndarray, values: np.ndarray, *, width_decades: float) -> np.ndarray:
    """Kernel mean over log learning rate, without the lag of a running average.

    Args:
        decades: Log10 of the learning rates, increasing, shape `(n,)`.
        values: Finite values, shape `(n,)`.
        width_decades: Standard deviation of the kernel, in decades of learning rate.

    Returns:
        Shape `(n,)`, inside the range of `values`.

    Source:
        Nadaraya 1964, doi:10.1137/1109020.
    """
    weights = np.exp(-0.5 * ((decades[:, None] - decades) / width_decades) ** 2)
    return np.asarray(weights @ values / weights.sum(axis=1))


def step_noise(values: np.ndarray) -> float:
    """Standard deviation of one step's loss about its trend, from successive differences.

    The median of the absolute differences ignores the trend, which moves little in one step, and lone spikes.

    Args:
        values: Finite losses in the order of the steps, shape `(n,)` with n > 1.

    Returns:
        At least 0, in the unit of the loss.

    Source:
        Rice 1984, doi:10.1214/aos/1176346788, with the median absolute deviation in the place of the mean square.
    """
    return float(MAD_TO_SIGMA * np.median(np.abs(np.diff(values))) / np.sqrt(2))


def exponential_average(values: np.ndarray, *, beta: float = 0.98) -> np.ndarray:
    """Debiased exponential moving average, as fastai's recorder smooths a loss; it lags by `beta / (1 - beta)` steps.

    Args:
        values: Shape `(n,)`.
        beta: Weight of the past, in [0, 1).

    Returns:
        Shape `(n,)`.

    Source:
        fastai `AvgSmoothLoss`; Kingma & Ba 2015, arXiv:1412.6980, for the debiasing.
    """
    average, averages = 0.0, []
    for step, value in enumerate(values, start=1):
        average = beta * average + (1 - beta) * value
        averages.append(average / (1 - beta**step))
    return np.array(averages)
