"""Three landmarks of a curve vote on the middle of the usable range, and their median decides."""

from __future__ import annotations

import numpy as np

from keras_lr.analysis.calibration import REFERENCE_DENSITY, Calibration, Vote
from keras_lr.analysis.landmarks import Landmarks


def middle(landmarks: Landmarks, calibration: Calibration) -> float | None:
    """Log10 of the learning rate that the curve points to; None where it points to none.

    That is the median of the votes where the loss surely fell. As the fall drowns in its noise, where it happened says
    less, and the breakaway takes over, with the offset of the rise: a model whose loss never fell is slow to start and
    wants a large rate.
    """
    doubt = landmarks.doubt
    if landmarks.breakaway is None:
        return median_vote(landmarks, calibration) if landmarks.fell else None
    end = _cast(landmarks, "breakaway", calibration.votes["rise"])
    return end if doubt == 1 else (1 - doubt) * median_vote(landmarks, calibration) + doubt * end


def median_vote(landmarks: Landmarks, calibration: Calibration) -> float:
    """Log10 of the learning rate in the middle of what the votes point to."""
    return float(np.median([_cast(landmarks, name, vote) for name, vote in calibration.votes.items()]))


def _cast(landmarks: Landmarks, name: str, vote: Vote) -> float:
    density = float(np.log10(landmarks.steps_per_decade / REFERENCE_DENSITY))
    return float(getattr(landmarks, name)) + vote.offset_decades + vote.density_slope * density
