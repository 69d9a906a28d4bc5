"""Validation series that were not recorded every epoch."""

from __future__ import annotations

import numpy as np

from keras_lr.errors import CurveError


def spread(values: np.ndarray, size: int) -> np.ndarray:
    """A validation series over all `size` epochs: with `validation_freq=k`, Keras records only every k-th."""
    if values.size == size:
        return values
    if values.size == 0 or values.size > size:
        raise CurveError(
            f"A validation series must be no longer than the loss. Received: {values.size} and {size} rows. Align them."
        )
    every = size // values.size
    spread = np.full(size, np.nan)
    spread[every - 1 :: every][: values.size] = values
    return spread
