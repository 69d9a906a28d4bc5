"""How sure a range test's curve makes us of what was read off it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from keras_lr.analysis.landmarks import START_DECADES, Landmarks
from keras_lr.records.suggestion import Confidence

CLEAR_FALL_ERRORS = 10.0
CLEAR_ROOM_DECADES = 0.5
CLEAR_SPREAD_DECADES = 0.5
CLEAR_APART_DECADES = 1.5
EDGE_DECADES = 0.25


@dataclass(frozen=True)
class Judgement:
    """A confidence and the sentence that says why."""

    confidence: Confidence
    reason: str


def judge(
    marks: list[Landmarks], *, fell: bool, room: float, apart: float, spread: float, clear_basin: float, usual: bool
) -> Judgement:
    """Judges the median of the repeats.

    A wide valley forgives an error of the rule. But where it is so wide that the landmarks at its two ends point to
    different rates, the first fall may not have been the one that matters.

    Args:
        marks: Landmarks of each repeat, at least one.
        fell: Whether the loss fell by more than its noise explains.
        room: Decades from the suggestion up to the first loss that jumps out of the curve.
        apart: Decades between the lowest and the highest rate that the landmarks point to.
        spread: Standard deviation of the repeats' own suggestions, in decades.
        clear_basin: Least decades from fall to rise for "clear".
        usual: Whether the suggestion is the rate usual for the optimizer.
    """
    if not fell:
        return Judgement(
            "tentative",
            "The loss never fell by more than its noise; the rate stays a decade or more below where it rose.",
        )
    basin = _typical([one.basin_decades for one in marks])
    doubts = (
        _doubt_about_range(marks)
        or _doubt_about_fall(_typical([one.fall_in_errors for one in marks]))
        or _doubt_about_width(basin, room, clear_basin)
    )
    if not doubts and apart > CLEAR_APART_DECADES:
        doubts = f"The curve's fall and its rise point to rates {apart:.1f} decades apart."
    if not doubts and spread > CLEAR_SPREAD_DECADES:
        doubts = f"The repeats disagree by {spread:.1f} decades."
    if doubts:
        return Judgement("tentative", doubts)
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


def _doubt_about_fall(errors: float) -> str:
    if errors >= CLEAR_FALL_ERRORS:
        return ""
    return f"The loss fell by only {errors:.1f} standard errors of its noise. Use more steps or repeats."


def _doubt_about_width(basin: float, room: float, clear_basin: float) -> str:
    if basin < clear_basin:
        return f"The loss rises again within {basin:.1f} decades of its fall: little room for error."
    if room < CLEAR_ROOM_DECADES:
        return f"Single losses jump up within {max(room, 0.0):.1f} decades above the suggestion."
    return ""


def _typical(values: list[float]) -> float:
    return float(np.median(values))
