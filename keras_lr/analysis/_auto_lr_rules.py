"""When a learning rate should change: rules on epoch losses that scaling or shifting the loss leaves alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

LOWER_FACTOR = 10**-0.5
RAISE_FACTOR = 10**0.5
STEEP_RAISE_FACTOR = 10.0
GAIN_LOST = 0.5
SWING_SHARE = 0.05
MIN_SWINGS = 2
WINDOW_BLOCKS = 4
STEADY_SHARE = 0.8
STRAIGHT_SHARE = 0.95
STILL_SHARE = 0.01
MIN_MOVES = 3
BASELINE_STEPS = 10


@dataclass(frozen=True)
class Change:
    """What to do with the learning rate: its factor, and why in one sentence."""

    kind: Literal["rollback", "lower", "raise", "anneal"]
    factor: float
    reason: str


@dataclass(frozen=True)
class LossTrend:
    """The training loss so far.

    Attributes:
        start: Loss before the first step, or the first epoch's where that is unknown.
        best: Lowest loss of an epoch so far.
        losses: Finite losses since the last change of the rate, oldest first, shape `(n_blocks,)`; each the mean of as
            many epochs as `block_epochs` says.
    """

    start: float
    best: float
    losses: np.ndarray

    @property
    def fall(self) -> float:
        """How far the loss has fallen in all, 0 or more."""
        return max(self.start - self.best, 0.0)


@dataclass(frozen=True)
class Baseline:
    """What a range test tells of the loss before the first step: its level, and the noise of a step's loss."""

    start: float
    noise: float


def read_baseline(losses: np.ndarray) -> Baseline | None:
    """The level and the noise at the start of sweeps, where the rate is too low to move the loss; None of too few.

    Args:
        losses: Each step's own loss, in the order of the sweep, shape `(repeats, n_steps)`.
    """
    head = losses[:, : max(BASELINE_STEPS, losses.shape[1] // 10)]
    moves = np.abs(np.diff(head, axis=1))
    if moves.shape[1] < BASELINE_STEPS - 1 or not np.isfinite(head).all():
        return None
    return Baseline(float(np.median(head)), 1.4826 * float(np.median(moves)) / math.sqrt(2))


def block_epochs(planned_epochs: int) -> int:
    """Number of epochs that the rules read as one point, so that a long run is judged by its course, not its noise."""
    return max(1, round(planned_epochs / 20))


def find_divergence(loss: float, *, start: float, best: float, noise: float) -> Change | None:
    """A rollback where an epoch's loss is not finite, has lost half of the fall so far, or is above where it began.

    Args:
        loss: The epoch's loss.
        start: Loss before the first step, or the first epoch's.
        best: Lowest loss of an epoch so far; `start` where there was none.
        noise: Rise that means nothing, such as the standard deviation of a step's loss.
    """
    if not np.isfinite(loss):
        return Change("rollback", LOWER_FACTOR, "The loss became NaN or infinite.")
    fall = max(start - best, 0.0)
    if not loss - best > max(GAIN_LOST * fall, noise):
        return None
    if loss > start:
        return Change("rollback", LOWER_FACTOR, "The loss rose above where it began.")
    return Change("rollback", LOWER_FACTOR, f"The loss lost {(loss - best) / fall:.0%} of its whole fall again.")


def typical_move(losses: Sequence[float]) -> float:
    """Median move from epoch to epoch, in units of which a rise counts where no noise is known; infinite of under 3."""
    return float(np.median(np.abs(np.diff(losses)))) if len(losses) >= MIN_MOVES else math.inf


def find_change(course: LossTrend) -> Change | None:
    """What the course since the last change of the rate speaks for; None to go on."""
    if course.losses.size < WINDOW_BLOCKS or not course.fall > 0:
        return None
    return _oscillation(course) or _slow_learning(course) or _plateau(course)


def annealed(progress: float, fraction: float) -> float:
    """Factor of a decay to 0 over the last `fraction` of a run.

    Args:
        progress: Share of the planned run done, in [0, 1].
        fraction: Share of the run that the decay takes, in [0, 1]; 0 for no decay.

    Returns:
        `min(1, (1 - progress) / fraction)`.

    Source:
        Hagele et al. 2024, arXiv:2405.18392: a constant rate with a cooldown does as well as a cosine.
    """
    return 1.0 if fraction == 0 else float(np.clip((1 - progress) / fraction, 0.0, 1.0))


def _oscillation(course: LossTrend) -> Change | None:
    rises = np.diff(course.losses[-WINDOW_BLOCKS - 1 :])
    swings = int((rises > SWING_SHARE * course.fall).sum())
    if swings < MIN_SWINGS:
        return None
    return Change("lower", LOWER_FACTOR, f"The loss oscillates: it rose {swings} times in its last {rises.size} steps.")


def _slow_learning(course: LossTrend) -> Change | None:
    falls = -np.diff(course.losses[-WINDOW_BLOCKS:])
    if falls.max() <= 0 or falls.min() < STEADY_SHARE * falls.max():
        return None
    straight = falls.min() >= STRAIGHT_SHARE * falls.max()
    return Change(
        "raise",
        STEEP_RAISE_FACTOR if straight else RAISE_FACTOR,
        f"Learning is slow: the last {falls.size} falls of the loss are alike, so that it is far from where it levels.",
    )


def _plateau(course: LossTrend) -> Change | None:
    recent = course.losses[-WINDOW_BLOCKS:]
    move = float(recent[: WINDOW_BLOCKS // 2].mean() - recent[WINDOW_BLOCKS // 2 :].mean())
    if abs(move) > STILL_SHARE * course.fall:
        return None
    return Change("anneal", 1.0, "The loss has stopped falling.")
