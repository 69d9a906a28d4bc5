"""Refining a suggestion by short runs at constant learning rates near it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from keras_lr.analysis._statistics import beats_constant
from keras_lr.analysis._suggestion.calibration import (
    CALIBRATION,
    CLEAR_FALL_SHARE,
    LONGER_SLOPE,
    MAX_LENGTH_DECADES,
    REFERENCE_PLAN_STEPS,
    SHORTER_SLOPE,
    UNKNOWN,
    Calibration,
    OptimizerKind,
)
from keras_lr.analysis._suggestion.curve import SEEN_FALL_ERRORS, Landmarks
from keras_lr.analysis._suggestion.suggest import FAR_BELOW_USUAL, Judgement
from keras_lr.results._range_test import Suggestion

SPACING_DECADES = 0.75
"""Distance between the rates of neighbouring runs."""

MIN_RUN_STEPS = 10
"""A shorter run says nothing about its rate."""

LONG_RUN_STEPS = 50
"""A budget that allows four runs of this length is spent on four runs, otherwise on three."""

TAIL_FRACTION = 0.34
"""Last part of a run over which its loss is averaged."""

TOLERANCE = 0.1
"""A run whose loss ends above the best run's by this fraction of the best run's fall has 1/e of its weight."""

LEAST_MOVE_DECADES = 0.05
"""A shorter move for the planned length is not made."""

LEAST_FALL_OF_DIFFERING_RUNS = 0.2
"""Runs whose fall is within the noise of single losses count if they differ and the best one fell by this fraction."""

LOWERED_FROM_DECADES = 0.2
"""Where the sweep lowered the loss by half, the rate for an adaptive optimizer lies at most this far above the runs."""

CLEAR_APART_DECADES = 0.5
"""Sweep and runs disagree if they point to rates farther apart than this."""

SHOWN_APART_DECADES = 0.05
"""A smaller distance would be written as 0.0 decades."""


@dataclass(frozen=True)
class Plan:
    """Which short runs to make.

    Attributes:
        learning_rates: Rate of each run, increasing, shape `(n_runs,)`.
        num_steps: Length of each run.
    """

    learning_rates: np.ndarray
    num_steps: int


def plan_runs(suggestion: Suggestion, *, num_steps: int) -> Plan | None:
    """The runs that use up a budget; None if there is no suggestion to refine or the budget is too small.

    Three runs from 0.5 decades below the suggestion to 1 above. With a larger budget, four over a wider range: short
    runs favour rates that merely start fast.

    Args:
        suggestion: What the sweep suggests.
        num_steps: Budget of all runs together.
    """
    runs, first = (4, -0.75) if num_steps >= 4 * LONG_RUN_STEPS else (3, -0.5)
    if suggestion.learning_rate is None or num_steps < runs * MIN_RUN_STEPS:
        return None
    decades = first + SPACING_DECADES * np.arange(runs)
    return Plan(suggestion.learning_rate * 10**decades, num_steps // runs)


def refine_suggestion(
    suggestion: Suggestion,
    learning_rates: np.ndarray,
    losses: np.ndarray,
    *,
    landmarks: list[Landmarks],
    kind: OptimizerKind = UNKNOWN,
    calibration: Calibration = CALIBRATION,
    constant: float | None = None,
) -> Suggestion:
    """The suggestion moved towards the rates at which the short runs went best.

    Each run is scored by its mean loss at the end. The runs close to the best one point to the middle of their rates,
    less an offset, because a short run favours too large a rate.

    Args:
        suggestion: What the sweep suggests.
        learning_rates: Rate of each run, shape `(n_runs,)`.
        losses: Shape `(n_runs, n_steps)`, NaN after a run stopped.
        landmarks: Those of each repeat of the sweep.
        kind: Kind of the optimizer, if known.
        calibration: The fitted constants.
        constant: The loss of the best constant output, in the unit of `losses`; None if unknown.
    """
    if suggestion.learning_rate is None or suggestion.low is None or suggestion.high is None:
        return suggestion
    middle = middle_of_runs(learning_rates, losses, landmarks, constant)
    differing = middle_of_differing_runs(learning_rates, losses, landmarks) if middle is None else middle
    if differing is None:
        return _unmoved(suggestion)
    swept = float(np.log10(suggestion.learning_rate))
    runs = differing + calibration.refinement.offset(losses.shape[1])
    doubt = float(np.median([one.doubt for one in landmarks]))
    fall_share = float(np.median([one.fall_share for one in landmarks]))
    if middle is None:
        moved = calibration.refinement.trust * (runs - swept)
    else:
        moved = refined_decades(swept, runs, kind, calibration, doubt=doubt, fall_share=fall_share) - swept
    judgement = _judgement(suggestion, abs(runs - swept))
    low, rate, high = (end * 10**moved for end in (suggestion.low, suggestion.learning_rate, suggestion.high))
    return Suggestion(rate, low, high, judgement.confidence, judgement.reason, "refined", suggestion.spread_decades)


def refined_decades(
    swept: float,
    runs: float,
    kind: OptimizerKind,
    calibration: Calibration,
    *,
    doubt: float = 0.0,
    fall_share: float = 0.0,
) -> float:
    """Log10 of the refined rate: most of the way from the sweep's suggestion to where the runs point.

    For an adaptive optimizer it is the median of the sweep, the runs and the rate as far towards the usual one as the
    prior allows: short runs favour high rates, so they raise the rate by no more than that. The less certain the fall
    of the sweep, the farther they may raise it. They lower it where the sweep lowered the loss by half: a sweep reaches
    its higher rates with what it learned at lower ones, which a training at such a rate never learns if it breaks the
    trained weights first. Where the sweep shows only how training begins, the best of short runs at low rates are so
    by chance.

    Args:
        swept: Log10 of what the sweep suggests.
        runs: Log10 of what the short runs point to.
        kind: Kind of the optimizer.
        calibration: The fitted constants.
        doubt: How much of the sweep's fall may be noise, from 0 to 1.
        fall_share: The fall of the loss in the sweep, as a fraction of its start.
    """
    if kind.adaptive:
        refined = float(np.median([swept, runs, calibration.prior.move(swept, fall_share=0.0)]))
        if fall_share >= CLEAR_FALL_SHARE:
            refined = min(refined, runs + LOWERED_FROM_DECADES)
    else:
        refined = swept + calibration.refinement.trust * (runs - swept)
    return refined + doubt * max(runs - refined, 0.0)


def middle_of_runs(
    learning_rates: np.ndarray, losses: np.ndarray, landmarks: list[Landmarks], constant: float | None = None
) -> float | None:
    """Log10 of the rate in the middle of the best runs; None if no run lowered the loss by more than its noise.

    A fall to the loss of a constant output is no learning. Beside a run that ends below it, it does not count:
    otherwise a run that kills the network would be close to the best one wherever the loss began far above.

    Args:
        learning_rates: Rate of each run, shape `(n_runs,)`.
        losses: Shape `(n_runs, n_steps)`, NaN after a run stopped.
        landmarks: Those of each repeat of the sweep.
        constant: The loss of the best constant output, in the unit of `losses`; None if unknown.
    """
    start = float(np.median([one.start for one in landmarks]))
    noise = float(np.median([one.noise for one in landmarks]))
    ends = end_losses(losses, start=start)
    fall = start - float(ends.min())
    if fall <= SEEN_FALL_ERRORS * noise / np.sqrt(TAIL_FRACTION * losses.shape[1]):
        return None
    if constant is not None and beats_constant(float(ends.min()), constant):
        fall = min(start, constant) - float(ends.min())
    return _middle(learning_rates, ends, fall)


def middle_of_differing_runs(
    learning_rates: np.ndarray, losses: np.ndarray, landmarks: list[Landmarks]
) -> float | None:
    """The same for runs whose fall is within the noise of their losses; None if they do not differ either.

    A model that was trained before has few large losses among many small ones, so neither the sweep nor a run falls
    visibly. Runs on the same batches share most of that noise, and their difference shows what the rate does.

    Args:
        learning_rates: Rate of each run, shape `(n_runs,)`.
        losses: Shape `(n_runs, n_steps)`, NaN after a run stopped.
        landmarks: Those of each repeat of the sweep.
    """
    start = float(np.median([one.start for one in landmarks]))
    tails = _tails(losses, start=start)
    ends = tails.mean(axis=1)
    fall = start - float(ends.min())
    if fall < LEAST_FALL_OF_DIFFERING_RUNS * abs(start):
        return None
    above = tails - tails[ends.argmin()]
    errors = above.std(axis=1, ddof=1) / np.sqrt(tails.shape[1])
    return _middle(learning_rates, ends, fall) if (above.mean(axis=1) > SEEN_FALL_ERRORS * errors).any() else None


def _middle(learning_rates: np.ndarray, ends: np.ndarray, fall: float) -> float:
    weights = np.exp(-(ends - ends.min()) / (TOLERANCE * fall))
    return float(np.average(np.log10(learning_rates), weights=weights))


def end_losses(losses: np.ndarray, *, start: float) -> np.ndarray:
    """Mean loss over the last third of each run, with each step capped at the start plus the best run's fall.

    Args:
        losses: Shape `(n_runs, n_steps)`, NaN after a run stopped, which counts as the cap.
        start: Loss of the untrained model.

    Returns:
        Shape `(n_runs,)`.
    """
    return np.asarray(_tails(losses, start=start).mean(axis=1))


def _tails(losses: np.ndarray, *, start: float) -> np.ndarray:
    """The last third of each run, with each step capped, shape `(n_runs, n_tail)`."""
    steps = losses.shape[1]
    tails = np.where(np.isfinite(losses), losses, np.inf)[:, steps - max(int(TAIL_FRACTION * steps), 3) :]
    ceiling = start + max(start - float(np.median(tails, axis=1).min()), 0.0)
    return np.asarray(np.minimum(tails, ceiling))


def length_decades(planned_steps: int) -> float:
    """Decades by which the best rate of a run of this length lies above that of the reference length."""
    longer = math.log10(planned_steps / REFERENCE_PLAN_STEPS)
    moved = -(LONGER_SLOPE if longer > 0 else SHORTER_SLOPE) * longer
    return float(np.clip(moved, -MAX_LENGTH_DECADES, MAX_LENGTH_DECADES))


def allow_for_length(suggestion: Suggestion, planned_steps: int | None) -> Suggestion:
    """The suggestion moved to what suits a run of the planned length.

    A test sees the first steps alone, in which higher rates look better than they are in the end.

    Args:
        suggestion: What sweep and short runs suggest.
        planned_steps: Length of the training that is to follow; None if unknown.
    """
    if planned_steps is None or suggestion.learning_rate is None:
        return suggestion
    moved = length_decades(planned_steps)
    if abs(moved) < LEAST_MOVE_DECADES:
        return suggestion
    low, rate, high = (
        end * 10**moved for end in (suggestion.low or 0.0, suggestion.learning_rate, suggestion.high or 0.0)
    )
    how = f"{'lowered' if moved < 0 else 'raised'} by {abs(moved):.1f} decades"
    reason = f"{suggestion.reason} The rate is {how} for a training run of {planned_steps} steps."
    return replace(suggestion, learning_rate=rate, low=low, high=high, reason=reason)


def _unmoved(suggestion: Suggestion) -> Suggestion:
    return replace(
        suggestion,
        confidence="tentative",
        reason="No short run lowered the loss by more than its noise, so the sweep's suggestion is kept. "
        "Use more steps.",
        rule="refined",
    )


def _judgement(suggestion: Suggestion, apart: float) -> Judgement:
    """How confident sweep and runs allow the refined suggestion to be if they are `apart` decades apart."""
    if apart > CLEAR_APART_DECADES:
        return Judgement("tentative", f"Short runs disagree with the sweep by {apart:.1f} decades.")
    within = f" within {apart:.1f} decades" if apart >= SHOWN_APART_DECADES else ""
    agreed = f"Short runs agree with the sweep{within}."
    if suggestion.confidence == "clear" or suggestion.reason == FAR_BELOW_USUAL:
        return Judgement("clear", agreed)
    return Judgement("tentative", f"{agreed} {suggestion.reason}")
