"""Reading a learning rate off the curve of a range test."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_lr.analysis.calibration import CALIBRATION, Calibration
from keras_lr.analysis.confidence import Judgement, judge
from keras_lr.analysis.consensus import middle, middle_without_fall
from keras_lr.analysis.curve import Curve, read_curves
from keras_lr.analysis.landmarks import START_DECADES, Landmarks, read_landmarks
from keras_lr.analysis.rules import PUBLIC_RULES, fastai_view
from keras_lr.errors import CurveError, InvalidArgumentError
from keras_lr.records.suggestion import Suggestion

MIN_STEPS = 20
MIN_SPAN_DECADES = 1.0
SEEN_FALL_ERRORS = 3.5
"""Standard errors that the lowest of some twenty independent windows of pure noise stays within, in 95% of sweeps."""

PUBLIC_HALF_WIDTH_DECADES = 0.6
RULES = ("consensus", *PUBLIC_RULES)


def suggest(learning_rates: Any, losses: Any, *, rule: str = "consensus") -> Suggestion:
    """The learning rate a range test's curve speaks for, the usable range around it, and how sure the curve makes us.

    Args:
        learning_rates: Positive, not decreasing, dimensionless, shape `(n_steps,)`.
        losses: Each batch's own loss, shape `(n_steps,)`, or `(repeats, n_steps)` for several sweeps; NaN after a sweep
            stopped.
        rule: "consensus" is the median of what three landmarks of the curve point to, corrected for the number of
            steps a decade; "valley", "minimum", "steepest" and "slide" are fastai's. Each repeat is read alone, and the
            median of the repeats counts.

    Returns:
        A suggestion; its confidence is "none", with the reason, where the curve says nothing.

    Raises:
        CurveError: The arrays do not make a curve.
        InvalidArgumentError: `rule` is unknown.
    """
    if rule not in RULES:
        raise InvalidArgumentError(f"`rule` must be one of {RULES}. Received: {rule!r}. Leave it out for the best one.")
    curves = read_curves(learning_rates, losses)
    return advise(curves) if rule == "consensus" else _public(curves, rule)


def advise(curves: list[Curve], *, calibration: Calibration = CALIBRATION) -> Suggestion:
    """The default rule on curves already read, one a repeat."""
    if not (curves := _long_enough(curves)):
        return _too_short("consensus")
    marks = [read_landmarks(curve) for curve in curves]
    fell = sum(map(_fell, marks)) > len(marks) / 2
    points = [point for one in marks if (point := _point(one, calibration)) is not None]
    if len(points) <= len(marks) / 2:
        return Suggestion.refuse(
            "The loss never fell by more than its noise: the curve is flat. Raise `max_lr` or use more steps.",
            rule="consensus",
        )
    point, spread = float(np.median(points)), float(np.std(points))
    if not fell and point < float(np.median([one.first for one in marks])) + START_DECADES:
        return Suggestion.refuse(
            "The loss only rose: every learning rate swept was too high. Lower `min_lr`.", rule="consensus"
        )
    room = float(np.median([one.jump for one in marks])) - point
    judgement = judge(marks, fell=fell, room=room, spread=spread, clear_basin=calibration.clear_basin)
    above = max((calibration.above + room) / 2, 0.0)
    return _around(points, calibration.below + spread, above + spread, judgement, "consensus")


def _public(curves: list[Curve], rule: str) -> Suggestion:
    if not (curves := _long_enough(curves)):
        return _too_short(rule)
    try:
        points = [np.log10(PUBLIC_RULES[rule](*fastai_view(10**curve.decades, curve.losses))) for curve in curves]
    except CurveError as err:
        return Suggestion.refuse(str(err), rule=rule)
    judgement = Judgement("tentative", f"Read off by fastai's rule {rule}, which does not judge its own answer.")
    return _around(points, PUBLIC_HALF_WIDTH_DECADES, PUBLIC_HALF_WIDTH_DECADES, judgement, rule)


def _long_enough(curves: list[Curve]) -> list[Curve]:
    return [one for one in curves if len(one.losses) >= MIN_STEPS and one.span_decades >= MIN_SPAN_DECADES]


def _too_short(rule: str) -> Suggestion:
    return Suggestion.refuse(
        f"The curve is too short: a suggestion needs {MIN_STEPS} finite losses over a decade of learning rates.",
        rule=rule,
    )


def _fell(marks: Landmarks) -> bool:
    return marks.fall_in_errors > SEEN_FALL_ERRORS


def _point(marks: Landmarks, calibration: Calibration) -> float | None:
    point = middle(marks, calibration) if _fell(marks) else middle_without_fall(marks, calibration)
    return None if point is None else float(np.clip(point, marks.first, marks.last))


def _around(points: list[Any], below: float, above: float, judgement: Judgement, rule: str) -> Suggestion:
    centre = float(np.median(points))
    low, rate, high = (float(10**decade) for decade in (centre - below, centre, centre + above))
    spread = float(np.std(points)) if len(points) > 1 else None
    return Suggestion(rate, low, high, judgement.confidence, judgement.reason, rule, spread)
