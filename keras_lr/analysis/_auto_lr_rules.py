"""The rules by which `AutoLR` changes a learning rate, as functions of the epoch losses.

Scaling or shifting the loss changes no decision. The rule for a diverged epoch is in `analysis._diverged`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from keras_lr.analysis._statistics import beats_constant, median_change, step_noise

# Steps of the learning rate: half a decade down or up, and a whole decade up if the loss falls in a straight line.
LOWER_FACTOR = 10**-0.5
RAISE_FACTOR = 10**0.5
STEEP_RAISE_FACTOR = 10.0
# A rate at which the model collapsed to a constant output is far too high.
COLLAPSE_FACTOR = 0.1

# A long run is read as about this many points, each the mean of several epochs.
POINTS_PER_RUN = 20
# The rules look at this many points at the end; an oscillation is searched in one more.
WINDOW_POINTS = 4

# Oscillation: at least this many rises, each of more than this fraction of the total fall.
MIN_RISES = 2
RISE_FRACTION = 0.05
# Slow learning: the smallest of the last falls is at least this fraction of the largest one.
STEADY_FRACTION = 0.8
# The falls lie on a straight line: the same, so near to 1 that no end of the fall is in sight.
STRAIGHT_FRACTION = 0.95
# Plateau: the two halves of the window differ by at most this fraction of the total fall.
STILL_FRACTION = 0.01

# A loss is judged by its mean over at least this many steps; an epoch with fewer is judged with those after it.
JUDGED_STEPS = 16
# A difference of less than this fraction of the losses is float32 rounding.
ROUNDING = 1e-6
# The loss can have levelled off only if it fell by at least this fraction of what the range test showed.
REACHED_FRACTION = 0.5
# Rehearsals that end within the first fraction of the best one's gain are as good, and none beyond the second is.
SAME_END_FRACTION = 0.01
LOST_END_FRACTION = 0.05
# A rise counts only if it is more than this many standard errors of a point.
RISE_ERRORS = 3.0
# A sweep's lowest loss is that of a median over this many steps.
REACH_STEPS = 5

# Fewer losses give no noise scale.
MIN_NOISE_EPOCHS = 3
# The baseline of a sweep is its first tenth, but at least this many steps.
BASELINE_STEPS = 10


@dataclass(frozen=True)
class Change:
    """What to do with the learning rate: its factor, dimensionless, and why in one sentence."""

    kind: Literal["rollback", "lower", "raise", "anneal"]
    factor: float
    reason: str


@dataclass(frozen=True)
class LossTrend:
    """The training loss so far, in its own unit.

    Attributes:
        start: Loss before the first step, or the first epoch's loss if that is unknown.
        best: Lowest loss of an epoch so far.
        losses: Finite losses since the learning rate last changed, oldest first, shape `(n_points,)`; each is the mean
            of several epochs.
        reach: How far the loss fell in a range test; 0 if unknown.
        error: Standard error of a point; 0 if unknown.
    """

    start: float
    best: float
    losses: np.ndarray
    reach: float = 0.0
    error: float = 0.0

    @property
    def fall(self) -> float:
        """How far the loss has fallen in total, at least 0; 0 if that is rounding."""
        fall = max(self.start - self.best, 0.0)
        return fall if fall > rounding_of(self.start, self.best) else 0.0


@dataclass(frozen=True)
class Baseline:
    """What a range test shows of the loss.

    Attributes:
        start: Level before training.
        noise: Standard deviation of a step's loss before training.
        reach: How far the loss fell in the sweeps.
    """

    start: float
    noise: float
    reach: float = 0.0


def read_baseline(losses: np.ndarray) -> Baseline | None:
    """Estimates level and noise from the start of sweeps, where the learning rate is too low to change the loss.

    Args:
        losses: Each step's own loss, in the order of the sweep, shape `(repeats, n_steps)`.

    Returns:
        None if the sweeps have fewer than 10 steps, or a loss at their start is not finite.
    """
    head = losses[:, : max(BASELINE_STEPS, losses.shape[1] // 10)]
    if head.shape[1] < BASELINE_STEPS or not np.isfinite(head).all():
        return None
    start = float(np.median(head))
    lowest = min(_lowest_level(row[np.isfinite(row)]) for row in losses)
    return Baseline(start, step_noise(head), max(start - lowest, 0.0))


def _lowest_level(losses: np.ndarray) -> float:
    width = min(REACH_STEPS, losses.size)
    return float(np.median(np.lib.stride_tricks.sliding_window_view(losses, width), axis=1).min())


def rounding_of(*losses: float) -> float:
    """Difference between losses of this size that rounding can explain."""
    return ROUNDING * max(map(abs, losses))


@dataclass(frozen=True)
class Rehearsal:
    """A short training from the initial state.

    Attributes:
        factor: What the compiled rate was multiplied by.
        annealed: Whether the rate decayed at its end, as planned.
        tail: Losses of the steps at its end, shape `(n_steps,)`; empty if the loss diverged.
        peak: Highest loss on the way; infinite if the loss diverged.
        collapsed: Whether it ended with the same output for every input.
    """

    factor: float
    annealed: bool
    tail: np.ndarray
    peak: float
    collapsed: bool = False

    @property
    def end(self) -> float:
        """Loss at the end; infinite if the loss diverged."""
        return float(np.mean(self.tail)) if self.tail.size else math.inf


def choose_rehearsal(
    rehearsals: Sequence[Rehearsal], *, start: float, whole: bool, constant: float | None = None
) -> Rehearsal:
    """The first of the rehearsals that ended as well as the best one.

    A rehearsal of the whole training has ended as well if the difference is within two standard errors, but at least 1%
    and at most 5% of the gain. One of its beginning says less, so there the difference is 5%. What a constant output
    would gain too does not count. One that ended with the same output for every input, or well above where it began,
    counts only if all did.

    Args:
        rehearsals: At least one, the preferred ones first; in the steps at their ends they have seen the same batches,
            or batches at random.
        start: Loss before training.
        whole: Whether the whole training was rehearsed.
        constant: The loss of the best constant output; None if unknown.
    """
    finite = [rehearsal for rehearsal in rehearsals if math.isfinite(rehearsal.end)]
    if not finite:
        return rehearsals[0]
    highest = start + LOST_END_FRACTION * abs(start)
    alive = [one for one in finite if not one.collapsed and one.end <= highest] or finite
    best = min(alive, key=lambda rehearsal: rehearsal.end)
    if constant is not None and beats_constant(best.end, constant):
        start = min(start, constant)
    gain = max(start - best.end, 0.0)

    def is_as_good(rehearsal: Rehearsal) -> bool:
        differences = rehearsal.tail - best.tail
        errors = 2 * float(np.std(differences)) / math.sqrt(differences.size) if whole else math.inf
        tolerance = float(np.clip(errors, SAME_END_FRACTION * gain, LOST_END_FRACTION * gain))
        return rehearsal.end - best.end <= max(tolerance, rounding_of(start, best.end))

    return next(rehearsal for rehearsal in alive if is_as_good(rehearsal))


def epochs_per_judgement(steps_per_epoch: int) -> int:
    """Number of epochs that are judged together, because each has few steps."""
    return -(-JUDGED_STEPS // max(steps_per_epoch, 1))


def judgements_per_point(planned_judgements: int) -> int:
    """Number of judged losses per point, so that a long run is judged by its trend, not its noise."""
    return max(1, round(planned_judgements / POINTS_PER_RUN))


def typical_change(losses: Sequence[float]) -> float:
    """Median absolute change between epochs, the noise scale when none is known; inf for fewer than 3 epochs."""
    return median_change(np.asarray(losses)) if len(losses) >= MIN_NOISE_EPOCHS else math.inf


def mean_error(losses: Sequence[float]) -> float:
    """Standard error of the mean of epochs that are judged together, from first differences; 0 if there are few."""
    if len(losses) < MIN_NOISE_EPOCHS:
        return 0.0
    return step_noise(np.asarray(losses)) / math.sqrt(len(losses))


def find_change(trend: LossTrend) -> Change | None:
    """The change of the learning rate that the trend since the last change calls for; None to keep the rate."""
    if trend.losses.size < WINDOW_POINTS or not trend.fall > 0:
        return None
    return _lower_if_oscillating(trend) or _raise_if_slow(trend) or _anneal_if_level(trend)


def is_falling_fast(losses: Sequence[float], *, start: float, remaining: int) -> bool:
    """Whether a decay of the rate would cost more than it can bring, since the loss still falls fast.

    A linear decay to 0 halves the way that is left. That costs more than 5% of the gain so far if the loss would fall
    on by more than 10% of it at its recent pace.

    Args:
        losses: Losses so far, oldest first, at regular distances.
        start: Loss before the first step.
        remaining: Number of such distances that are left.
    """
    if len(losses) < 2:
        return True
    window = losses[-3:]
    pace = (window[0] - window[-1]) / (len(window) - 1)
    return pace * remaining / 2 > LOST_END_FRACTION * max(start - min(losses), 0.0)


def is_level(losses: Sequence[float], *, start: float, reach: float) -> bool:
    """Whether the last two losses differ by at most 1% of the fall, that so far or that of the range test.

    Args:
        losses: Losses since the learning rate last changed.
        start: Loss before the first step.
        reach: How far the loss fell in a range test; 0 if unknown.
    """
    if len(losses) < 2:
        return False
    return abs(losses[-1] - losses[-2]) <= STILL_FRACTION * max(start - min(losses), reach)


def anneal_factor(progress: float, fraction: float) -> float:
    """Factor on the learning rate of a linear decay to 0 over the last `fraction` of a run.

    Args:
        progress: Fraction of the planned run done, in [0, 1].
        fraction: Fraction of the run that the decay takes, in [0, 1]; 0 for no decay.

    Returns:
        `min(1, (1 - progress) / fraction)`, in [0, 1].

    Source:
        Hagele et al. 2024, arXiv:2405.18392: a constant rate with a cooldown does as well as a cosine.
    """
    return 1.0 if fraction == 0 else float(np.clip((1 - progress) / fraction, 0.0, 1.0))


def _lower_if_oscillating(trend: LossTrend) -> Change | None:
    changes = np.diff(trend.losses[-WINDOW_POINTS - 1 :])
    least = max(RISE_FRACTION * max(trend.fall, trend.reach), RISE_ERRORS * trend.error)
    rises = int((changes > least).sum())
    if rises < MIN_RISES:
        return None
    return Change(
        "lower", LOWER_FACTOR, f"The loss oscillates: it rose {rises} times in its last {changes.size} changes."
    )


def _raise_if_slow(trend: LossTrend) -> Change | None:
    falls = -np.diff(trend.losses[-WINDOW_POINTS:])
    if falls.max() <= rounding_of(*trend.losses) or falls.min() < STEADY_FRACTION * falls.max():
        return None
    straight = falls.min() >= STRAIGHT_FRACTION * falls.max()
    return Change(
        "raise",
        STEEP_RAISE_FACTOR if straight else RAISE_FACTOR,
        f"Learning is slow: the last {falls.size} falls of the loss are nearly equal, so it is far from levelling off.",
    )


def _anneal_if_level(trend: LossTrend) -> Change | None:
    recent = trend.losses[-WINDOW_POINTS:]
    change = float(recent[: WINDOW_POINTS // 2].mean() - recent[WINDOW_POINTS // 2 :].mean())
    if abs(change) > STILL_FRACTION * trend.fall or trend.fall < REACHED_FRACTION * trend.reach:
        return None
    return Change("anneal", 1.0, "The loss has stopped falling.")
