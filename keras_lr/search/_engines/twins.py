"""Twins: copies of a run whose weights differ in the last bit, and so show whether the rate of the run is chaotic."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_lr.results._search_records import Run
from keras_lr.search._recorder import Recorder

DEPARTED = 1e-4
"""Relative difference of two losses above which a twin has departed from its run. On stable rates the losses of twins
stay within 1e-5 over tens of epochs. On chaotic ones the difference grows by a factor per step until it is as large as
the losses differ between seeds."""
_ALL_WATCHED = 4
_SHARE_WATCHED = 2 / 3
_JUDGED = ("loss", "val_loss")
_LAST_BIT = 1e-7
"""Relative difference of two losses whose weights differ in the last bit. One that grows by the same factor each epoch
and reaches `DEPARTED` with the last one shows by how far it has come before."""
_SHARE_SEEN = 1 / 3
"""Share of the epochs after which a twin may be given up as stable."""
_MOST = 1 / 8
"""Share of the epochs of a search that may be trained again to find its chaotic rates, if that is more than one run."""


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


class SecondTraining:
    """Compares a run that is recorded with its twin, which trains later.

    Args:
        rows: What is recorded of the run, by epoch.
        most: Number of epochs that may be trained; None for all.

    Attributes:
        epochs: Number of epochs that the twin has trained.
        departed: Number of the epoch with which it departed; None if it has not.
        stable: Whether it will not depart, as far as its epochs tell.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]], most: float | None = None) -> None:
        self.epochs = 0
        self.departed: int | None = None
        self.stable = False
        self._rows = rows
        self._most = len(rows) if most is None else most

    def settles(self, logs: Mapping[str, Any]) -> bool:
        """Takes in what Keras logs for the next epoch of the twin; returns whether no more are needed."""
        row, first = self._rows[self.epochs], self._rows[0]
        pairs = [(row[name], float(logs[name]), abs(first[name])) for name in _JUDGED if name in logs and name in row]
        if any(_apart(*pair) for pair in pairs):
            self.departed = self.epochs
        self.epochs += 1
        done = self.epochs / len(self._rows)
        expected = _LAST_BIT * (DEPARTED / _LAST_BIT) ** done
        ends = all(math.isfinite(self._rows[-1][name]) for name in _JUDGED if name in row)
        quiet = ends and all(abs(value - twin) <= expected * abs(value) for value, twin, _ in pairs)
        self.stable = self.departed is None and (done == 1 or (quiet and done >= _SHARE_SEEN))
        return self.departed is not None or self.stable or self.epochs >= self._most


class EdgeSearch:
    """Finds the chaotic rates of an engine that trains the runs one by one, with few further trainings.

    Where a rate is chaotic, so are those above it, unless they end the training. So the twins go from the highest rate
    down to the first that is stable and has trained. Those of chaotic rates end as soon as they depart.
    """

    def __init__(self) -> None:
        self._stable: dict[int, float] = {}
        self._trained = 0
        self._spent = 0

    def watch(
        self,
        recorder: Recorder,
        runs: Iterable[Run],
        train: Callable[[Run, Callable[[Mapping[str, Any]], bool]], None],
    ) -> None:
        """Trains twins and records which rates are chaotic.

        Args:
            recorder: Has recorded the runs.
            runs: What has just been trained. The first call looks at all that is recorded, as by an earlier search.
            train: Trains a run from weights with their last bit changed, and calls the second argument with what Keras
                logs for each epoch, until it returns True.
        """
        recorded = recorder.recorded_runs([run.point for run in runs] if self._trained else None)
        self._trained += sum(map(len, recorded.values()))
        budget = max(recorder.epochs, _MOST * self._trained)
        lasts: dict[int, list[float]] = {}
        for run, rows in recorded.items():
            lasts.setdefault(run.batch_size, []).append(rows[-1]["loss"])
        for run in sorted(recorded, key=lambda run: (run.batch_size, -run.learning_rate)):
            rows = recorded[run]
            if run.repeat or run.learning_rate <= self._stable.get(run.batch_size, 0.0) or recorder.is_chaotic(run):
                continue
            if not math.isfinite(rows[0]["loss"]) or self._spent >= budget:
                continue
            twin = SecondTraining(rows, max(budget - self._spent, _SHARE_SEEN * len(rows)))
            try:
                train(run, twin.settles)
            except Exception:
                # The search has its results; code that fails the second time only leaves chaos unknown.
                return
            self._spent += twin.epochs
            if twin.departed is not None:
                recorder.chaotic(run.point, twin.departed)
            elif twin.stable and rows[-1]["loss"] <= np.nanmedian(lasts[run.batch_size]):
                self._stable[run.batch_size] = run.learning_rate


def with_last_bit_changed(values: np.ndarray) -> np.ndarray:
    """Each value raised to the next larger one; values in lower precision than float32 as they are."""
    if values.dtype not in (np.float32, np.float64):
        return values
    return np.asarray(np.nextafter(values, np.array(np.inf, values.dtype)))


def _apart(value: Any, twin: Any, first: Any) -> bool:
    """Whether two losses differ by more than rounding; `first` is the loss after one epoch.

    A loss that has fallen far consists of differences of large numbers, whose rounding does not fall with it.
    """
    if not (np.isfinite(value) and np.isfinite(twin)):
        return bool(np.isfinite(value) != np.isfinite(twin))
    rounding = float(np.finfo(np.float32).eps) * (first if np.isfinite(first) else 0.0)
    return bool(abs(value - twin) > DEPARTED * max(abs(value), abs(twin)) + rounding)
