"""Each step's own loss, from the running mean that Keras logs."""

from __future__ import annotations

import numpy as np


def step_losses(steps: np.ndarray, running_means: np.ndarray, *, max_points: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean losses of consecutive stretches of an epoch.

    A running mean `m` after `n` steps is a sum `n m`, so that the mean over a stretch is a difference quotient of the
    sums. Keras keeps `m` in float32: the mean over `k` of `n` steps is known to about `n / k` times 6e-8 of `m`.

    Args:
        steps: Number of steps done at each reading since the metrics were reset, increasing, shape `(n,)`.
        running_means: Mean loss over these steps, shape `(n,)`.
        max_points: Largest number of stretches.

    Returns:
        The last step of each stretch and the mean loss over it, both of shape `(k,)` with `k <= max_points`.
    """
    stride = -(-steps.size // max_points)
    ends = np.arange(stride - 1, steps.size, stride)
    counts = np.concatenate([[0.0], steps[ends]])
    sums = np.concatenate([[0.0], steps[ends] * running_means[ends].astype(np.float64)])
    with np.errstate(invalid="ignore"):
        return steps[ends], np.diff(sums) / np.diff(counts)
