"""Takes in each epoch of each run: judges it, stores it, and says which runs need not go on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from keras_lr.errors import InvalidArgumentError, SearchError
from keras_lr.search._pruning import prunable_points, rungs
from keras_lr.search._runs import Point, Run
from keras_lr.search._storage import Journal, Table, best_value

_OWN_COLUMNS = ("learning_rate", "repeat", "batch_size", "epoch", "seed", "status", "message", "event")
"""Not to be overwritten by what is logged: `ReduceLROnPlateau` and others log the rate they have set."""

Weights = Callable[[Run], list[np.ndarray]]


class Recorder:
    """The records of a search while it trains.

    Args:
        table: What was recorded before.
        journal: Where each new row is appended at once.
        epochs: Length of a whole run, in epochs.
        objective: Name of the value that is judged.
        direction: "min" or "max".
        prunes: Whether a point that cannot win stops early.
        save_best: Stores the weights of a point's best epoch; takes the point and the values of `model.weights`.
        on_epoch: Called after each epoch with the number of runs that it covered.
    """

    def __init__(
        self,
        table: Table,
        journal: Journal,
        *,
        epochs: int,
        objective: str,
        direction: Literal["min", "max"],
        prunes: bool,
        save_best: Callable[[Point, Sequence[np.ndarray]], None],
        on_epoch: Callable[[Iterable[Run], int], None] = lambda runs, epoch: None,
    ) -> None:
        self.table = table
        self.epochs = epochs
        self.objective = objective
        self._journal = journal
        self._direction = direction
        self._rungs = rungs(epochs) if prunes else ()
        self._save_best = save_best
        self._on_epoch = on_epoch
        self._sign = 1.0 if direction == "min" else -1.0
        self._best: dict[Point, float] = {}
        self._kept: dict[Point, tuple[Run, list[np.ndarray]]] = {}
        self._unwritten: list[dict[str, Any]] = []
        self._first_failure: Exception | None = None

    def start(self, runs: Iterable[Run]) -> None:
        """Takes note of the runs to come, whose points may hold weights of runs that are complete."""
        for run in runs:
            if run.point not in self._best:
                values = [self._value(other) for other in self._complete_runs(run.point)]
                self._best[run.point] = min(values, default=math.inf)

    def event(self, name: str, **details: Any) -> None:
        """Stores something other than an epoch."""
        self._journal.append([{"event": name, **details}])

    def record(self, epoch: int, logs: Mapping[Run, Mapping[str, Any]], weights: Weights) -> set[Run]:
        """Stores what the epoch gave for each run, and returns the runs that end with it.

        Args:
            epoch: Number of the epoch, from 0.
            logs: What Keras logs at the end of an epoch, for each run that trained it.
            weights: Gives the present values of a run's `model.weights`.
        """
        self._check_objective(next(iter(logs.values()), {self.objective: 0.0}))
        rows = {run: self._row(run, epoch, values) for run, values in logs.items()}
        known = {run for run, row in rows.items() if not self.table.add(row)}
        for run in self._pruned(epoch, rows):
            rows[run]["status"] = "pruned"
            self.table.prune(run.key, epoch)
            if run in known:
                self.event("pruned", **_key(run), epoch=epoch)
        for run, row in rows.items():
            self._keep_if_best(run, row, weights)
        ended = {run for run, row in rows.items() if row["status"] != "ok" or epoch + 1 >= self.epochs}
        self._save_weights(ended)
        self._write([row for run, row in rows.items() if run not in known])
        self._on_epoch(rows, epoch)
        return ended

    def end(self, run: Run, epochs: int) -> None:
        """Notes that the user's callback ended `run` after `epochs` epochs."""
        if epochs < self.epochs:
            self._save_weights({run})
            self.table.end(run.key, epochs)
            self.event("ended", **_key(run), epochs=epochs)

    def fail(self, run: Run, error: Exception) -> None:
        """Stores that `run` ended with an exception; written once any run has trained."""
        epoch = len(self.table.rows(run))
        row = {**self._row(run, epoch, {"loss": math.nan}), "status": "failed"}
        row["message"] = f"{type(error).__name__}: {error}"[:500]
        self._first_failure = self._first_failure or error
        self._forget(run)
        if self.table.add(row):
            self._unwritten.append(row)
        if any(other["status"] != "failed" for other in self.table.all_rows()):
            self._write([])

    def finish(self) -> None:
        """Ends the search.

        Raises:
            SearchError: Every run failed; nothing of them is stored, so that the next search tries them again.
        """
        if self._unwritten:
            raise SearchError(
                f"At least one run must train. Received: each of the {len(self._unwritten)} runs failed, the first "
                f"with {type(self._first_failure).__name__}: {self._first_failure}. Mend `hypermodel` or the data."
            ) from self._first_failure

    def complete(self, run: Run) -> bool:
        """Whether `run` has nothing left to train."""
        return self.table.complete(run, self.epochs)

    def _check_objective(self, logs: Mapping[str, Any]) -> None:
        if self.objective not in logs:
            raise missing_objective(self.objective, logs)

    def _row(self, run: Run, epoch: int, logs: Mapping[str, Any]) -> dict[str, Any]:
        measured = {name: value for name, value in logs.items() if np.ndim(value) == 0 and name not in _OWN_COLUMNS}
        values = {name: float(np.asarray(value)) for name, value in measured.items()}
        judged = [values.get(name, 0.0) for name in ("loss", "val_loss", self.objective)]
        if not math.isfinite(values.get("loss", 0.0)):
            values = dict.fromkeys(values, math.nan)
        return {
            **_key(run),
            "epoch": epoch,
            "seed": run.seed,
            "loss": math.nan,
            "val_loss": math.nan,
            **{name: value if math.isfinite(value) else math.nan for name, value in values.items()},
            "status": "ok" if all(math.isfinite(value) for value in judged) else "diverged",
        }

    def _write(self, rows: list[dict[str, Any]]) -> None:
        self._journal.append([*self._unwritten, *rows])
        self._unwritten = []

    def _pruned(self, epoch: int, rows: Mapping[Run, Mapping[str, Any]]) -> list[Run]:
        if epoch + 1 not in self._rungs:
            return []
        frame = self.table.frame()
        if len(rows) == 1:
            # Runs that come one after the other are held against the same repeat of other points alone, which has the
            # same seed; of the present point the other repeats are yet to come.
            frame = frame[frame["repeat"] == next(iter(rows)).repeat]
        lost = prunable_points(
            frame,
            epoch=epoch,
            epochs=self.epochs,
            objective=self.objective,
            direction=self._direction,
        )
        return [run for run, row in rows.items() if run.point in lost and row["status"] == "ok"]

    def _keep_if_best(self, run: Run, row: Mapping[str, Any], weights: Weights) -> None:
        if row["status"] == "diverged":
            self._forget(run)
            return
        value = self._sign * row.get(self.objective, math.nan)
        if value < self._best.get(run.point, math.inf):
            self._best[run.point] = value
            self._kept[run.point] = (run, weights(run))

    def _forget(self, run: Run) -> None:
        """Drops the weights of a run that diverged or failed after its best epoch."""
        if run.point in self._kept and self._kept[run.point][0] == run:
            del self._kept[run.point], self._best[run.point]
            self.start([run])

    def _save_weights(self, ended: set[Run]) -> None:
        for point, (run, values) in list(self._kept.items()):
            if run in ended:
                self._save_best(point, values)
                del self._kept[point]

    def _complete_runs(self, point: Point) -> list[Run]:
        return [run for run in self.table.runs(point) if self.complete(run)]

    def _value(self, run: Run) -> float:
        return self._sign * best_value(self.table.rows(run), self.objective, self._direction)


def missing_objective(objective: str, given: Iterable[str]) -> InvalidArgumentError:
    """The error that names the values which training gives."""
    return InvalidArgumentError(
        f"`objective` must be a value that training gives. Received: {objective!r}; it gives {sorted(given)}. Name one "
        f"of these, or add the metric to `compile`."
    )


def _key(run: Run) -> dict[str, Any]:
    return {"learning_rate": run.learning_rate, "repeat": run.repeat, "batch_size": run.batch_size}
