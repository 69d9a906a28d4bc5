"""One call of `search`: what was recorded before, what is left to train, and the result of the records."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import keras
import numpy as np
import pandas as pd

from keras_lr._utils.formatting import format_rate
from keras_lr._utils.progress import Update
from keras_lr.analysis._sensitivity.summary import analyze_sensitivity
from keras_lr.devices import environment
from keras_lr.results._sensitivity import OWN_COLUMNS, SensitivityResult
from keras_lr.search._engines.base import ENGINES, EngineName
from keras_lr.search._engines.selection import EngineSelector, own_steps
from keras_lr.search._fingerprint import check_project, project_header
from keras_lr.search._fit_arguments import FitArguments
from keras_lr.search._grid import grown_rates, next_growth
from keras_lr.search._model_factory import ModelFactory, TunedHypermodel
from keras_lr.search._recorder import Recorder, missing_objective
from keras_lr.search._runs import Point, Run, middle_first, repeats_of
from keras_lr.search._storage import Journal, SearchFolder, Table, best_value, read_journals, save_weights

Direction = Literal["min", "max"]

_UPDATE_SECONDS = 0.1


@dataclass(frozen=True)
class SearchOptions:
    """What does not change between the calls of a tuner's `search`.

    Attributes:
        objective: Name of the value to judge by.
        direction: "min" or "max".
        repeats: Runs per point.
        seed: Seed of the first repeat.
        extend: Whether the grid is extended at an edge that has the best rate.
        refine: Whether points are added around the basin.
        pruning: Whether a point that cannot win is stopped early.
        engine: The fastest engine allowed.
        folder: Folder of the search.
        writer: Name of this process's journal.
    """

    objective: str
    direction: Direction
    repeats: int
    seed: int
    extend: bool
    refine: bool
    pruning: bool
    engine: EngineName
    folder: SearchFolder
    writer: str


class SearchSession:
    """Trains points of the grid and records them. `SearchSession.open` creates one from what is on disk.

    Args:
        options: What does not change between searches.
        hypermodel: The tuner's hypermodel.
        arguments: The arguments of this search.
        points: The tuner's grid, without the points that it has grown by.
        lines: Lines of the journals so far.
        factory: Builds the models.
        model: The first model that `factory` has built.
        journal: This process's journal.
        update: Shows the progress; None to show nothing.

    Attributes:
        arguments: The arguments of this search.
        points: The grid so far.
        on_epoch_recorded: Called after each recorded epoch; a `KerasLRError` raised by it ends the training.
    """

    def __init__(
        self,
        options: SearchOptions,
        hypermodel: TunedHypermodel,
        arguments: FitArguments,
        points: Iterable[Point],
        lines: Iterable[dict[str, Any]],
        *,
        factory: ModelFactory,
        model: keras.Model,
        journal: Journal,
        update: Update | None,
    ) -> None:
        self.arguments = arguments
        self.points = list(points)
        self.on_epoch_recorded: Callable[[], None] = lambda: None
        self._options = options
        self._hypermodel = hypermodel
        self._factory = factory
        self._model = model
        self._environment = environment(model)
        self._journal = journal
        self._update = update
        self._next_update = 0.0
        self._batch_sizes = sorted({point.batch_size for point in self.points})
        self._table = Table()
        self._add_lines(lines)
        self._recorder = Recorder(
            self._table,
            journal,
            epochs=arguments.epochs,
            objective=options.objective,
            direction=options.direction,
            pruning=options.pruning,
            save_best=self._save_best,
            on_epoch=self._after_epoch,
        )
        self._selector: EngineSelector | None = None
        self._planned: list[Run] = []

    @classmethod
    def open(
        cls,
        options: SearchOptions,
        hypermodel: TunedHypermodel,
        arguments: FitArguments,
        points: Sequence[Point],
        update: Update | None,
    ) -> SearchSession:
        """Reads the records, builds the model at both ends of the grid, and checks that all of it fits together.

        Raises:
            SearchError: The folder holds another search.
            ModelError: The hypermodel does not return a compiled model.
            InvalidArgumentError: Training does not log the objective.
            ResultFormatError: The records are damaged or of a newer version.
        """
        headers, lines = read_journals(options.folder.records)
        rates = {*(point.learning_rate for point in points), *grown_rates(_growth_events(lines))}
        ends = [Point(rate, point.batch_size) for rate in (min(rates), max(rates)) for point in points]
        factory = ModelFactory(hypermodel, arguments)
        model = factory.examine([run for point in ends for run in _runs(options, point)])
        header = project_header(model, arguments, seed=options.seed)
        check_project(headers, header, options.folder.path)
        _check_objective(options.objective, model, hypermodel, arguments)
        journal = Journal(options.folder.journal(options.writer), header)
        return cls(
            options, hypermodel, arguments, points, lines, factory=factory, model=model, journal=journal, update=update
        )

    def train(self, points: Sequence[Point]) -> None:
        """Trains the runs of `points` that the records lack."""
        runs = [run for point in points for run in _runs(self._options, point)]
        self._planned.extend(runs)
        self._recorder.start(runs)
        missing = [run for run in runs if not self._recorder.complete(run)]
        if not missing:
            return
        if self._options.pruning:
            missing = middle_first(missing)
        if self._selector is None:
            self._selector = EngineSelector.for_model(
                self._model,
                self._factory,
                self.arguments,
                self._recorder,
                self._hypermodel,
                allowed=self._options.engine,
                runs=len(self.points) * self._options.repeats,
                recorded=self._recorded,
            )
        self._selector.train(missing, self._record_engine)

    def refresh(self) -> None:
        """Reads what other processes have recorded in the meantime."""
        self._add_lines(read_journals(self._options.folder.records)[1])

    def is_over(self) -> bool:
        """Whether the records hold every repeat of every point, including those that the grid grows by."""
        self.refresh()
        return all(self.complete(point) for point in self.points) and self._next_growth() is None

    def complete(self, point: Point) -> bool:
        """Whether every run of `point` is complete."""
        return all(self._recorder.complete(run) for run in _runs(self._options, point))

    def metrics(self, point: Point) -> dict[str, float]:
        """What a trial reports: the median over the repeats, each at its best epoch."""
        return point_metrics(self._table, point, self._options.objective, self._options.direction)

    def grow(self) -> list[Point]:
        """The points to add to a finished grid; recorded, so that a later search adds the same ones."""
        self.refresh()
        event = self._next_growth()
        if event is None:
            return []
        self._journal.append([event])
        return self._points_at(event["learning_rates"])

    def finish(self) -> None:
        """Ends the search.

        Raises:
            SearchError: Every run failed.
        """
        self._recorder.finish()

    def close(self) -> None:
        """Releases the project to other processes."""
        self._journal.close()

    def _add_lines(self, lines: Iterable[dict[str, Any]]) -> None:
        lines = list(lines)
        self._table.add_lines(lines)
        self._grown = _growth_events(lines)
        self._recorded = slowest_engine(lines)
        self.points = list(dict.fromkeys([*self.points, *self._points_at(grown_rates(self._grown))]))

    def _next_growth(self) -> dict[str, Any] | None:
        """The event by which the finished grid grows next; None if it does not."""
        frame = self._table.frame()
        options = self._options
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

    def _points_at(self, rates: Iterable[float]) -> list[Point]:
        return [Point(rate, size) for size in self._batch_sizes for rate in rates]

    def _record_engine(self) -> None:
        assert self._selector is not None
        details = {"engine": self._selector.engine, "reason": self._selector.reason, "environment": self._environment}
        self._recorder.event("engine", **details)

    def _save_best(self, point: Point, values: Sequence[np.ndarray]) -> None:
        save_weights(self._options.folder.checkpoint(self._hypermodel.trial_id(point)), values)

    def _after_epoch(self, runs: Iterable[Run], epoch: int) -> None:
        self.on_epoch_recorded()
        self._show_progress()

    def _show_progress(self) -> None:
        # Each update reads the whole table, and a terminal shows at most ten per second.
        if self._update is None or time.monotonic() < self._next_update:
            return
        self._next_update = time.monotonic() + _UPDATE_SECONDS
        epochs = self.arguments.epochs
        done = sum(epochs if self._recorder.complete(run) else len(self._table.rows(run)) for run in self._planned)
        points = {run.point for run in self._planned}
        finished = sum(self.complete(point) for point in points)
        self._update(done, epochs * len(self._planned), finished, self._best_so_far(points))

    def _best_so_far(self, points: Iterable[Point]) -> str:
        """The best rate and its objective, for the progress line."""
        name, direction = self._options.objective, self._options.direction
        values = {point: self.metrics(point).get(name, np.nan) for point in points}
        finite = {point: value for point, value in values.items() if np.isfinite(value)}
        if not finite:
            return "none yet"
        best = (min if direction == "min" else max)(finite, key=lambda point: finite[point])
        return f"{format_rate(best.learning_rate, digits=3)} ({name} {finite[best]:.4g})"


def _runs(options: SearchOptions, point: Point) -> list[Run]:
    return repeats_of(point, repeats=options.repeats, seed=options.seed)


def _growth_events(lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in lines if line.get("event") == "grown"]


def _check_objective(objective: str, model: keras.Model, hypermodel: TunedHypermodel, arguments: FitArguments) -> None:
    """Refuses an objective that Keras's own steps do not log; what callbacks and other steps log is unknown."""
    if own_steps(model) or hypermodel.has_own_fit or arguments.callbacks:
        return
    logged = list(model.get_metrics_result())
    logged += [f"val_{name}" for name in logged] if arguments.validates else []
    if objective not in logged:
        raise missing_objective(objective, logged)


def recorded_result(
    frame: pd.DataFrame, lines: Iterable[Mapping[str, Any]], *, objective: str, direction: Direction
) -> SensitivityResult:
    """The result of a search's records. If several engines have trained, it names the slowest.

    Args:
        frame: The rows of `lines`, at least one.
        lines: Lines of the journals.
        objective: Name of the value to judge by.
        direction: "min" or "max".
    """
    engine, reason, environment = slowest_engine(lines) or ("rebuild", "", None)
    return analyze_sensitivity(
        frame,
        objective=objective,
        direction=direction,
        engine=engine,
        engine_reason=reason,
        environment=environment,
    )


def slowest_engine(lines: Iterable[Mapping[str, Any]]) -> tuple[EngineName, str, dict[str, Any] | None] | None:
    """The slowest engine that lines of the journals name, the reason and the environment; None if they name none."""
    # Older records call the engine "tier".
    used = [(line.get("engine") or line["tier"], line) for line in lines if line.get("event") in ("engine", "tier")]
    if not used:
        return None
    engine, event = max(used, key=lambda one: ENGINES.index(one[0]))
    return engine, event.get("reason", ""), event.get("environment")


def point_metrics(table: Table, point: Point, objective: str, direction: Direction) -> dict[str, float]:
    """Medians over the repeats of a point, each at its best epoch; infinitely bad if most repeats diverged."""
    runs = table.runs(point)
    scores = [best_value(table.rows(run), objective, direction) for run in runs]
    if not scores:
        return {}
    found: dict[str, list[float]] = {}
    for run, score in zip(runs, scores, strict=True):
        for name, value in _metrics_at(table.rows(run), objective, score).items():
            found.setdefault(name, []).append(value)
    return {**{name: float(np.median(values)) for name, values in found.items()}, objective: float(np.median(scores))}


def _metrics_at(rows: Iterable[Mapping[str, Any]], objective: str, score: float) -> dict[str, float]:
    """The metrics of the epoch with `score`, except for those that are missing or not finite.

    Without validation data `val_loss` is NaN, of which KerasTuner would warn.
    """
    row = next((row for row in rows if row.get(objective) == score), {})
    measured = {name: value for name, value in row.items() if name not in OWN_COLUMNS}
    return {name: value for name, value in measured.items() if value is not None and np.isfinite(value)}
