"""How sure a range test's curve makes us of what was read off it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_lr.analysis.landmarks import START_DECADES, Landmarks
from keras_lr.records.suggestion import Confidence

CLEAR_FALL_ERRORS = 10.0
CLEAR_FALL_SHARE = 0.5
"""Least fall for "clear", as a share of the loss at the start: of all landmarks it tells best, on the tasks of
`benchmarks/advice.py`, which suggestions hold. A sweep that lowers the loss by less shows only how training begins."""

CLEAR_ROOM_DECADES = 0.5
CLEAR_SPREAD_DECADES = 0.5
EDGE_DECADES = 0.25


@dataclass(frozen=True)
class Judgement:
    """A confidence and the sentence that says why."""

    confidence: Confidence
    reason: str


def judge(marks: list[Landmarks], *, fell: bool, room: float, spread: float, usual: bool) -> Judgement:
    """Judges the median of the repeats.

    Args:
        marks: Landmarks of each repeat, at least one.
        fell: Whether the loss fell by more than its noise explains.
        room: Decades from the suggestion up to the first loss that jumps out of the curve.
        spread: Standard deviation of the repeats' own suggestions, in decades.
        usual: Whether the suggestion is the rate usual for the optimizer.
    """
    if not fell:
        return Judgement(
            "tentative",
            "The loss never fell by more than its noise; the rate stays a decade or more below where it rose.",
        )
    doubts = _doubt_about_range(marks) or _doubt_about_fall(marks)
    if not doubts and room < CLEAR_ROOM_DECADES:
        doubts = f"Single losses jump up within {max(room, 0.0):.1f} decades above the suggestion."
    if not doubts and spread > CLEAR_SPREAD_DECADES:
        doubts = f"The repeats disagree by {spread:.1f} decades."
    if doubts:
        return Judgement("tentative", doubts)
    basin = _typical([one.basin_decades for one in marks])
    with_usual = ", among them the rate usual for the optimizer" if usual else ""
    return Judgement(
        "clear",
        f"The loss fell beyond doubt and stayed low over {basin:.1f} decades of learning rate{with_usual}.",
    )


def _doubt_about_range(marks: list[Landmarks]) -> str:
    still_falling = [one.breakaway is None and one.last - one.lowest < EDGE_DECADES for one in marks]
    if np.mean(still_falling) > 0.5:
        return "The loss still fell at the largest learning rate swept. Raise `max_lr`."
    if _typical([one.half - one.first for one in marks]) < START_DECADES:
        return "The loss fell from the first learning rates on. Lower `min_lr`."
    return ""


def _doubt_about_fall(marks: list[Landmarks]) -> str:
    errors = _typical([one.fall_in_errors for one in marks])
    if errors < CLEAR_FALL_ERRORS:
        return f"The loss fell by only {errors:.1f} standard errors of its noise. Use more steps or repeats."
    share = _typical([one.fall_share for one in marks])
    if share < CLEAR_FALL_SHARE:
        return f"The loss fell by only {share:.0%} of its start, which shows little of the training. Use more steps."
    return ""


def _typical(values: list[float]) -> float:
    return float(np.median(values))
