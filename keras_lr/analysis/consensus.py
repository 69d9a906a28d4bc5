"""Three landmarks of a curve vote on the middle of the usable range, and their median decides."""

from __future__ import annotations

import numpy as np

from keras_lr.analysis.calibration import REFERENCE_DENSITY, Calibration, Vote
from keras_lr.analysis.landmarks import Landmarks


def middle(landmarks: Landmarks, calibration: Calibration) -> float:
    """Log10 of the learning rate that the median of the votes points to."""
    return float(np.median([_cast(landmarks, name, vote) for name, vote in calibration.votes.items()]))


def middle_without_fall(landmarks: Landmarks, calibration: Calibration) -> float | None:
    """Log10 of the learning rate that the breakaway alone points to; None where there is none.

    A model whose loss never fell is slow to start and wants a large rate.
    """
    return None if landmarks.breakaway is None else _cast(landmarks, "breakaway", calibration.breakaway)


def _cast(landmarks: Landmarks, name: str, vote: Vote) -> float:
    density = float(np.log10(landmarks.steps_per_decade / REFERENCE_DENSITY))
    return float(getattr(landmarks, name)) + vote.offset_decades + vote.density_slope * density
