"""Statistics that several judges share: block means, trends, noise, ratios, smoothing and a comparison."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import median_filter

# Standard deviation of a normal distribution, in units of its median absolute deviation.
MAD_TO_SIGMA = 1.4826
# Median absolute deviation of a normal distribution, in units of its standard deviation.
SIGMA_TO_MAD = 0.6745
# A loss that is below that of the best constant output by less than this fraction of it may be that of one.
LEAST_GAIN = 0.1


def block_means(values: np.ndarray, max_points: int) -> np.ndarray:
    """Means of consecutive blocks of nearly equal size.

    Args:
        values: Shape `(n,)`.
        max_points: Largest number of blocks.

    Returns:
        Shape `(min(n, max_points),)`; `values` itself if it is no longer than `max_points`.
    """
    if values.size <= max_points:
        return values
    edges = _block_edges(values.size, max_points)
    return np.asarray(np.add.reduceat(values, edges[:-1]) / np.diff(edges))


def block_starts(values: np.ndarray, max_points: int) -> np.ndarray:
    """The first value of each block that `block_means` averages, in the same shape."""
    return values if values.size <= max_points else np.asarray(values[_block_edges(values.size, max_points)[:-1]])


def _block_edges(size: int, blocks: int) -> np.ndarray:
    return np.linspace(0, size, blocks + 1).astype(int)


def rank_trend(values: np.ndarray) -> float:
    """Kendall's tau against time, in [-1, 1]: the share of pairs that rise minus the share that fall."""
    first, second = np.triu_indices(values.size, 1)
    return float(np.sign(values[second] - values[first]).mean()) if first.size else 0.0


def median_change(values: np.ndarray) -> float:
    """Median absolute difference between successive values along the last axis, in their unit."""
    return float(np.median(np.abs(np.diff(values))))


def step_noise(values: np.ndarray) -> float:
    """Standard deviation of one step's loss about its trend, from first differences.

    For curves of many steps: the trend must move little per step. The median ignores lone spikes.

    Args:
        values: Finite losses in the order of the steps, shape `(n,)` or `(repeats, n)` with n > 1.

    Returns:
        At least 0, in the unit of the loss.

    Source:
        Rice 1984, doi:10.1214/aos/1176346788, with the median absolute deviation in place of the mean square.
    """
    return float(MAD_TO_SIGMA * median_change(values) / np.sqrt(2))


def curvature_noise(values: np.ndarray) -> float:
    """Standard deviation of the noise about a smooth curve, from second differences.

    For curves of few epochs: second differences cancel even a steep trend, if it is locally straight.

    Args:
        values: Finite, shape `(n,)`.

    Returns:
        At least 0, in the unit of `values`; 0 for fewer than three values.
    """
    return float(np.median(np.abs(np.diff(values, 2))) / SIGMA_TO_MAD / np.sqrt(6)) if values.size > 2 else 0.0


def ratio(part: float, whole: float) -> float:
    """`part / whole`; if `whole` is not positive, infinity with the sign of `part`. 0 if `part` is 0."""
    if part == 0:
        return 0.0
    return float(part / whole) if whole > 0 else float(np.copysign(np.inf, part))


def compress(fraction: float) -> float:
    """Signed log10 of 1 plus the percentage, in about [-6, 6], so that an exploded loss does not dwarf the rest."""
    return float(np.sign(fraction) * np.log10(1 + 100 * min(abs(fraction), 1e4)))


def reaches_zero(losses: np.ndarray) -> bool:
    """Whether a loss that is never negative ends at 0: it is flat there because it is perfect."""
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

    A width in decades makes the result independent of the number of steps.

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


def beats_constant(loss: float, constant: float) -> bool:
    """Whether a loss is clearly below that of the best constant output, so that the model has learned."""
    return loss <= constant - LEAST_GAIN * abs(constant)
