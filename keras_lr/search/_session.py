"""One call of `search`: what was recorded before, what is open, and the training of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import pandas as pd

from keras_lr._utils.formatting import format_rate
from keras_lr._utils.progress import Update
from keras_lr.analysis._sensitivity.summary import sensitivity_result
from keras_lr.devices import environment
from keras_lr.results._sensitivity import SensitivityResult
from keras_lr.search._engines.base import ENGINES, EngineName
from keras_lr.search._engines.fit import Fit, RebuildEngine, ReuseEngine
from keras_lr.search._engines.function import FunctionEngine
from keras_lr.search._engines.selection import OWN_STEPS, EngineSelector, fastest_engine
from keras_lr.search._engines.stacked import StackedEngine
from keras_lr.search._fingerprint import check_project, project_header
from keras_lr.search._fit_arguments import FitArguments
from keras_lr.search._grid import grown_rates, next_growth
from keras_lr.search._model_factory import ModelFactory
from keras_lr.search._recorder import Recorder, missing_objective
from keras_lr.search._runs import Point, Run, middle_first, runs_of
from keras_lr.search._storage import Journal, Table, best_value, read_journals, save_weights

Direction = Literal["min", "max"]

_UPDATE_SECONDS = 0.1


def outcome(
    frame: pd.DataFrame, lines: Sequence[dict[str, Any]], *, objective: str, direction: Literal["min", "max"]
) -> SensitivityResult:
    """The result; where runs were trained in several ways, it names the slowest.

    Args:
        frame: The rows of `lines`, at least one.
        lines: Lines of the journals.
        objective: Name of the value that is judged.
        direction: "min" or "max".
    """
    # Records written before the name "engine" say "tier".
    used = [(line.get("engine") or line["tier"], line) for line in lines if line.get("event") in ("engine", "tier")]
    engine, event = max(used, key=lambda one: ENGINES.index(one[0]), default=("rebuild", {}))
    return sensitivity_result(
        frame,
        objective=objective,
        direction=direction,
        engine=engine,
        engine_reason=event.get("reason", ""),
        environment=event.get("environment"),
    )


@dataclass(frozen=True)
class SearchOptions:
    """What stays the same over all calls of `search`.

    Attributes:
        objective: Name of the value that is judged.
        direction: "min" or "max".
        repeats: Trainings of each point.
        seed: Seed of the first repeat.
        extend: Whether the grid grows beyond an edge where the best stands.
        refine: Whether points are added around the basin.
        prunes: Whether a point that cannot win stops early.
        fastest: The fastest engine allowed.
        records: Folder of the journals.
        writer: Name of this process's journal.
    """

    objective: str
    direction: Direction
    repeats: int
    seed: int
    extend: bool
    refine: bool
    prunes: bool
    fastest: EngineName
    records: Path
    writer: str


@dataclass(frozen=True)
class Training:
    """How the user's hypermodel is built and fitted.

    Attributes:
        build: Takes a learning rate and a batch size, and returns a compiled model.
        fit: Calls `fit` for a run.
        own_fit: Whether that is the hypermodel's own.
        distributed: Whether models are built under a distribution strategy.
        decorate: Prepares the user's callbacks for a run.
        checkpoint: Gives the file of a point's best weights.
    """

    build: Callable[[float, int], Any]
    fit: Fit
    own_fit: bool
    distributed: bool
    decorate: Callable[[Run, list[Any]], list[Any]]
    checkpoint: Callable[[Point], Path]


class SearchSession:
    """Trains points of the grid and records them.

    Args:
        options: What stays the same over all searches of the tuner.
        training: How models are built and fitted.
        arguments: The arguments of this search.
        points: The grid so far.
        update: Shows the progress; None where it is not shown.

    Attributes:
        on_epoch_recorded: Called after each epoch, once it is recorded; ends the training by an error of keras_lr's.

    Raises:
        SearchError: The project holds another search.
    """

    def __init__(
        self,
        options: SearchOptions,
        training: Training,
        arguments: FitArguments,
        points: Iterable[Point],
        update: Update | None,
    ) -> None:
        self.options = options
        self.arguments = arguments
        self._training = training
        self._update = update
        self.on_epoch_recorded: Callable[[], None] = lambda: None
        self.points = list(points)
        self._batch_sizes = sorted({point.batch_size for point in self.points})
        self.table = Table()
        headers = self.refresh()
        self._factory = ModelFactory(training.build, arguments)
        self._model = self._factory.examine([run for point in self.points for run in self._runs(point)])
        header = project_header(self._model, arguments, seed=options.seed)
        check_project(headers, header, options.records)
        self._check_objective(self._model)
        self._environment = environment(self._model)
        self.journal = Journal(options.records / f"{options.writer}.jsonl", header)
        self._recorder = self._new_recorder()
        self._selector: EngineSelector | None = None
        self._planned: list[Run] = []
        self._next_update = 0.0

    def train(self, points: Sequence[Point]) -> None:
        """Trains whatever the records lack of `points`."""
        runs = [run for point in points for run in self._runs(point)]
        self._planned.extend(runs)
        self._recorder.start(runs)
        missing = [run for run in runs if not self._recorder.complete(run)]
        if not missing:
            return
        if self.options.prunes:
            missing = middle_first(missing)
        if self._selector is None:
            self._selector = self._new_selector(len(missing))
        self._selector.train(missing, self._record_engine)

    def refresh(self) -> list[dict[str, Any]]:
        """Takes in what other processes have recorded meanwhile; returns the headers of the records."""
        headers, lines = read_journals(self.options.records)
        self.table.take(lines)
        self._grown = [line for line in lines if line.get("event") == "grown"]
        self.points = list(dict.fromkeys([*self.points, *self._points(grown_rates(self._grown))]))
        return headers

    def is_over(self) -> bool:
        """Whether the records hold every point with all its repeats, also those that the grid grows by."""
        self.refresh()
        return all(self.complete(point) for point in self.points) and self._growth() is None

    def complete(self, point: Point) -> bool:
        """Whether every run of `point` is complete."""
        return all(self._recorder.complete(run) for run in self._runs(point))

    def metrics(self, point: Point) -> dict[str, float]:
        """What a trial reports: the median of the repeats at the best epoch of each."""
        return point_metrics(self.table, point, self.options.objective, self.options.direction)

    def grow(self) -> list[Point]:
        """The points to add once all are done; recorded, so that a later search adds the same."""
        self.refresh()
        event = self._growth()
        if event is None:
            return []
        self.journal.append([event])
        return self._points(event["learning_rates"])

    def finish(self) -> None:
        """Ends the search.

        Raises:
            SearchError: Every run failed.
        """
        self._recorder.finish()

    def close(self) -> None:
        """Lets another process search the project."""
        self.journal.close()

    def _check_objective(self, model: Any) -> None:
        """Refuses an objective that Keras's steps cannot give; what callbacks and other steps log is not known."""
        own_steps = any(getattr(type(model), name) is not getattr(keras.Model, name) for name in OWN_STEPS)
        if own_steps or self._training.own_fit or self.arguments.callbacks:
            return
        given = list(model.get_metrics_result())
        given += [f"val_{name}" for name in given] if self.arguments.validates else []
        if self.options.objective not in given:
            raise missing_objective(self.options.objective, given)

    def _growth(self) -> dict[str, Any] | None:
        """What the records ask to add to a grid that is done; None where that is nothing."""
        frame = self.table.frame()
        options = self.options
        if not len(frame):
            return None
        return next_growth(
            frame,
            self._grown,
            objective=options.objective,
            direction=options.direction,
            extend=options.extend,
            refine=options.refine,
        )

    def _points(self, rates: Iterable[float]) -> list[Point]:
        return [Point(rate, size) for size in self._batch_sizes for rate in rates]

    def _runs(self, point: Point) -> list[Run]:
        return runs_of(point, repeats=self.options.repeats, seed=self.options.seed)

    def _new_recorder(self) -> Recorder:
        return Recorder(
            self.table,
            self.journal,
            epochs=self.arguments.epochs,
            objective=self.options.objective,
            direction=self.options.direction,
            prunes=self.options.prunes,
            save_best=self._save_best,
            on_epoch=self._after_epoch,
        )

    def _new_selector(self, count: int) -> EngineSelector:
        training = self._training
        engine, reason = fastest_engine(
            self._model,
            self._factory,
            self.arguments,
            own_fit=training.own_fit,
            distributed=training.distributed,
            runs=count,
        )
        if ENGINES.index(engine) < ENGINES.index(self.options.fastest):
            engine, reason = self.options.fastest, "`engine` asks for it"
        common = (self._factory, self.arguments, self._recorder)
        fitting: dict[str, Any] = {"fit": training.fit, "decorate": training.decorate}
        makers = {
            "stacked": lambda: StackedEngine(*common),
            "function": lambda: FunctionEngine(*common),
            "reuse": lambda: ReuseEngine(*common, **fitting),
            "rebuild": lambda: RebuildEngine(*common, **fitting, own_fit=training.own_fit),
        }
        return EngineSelector(makers, self._recorder, fastest=engine, reason=reason)  # type: ignore[arg-type]

    def _record_engine(self) -> None:
        assert self._selector is not None
        details = {"engine": self._selector.engine, "reason": self._selector.reason, "environment": self._environment}
        self._recorder.event("engine", **details)

    def _save_best(self, point: Point, values: Sequence[np.ndarray]) -> None:
        save_weights(self._training.checkpoint(point), values)

    def _after_epoch(self, runs: Iterable[Run], epoch: int) -> None:
        self.on_epoch_recorded()
        self._show(runs, epoch)

    def _show(self, runs: Iterable[Run], epoch: int) -> None:
        # Each update reads the whole table, of which a terminal shows ten a second at most.
        if self._update is None or time.monotonic() < self._next_update:
            return
        self._next_update = time.monotonic() + _UPDATE_SECONDS
        epochs = self.arguments.epochs
        done = sum(epochs if self._recorder.complete(run) else len(self.table.rows(run)) for run in self._planned)
        points = {run.point for run in self._planned}
        finished = sum(self.complete(point) for point in points)
        self._update(done, epochs * len(self._planned), finished, self._best_in_words(points))

    def _best_in_words(self, points: Iterable[Point]) -> str:
        name, direction = self.options.objective, self.options.direction
        values = {point: self.metrics(point).get(name, np.nan) for point in points}
        finite = {point: value for point, value in values.items() if np.isfinite(value)}
        if not finite:
            return "none yet"
        best = (min if direction == "min" else max)(finite, key=lambda point: finite[point])
        return f"{format_rate(best.learning_rate, digits=3)} ({name} {finite[best]:.4g})"


def point_metrics(table: Table, point: Point, objective: str, direction: Direction) -> dict[str, float]:
    """Medians over the repeats of a point, each repeat at its best epoch; infinitely bad where most diverged."""
    runs = table.runs(point)
    scores = [best_value(table.rows(run), objective, direction) for run in runs]
    if not scores:
        return {}
    found: dict[str, list[float]] = {}
    for run, score in zip(runs, scores, strict=True):
        for name, value in _row_at(table.rows(run), objective, score).items():
            found.setdefault(name, []).append(value)
    return {**{name: float(np.median(values)) for name, values in found.items()}, objective: float(np.median(scores))}


def _row_at(rows: Sequence[Mapping[str, Any]], objective: str, score: float) -> dict[str, float]:
    row = next((row for row in rows if row.get(objective) == score), {})
    keys = ("learning_rate", "repeat", "batch_size", "epoch", "seed", "status", "message")
    return {name: value for name, value in row.items() if name not in keys and _is_number(value)}


def _is_number(value: float | None) -> bool:
    """Whether a value was measured; without validation data `val_loss` is NaN, which KerasTuner warns of."""
    return value is not None and bool(np.isfinite(value))
