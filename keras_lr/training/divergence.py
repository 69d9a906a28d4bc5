"""Telling from the losses so far that a sweep has diverged."""

from __future__ import annotations

import numpy as np

_WINDOW_STEPS = 5
_FACTOR = 4.0
_NOISE_FACTOR = 4.0


def divergence_step(losses: np.ndarray) -> int | None:
    """First step at which the loss has risen far above where it began.

    Far is measured by the curve itself: `4` times its fall so far, or `16` times its noise where that is more, above
    the median of the first tenth. Scaling or shifting the loss changes nothing, so negative and near-zero losses are
    safe.

    Args:
        losses: Finite losses in the order of the sweep, shape `(n_steps,)`.

    Returns:
        A step in `[10, n_steps)`, or None where the loss has not diverged.

    Source:
        Custom. fastai and torch_lr_finder compare with a multiple of the best loss, which fails at or below zero.
    """
    start = max(2 * _WINDOW_STEPS, len(losses) // 10)
    if len(losses) <= start:
        return None
    head = losses[:start]
    baseline = float(np.median(head))
    noise = 1.4826 * float(np.median(np.abs(np.diff(head)))) / np.sqrt(2)
    windows = np.lib.stride_tricks.sliding_window_view(losses, _WINDOW_STEPS)
    trailing = np.median(windows, axis=1)
    best = np.minimum.accumulate(trailing)
    scale = np.maximum(baseline - best, _NOISE_FACTOR * noise)
    scale = np.maximum(scale, np.finfo(np.float32).eps * max(abs(baseline), 1.0))
    risen = trailing > baseline + _FACTOR * scale
    steps = np.flatnonzero(risen) + _WINDOW_STEPS - 1
    steps = steps[steps >= start]
    return int(steps[0]) if steps.size else None
