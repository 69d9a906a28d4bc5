"""Reading a learning rate off the curve of a range test."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_lr.analysis.calibration import CALIBRATION, Calibration
from keras_lr.analysis.confidence import Judgement, judge
from keras_lr.analysis.consensus import middle
from keras_lr.analysis.curve import Curve, read_curves
from keras_lr.analysis.landmarks import START_DECADES, Landmarks, read_landmarks
from keras_lr.analysis.optimizer_kind import UNKNOWN, OptimizerKind, kind_of
from keras_lr.analysis.rules import PUBLIC_RULES, fastai_view
from keras_lr.errors import CurveError, InvalidArgumentError
from keras_lr.records.suggestion import Suggestion

MIN_STEPS = 20
MIN_SPAN_DECADES = 1.0
PUBLIC_HALF_WIDTH_DECADES = 0.6
USUAL_DECADES = 0.05
RULES = ("consensus", *PUBLIC_RULES)


def suggest(learning_rates: Any, losses: Any, *, rule: str = "consensus", optimizer: Any = None) -> Suggestion:
    """The learning rate a range test's curve speaks for, the usable range around it, and how sure the curve makes us.

    Args:
        learning_rates: Positive, not decreasing, dimensionless, shape `(n_steps,)`.
        losses: Each batch's own loss, shape `(n_steps,)`, or `(repeats, n_steps)` for several sweeps; NaN after a sweep
            stopped.
        rule: "consensus" is the median of what three landmarks of the curve point to, corrected for the number of
            steps a decade; "valley", "minimum", "steepest" and "slide" are fastai's. Each repeat is read alone, and the
            median of the repeats counts.
        optimizer: The Keras optimizer that made the curve, or its name. For Adam, AdamW, Adamax, Nadam and RMSprop the
            default rule also weighs the rate that suits them most often, and it allows for the lag of momentum. None
            and any other optimizer leave it to the curve.

    Returns:
        A suggestion; its confidence is "none", with the reason, where the curve says nothing.

    Raises:
        CurveError: The arrays do not make a curve.
        InvalidArgumentError: `rule` is unknown.
    """
    if rule not in RULES:
        raise InvalidArgumentError(f"`rule` must be one of {RULES}. Received: {rule!r}. Leave it out for the best one.")
    curves = _long_enough(read_curves(learning_rates, losses))
    if not curves:
        return Suggestion.refuse(
            f"The curve is too short: a suggestion needs {MIN_STEPS} finite losses over a decade of learning rates.",
            rule=rule,
        )
    if rule != "consensus":
        return _public(curves, rule)
    return advise([read_landmarks(curve) for curve in curves], kind=kind_of(optimizer))


def landmarks_of(learning_rates: Any, losses: Any) -> list[Landmarks]:
    """Landmarks of each repeat that is long enough to be read; the arguments of `suggest`."""
    return [read_landmarks(curve) for curve in _long_enough(read_curves(learning_rates, losses))]


def advise(
    marks: list[Landmarks], *, kind: OptimizerKind = UNKNOWN, calibration: Calibration = CALIBRATION
) -> Suggestion:
    """The default rule on landmarks already read, of one sweep a repeat."""
    fell = sum(one.fell for one in marks) > len(marks) / 2
    points = [point for one in marks if (point := _point(one, calibration, kind)) is not None]
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
    judgement = judge(
        marks,
        fell=fell,
        room=room_decades(marks, point),
        spread=spread,
        usual=kind.adaptive and abs(point - calibration.habits.usual_decades) < USUAL_DECADES,
    )
    above = upper_decades(marks, point, calibration)
    return _around(points, calibration.below + spread, above + spread, judgement, "consensus")


def upper_decades(marks: list[Landmarks], point: float, calibration: Calibration) -> float:
    """Decades from the suggestion, log10 of a rate, up to the upper end of the usable range, at least 0."""
    return max((calibration.above + room_decades(marks, point)) / 2, 0.0)


def room_decades(marks: list[Landmarks], point: float) -> float:
    """Decades from `point`, log10 of a rate, up to where a single loss first jumps out of the curve."""
    return float(np.median([one.jump for one in marks])) - point


def _public(curves: list[Curve], rule: str) -> Suggestion:
    try:
        points = [np.log10(PUBLIC_RULES[rule](*fastai_view(10**curve.decades, curve.losses))) for curve in curves]
    except CurveError as err:
        return Suggestion.refuse(str(err), rule=rule)
    judgement = Judgement("tentative", f"Read off by fastai's rule {rule}, which does not judge its own answer.")
    return _around(points, PUBLIC_HALF_WIDTH_DECADES, PUBLIC_HALF_WIDTH_DECADES, judgement, rule)


def _long_enough(curves: list[Curve]) -> list[Curve]:
    return [one for one in curves if len(one.losses) >= MIN_STEPS and one.span_decades >= MIN_SPAN_DECADES]


def _point(marks: Landmarks, calibration: Calibration, kind: OptimizerKind) -> float | None:
    point = middle(marks, calibration, kind)
    return None if point is None else float(np.clip(point, marks.first, marks.last))


def _around(points: list[Any], below: float, above: float, judgement: Judgement, rule: str) -> Suggestion:
    centre = float(np.median(points))
    low, rate, high = (float(10**decade) for decade in (centre - below, centre, centre + above))
    spread = float(np.std(points)) if len(points) > 1 else None
    return Suggestion(rate, low, high, judgement.confidence, judgement.reason, rule, spread)
