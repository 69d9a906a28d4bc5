"""Which points of a long series to keep, so that a plot or a page can hold it without losing a spike."""

from __future__ import annotations

from typing import Any

import numpy as np


def spike_keeping_indices(values: Any, limit: int, *, nan_is_missing: bool = False) -> np.ndarray:
    """At most `limit` indices that keep both ends and, in every stretch between them, the lowest and highest value.

    Args:
        values: One series of shape `(n,)`, or several over the same steps, shape `(n_series, n)`, which all keep
            their extremes.
        limit: At least `2 + 2 * n_series`.
        nan_is_missing: True where NaN means that nothing was measured, so that it is never kept for its own sake.
            Otherwise NaN is a diverged step and, like infinity, counts as the highest value of its stretch.

    Returns:
        Increasing integer indices, shape `(m,)` with `m <= limit`; all of them if `n <= limit`.
    """
    series = np.atleast_2d(np.asarray(values, dtype=np.float64))
    count = series.shape[1]
    if count <= limit:
        return np.arange(count)
    kept = {0, count - 1}
    for stretch in np.array_split(np.arange(1, count - 1), (limit - 2) // (2 * len(series))):
        for row in series:
            known = stretch[~np.isnan(row[stretch])] if nan_is_missing else stretch
            if known.size:
                heights = np.where(np.isfinite(row[known]), row[known], np.inf)
                kept |= {int(known[np.argmin(heights)]), int(known[np.argmax(heights)])}
    return np.array(sorted(kept))


def evenly_chosen(count: int, limit: int, *, always: int | None = None) -> np.ndarray:
    """At most `limit` of the indices 0 to `count - 1`, evenly spaced, including the first and the last.

    Args:
        count: Number of indices to choose from.
        limit: At least 2; at least 3 with `always`.
        always: An index that must be included; it replaces the nearest inner one.
    """
    if count <= limit:
        return np.arange(count)
    chosen = set(np.linspace(0, count - 1, limit).round().astype(int).tolist())
    if always is not None and always not in chosen:
        chosen.remove(min(chosen - {0, count - 1}, key=lambda index: abs(index - always)))
        chosen.add(always)
    return np.array(sorted(chosen))


def nearest(values: np.ndarray, value: float | None) -> int | None:
    """Index of the value nearest to `value`, None for None."""
    return None if value is None else int(np.argmin(np.abs(values - value)))
