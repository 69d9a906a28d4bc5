"""fastai's rules, each faithful to its source, for comparison and for those who prefer them."""

from __future__ import annotations

import numpy as np

from keras_lr.analysis._statistics import exponential_average
from keras_lr.errors import CurveError

MIN_STEPS = 20
"""Steps that must be left after fastai's trimming."""


def fastai_view(learning_rates: np.ndarray, losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The part of a sweep that fastai's rules read, smoothed as fastai does.

    The loss is averaged with beta 0.98. The sweep ends once the average exceeds four times its minimum so far, and the
    first tenth of the steps and the last five are dropped.

    Args:
        learning_rates: Shape `(n_steps,)`.
        losses: Finite, shape `(n_steps,)`.

    Raises:
        CurveError: Fewer than `MIN_STEPS` steps are left.

    Source:
        fastai 2.7 `callback/schedule.py`, `LRFinder` and `Learner.lr_find`.
    """
    smooth = exponential_average(losses)
    over = np.flatnonzero(smooth > 4 * np.minimum.accumulate(smooth))
    end = over[0] + 1 if len(over) else len(smooth)
    kept = slice(len(losses) // 10, end - 5)
    if len(smooth[kept]) < MIN_STEPS:
        raise CurveError(
            f"A public rule needs {MIN_STEPS} steps after fastai's trimming. Received: {len(smooth[kept])}. Use more "
            "steps or the default rule."
        )
    return learning_rates[kept], smooth[kept]


def valley(learning_rates: np.ndarray, losses: np.ndarray) -> float:
    """Halfway through the longest falling subsequence of the smoothed loss.

    If only the first steps fall, the index is negative, so fastai returns the highest rate; here it is the first.

    Source:
        fastai `valley`, after ESRI: the span of the subsequence is counted back from its end, one step per member.
    """
    lengths = np.ones(len(losses), dtype=int)
    for step in range(1, len(losses)):
        higher = lengths[:step][losses[:step] > losses[step]]
        lengths[step] = higher.max(initial=0) + 1
    end = int(np.argmax(lengths))
    third = int(lengths[end] / 3)
    return float(learning_rates[max(end - lengths[end] + third + int(lengths[end] / 6), 0)])


def minimum(learning_rates: np.ndarray, losses: np.ndarray) -> float:
    """A tenth of the learning rate at the smoothed loss's minimum. Source: fastai `minimum`."""
    return float(learning_rates[np.argmin(losses)] / 10)


def steepest(learning_rates: np.ndarray, losses: np.ndarray) -> float:
    """Where the smoothed loss falls fastest per unit of log learning rate. Source: fastai `steep`."""
    slopes = np.diff(losses) / np.diff(np.log(learning_rates))
    return float(learning_rates[np.argmin(slopes)])


def slide(
    learning_rates: np.ndarray, losses: np.ndarray, *, interval_steps: int = 15, slope_threshold: float = 0.005
) -> float:
    """Left end of an interval that moves down from the largest rate until the slopes at its two ends agree.

    Args:
        learning_rates: Shape `(n_steps,)`.
        losses: Smoothed, shape `(n_steps,)`, in the loss's unit.
        interval_steps: Length of the interval.
        slope_threshold: Largest difference of the slopes, in the loss's unit per step.

    Source:
        fastai `slide` with its defaults.
    """
    slopes = np.gradient(losses)
    gaps = np.abs(slopes[interval_steps:] - slopes[:-interval_steps])[::-1]
    agreed = np.flatnonzero(gaps <= slope_threshold)
    moves = int(agreed[0]) if len(agreed) else len(gaps)
    left = len(losses) - 1 - interval_steps - max(moves - 1, 0)
    return float(learning_rates[left])


PUBLIC_RULES = {"valley": valley, "minimum": minimum, "steepest": steepest, "slide": slide}
