"""Settling a suggestion by short runs at constant rates near it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from keras_lr.analysis._suggestion.calibration import CALIBRATION, UNKNOWN, Calibration, OptimizerKind
from keras_lr.analysis._suggestion.curve import SEEN_FALL_ERRORS, Landmarks
from keras_lr.analysis._suggestion.suggest import Judgement
from keras_lr.results._range_test import Suggestion

SPACING_DECADES = 0.75
LONG_RUN_STEPS = 50
MIN_RUN_STEPS = 10
TAIL_FRACTION = 0.34
TOLERANCE = 0.1
"""Loss above the best run's, as a fraction of its fall, at which a run counts for 1/e of the best."""

CLEAR_APART_DECADES = 0.5


@dataclass(frozen=True)
class Plan:
    """Which short runs to make: `learning_rates`, increasing, each for `num_steps` steps."""

    learning_rates: np.ndarray
    num_steps: int


def plan_runs(suggestion: Suggestion, *, num_steps: int) -> Plan | None:
    """The runs that use up a budget; None where there is nothing to refine or too little to do it with.

    Three begin half a decade below the suggestion and reach a decade above it; where each can still be long, four reach
    further both ways: a run must last to tell a good rate from a quick start.

    Args:
        suggestion: What the sweep says.
        num_steps: Budget of all runs together.
    """
    runs, first = (4, -0.75) if num_steps >= 4 * LONG_RUN_STEPS else (3, -0.5)
    if suggestion.learning_rate is None or num_steps < runs * MIN_RUN_STEPS:
        return None
    decades = first + SPACING_DECADES * np.arange(runs)
    return Plan(suggestion.learning_rate * 10**decades, num_steps // runs)


def settle(
    suggestion: Suggestion,
    learning_rates: np.ndarray,
    losses: np.ndarray,
    *,
    marks: list[Landmarks],
    kind: OptimizerKind = UNKNOWN,
    calibration: Calibration = CALIBRATION,
) -> Suggestion:
    """The suggestion moved to where the short runs went best.

    Every run is scored by its mean loss at the end. The runs that come close to the best one point to the middle of
    their rates, less an offset, for a short run favours a rate somewhat too large.

    Args:
        suggestion: What the sweep says, with a learning rate.
        learning_rates: Rate of each run, shape `(n_runs,)`.
        losses: Shape `(n_runs, n_steps)`, NaN after a run stopped.
        marks: Landmarks of the sweep, one a repeat.
        kind: The kind of the optimizer, where it is known.
        calibration: The fitted numbers.
    """
    if suggestion.learning_rate is None or suggestion.low is None or suggestion.high is None:
        return suggestion
    middle = middle_of_runs(learning_rates, losses, marks)
    if middle is None:
        return _unmoved(suggestion)
    before = float(np.log10(suggestion.learning_rate))
    runs = middle + calibration.refining.offset(losses.shape[1])
    moved = settled_decades(before, runs, kind, calibration) - before
    judgement = _judge(suggestion, abs(runs - before))
    low, rate, high = (end * 10**moved for end in (suggestion.low, suggestion.learning_rate, suggestion.high))
    return Suggestion(rate, low, high, judgement.confidence, judgement.reason, "refined", suggestion.spread_decades)


def settled_decades(before: float, runs: float, kind: OptimizerKind, calibration: Calibration) -> float:
    """Where sweep and short runs meet, log10 of a rate: most of the way to where the runs point.

    Where the optimizer is adaptive, the median of the sweep, the runs and the optimizer's usual rate.

    Args:
        before: What the sweep says.
        runs: Where the short runs point.
        kind: The kind of the optimizer.
        calibration: The fitted numbers.
    """
    if kind.adaptive:
        return float(np.median([before, runs, calibration.habits.usual_decades]))
    return before + calibration.refining.trust * (runs - before)


def middle_of_runs(learning_rates: np.ndarray, losses: np.ndarray, marks: list[Landmarks]) -> float | None:
    """Log10 of the rate in the middle of the runs that end lowest; None where none fell by more than its noise.

    Args:
        learning_rates: Rate of each run, shape `(n_runs,)`.
        losses: Shape `(n_runs, n_steps)`, NaN after a run stopped.
        marks: Landmarks of the sweep, one a repeat.
    """
    start = float(np.median([one.start for one in marks]))
    noise = float(np.median([one.noise for one in marks]))
    ends = end_losses(losses, start=start)
    fall = start - float(ends.min())
    if fall <= SEEN_FALL_ERRORS * noise / np.sqrt(TAIL_FRACTION * losses.shape[1]):
        return None
    weights = np.exp(-(ends - ends.min()) / (TOLERANCE * fall))
    return float(np.average(np.log10(learning_rates), weights=weights))


def end_losses(losses: np.ndarray, *, start: float) -> np.ndarray:
    """Mean loss of each run's last third, where no step counts for more than it would to lose the best run's gain.

    Args:
        losses: Shape `(n_runs, n_steps)`, NaN after a run stopped, which counts as such a loss.
        start: Loss of the untrained model.

    Returns:
        Shape `(n_runs,)`.
    """
    steps = losses.shape[1]
    ends = np.where(np.isfinite(losses), losses, np.inf)[:, steps - max(int(TAIL_FRACTION * steps), 3) :]
    ceiling = start + max(start - float(np.median(ends, axis=1).min()), 0.0)
    return np.asarray(np.minimum(ends, ceiling).mean(axis=1))


def _unmoved(suggestion: Suggestion) -> Suggestion:
    return replace(
        suggestion,
        confidence="tentative",
        reason="No short run lowered the loss by more than its noise: the sweep's suggestion stands. Use more steps.",
        rule="refined",
    )


def _judge(suggestion: Suggestion, apart: float) -> Judgement:
    if apart > CLEAR_APART_DECADES:
        return Judgement("tentative", f"Short runs disagree with the sweep by {apart:.1f} decades.")
    agreed = f"Short runs agree with the sweep within {apart:.1f} decades."
    if suggestion.confidence == "clear":
        return Judgement("clear", agreed)
    return Judgement("tentative", f"{agreed} {suggestion.reason}")
