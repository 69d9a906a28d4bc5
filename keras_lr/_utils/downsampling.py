"""Which points of a long series to keep, so that a picture or a page can hold it and no spike is lost."""

from __future__ import annotations

from typing import Any

import numpy as np


def spike_keeping_indices(values: Any, limit: int) -> np.ndarray:
    """At most `limit` indices into `values` that keep each stretch's lowest and highest value, the first and the last.

    Args:
        values: Shape `(n,)`; non-finite values are kept as the first of their stretch.
        limit: At least 4.

    Returns:
        Increasing integer indices, shape `(m,)` with `m <= limit`; all of them where `n <= limit`.
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) <= limit:
        return np.arange(len(values))
    kept = {0, len(values) - 1}
    for stretch in np.array_split(np.arange(1, len(values) - 1), (limit - 2) // 2):
        # NaN and infinity are the highest there is: a diverged step must not vanish.
        heights = np.where(np.isfinite(values[stretch]), values[stretch], np.inf)
        kept |= {int(stretch[np.argmin(heights)]), int(stretch[np.argmax(heights)])}
    return np.array(sorted(kept))


def evenly_chosen(count: int, limit: int, *, always: int | None = None) -> np.ndarray:
    """At most `limit` of the indices 0 to `count - 1`, evenly spread, the first and the last with them.

    Args:
        count: How many there are.
        limit: At least 2; at least 3 with `always`.
        always: An index that must be among them; it takes the place of the nearest inner one.
    """
    if count <= limit:
        return np.arange(count)
    chosen = set(np.linspace(0, count - 1, limit).round().astype(int).tolist())
    if always is not None and always not in chosen:
        chosen.remove(min(chosen - {0, count - 1}, key=lambda index: abs(index - always)))
        chosen.add(always)
    return np.array(sorted(chosen))
