"""Where on the learning-rate axis a loss curve starts to fall, falls most, bottoms out and breaks away."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_lr.analysis.curve import Curve
from keras_lr.analysis.smoothing import gaussian_smooth, rolling_median, step_noise

WIDTH_DECADES = 0.25
START_DECADES = 0.8
MIN_START_STEPS = 5
BREAKAWAY_SIGMAS = 4.0


@dataclass(frozen=True, eq=False)
class Landmarks:
    """What a curve's shape says, in decades of learning rate and in the unit of the loss.

    Attributes:
        decades: Log10 of the learning rates, shape `(n_steps,)`.
        smooth: Smoothed loss, capped where it has broken away, shape `(n_steps,)`.
        start: Loss of the untrained model.
        fall: Depth of the smoothed curve's lowest point below its start, at least 0.
        noise: Standard deviation of one step's loss.
        fall_error: Standard error of `fall` that the noise alone causes.
        lowest: Decade of the smoothed curve's minimum.
        breakaway: First decade past the lowest point where the loss stands above its start for good; None where it never does.
    """

    decades: np.ndarray
    smooth: np.ndarray
    start: float
    fall: float
    noise: float
    fall_error: float
    lowest: float
    breakaway: float | None

    def reached(self, fraction: float) -> float:
        """Decade from which on, up to the lowest point, at least `fraction` of the fall has happened."""
        level = self.start - fraction * self.fall
        bottom = int(np.searchsorted(self.decades, self.lowest))
        above = np.flatnonzero(self.smooth[:bottom] > level)
        return float(self.decades[above[-1] + 1] if len(above) else self.decades[0])


def read_landmarks(curve: Curve) -> Landmarks:
    """Finds a curve's landmarks.

    Two passes: a running median finds the start, the noise and the breakaway; with the losses above the breakaway capped, so
    that a diverged tail of any height weighs the same, a kernel mean of 0.25 decades finds the fall.

    Args:
        curve: At least five steps.
    """
    medians = rolling_median(curve.losses)
    first = max(MIN_START_STEPS, int(np.searchsorted(curve.decades, curve.decades[0] + START_DECADES)))
    start = float(np.median(curve.losses[:first]))
    noise = step_noise(curve.losses[: max(int(np.argmin(medians)), first) + 1])
    cap = start + BREAKAWAY_SIGMAS * noise
    smooth = gaussian_smooth(curve.decades, np.minimum(medians, cap), width_decades=WIDTH_DECADES)
    level, bottom = float(np.median(smooth[:first])), int(np.argmin(smooth))
    above = np.flatnonzero(medians > cap)
    averaged_steps = max(2 * np.sqrt(np.pi) * WIDTH_DECADES * curve.steps_per_decade, 1.0)
    return Landmarks(
        decades=curve.decades,
        smooth=smooth,
        start=level,
        fall=max(level - float(smooth[bottom]), 0.0),
        noise=noise,
        fall_error=noise / np.sqrt(averaged_steps),
        lowest=float(curve.decades[bottom]),
        breakaway=float(curve.decades[above[0]]) if len(above) else None,
    )
