"""Features of a run's curves that keep their value when the loss is scaled or shifted."""

from __future__ import annotations

import numpy as np

from keras_lr.analysis.history_series import TrainingHistory

FEATURE_NAMES = (
    "trend",
    "first_epoch_share",
    "half_way_remainder",
    "rise_from_best",
    "spike",
    "early_validation_trend",
    "validation_noise",
    "late_validation_fall",
    "validation_turns",
    "generalisation_gap",
)
MAX_POINTS = 25


def features(history: TrainingHistory) -> np.ndarray:
    """The features named in `FEATURE_NAMES`, shape `(10,)`; the loss stands in where validation has under three epochs.

    A series of more than `MAX_POINTS` is first averaged in blocks: the verdict is about the course of the whole run.
    """
    loss = history.loss
    validation = loss if history.val_loss is None else history.val_loss
    both = np.isfinite(loss) & np.isfinite(validation)
    if both.sum() < 3:
        validation, both = loss, np.isfinite(loss)
    loss, validation = block_means(loss[both], MAX_POINTS), block_means(validation[both], MAX_POINTS)
    if loss.size < 3:
        return np.zeros(len(FEATURE_NAMES))
    half, third = loss.size // 2, max(1, loss.size // 3)
    best = _best(loss)
    fall, settled_fall = loss[0] - best, np.median(loss[1:3]) - best
    middle, tail = np.median(loss[half - 1 : half + 2]), np.median(loss[half:])
    deviation = np.median(np.abs(loss - np.median(loss)))
    steps = np.diff(validation)
    return np.array(
        [
            rank_trend(loss),
            compress(share(loss[0] - loss[1], abs(loss[1] - tail))),
            np.clip(share(middle - best, fall), 0, 2),
            compress(share(np.median(loss[-third:]) - best, settled_fall)),
            compress(share(loss.max() - np.median(loss), deviation) / 100),
            rank_trend(validation[: half + 1]),
            compress(share(_tail_noise(validation), validation[0] - _best(validation))),
            compress(share(_late_fall(validation), np.median(validation[1:3]) - _best(validation))),
            np.mean(steps[1:] * steps[:-1] < 0),
            compress(share(validation.min() - loss.min(), loss[0] - loss.min())),
        ]
    )


def block_means(values: np.ndarray, max_points: int) -> np.ndarray:
    """Means of at most `max_points` consecutive blocks of nearly equal size."""
    if values.size <= max_points:
        return values
    edges = np.linspace(0, values.size, max_points + 1).astype(int)
    return np.add.reduceat(values, edges[:-1]) / np.diff(edges)


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


def _best(values: np.ndarray) -> float:
    return float(np.sort(values)[:2].mean())


def _tail_noise(values: np.ndarray) -> float:
    tail = values[values.size // 2 :]
    return noise_level(tail) if tail.size > 3 else 0.0


def _late_fall(values: np.ndarray) -> float:
    tail = values[values.size // 2 :]
    width = max(1, tail.size // 2)
    return float(tail[:width].mean() - tail[-width:].mean())
