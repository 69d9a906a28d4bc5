"""When a loss counts as diverged while a model trains: one rule per purpose, side by side.

- `sweep_divergence` stops the sweep of a range test, whose rate rises until the loss does.
- `epoch_divergence` and `blown_up` make `AutoLR` roll back.
- `run_diverged` ends a run of a search and marks it in the records.

A finished history is judged by statistics instead of a threshold: its "divergence" finding comes from
`analysis._diagnosis`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from keras_lr.analysis._auto_lr_rules import LOWER_FACTOR, Change, rounding_of
from keras_lr.analysis._statistics import step_noise

WINDOW_STEPS = 5
RISE_FACTOR = 4.0
NOISE_FACTOR = 4.0
GAIN_LOST = 0.5
REACH_LOST = 0.1


def sweep_divergence(losses: np.ndarray) -> int | None:
    """First step at which the loss of a sweep has risen far above its initial level.

    The initial level is the median of the first tenth of the steps. "Far" is `4` times the fall so far, or `16` times
    the noise if that is more. Scaling or shifting the loss changes nothing, so negative and near-zero losses are safe.

    Args:
        losses: Finite losses in the order of the sweep, shape `(n_steps,)`.

    Returns:
        A step in `[10, n_steps)`, or None if the loss has not diverged.

    Source:
        Custom. fastai and torch_lr_finder compare with a multiple of the best loss, which fails at or below zero.
    """
    start = max(2 * WINDOW_STEPS, len(losses) // 10)
    if len(losses) <= start:
        return None
    head = losses[:start]
    baseline = float(np.median(head))
    windows = np.lib.stride_tricks.sliding_window_view(losses, WINDOW_STEPS)
    trailing = np.median(windows, axis=1)
    best = np.minimum.accumulate(trailing)
    scale = np.maximum(baseline - best, NOISE_FACTOR * step_noise(head))
    scale = np.maximum(scale, np.finfo(np.float32).eps * max(abs(baseline), 1.0))
    risen = trailing > baseline + RISE_FACTOR * scale
    steps = np.flatnonzero(risen) + WINDOW_STEPS - 1
    steps = steps[steps >= start]
    return int(steps[0]) if steps.size else None


def epoch_divergence(loss: float, *, start: float, best: float, noise: float, reach: float = 0.0) -> Change | None:
    """A rollback if an epoch's loss is not finite, gave back half of the fall so far, or exceeds the initial loss.

    A rise counts only if it is more than the noise, than rounding, and than a tenth of the fall that a range test of
    the same model showed to be possible. So nothing is concluded from the first steps, in which the loss hardly falls.

    Args:
        loss: The epoch's loss.
        start: Loss before the first step, or the first epoch's loss if that is unknown.
        best: Lowest loss of an epoch so far; `start` before the first.
        noise: A rise of at most this much is ignored, such as the standard deviation of a step's loss.
        reach: How far the loss fell in a range test; 0 if unknown.
    """
    if not math.isfinite(loss):
        return Change("rollback", LOWER_FACTOR, "The loss became NaN or infinite.")
    fall = max(start - best, 0.0)
    if not loss - best > max(GAIN_LOST * fall, noise, REACH_LOST * reach, rounding_of(loss, best, start)):
        return None
    if loss > start:
        return Change("rollback", LOWER_FACTOR, "The loss rose above where it began.")
    return Change("rollback", LOWER_FACTOR, f"The loss gave back {(loss - best) / fall:.0%} of its total fall.")


def blown_up(loss: float, *, start: float, best: float, noise: float, reach: float) -> Change | None:
    """A rollback if the loss of a few steps rose so far that waiting for more steps is pointless.

    The arguments are those of `epoch_divergence`. "So far" is above the beginning by four times the most of the
    fall, the fall of the range test and four times the noise.
    """
    if not math.isfinite(loss):
        return Change("rollback", LOWER_FACTOR, "The loss became NaN or infinite.")
    scale = max(start - best, reach, NOISE_FACTOR * noise)
    if not scale > 0 or not loss > max(start, best) + RISE_FACTOR * scale + rounding_of(loss, best, start):
        return None
    return Change("rollback", LOWER_FACTOR, "The loss rose far above where it began.")


def run_diverged(logs: Mapping[str, float], *, objective: str) -> bool:
    """Whether the training loss, the validation loss or the objective of an epoch is NaN or infinite.

    Args:
        logs: What the epoch logged; a value that was not logged does not count.
        objective: Name of the value that the search compares.
    """
    return not all(math.isfinite(logs.get(name, 0.0)) for name in ("loss", "val_loss", objective))
