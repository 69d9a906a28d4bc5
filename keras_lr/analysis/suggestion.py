"""Reading a learning rate off the curve of a range test."""

from __future__ import annotations

from typing import Any

import numpy as np

from keras_lr.analysis.curve import Curve, read_curves
from keras_lr.analysis.estimators import START_DECADES, UNSEEN_FALL_OFFSET, Landmarks, estimates, find_landmarks
from keras_lr.analysis.rules import PUBLIC_RULES, fastai_view
from keras_lr.errors import CurveError, InvalidArgumentError
from keras_lr.records.suggestion import Confidence, Suggestion

MIN_STEPS = 20
MIN_SPAN_DECADES = 1.0
SEEN_FALL = 1.2
CLEAR_FALL = 4.0
CLEAR_SPREAD_DECADES = 0.5
HALF_WIDTH_DECADES = 0.6
RULES = ("consensus", *PUBLIC_RULES)


def suggest(learning_rates: Any, losses: Any, *, rule: str = "consensus") -> Suggestion:
    """The learning rate a range test's curve speaks for, the usable range around it, and how sure the curve makes us.

    Args:
        learning_rates: Positive, not decreasing, dimensionless, shape `(n_steps,)`.
        losses: Each batch's own loss, shape `(n_steps,)`, or `(repeats, n_steps)` for several sweeps; NaN after a sweep
            stopped.
        rule: "consensus" is the median of what several landmarks of the curve point to, corrected for the number of
            steps a decade; "valley", "minimum", "steepest" and "slide" are fastai's.

    Returns:
        A suggestion; its confidence is "none", with the reason, where the curve says nothing.

    Raises:
        CurveError: The arrays do not make a curve.
        InvalidArgumentError: `rule` is unknown.
    """
    if rule not in RULES:
        raise InvalidArgumentError(f"`rule` must be one of {RULES}. Received: {rule!r}. Leave it out for the best one.")
    curves = [curve for curve in read_curves(learning_rates, losses) if len(curve.losses) >= MIN_STEPS]
    if not curves or max(curve.span_decades for curve in curves) < MIN_SPAN_DECADES:
        return Suggestion.refuse(
            f"The curve is too short: a suggestion needs {MIN_STEPS} finite losses over a decade of learning rates.",
            rule=rule,
        )
    return _consensus(curves) if rule == "consensus" else _public(curves, rule)


def _public(curves: list[Curve], rule: str) -> Suggestion:
    try:
        points = [np.log10(PUBLIC_RULES[rule](*fastai_view(10**curve.decades, curve.losses))) for curve in curves]
    except CurveError as err:
        return Suggestion.refuse(str(err), rule=rule)
    reason = f"Read off by fastai's rule {rule}, which does not judge its own answer."
    return _around(float(np.median(points)), HALF_WIDTH_DECADES, "tentative", reason, rule)


def _consensus(curves: list[Curve]) -> Suggestion:
    landmarks = [find_landmarks(curve) for curve in curves]
    if refusal := _refusal(landmarks, curves):
        return Suggestion.refuse(refusal, rule="consensus")
    points = np.array([_point(marks) for marks in landmarks])
    spread = float(np.median([np.ptp(estimates(marks)) / 2 for marks in landmarks]) + np.std(points))
    confidence, reason = _judge(landmarks, curves, spread)
    centre = float(np.clip(np.median(points), curves[0].decades[0], max(curve.decades[-1] for curve in curves)))
    return _around(centre, max(HALF_WIDTH_DECADES, spread), confidence, reason, "consensus")


def _point(marks: Landmarks) -> float:
    if marks.fall_in_noise < SEEN_FALL and marks.edge is not None:
        return marks.edge + UNSEEN_FALL_OFFSET
    return float(np.median(estimates(marks)))


def _refusal(landmarks: list[Landmarks], curves: list[Curve]) -> str:
    if _typical_fall(landmarks) >= SEEN_FALL:
        return ""
    edges = [marks.edge for marks in landmarks if marks.edge is not None]
    if not edges:
        return "The loss never fell by more than its noise: the curve is flat. Raise `max_lr` or use more steps."
    if np.median(edges) + UNSEEN_FALL_OFFSET < curves[0].decades[0] + START_DECADES:
        return "The loss only rose: every learning rate swept was too high. Lower `min_lr`."
    return ""


def _judge(landmarks: list[Landmarks], curves: list[Curve], spread: float) -> tuple[Confidence, str]:
    fall = _typical_fall(landmarks)
    if fall < SEEN_FALL:
        return "tentative", "The loss never fell by more than its noise; the rate stays a decade below where it rose."
    if fall < CLEAR_FALL:
        return "tentative", f"The loss fell by only {fall:.1f} times its noise. Use more steps or repeats."
    if np.median([marks.bottom - curve.decades[-1] for marks, curve in zip(landmarks, curves, strict=True)]) > -0.2:
        return "tentative", "The loss still fell at the largest learning rate swept. Raise `max_lr`."
    if (
        np.median([marks.most - curve.decades[0] for marks, curve in zip(landmarks, curves, strict=True)])
        < START_DECADES
    ):
        return "tentative", "The loss fell from the first learning rates on. Lower `min_lr`."
    if spread > CLEAR_SPREAD_DECADES:
        return "tentative", f"The curve's landmarks disagree by {spread:.1f} decades."
    return (
        "clear",
        f"The loss fell by {fall:.0f} times its noise and the curve's landmarks agree within {spread:.1f} decades.",
    )


def _typical_fall(landmarks: list[Landmarks]) -> float:
    return float(np.median([marks.fall_in_noise for marks in landmarks]))


def _around(centre: float, half_width: float, confidence: Confidence, reason: str, rule: str) -> Suggestion:
    low, rate, high = (float(10**decade) for decade in (centre - half_width, centre, centre + half_width))
    return Suggestion(rate, low, high, confidence, reason, rule)
