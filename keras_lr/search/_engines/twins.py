"""Twins: copies of a run whose weights differ in the last bit, and so show whether the rate of the run is chaotic."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

DEPARTED = 1e-4
"""Relative difference of two losses above which a twin has departed from its run. On stable rates the losses of twins
stay within 1e-5 over tens of epochs. On chaotic ones the difference grows by a factor per step until it is as large as
the losses differ between seeds."""
_ALL_WATCHED = 4
_SHARE_WATCHED = 2 / 3
_JUDGED = ("loss", "val_loss")


def twins_of(points: int) -> int:
    """Number of twins for `points` learning rates.

    With many rates a third of them, the lowest ones, wait until a twin is free: where a rate is chaotic, so are those
    above it, unless they end the training. So if the lowest rate with a twin is stable, those below it are.
    """
    return points if points <= _ALL_WATCHED else math.ceil(_SHARE_WATCHED * points)


class Twins:
    """Compares runs with their twins, epoch by epoch.

    A metric that counts, such as the accuracy, is not compared: on a stable rate too, one sample may change its class.

    Args:
        runs: Places of the runs to watch, in this order.
        copies: Places of the twins; there may be fewer than runs.

    Attributes:
        watched: The place of the run that each twin belongs to, by the place of the twin.
    """

    def __init__(self, runs: Sequence[int], copies: Sequence[int]) -> None:
        self.watched = dict(zip(copies, runs, strict=False))
        self._waiting = list(runs[len(self.watched) :])
        self._departed: set[int] = set()
        self._first: dict[str, np.ndarray] = {}

    def departed(self, logs: Mapping[str, np.ndarray], alive: Collection[int]) -> list[int]:
        """Places of the runs whose twins depart with this epoch; each run is named once.

        Args:
            logs: What Keras would log, each value of shape `(copies,)`.
            alive: Places of the runs that have not ended.
        """
        judged = {name: values for name, values in logs.items() if name in _JUDGED}
        self._first = self._first or {name: np.abs(values) for name, values in judged.items()}
        found = [
            run
            for twin, run in self.watched.items()
            if run in alive
            and run not in self._departed
            and any(_apart(values[run], values[twin], self._first[name][run]) for name, values in judged.items())
        ]
        self._departed.update(found)
        return found

    def moved(self, alive: Collection[int]) -> dict[int, int]:
        """Twins that are free and begin to watch another run, with the place of that run, by their own place."""
        self._waiting = [run for run in self._waiting if run in alive]
        free = [twin for twin, run in self.watched.items() if run in self._departed or run not in alive]
        moves = dict(zip(free, self._waiting, strict=False))
        self._waiting = self._waiting[len(moves) :]
        self.watched.update(moves)
        return moves


def with_last_bit_changed(values: np.ndarray) -> np.ndarray:
    """Each value raised to the next larger one."""
    return np.asarray(np.nextafter(values, np.array(np.inf, values.dtype)))


def _apart(value: Any, twin: Any, first: Any) -> bool:
    """Whether two losses differ by more than rounding; `first` is the loss after one epoch.

    A loss that has fallen far consists of differences of large numbers, whose rounding does not fall with it.
    """
    if not (np.isfinite(value) and np.isfinite(twin)):
        return bool(np.isfinite(value) != np.isfinite(twin))
    rounding = float(np.finfo(np.float32).eps) * (first if np.isfinite(first) else 0.0)
    return bool(abs(value - twin) > DEPARTED * max(abs(value), abs(twin)) + rounding)
