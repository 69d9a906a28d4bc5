"""Reading a learning rate off the curve of a range test."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_lr.analysis._suggestion.calibration import (
    CALIBRATION,
    REFERENCE_DENSITY,
    UNKNOWN,
    Calibration,
    OptimizerKind,
    Vote,
    kind_of,
)
from keras_lr.analysis._suggestion.curve import START_DECADES, Curve, Landmarks, read_curves, read_landmarks
from keras_lr.analysis._suggestion.published_rules import PUBLIC_RULES, fastai_view
from keras_lr.errors import CurveError, InvalidArgumentError
from keras_lr.results._range_test import Confidence, Suggestion

CLEAR_FALL_ERRORS = 10.0
CLEAR_FALL_SHARE = 0.5
"""Least fall for "clear", as a share of the loss at the start: of all landmarks it tells best, on the tasks of
`benchmarks/advice.py`, which suggestions hold. A sweep that lowers the loss by less shows only how training begins."""

CLEAR_ROOM_DECADES = 0.5
CLEAR_SPREAD_DECADES = 0.5
EDGE_DECADES = 0.25

USUAL_VOTES = 2
"""Votes for an adaptive optimizer's usual rate, which then wins wherever the landmarks leave room for it."""

MIN_STEPS = 20
MIN_SPAN_DECADES = 1.0
PUBLIC_HALF_WIDTH_DECADES = 0.6
USUAL_DECADES = 0.05
RULES = ("consensus", *PUBLIC_RULES)


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
