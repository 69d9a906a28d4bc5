"""Three landmarks of a curve, and the optimizer where it is known, vote on the middle of the usable range."""

from __future__ import annotations

import numpy as np

from keras_lr.analysis.calibration import REFERENCE_DENSITY, Calibration, Vote
from keras_lr.analysis.landmarks import Landmarks
from keras_lr.analysis.optimizer_kind import UNKNOWN, OptimizerKind

USUAL_VOTES = 2
"""Votes for an adaptive optimizer's usual rate, which then wins wherever the landmarks leave room for it."""


def middle(landmarks: Landmarks, calibration: Calibration, kind: OptimizerKind = UNKNOWN) -> float | None:
    """Log10 of the learning rate that the curve points to; None where it points to none.

    That is the median of the votes where the loss surely fell. As the fall drowns in its noise, where it happened says
    less, and the breakaway takes over, with the offset of the rise: a model whose loss never fell is slow to start and
    wants a large rate, though none above what is usual for an adaptive optimizer.
    """
    lag = calibration.habits.lag_decades if kind.prompt else 0.0
    usual = [calibration.habits.usual_decades - lag] * (USUAL_VOTES if kind.adaptive else 0)
    doubt = landmarks.doubt
    if landmarks.breakaway is None:
        return lag + median_vote(landmarks, calibration, usual) if landmarks.fell else None
    end = min([_cast(landmarks, "breakaway", calibration.votes["rise"]), *usual])
    return lag + (end if doubt == 1 else (1 - doubt) * median_vote(landmarks, calibration, usual) + doubt * end)


def median_vote(landmarks: Landmarks, calibration: Calibration, usual: list[float]) -> float:
    """The median of what the landmarks point to and of `usual`, all log10 of a learning rate."""
    return float(np.median(_votes(landmarks, calibration) + usual))


def _votes(landmarks: Landmarks, calibration: Calibration) -> list[float]:
    return [_cast(landmarks, name, vote) for name, vote in calibration.votes.items()]


def _cast(landmarks: Landmarks, name: str, vote: Vote) -> float:
    density = float(np.log10(landmarks.steps_per_decade / REFERENCE_DENSITY))
    return float(getattr(landmarks, name)) + vote.offset_decades + vote.density_slope * density
