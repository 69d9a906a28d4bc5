"""Which rows of a long history to keep for a picture of it."""

from __future__ import annotations

import itertools

import numpy as np

from keras_lr.analysis.history_series import TrainingHistory


def kept_rows(history: TrainingHistory, *, max_points: int) -> np.ndarray:
    """Indices of at most `max_points` rows that keep both ends and each stretch's lowest and highest loss.

    Args:
        history: The run.
        max_points: At least 8.

    Returns:
        Increasing indices, shape `(k,)`; all of them where the history is no longer than `max_points`.
    """
    size = history.loss.size
    if size <= max_points:
        return np.arange(size)
    series = [history.loss] if history.val_loss is None else [history.loss, history.val_loss]
    stretches = (max_points - 2) // (2 * len(series))
    edges = np.linspace(0, size, stretches + 1).astype(int)
    kept = {0, size - 1}
    for values in series:
        for start, stop in itertools.pairwise(edges):
            finite = start + np.flatnonzero(np.isfinite(values[start:stop]))
            if finite.size:
                kept |= {int(finite[np.argmin(values[finite])]), int(finite[np.argmax(values[finite])])}
    return np.array(sorted(kept))
