"""The default rule: landmarks of a curve vote on the middle of the usable range, and their median decides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_lr.analysis.curve import Curve
from keras_lr.analysis.landmarks import Landmarks, read_landmarks

REFERENCE_STEPS_PER_DECADE = 12.4
"""Density of a sweep of 100 steps over eight decades, at which the votes' offsets hold."""


@dataclass(frozen=True)
class Voter:
    """How one landmark points at the middle of the usable range.

    Attributes:
        offset: Decades from the landmark to the middle, at the reference density.
        steps_exponent: How the landmark moves down as the sweep has more steps a decade. Training progress is the product of
            rate and steps, so a denser sweep shows a given early progress at a rate lower in proportion (towards 1); where
            the loss breaks away depends on the rate alone (towards 0).
    """

    offset: float
    steps_exponent: float


VOTERS = {
    "half of the fall": Voter(0.25, 0.95),
    "80% of the fall": Voter(-0.1, 0.7),
    "90% of the fall": Voter(-0.35, 0.6),
    "lowest point": Voter(-0.7, 0.4),
    "breakaway": Voter(-1.5, 0.2),
}
BREAKAWAY_ALONE = -1.1
"""Offset from the breakaway where the loss never fell: such a model is slow to start and wants a large rate."""

HALF_WIDTH_DECADES = 0.8
MIN_STEPS = 10
MIN_DECADES = 1.0
SIGNIFICANT_FALL = 3.5
"""Standard errors that the lowest of some twenty independent windows of pure noise stays within, in 95% of sweeps."""

CLEAR_SPREAD_DECADES = 1.2
EDGE_DECADES = 0.25


@dataclass(frozen=True)
class Verdict:
    """What one curve advises, in decades; `middle` is None where it advises nothing."""

    middle: float | None
    low: float
    high: float
    clear: bool
    reason: str


def judge(curve: Curve) -> Verdict:
    """Reads one curve."""
    if len(curve.decades) < MIN_STEPS or curve.span_decades < MIN_DECADES:
        return _refuse(
            f"The curve is too short to judge: {len(curve.decades)} steps over {curve.span_decades:.1f} decades, where "
            f"{MIN_STEPS} steps over {MIN_DECADES:.0f} decade are the least."
        )
    marks = read_landmarks(curve)
    if marks.fall <= SIGNIFICANT_FALL * marks.fall_error + np.finfo(np.float64).eps * abs(marks.start):
        return _judge_without_fall(marks)
    return _judge_fall(marks, curve.steps_per_decade)


def votes(marks: Landmarks, steps_per_decade: float) -> dict[str, float]:
    """Each landmark's guess of the middle of the usable range, in decades."""
    end = float(marks.decades[-1])
    places = {
        "half of the fall": marks.reached(0.5),
        "80% of the fall": marks.reached(0.8),
        "90% of the fall": marks.reached(0.9),
        "lowest point": marks.lowest,
        "breakaway": end if marks.breakaway is None else marks.breakaway,
    }
    density = np.log10(steps_per_decade / REFERENCE_STEPS_PER_DECADE)
    return {name: place + VOTERS[name].offset + VOTERS[name].steps_exponent * density for name, place in places.items()}


def _judge_fall(marks: Landmarks, steps_per_decade: float) -> Verdict:
    guesses = np.array(list(votes(marks, steps_per_decade).values()))
    middle = float(np.clip(np.median(guesses), marks.decades[0], marks.decades[-1]))
    low = max(middle - HALF_WIDTH_DECADES, float(marks.decades[0]))
    high = min(middle + HALF_WIDTH_DECADES, float(marks.decades[-1]))
    spread = float(np.ptp(guesses))
    if marks.breakaway is None and marks.decades[-1] - marks.lowest < EDGE_DECADES:
        return Verdict(middle, low, high, False, "The loss still falls at the largest learning rate; raise `max_lr`.")
    if spread > CLEAR_SPREAD_DECADES:
        return Verdict(middle, low, high, False, f"The curve's landmarks disagree by {spread:.1f} decades.")
    return Verdict(
        middle,
        low,
        high,
        True,
        f"The loss falls by {marks.fall / marks.fall_error:.0f} standard errors and the landmarks agree.",
    )


def _judge_without_fall(marks: Landmarks) -> Verdict:
    flat = "The loss never falls by more than its noise"
    if marks.breakaway is None:
        return _refuse(f"{flat} and never breaks away; raise `max_lr`, add steps, or check that the model can learn.")
    middle = marks.breakaway + BREAKAWAY_ALONE
    if middle < marks.decades[0]:
        return _refuse(f"{flat} and rises almost from the start; lower `min_lr`.")
    low = max(middle - HALF_WIDTH_DECADES, float(marks.decades[0]))
    return Verdict(
        middle, low, marks.breakaway, False, f"{flat}; the suggestion rests only on where it breaks away. Add steps."
    )


def _refuse(reason: str) -> Verdict:
    return Verdict(None, 0.0, 0.0, False, reason)
