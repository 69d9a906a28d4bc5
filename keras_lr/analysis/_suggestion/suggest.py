"""Suggesting a learning rate from the loss curve of a range test.

The default rule reads the landmarks of each repeat (`curve`), lets each landmark vote for a rate with the fitted
offsets of `calibration`, takes the median, and says how confident the curve allows it to be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from keras_lr.analysis._suggestion.calibration import (
    CALIBRATION,
    CLEAR_FALL_SHARE,
    REFERENCE_DENSITY,
    UNKNOWN,
    Calibration,
    OptimizerKind,
    Vote,
    kind_of,
)
from keras_lr.analysis._suggestion.curve import START_DECADES, Landmarks, LossCurve, read_curves, read_landmarks
from keras_lr.analysis._suggestion.published_rules import PUBLIC_RULES, fastai_view
from keras_lr.errors import CurveError, InvalidArgumentError
from keras_lr.results._range_test import Confidence, Suggestion

DEFAULT_RULE = "consensus"
RULES = (DEFAULT_RULE, *PUBLIC_RULES)

MIN_STEPS = 20
MIN_SPAN_DECADES = 1.0
"""A shorter sweep gives no suggestion."""

USUAL_DECADES = 0.05
"""Within this distance a suggestion counts as the usual rate."""

CLEAR_FALL_ERRORS = 10.0
"""Least fall of the loss for "clear", in standard errors of its noise."""

CLEAR_ROOM_DECADES = 0.5
"""Least distance for "clear" from the suggestion up to the first loss that jumps."""

SHOWN_ROOM_DECADES = 0.05
"""A smaller distance would be written as 0.0 decades."""

COARSE_STEPS_PER_DECADE = 20.0
FAR_BELOW_USUAL_DECADES = 0.4
"""For "clear" from a sweep with fewer steps per decade, the rate for an adaptive optimizer lies at most this far below
the usual one. Wide, deep and trained models need such rates, but so few steps do not tell how low."""

FAR_BELOW_USUAL = (
    "The rate lies far below the usual one of the optimizer, and the sweep has too few steps to tell how low it must "
    "be. Use 300 steps or `refine=True`."
)

CLEAR_SPREAD_DECADES = 0.5
"""Largest standard deviation for "clear" of the suggestions of single repeats."""

EDGE_DECADES = 0.25
"""If the loss is lowest this close to the end of the sweep, it was still falling there."""

PUBLIC_HALF_WIDTH_DECADES = 0.6
"""Half the width of the usable range around the rate of a public rule, which gives no range of its own."""


# A loss is compared with that of a constant output by the mean of this part of a sweep's steps, at least so many, ...
BLOCK_PART = 12
MIN_BLOCK = 8
# ... and is clearly below it by this many standard errors: of the many parts of a flat curve, chance brings some two
# below, and in 1 curve of 50 one this many.
CLEARLY = 3.5
# The noise at the loss of a constant output is that of the parts whose mean differs from it by at most this fraction.
NEAR_CONSTANT = 0.25
# If the sweep starts this many times above that loss, its fall is the output's level moving to the targets'. ...
FAR_ABOVE = 1.5
# ... If the loss of a constant is this large, the targets are not scaled, nor are the gradients. ...
UNSCALED = 10.0
# ... Without an adaptive optimizer, a suggestion this many times above the rate at which half of that way was done can
# break what it is to train, ...
FAR_BEYOND = 30.0
# ... and the rate to start from lies this many times below the rate of half of the way.
BEFORE_HALF_WAY = 10.0
HALF_WIDTH = 10**0.5


@dataclass(frozen=True)
class Judgement:
    """A confidence and the sentence that says why."""

    confidence: Confidence
    reason: str


def suggest(learning_rates: Any, losses: Any, *, rule: str = DEFAULT_RULE, optimizer: Any = None) -> Suggestion:
    """Suggests a learning rate from the loss curve of a range test.

    Args:
        learning_rates: Positive, not decreasing, dimensionless, shape `(n_steps,)`.
        losses: Each batch's own loss, shape `(n_steps,)`, or `(repeats, n_steps)` for several sweeps; NaN after a sweep
            stopped.
        rule: "consensus" takes the median of what three landmarks of the curve point to, corrected for the number of
            steps per decade; "valley", "minimum", "steepest" and "slide" are fastai's rules. Each repeat is read on its
            own, and the suggestion is the median over the repeats.
        optimizer: The Keras optimizer that was swept, or its name. For Adam, AdamW, Adamax, Nadam and RMSprop the
            default rule also considers the rate that most often suits them; for optimizers without momentum it allows
            for the missing lag. With None or any other optimizer, only the curve counts.

    Returns:
        A suggestion with the usable range around it. If the curve does not show a learning rate, its confidence is
        "none", and its `reason` says why.

    Raises:
        CurveError: The arrays do not form a curve.
        InvalidArgumentError: `rule` is unknown.

    Example:
        >>> keras_lr.suggest(rates, losses).learning_rate
    """
    if rule not in RULES:
        raise InvalidArgumentError(f"`rule` must be one of {RULES}. Received: {rule!r}. Omit it for the default rule.")
    curves = _long_enough(read_curves(learning_rates, losses))
    if not curves:
        return Suggestion.refuse(
            f"The curve is too short: a suggestion needs {MIN_STEPS} finite losses over a decade of learning rates.",
            rule=rule,
        )
    if not np.any(losses):
        return Suggestion.refuse(
            "The loss is exactly 0 in every step, so it is not the one that is trained. A `train_step` of your own has "
            'to update the metric named "loss" in `self.metrics`; or name another logged loss by `monitor`.',
            rule=rule,
        )
    if rule != DEFAULT_RULE:
        return _suggest_by_public_rule(curves, rule)
    return suggest_from_landmarks([read_landmarks(curve) for curve in curves], kind=kind_of(optimizer))


def landmarks_of(learning_rates: Any, losses: Any) -> list[Landmarks]:
    """The landmarks of each repeat that is long enough; takes the arguments of `suggest`."""
    return [read_landmarks(curve) for curve in _long_enough(read_curves(learning_rates, losses))]


def suggest_from_landmarks(
    landmarks: list[Landmarks], *, kind: OptimizerKind = UNKNOWN, calibration: Calibration = CALIBRATION
) -> Suggestion:
    """Applies the default rule to the landmarks of each repeat."""
    fell = sum(one.fell for one in landmarks) > len(landmarks) / 2
    points = [point for one in landmarks if (point := _point_in_sweep(one, calibration, kind)) is not None]
    if len(points) <= len(landmarks) / 2:
        return Suggestion.refuse(
            "The loss never fell by more than its noise: the curve is flat. Raise `max_lr` or use more steps.",
            rule=DEFAULT_RULE,
        )
    point, spread = float(np.median(points)), float(np.std(points))
    if not fell and point < _median([one.first for one in landmarks]) + START_DECADES:
        return Suggestion.refuse(
            "The loss only rose: every learning rate swept was too high. Lower `min_lr`.", rule=DEFAULT_RULE
        )
    judgement = _judgement(
        landmarks,
        fell=fell,
        room=_room_decades(landmarks, point),
        spread=spread,
        above_usual=point - calibration.prior.usual_decades if kind.adaptive else None,
    )
    above = upper_decades(landmarks, point, calibration)
    return _suggestion(points, calibration.below + spread, above + spread, judgement, DEFAULT_RULE)


def suggested_decades(landmarks: Landmarks, calibration: Calibration, kind: OptimizerKind = UNKNOWN) -> float | None:
    """Log10 of the learning rate that one curve points to; None if it points to none.

    Where the loss certainly fell, this is the median of the votes, moved towards the usual rate of an adaptive
    optimizer as far as the prior allows. The less certain the fall, the less its position says, and the more the
    breakaway counts, with the offset of the rise: a model whose loss never fell is slow to start and needs a large
    rate, but for an adaptive optimizer none above the usual one; or it was trained before, and any rate that does not
    break it is close to a good one.
    """
    lag = calibration.prior.lag_decades if kind.momentum_free else 0.0
    point = float(np.median([_vote_of(landmarks, name, vote) for name, vote in calibration.votes.items()]))
    if kind.adaptive:
        point = calibration.prior.move(point + lag, fall_share=landmarks.fall_share) - lag
    if landmarks.breakaway is None:
        return lag + point if landmarks.fell else None
    end = _vote_of(landmarks, "breakaway", calibration.votes["rise"])
    if kind.adaptive:
        end = min(end + calibration.prior.raises_unseen_decades, calibration.prior.usual_decades - lag)
    return lag + (1 - landmarks.doubt) * point + landmarks.doubt * end


def upper_decades(landmarks: list[Landmarks], point: float, calibration: Calibration) -> float:
    """Decades from `point`, the log10 of the suggestion, up to the upper end of the usable range, at least 0."""
    return max((calibration.above + _room_decades(landmarks, point)) / 2, 0.0)


def _long_enough(curves: list[LossCurve]) -> list[LossCurve]:
    return [one for one in curves if len(one.losses) >= MIN_STEPS and one.span_decades >= MIN_SPAN_DECADES]


def _point_in_sweep(landmarks: Landmarks, calibration: Calibration, kind: OptimizerKind) -> float | None:
    point = suggested_decades(landmarks, calibration, kind)
    return None if point is None else float(np.clip(point, landmarks.first, landmarks.last))


def _vote_of(landmarks: Landmarks, name: str, vote: Vote) -> float:
    density = float(np.log10(landmarks.steps_per_decade / REFERENCE_DENSITY))
    return float(getattr(landmarks, name)) + vote.offset_decades + vote.density_slope * density


def _room_decades(landmarks: list[Landmarks], point: float) -> float:
    """Decades from `point`, the log10 of a rate, up to the first single loss that jumps out of the curve."""
    return _median([one.jump for one in landmarks]) - point


def _judgement(
    landmarks: list[Landmarks], *, fell: bool, room: float, spread: float, above_usual: float | None
) -> Judgement:
    """How confident the landmarks allow the suggestion to be.

    Args:
        landmarks: Those of each repeat, at least one.
        fell: Whether the loss fell by more than its noise.
        room: Decades from the suggestion up to the first loss that jumps out of the curve.
        spread: Standard deviation of the suggestions of single repeats, in decades.
        above_usual: Decades from the usual rate of the optimizer up to the suggestion; None if there is no usual rate.
    """
    if not fell:
        return Judgement(
            "tentative",
            "The loss never fell by more than its noise; the suggestion stays well below the rate at which it rose.",
        )
    doubt = _doubt_about_range(landmarks) or _doubt_about_fall(landmarks)
    if not doubt and room < CLEAR_ROOM_DECADES:
        above = f"within {room:.1f} decades above" if room >= SHOWN_ROOM_DECADES else "at or below"
        doubt = f"Single losses jump {above} the suggestion."
    if not doubt and spread > CLEAR_SPREAD_DECADES:
        doubt = f"The repeats disagree by {spread:.1f} decades."
    if not doubt and above_usual is not None and above_usual < -FAR_BELOW_USUAL_DECADES:
        steps_per_decade = _median([one.steps_per_decade for one in landmarks])
        doubt = FAR_BELOW_USUAL if steps_per_decade < COARSE_STEPS_PER_DECADE else ""
    if doubt:
        return Judgement("tentative", doubt)
    basin = _median([one.basin_decades for one in landmarks])
    usual = above_usual is not None and abs(above_usual) < USUAL_DECADES
    with_usual = ", including the rate usual for the optimizer" if usual else ""
    return Judgement(
        "clear", f"The loss clearly fell and stayed low over {basin:.1f} decades of learning rate{with_usual}."
    )


def _doubt_about_range(landmarks: list[Landmarks]) -> str:
    still_falling = [one.breakaway is None and one.last - one.lowest < EDGE_DECADES for one in landmarks]
    if np.mean(still_falling) > 0.5:
        return "The loss was still falling at the largest learning rate. Raise `max_lr`."
    if _median([one.half - one.first for one in landmarks]) < START_DECADES:
        return "The loss was already falling at the smallest learning rates. Lower `min_lr`."
    return ""


def _doubt_about_fall(landmarks: list[Landmarks]) -> str:
    errors = _median([one.fall_in_errors for one in landmarks])
    if errors < CLEAR_FALL_ERRORS:
        least = f"a clear fall has at least {CLEAR_FALL_ERRORS:.0f}"
        # Rounded down, so that what falls short is not written as the least.
        seen = f"{math.floor(10 * errors) / 10:g} standard errors of its noise"
        return f"The loss fell by {seen}; {least}. Use more steps or repeats."
    share = _median([one.fall_share for one in landmarks])
    if share < CLEAR_FALL_SHARE:
        least = f"a clear fall has at least {CLEAR_FALL_SHARE:.0%}"
        return f"The loss fell by {math.floor(100 * share)}% of its start; {least}. Use more steps."
    return ""


def _suggest_by_public_rule(curves: list[LossCurve], rule: str) -> Suggestion:
    try:
        points = [np.log10(PUBLIC_RULES[rule](*fastai_view(10**curve.decades, curve.losses))) for curve in curves]
    except CurveError as err:
        return Suggestion.refuse(str(err), rule=rule)
    judgement = Judgement("tentative", f"Read off by fastai's rule {rule}, which does not assess its own answer.")
    return _suggestion(points, PUBLIC_HALF_WIDTH_DECADES, PUBLIC_HALF_WIDTH_DECADES, judgement, rule)


def _suggestion(points: list[Any], below: float, above: float, judgement: Judgement, rule: str) -> Suggestion:
    """The median of `points`, log10 of rates, with a range that reaches `below` and `above` it, in decades."""
    centre = float(np.median(points))
    low, rate, high = (float(10**decade) for decade in (centre - below, centre, centre + above))
    spread = float(np.std(points)) if len(points) > 1 else None
    return Suggestion(rate, low, high, judgement.confidence, judgement.reason, rule, spread)


def _median(values: list[float]) -> float:
    return float(np.median(values))


def allow_for_constant(
    suggestion: Suggestion,
    learning_rates: np.ndarray,
    losses: np.ndarray,
    constant: float | None,
    *,
    kind: OptimizerKind = UNKNOWN,
) -> Suggestion:
    """The suggestion for a curve that may show no more than the output finding the level of the targets.

    A network whose units died, or that learned nothing from its inputs, ends at the loss of the best constant output. A
    fall to it, and a flat bottom there, say nothing about the learning rate, so such a suggestion is tentative at best.
    If the targets are not scaled, the loss began far above it and fell at low rates, and the suggestion lies far above
    these, the rate is taken from before the fall, except for an adaptive optimizer, whose steps do not grow with the
    loss.

    Args:
        suggestion: What the curve alone suggests.
        learning_rates: Shape `(n_steps,)`, increasing.
        losses: Of one sweep, shape `(n_steps,)`, or of several, shape `(repeats, n_steps)`, NaN after one stopped.
        constant: The loss of the best constant output, in the unit of `losses`; None if unknown.
        kind: Kind of the optimizer, if known.
    """
    steps = losses.shape[-1]
    size = max(MIN_BLOCK, steps // BLOCK_PART)
    if suggestion.learning_rate is None or constant is None or constant == 0 or steps < 2 * size:
        return suggestion
    # The loss of a constant output is a mean. Where a few losses are large, the median of some repeats lies below it.
    if _falls_below(constant, np.nanmean(np.atleast_2d(losses), axis=0), size):
        return suggestion
    reason = (
        f"The loss never fell clearly below {constant:.3g}, that of a constant output, so the curve shows no learning."
    )
    half_way = _half_way(np.nanmedian(np.atleast_2d(losses), axis=0), size, constant)
    if half_way is not None and not kind.adaptive:
        fell_at = float(learning_rates[half_way + size // 2])
        if suggestion.learning_rate > FAR_BEYOND * fell_at:
            rate = fell_at / BEFORE_HALF_WAY
            reason += " The rate is taken from before the fall. Scale the targets."
            return replace(
                suggestion,
                learning_rate=rate,
                low=rate / HALF_WIDTH,
                high=rate * HALF_WIDTH,
                confidence="tentative",
                reason=reason,
            )
    return (
        replace(suggestion, confidence="tentative", reason=reason) if suggestion.confidence == "clear" else suggestion
    )


def _falls_below(constant: float, losses: np.ndarray, size: int) -> bool:
    """Whether some block of the losses is clearly below the loss of a constant output.

    The standard error of a block is at least the usual one of those near that loss: where a few losses are large, a
    block without any of these has a low mean and little noise of its own. The noise is read off neighbouring losses, so
    that a fall within a block does not count.
    """
    blocks = np.lib.stride_tricks.sliding_window_view(losses, size)
    means = blocks.mean(axis=1)
    errors = np.sqrt((np.diff(blocks, axis=1) ** 2).mean(axis=1) / (2 * size))
    near = np.abs(means - constant) < NEAR_CONSTANT * abs(constant)
    usual = float(np.median(errors[near])) if near.any() else 0.0
    return bool((means + CLEARLY * np.maximum(errors, usual) < constant).any())


def _half_way(losses: np.ndarray, size: int, constant: float) -> int | None:
    """The first block whose loss lies below the middle between its start and `constant`; None if none does.

    A loss that rises again and then falls to `constant` belongs to a network that the fall has killed. Also None if the
    loss did not start far above `constant`, or the targets are scaled.
    """
    means = np.lib.stride_tricks.sliding_window_view(losses, size).mean(axis=1)
    start = float(means[0])
    below = np.flatnonzero(means < (start + constant) / 2)
    return int(below[0]) if below.size and start > FAR_ABOVE * constant and constant >= UNSCALED else None
