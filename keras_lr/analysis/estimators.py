"""Landmarks of a loss curve, and the learning rate that each of them points to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_lr.analysis.curve import Curve
from keras_lr.analysis.smoothing import gaussian_smooth, rolling_median, step_noise

START_DECADES = 0.75
START_MIN_STEPS = 5
SMOOTHING_DECADES = 0.25
DIVERGENCE_SIGMAS = 4.0
REFERENCE_DENSITY = 12.5
FLOAT32_RESOLUTION = 1e-6

# (decades added to the landmark, decades added for each tenfold in steps a decade): a denser sweep trains more on its
# way up, so its loss falls at lower rates, while the rate that diverges hardly moves.
OFFSETS = {
    "half": (0.25, 0.95),
    "most": (-0.1, 0.7),
    "nearly": (-0.35, 0.6),
    "bottom": (-0.7, 0.4),
    "edge": (-1.5, 0.2),
}
UNSEEN_FALL_OFFSET = -1.1


@dataclass(frozen=True)
class Landmarks:
    """Where one curve falls, turns and diverges; positions are log10 of a learning rate.

    Attributes:
        start: Median loss of the first decade, before the rate matters.
        noise: Standard deviation of one step's loss.
        fall: Drop of the smoothed loss from its start to its lowest point.
        half: Where half of the fall has happened.
        most: Where 80% of it has.
        nearly: Where 90% of it has.
        bottom: Where the smoothed loss is lowest.
        edge: Where the loss first stands above its start by more than its noise; None where the sweep ended before.
        top: Largest rate of the sweep.
        steps_per_decade: Density of the sweep.
    """

    start: float
    noise: float
    fall: float
    half: float
    most: float
    nearly: float
    bottom: float
    edge: float | None
    top: float
    steps_per_decade: float

    @property
    def fall_in_noise(self) -> float:
        """The fall, in standard deviations of one step's loss."""
        if self.fall <= 0:
            return 0.0
        return self.fall / self.noise if self.noise > 0 else np.inf


def find_landmarks(curve: Curve) -> Landmarks:
    """Reads the landmarks off one curve; a spike counts no more than a clear divergence does."""
    decades = curve.decades
    medians = rolling_median(curve.losses)
    count = max(START_MIN_STEPS, int(np.searchsorted(decades, decades[0] + START_DECADES)))
    start = float(np.median(curve.losses[:count]))
    noise = step_noise(curve.losses[: max(int(np.argmin(medians)), 2 * START_MIN_STEPS)])
    noise = max(noise, FLOAT32_RESOLUTION * float(np.abs(curve.losses[:count]).max()))
    above = np.flatnonzero(medians > start + DIVERGENCE_SIGMAS * noise)
    smooth = gaussian_smooth(
        decades, np.minimum(medians, start + DIVERGENCE_SIGMAS * noise), width_decades=SMOOTHING_DECADES
    )
    lowest = int(np.argmin(smooth))
    initial = float(np.median(smooth[: min(count, lowest + 1)]))
    fall = initial - float(smooth[lowest])

    def fallen(share: float) -> float:
        higher = np.flatnonzero(smooth[: lowest + 1] > initial - share * fall)
        return float(decades[min(higher[-1] + 1, lowest)] if len(higher) else decades[0])

    return Landmarks(
        start=start,
        noise=noise,
        fall=fall,
        half=fallen(0.5),
        most=fallen(0.8),
        nearly=fallen(0.9),
        bottom=float(decades[lowest]),
        edge=float(decades[above[0]]) if len(above) else None,
        top=float(decades[-1]),
        steps_per_decade=curve.steps_per_decade,
    )


def estimates(landmarks: Landmarks) -> np.ndarray:
    """The learning rates the landmarks point to, as log10, shape `(5,)`; the sweep's end serves as an unseen edge."""
    density = np.log10(landmarks.steps_per_decade / REFERENCE_DENSITY)
    positions = {name: getattr(landmarks, name) for name in OFFSETS}
    if landmarks.edge is None:
        positions["edge"] = landmarks.top
    return np.array([positions[name] + offset + slope * density for name, (offset, slope) in OFFSETS.items()])
