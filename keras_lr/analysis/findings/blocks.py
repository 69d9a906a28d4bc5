"""How finely a long series is read."""

from __future__ import annotations

import numpy as np

WAVE_POINTS = 2000
COURSE_POINTS = 200
MIN_STRENGTH = 3.0
"""Standard errors by which a course must move to be told from noise."""


def block_epochs(epochs: np.ndarray, max_points: int) -> np.ndarray:
    """The first epoch of each block that `block_means` averages over."""
    if epochs.size <= max_points:
        return epochs
    return np.asarray(epochs[np.linspace(0, epochs.size, max_points + 1).astype(int)[:-1]])
