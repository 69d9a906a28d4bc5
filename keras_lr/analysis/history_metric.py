"""Which recorded metric tells how far a run has come, whatever its name."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from keras_lr.analysis.history_validation import spread

MIN_VALUES = 3


def find_metric(
    arrays: Mapping[str, np.ndarray], rows: np.ndarray, loss: np.ndarray, *, size: int, taken: set[str]
) -> tuple[np.ndarray, np.ndarray] | tuple[None, None]:
    """A metric in [0, 1] that grows as the loss falls, on training and on validation data.

    Of several, such as accuracy and top-5 accuracy, the strictest: the one with the lowest mean.

    Args:
        arrays: Every column by its name.
        rows: Rows to read, shape `(n,)`.
        loss: The judged loss at these rows, shape `(n,)`.
        size: Number of rows before any was dropped.
        taken: Names of columns that are something else.

    Returns:
        Both series, each of shape `(n,)`; two None where no metric is of this kind.
    """
    found = []
    for name, values in arrays.items():
        twin = arrays.get(f"val_{name}")
        if name in taken or twin is None or values.size != size:
            continue
        if not 0 < twin.size <= size:
            continue
        metric, validation = values[rows], spread(twin, size)[rows]
        if _is_share(metric) and _is_share(validation) and _grows_as_falls(metric, loss):
            found.append((metric, validation))
    return min(found, key=lambda pair: float(np.nanmean(pair[0])), default=(None, None))


def _is_share(values: np.ndarray) -> bool:
    known = values[np.isfinite(values)]
    return known.size >= MIN_VALUES and bool(known.min() >= 0 and known.max() <= 1)


def _grows_as_falls(metric: np.ndarray, loss: np.ndarray) -> bool:
    both = np.isfinite(metric) & np.isfinite(loss)
    if both.sum() < MIN_VALUES:
        return False
    known = loss[both] - loss[both].mean()
    return bool((metric[both] - metric[both].mean()) @ known < 0)
