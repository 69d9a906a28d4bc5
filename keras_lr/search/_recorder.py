"""Records each epoch of each run as it is trained, and decides which runs end with it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from keras_lr._utils.formatting import short_error_message
from keras_lr.analysis._diverged import run_diverged
from keras_lr.analysis._grid import prunable_points, rungs
from keras_lr.errors import DataError, InvalidArgumentError, ModelError, SearchError
from keras_lr.range_test._data_checks import label_error, recompile_error
from keras_lr.results._search_records import RETURNED, Point, Run, Table
from keras_lr.results._sensitivity import OWN_COLUMNS
from keras_lr.search._runs import Result

Weights = Callable[[Run], list[np.ndarray]]
"""Returns the present values of a run's `model.weights`."""


@dataclass(frozen=True)
class Share:
    """Runs for another process, and what it must know of the others.

    Attributes:
        runs: The runs, none of which is complete.
        known: Their rows so far; with pruning, those of all runs.
        best: The best objective of each point so far, to be minimized; only better weights are returned.
        planned: Number of runs of the whole search.
        engine: The engine that the search uses, the reason and the environment.
        reach: Number of epochs at which a run pauses.
        paused: What paused runs go on from; the others start at their first epoch.
    """

    runs: Sequence[Run]
    known: Sequence[dict[str, Any]]
    best: Mapping[Point, float]
    planned: int
    engine: tuple[Any, str, dict[str, Any] | None]
    reach: Mapping[Run, int] = field(default_factory=dict)
    paused: Mapping[Run, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Recorded:
    """What another process has recorded of a share.

    Attributes:
        lines: Rows and events, in the order of writing.
        weights: The best objective that each point has reached, to be minimized, and the weights of that epoch.
        failures: The runs that raised an exception, the name of its type and its text.
        values: Hyperparameters that the hypermodel's own `fit` was given, by point.
        checkpoints: What runs that have paused go on from, as far as it can be sent.
        seconds: Duration of the training.
        opening_seconds: What the process took before, to build and compare models.
    """

    lines: Sequence[dict[str, Any]] = ()
    weights: Mapping[Point, tuple[float, Sequence[np.ndarray]]] = field(default_factory=dict)
    failures: Sequence[tuple[Run, str, str]] = ()
    values: Mapping[Point, Any] = field(default_factory=dict)
    checkpoints: Mapping[Run, Any] = field(default_factory=dict)
    seconds: float = 0.0
    opening_seconds: float = 0.0


class Recorder:
    """The records of a search while it trains.

    Args:
        table: The earlier records; new ones are added to it.
        journal: A `Journal`, or what takes lines as it does; new rows are appended once per epoch.
        epochs: Length of a complete run, in epochs.
        objective: Name of the value to judge by.
        direction: "min" or "max".
        pruning: Whether a point that cannot win is stopped early.
        own_fit: Whether a `fit` of the user's trains the runs: it decides how long they are, and may return the
            objective instead of logging it.
        validates_always: Whether each epoch ends with a validation.
        save_best: Stores the weights of a point's best epoch; takes the point and the values of `model.weights`.
        on_epoch: Called once an epoch is recorded.
    """

    def __init__(
        self,
        table: Table,
        journal: Any,
        *,
        epochs: int,
        objective: str,
        direction: Literal["min", "max"],
        pruning: bool,
        own_fit: bool = False,
        validates_always: bool = True,
        save_best: Callable[[Point, Sequence[np.ndarray]], None],
        on_epoch: Callable[[], None] = lambda: None,
    ) -> None:
        self.table = table
        self.epochs = epochs
        self.objective = objective
        self._journal = journal
        self._direction = direction
        self._rungs = rungs(epochs) if pruning else ()
        self._own_fit = own_fit
        self._validates_always = validates_always
        self._save_best = save_best
        self._on_epoch = on_epoch
        self._sign = 1.0 if direction == "min" else -1.0
        self._best: dict[Point, float] = {}
        self._best_weights: dict[Point, tuple[Run, list[np.ndarray]]] = {}
        self._unwritten: list[dict[str, Any]] = []
        self._first_failure: Exception | None = None
        self._reach: dict[Run, int] = {}

    @property
    def prunes(self) -> bool:
        """Whether points may be stopped early, by comparison with those that have trained before."""
        return bool(self._rungs)

    def pause_at(self, reach: Mapping[Run, int]) -> None:
        """Lets each of these runs pause once it has this number of epochs, or go on up to it."""
        self._reach.update(reach)

    def reach(self, run: Run) -> int:
        """Number of epochs at which `run` pauses, or ends."""
        return min(self._reach.get(run, self.epochs), self.epochs)

    def pauses(self, run: Run) -> bool:
        """Whether `run` has epochs left that may still be asked for."""
        return run in self._reach and not self.table.complete(run, self.epochs)

    def start(self, runs: Iterable[Run]) -> None:
        """Looks up what the complete runs have reached at the points of `runs`, whose checkpoints may be theirs."""
        for point in {run.point for run in runs} - self._best.keys():
            complete = (run for run in self.table.runs(point) if self._has_ended(run))
            self._best[point] = min(map(self._value, complete), default=math.inf)

    def event(self, name: str, **details: Any) -> None:
        """Stores an event, which is anything but an epoch, unless it is known."""
        line = {"event": name, **details}
        if self.table.add(line):
            self._journal.append([line])

    def chaotic(self, point: Point, epoch: int) -> None:
        """Stores that a run of `point` depends on the last bit of its weights, as the losses of `epoch` show."""
        self.event("chaotic", **point._asdict(), epoch=epoch)

    def is_chaotic(self, run: Run) -> bool:
        """Whether the point of `run` is marked as chaotic."""
        return run.point in self.table.chaotic

    def recorded_runs(self, points: Iterable[Point] | None = None) -> dict[Run, list[dict[str, Any]]]:
        """The rows of each run at `points`, or anywhere, that has ended with an epoch; none while runs may pause."""
        if self._reach:
            return {}
        chosen = self.table.points() if points is None else dict.fromkeys(points)
        rows = {run: self.table.rows(run) for point in chosen for run in self.table.runs(point)}
        return {run: found for run, found in rows.items() if self.complete(run) and found[-1]["status"] != "failed"}

    def record(self, epoch: int, logs: Mapping[Run, Mapping[str, Any]], weights: Weights | None) -> set[Run]:
        """Stores an epoch of one or more runs, and returns the runs that end or pause with it.

        Args:
            epoch: Number of the epoch, from 0.
            logs: What Keras logs at the end of the epoch, for each run.
            weights: Returns the present values of a run's `model.weights`; None if those of this epoch are gone.
        """
        self._check_objective(next(iter(logs.values())))
        rows = {run: self._row(run, epoch, values) for run, values in logs.items()}
        known = {run for run, row in rows.items() if not self.table.add(row)}
        for run in self._pruned(epoch, rows):
            rows[run]["status"] = "pruned"
            if run in known:
                self.event("pruned", **_key(run), epoch=epoch)
        for run, row in rows.items():
            self._keep_if_best(run, row, weights, known=run in known)
        ended = {
            run
            for run, row in rows.items()
            if row["status"] != "ok" or (epoch + 1 >= self.reach(run) and not self._own_fit)
        }
        self._save_weights(ended)
        self._write([row for run, row in rows.items() if run not in known])
        self._on_epoch()
        return ended

    def end(self, run: Run, epochs: int, *, stopped: bool = False) -> None:
        """Records that `run` ended after `epochs` epochs, by a callback of the user's or by the user's own `fit`.

        With `stopped`, a callback has ended it even if it would have paused there.
        """
        if epochs < self.reach(run) or self._own_fit or (stopped and epochs < self.epochs):
            self._save_weights({run})
            self.event("ended", **_key(run), epochs=epochs, asked=self.epochs)

    def record_returned(self, run: Run, result: Result, weights: Weights | None) -> None:
        """Stores the epochs that the user's own code returned for a run, as it has logged none."""
        for epoch, logs in enumerate(result.epochs):
            last = epoch == len(result.epochs) - 1 == result.best_epoch
            self.record(epoch, {run: logs}, weights if last else None)

    def returned(self, run: Run, result: Result) -> None:
        """Takes in what the user's own `fit` returned for a run, which counts instead of what it logged."""
        ended_badly = any(row["status"] in ("diverged", "failed") for row in self.table.rows(run))
        if not ended_badly and not is_same(self.table.score(run, self.objective, self._direction), result.score):
            self.event("returned", **_key(run), value=result.score, direction=self._direction)

    def fail(self, run: Run, error: Exception) -> None:
        """Records that `run` raised an exception; written to disk only once some run has trained."""
        row = self._failed_row(run, f"{type(error).__name__}: {short_error_message(error)}")
        self._first_failure = self._first_failure or error
        self._forget(run)
        if self.table.add(row):
            self._unwritten.append(row)
        if any(other["status"] != "failed" for other in self.table.all_rows()):
            self._write([])

    def adopt(self, recorded: Recorded) -> None:
        """Stores what another process has recorded, except for what is known already."""
        for point, (value, values) in recorded.weights.items():
            best = self._best.get(point, math.inf)
            # The value is unknown if only the user's own `fit` knows the objective; then the last epoch counts.
            if not (math.isfinite(value) and value >= best):
                self._best[point] = min(value, best)
                self._save_best(point, values)
        self._write([line for line in recorded.lines if self.table.add(line)])
        for run, kind, text in recorded.failures:
            self.fail(run, type(kind, (Exception,), {})(text))
        self._on_epoch()

    def share(self, runs: Sequence[Run], *, planned: int, engine: Any, paused: Mapping[Run, Any]) -> Share:
        """What another process must know to train those of `runs` that are not complete."""
        runs = [run for run in runs if not self.complete(run)]
        return Share(
            runs,
            list(self.table.all_rows()) if self._rungs else [row for run in runs for row in self.table.rows(run)],
            {run.point: self._best.get(run.point, math.inf) for run in runs},
            planned,
            engine,
            {run: self._reach[run] for run in runs if run in self._reach},
            {run: paused[run] for run in runs if run in paused},
        )

    def skip(self, runs: Iterable[Run], message: str) -> None:
        """Records that `runs` cannot be trained, whatever the learning rate."""
        rows = [{**self._failed_row(run, message), self.objective: math.nan} for run in runs]
        self._write([row for row in rows if self.table.add(row)])

    def finish(self) -> None:
        """Ends the search; raises if every run failed. None of them is stored, so the next search tries them again."""
        failure = self._first_failure
        if not self._unwritten or failure is None:
            return
        if (sentence := label_error(failure)) is not None:
            raise DataError(sentence) from failure
        if (sentence := recompile_error(failure)) is not None:
            raise ModelError(sentence) from failure
        raise SearchError(
            f"All {len(self._unwritten)} runs failed, the first with {type(failure).__name__}: "
            f"{short_error_message(failure)}. Fix `hypermodel` or the data, then run the search again."
        ) from failure

    def complete(self, run: Run) -> bool:
        """Whether `run` has nothing left to train, up to where it pauses."""
        return self.table.complete(run, self.reach(run), own_fit=self._own_fit)

    def save_weights(self) -> None:
        """Stores the best weights of every run in training, as far as it has come."""
        self._save_weights({run for run, _ in self._best_weights.values()})

    def _check_objective(self, logs: Mapping[str, Any]) -> None:
        if self.objective in logs or self._own_fit:
            return
        validated = any(name.startswith("val_") for name in logs)
        if self._validates_always or validated or not self.objective.startswith("val_"):
            raise missing_objective(self.objective, logs)

    def _row(self, run: Run, epoch: int, logs: Mapping[str, Any]) -> dict[str, Any]:
        # Callbacks may log a value of such a name: `ReduceLROnPlateau` logs the learning rate that it has set.
        own = (*OWN_COLUMNS, RETURNED)
        measured = {name: value for name, value in logs.items() if np.ndim(value) == 0 and name not in own}
        values = {name: float(np.asarray(value)) for name, value in measured.items()}
        status = "diverged" if run_diverged(values, objective=self.objective) else "ok"
        if not math.isfinite(values.get("loss", 0.0)):
            values = dict.fromkeys(values, math.nan)
        return {
            **_key(run),
            "epoch": epoch,
            "seed": run.seed,
            "loss": math.nan,
            "val_loss": math.nan,
            **{name: value if math.isfinite(value) else math.nan for name, value in values.items()},
            "status": status,
        }

    def _failed_row(self, run: Run, message: str) -> dict[str, Any]:
        return {**self._row(run, len(self.table.rows(run)), {}), "status": "failed", "message": message}

    def _write(self, rows: list[dict[str, Any]]) -> None:
        self._journal.append([*self._unwritten, *rows])
        self._unwritten = []

    def _pruned(self, epoch: int, rows: Mapping[Run, Mapping[str, Any]]) -> list[Run]:
        if epoch + 1 not in self._rungs:
            return []
        frame = self.table.frame()
        if self.objective not in frame:
            return []
        if len(rows) == 1:
            # When runs are trained one by one, the other repeats of this point have yet to come. So it is compared with
            # the other points by this repeat only, which has the same seed everywhere.
            frame = frame[frame["repeat"] == next(iter(rows)).repeat]
        pruned = prunable_points(
            frame,
            epoch=epoch,
            epochs=self.epochs,
            objective=self.objective,
            direction=self._direction,
        )
        return [run for run, row in rows.items() if run.point in pruned and row["status"] == "ok"]

    def _keep_if_best(self, run: Run, row: dict[str, Any], weights: Weights | None, *, known: bool) -> None:
        if row["status"] == "diverged":
            self._forget(run)
            return
        # As in KerasTuner, the last epoch counts if the objective is known only once the training has ended.
        missing = self._own_fit and self.objective not in row
        value = self._sign * row.get(self.objective, math.nan)
        if weights is None or not (missing or value < self._best.get(run.point, math.inf)):
            return
        values = weights(run)
        if not known and any(map(_holds_nan, values)):
            # An activation such as ReLU can make a finite loss of them.
            row["status"] = "diverged"
            self._forget(run)
            return
        if not missing:
            self._best[run.point] = value
        self._best_weights[run.point] = (run, values)

    def _forget(self, run: Run) -> None:
        """Drops the weights of a run that diverged or failed after its best epoch."""
        if run.point in self._best_weights and self._best_weights[run.point][0] == run:
            del self._best_weights[run.point]
            self._best.pop(run.point, None)
            self.start([run])

    def _save_weights(self, ended: set[Run]) -> None:
        for point, (run, values) in list(self._best_weights.items()):
            if run in ended:
                self._save_best(point, values)
                del self._best_weights[point]

    def _has_ended(self, run: Run) -> bool:
        return self.table.complete(run, self.epochs, own_fit=self._own_fit)

    def _value(self, run: Run) -> float:
        return self._sign * self.table.score(run, self.objective, self._direction)


def missing_objective(objective: str, given: Iterable[str]) -> InvalidArgumentError:
    """The error that lists the values which training logs."""
    return InvalidArgumentError(
        f"`objective` must be a value that training logs. Received: {objective!r}; training logs {sorted(given)}. "
        f"Choose one of these, or add the metric to `compile`."
    )


def is_same(first: float, second: float) -> bool:
    """Whether two objectives are equal up to rounding, or neither is finite."""
    return bool(np.isclose(first, second, rtol=1e-6, atol=0)) or not (math.isfinite(first) or math.isfinite(second))


def _holds_nan(values: np.ndarray) -> bool:
    return values.dtype.kind not in "biuSU" and bool(np.isnan(values.astype(np.float32, copy=False)).any())


def _key(run: Run) -> dict[str, Any]:
    return {"learning_rate": run.learning_rate, "repeat": run.repeat, "batch_size": run.batch_size}
