"""One call of `search`: what was recorded before, what is left to train, and the result of the records."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal, Protocol

import keras
import keras_tuner
import numpy as np
import pandas as pd

from keras_lr._utils.formatting import format_rate
from keras_lr._utils.progress import Update
from keras_lr.analysis._sensitivity import analyze_sensitivity
from keras_lr.devices import environment
from keras_lr.range_test._data_checks import find_target_fault
from keras_lr.results._sensitivity import OWN_COLUMNS, SensitivityResult
from keras_lr.search._engines.base import ENGINES, EngineName
from keras_lr.search._engines.selection import EngineSelector, own_steps
from keras_lr.search._fingerprint import check_project, project_header
from keras_lr.search._fit_arguments import (
    FitArguments,
    advice_on_output,
    check_validation,
    data_fault,
    facts_of,
    fault_in_batches,
)
from keras_lr.search._grid import grown_rates, next_growth
from keras_lr.search._model_factory import ModelFactory, TunedHypermodel
from keras_lr.search._recorder import Recorded, Recorder, is_same, missing_objective
from keras_lr.search._runs import Point, Run, middle_first, read_result, repeats_of
from keras_lr.search._storage import (
    Journal,
    SearchFolder,
    Table,
    TrialRecord,
    read_journals,
    save_weights,
    with_returned,
)

Direction = Literal["min", "max"]

UsedEngine = tuple[EngineName, str, dict[str, Any] | None]
"""An engine that has trained, the reason for it and its environment."""

Notify = Callable[[str], None]
"""Shows a line to the user."""

_UPDATE_SECONDS = 0.1
_UPDATE_SHARE = 20
"""A progress line may take one part in so many of the time."""


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
        why_engine: Why no faster one is.
        folder: Folder of the search.
        writer: Name of this process's journal.
        searches_batch_size: Whether the batch size is part of the grid.
        by_trial: Why the tuner's own `run_trial` trains each point; empty if it has none.
        own_code: Descriptions of the code that the user has written for the tuner and for `HyperModel.fit`.
        by_cost: Whether several engines that can train are timed, where that pays.
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
    why_engine: str = "`engine` asks for it"
    searches_batch_size: bool = False
    by_trial: str = ""
    own_code: Mapping[str, Any] = field(default_factory=dict)
    by_cost: bool = False


class Pool(Protocol):
    """Other processes that train runs."""

    def train(
        self,
        runs: Sequence[Run],
        recorder: Recorder,
        *,
        engine: UsedEngine,
        planned: int,
        checkpoints: Mapping[Run, Any],
    ) -> Generator[Recorded, None, None]:
        """What becomes of the runs, share by share."""

    def details(self) -> Mapping[str, Any]:
        """Its size and what went wrong, for the records."""


class Trainer:
    """Trains runs with one set of arguments of `fit`.

    Args:
        options: What does not change between searches.
        hypermodel: The tuner's hypermodel.
        arguments: The arguments of `fit`.
        factory: Builds the models.
        model: The first model that `factory` has built; None without a hypermodel.

    Attributes:
        arguments: The arguments of `fit`.
        fault: What is wrong with the data, so that nothing can be trained on them; empty if nothing is.
    """

    def __init__(
        self,
        options: SearchOptions,
        hypermodel: TunedHypermodel,
        arguments: FitArguments,
        *,
        factory: ModelFactory,
        model: keras.Model | None,
    ) -> None:
        self.arguments = arguments
        self.factory = factory
        self.model = model
        self.environment = None if model is None else environment(model)
        self.known = {} if model is None or hypermodel.takes_any_data else facts_of(model, arguments)
        self.fault = "" if model is None or hypermodel.takes_any_data else data_fault(model, arguments)
        if model is not None and not hypermodel.takes_any_data:
            for text in advice_on_output(model, arguments):
                warnings.warn(text, UserWarning, stacklevel=2)
        self._options = options
        self._hypermodel = hypermodel
        self._selector: EngineSelector | None = None
        self._recorder: Recorder | None = None
        self._checkpoints: dict[Run, Any] = {}

    @classmethod
    def of(
        cls, options: SearchOptions, hypermodel: TunedHypermodel, arguments: FitArguments, points: Iterable[Point]
    ) -> Trainer:
        """A trainer for `points`; builds the model at both ends of them."""
        factory = ModelFactory(hypermodel, arguments)
        runs = [run for point in points for run in _runs(options, point)]
        model = factory.examine(runs) if hypermodel.exists else None
        if model is not None:
            _check_objective(options.objective, model, hypermodel, arguments)
            if not (hypermodel.takes_any_data or factory.unbuilt):
                check_validation(model, arguments)
        return cls(options, hypermodel, arguments, factory=factory, model=model)

    def recorder(self, table: Table, journal: Any, *, kind: Any = Recorder, **callbacks: Any) -> Any:
        """A `Recorder`, or another `kind` of it, of what is trained with these arguments, made once."""
        if self._recorder is None:
            self._recorder = kind(
                table,
                journal,
                epochs=self.arguments.epochs,
                objective=self._options.objective,
                direction=self._options.direction,
                pruning=self._options.pruning,
                own_fit=self._hypermodel.has_own_fit,
                validates_always="validation_freq" not in self.arguments.fit_only,
                **callbacks,
            )
        return self._recorder

    def values(self) -> Mapping[Point, Any]:
        """Hyperparameters that the hypermodel's own `fit` was given, by point."""
        return self._hypermodel.given_values

    def train(
        self,
        runs: Sequence[Run],
        recorder: Recorder,
        *,
        planned: int,
        recorded: UsedEngine | None,
        pool: Pool | None = None,
        checkpoints: Mapping[Run, Any] = MappingProxyType({}),
    ) -> None:
        """Trains runs, none of which is complete.

        Args:
            runs: The runs.
            recorder: Records each epoch.
            planned: Number of runs of the whole search.
            recorded: The engine that trained earlier runs, the reason for it and its environment, if there are any.
            pool: Trains them elsewhere; None to train them here.
            checkpoints: What runs go on from that have paused in another process.
        """
        if self.fault:
            warnings.warn(self.fault, UserWarning, stacklevel=2)
            recorder.skip(runs, self.fault)
            return
        former = self.factory.rate_in_build
        self.factory.check_rates(run.learning_rate for run in runs)
        failures = self.factory.failures
        for run in runs:
            if run.learning_rate in failures:
                recorder.fail(run, failures[run.learning_rate])
        runs = [run for run in runs if run.learning_rate not in failures]
        if self.factory.rate_in_build != former:
            self._selector = None
        if not runs or self.model is None:
            return
        if self._selector is None:
            self._selector = EngineSelector.for_model(
                self.model,
                self.factory,
                self.arguments,
                recorder,
                self._hypermodel,
                allowed=self._options.engine,
                why_allowed=self._options.why_engine,
                runs=planned,
                by_cost=self._options.by_cost,
                recorded=recorded,
            )
        selector = self._selector
        if pool is not None:
            engine = (selector.engine, selector.reason, None)
            paused = self._checkpoints
            with closing(pool.train(runs, recorder, engine=engine, planned=planned, checkpoints=paused)) as parts:
                for part in parts:
                    self._hypermodel.adopt(part.values)
                    recorder.adopt(part)
                    paused.update(part.checkpoints)
            return
        details = {"environment": self.environment, "known": self.known}
        selector.train(
            runs,
            lambda: recorder.event("engine", engine=selector.engine, reason=selector.reason, **details),
            checkpoints,
        )

    def checkpoints(self, runs: Iterable[Run]) -> dict[Run, Any]:
        """What those of `runs` that have paused go on from in another process, where that can be sent."""
        return {} if self._selector is None else self._selector.checkpoints(runs)

    def forget(self, runs: Sequence[Run]) -> None:
        """Drops what is kept of paused runs that will not go on."""
        for run in runs:
            self._checkpoints.pop(run, None)
        if self._selector is not None:
            self._selector.forget(runs)


class SearchSession:
    """Trains points of the grid and records them. `SearchSession.open` creates one from what is on disk.

    Args:
        options: What does not change between searches.
        hypermodel: The tuner's hypermodel.
        trainer: Trains with the arguments of this search.
        points: The tuner's grid, without the points that it has grown by.
        lines: Lines of the journals so far.
        journal: This process's journal.
        update: Shows the progress; None to show nothing.
        pool: Trains the runs elsewhere; None to train them here.

    Attributes:
        arguments: The arguments of this search.
        points: The grid so far.
    """

    def __init__(
        self,
        options: SearchOptions,
        hypermodel: TunedHypermodel,
        trainer: Trainer,
        points: Iterable[Point],
        lines: Iterable[dict[str, Any]],
        *,
        journal: Journal,
        update: Update | None,
        pool: Pool | None = None,
    ) -> None:
        self.arguments = trainer.arguments
        self.points = list(points)
        self._options = options
        self._hypermodel = hypermodel
        self._trainer = trainer
        self._journal = journal
        self._update = update
        self._pool = pool
        self._next_update = 0.0
        self._batch_sizes = sorted({point.batch_size for point in self.points})
        self._table = Table()
        lines = list(lines)
        self._events = [line for line in lines if "event" in line]
        self._table.add_lines(lines)
        self._grown = _growth_events(lines)
        self._faults = faults_in(lines)
        self._recorded = slowest_engine(lines)
        self._add_points(grown_rates(self._grown))
        self._recorder = self._recorder_of(trainer)
        self._names_engine = self._recorded is not None
        self._planned: dict[Run, None] = {}

    @classmethod
    def open(
        cls,
        options: SearchOptions,
        hypermodel: TunedHypermodel,
        arguments: FitArguments,
        points: Sequence[Point],
        update: Update | None,
        pool: Pool | None = None,
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
        whole = [Point(rate, size) for rate in rates for size in {point.batch_size for point in points}]
        trainer = Trainer.of(options, hypermodel, arguments, whole)
        header = project_header(
            trainer.model,
            arguments,
            seed=options.seed,
            structure=trainer.factory.structure,
            details=trainer.factory.details,
            own=options.own_code,
            searches_batch_size=options.searches_batch_size,
        )
        check_project(headers, header, options.folder.path)
        journal = Journal(options.folder.journal(options.writer), header)
        session = cls(options, hypermodel, trainer, points, lines, journal=journal, update=update, pool=pool)
        session.check_targets()
        return session

    @property
    def has_workers(self) -> bool:
        """Whether other processes train the runs."""
        return self._pool is not None

    def check_targets(self) -> None:
        """Warns of targets from which no rate can be read, and records the warning, which the result repeats."""
        train, model = self.arguments.train, self._trainer.model
        if train is None or model is None or self._hypermodel.takes_any_data:
            return
        _, y, _ = keras.utils.unpack_x_y_sample_weight(train)
        sentence = find_target_fault(model, y)
        if sentence is not None:
            warnings.warn(sentence, UserWarning, stacklevel=2)
            self._record_fault(sentence)

    def train(self, points: Sequence[Point], trainer: Trainer | None = None) -> None:
        """Trains the runs of `points` that the records lack, with the arguments of the search or those of `trainer`."""
        trainer = trainer or self._trainer
        recorder = self._recorder_of(trainer)
        runs = [run for point in points for run in _runs(self._options, point)]
        self._planned.update(dict.fromkeys(runs))
        recorder.start(runs)
        missing = [run for run in runs if not recorder.complete(run)]
        if not missing:
            return
        if self._options.pruning:
            missing = middle_first(missing)
        if trainer.fault:
            self._record_fault(trainer.fault)
        planned = len(self.points) * self._options.repeats
        self._show_progress()
        trainer.train(missing, recorder, planned=planned, recorded=self._recorded, pool=self._pool)

    def train_to(self, reach: Mapping[Point, int]) -> None:
        """Trains the runs of some points up to a number of epochs each; they pause there and may go on later."""
        known = self._recorder
        known.pause_at({run: epochs for point, epochs in reach.items() for run in _runs(self._options, point)})
        self.train(list(reach))

    def new_model(self, point: Point) -> keras.Model:
        """A model that is ready to train the first run of `point`."""
        return self._trainer.factory.model(_runs(self._options, point)[0])

    def forget(self, points: Iterable[Point]) -> None:
        """Drops what is kept of paused runs at `points`, which will not go on."""
        self._trainer.forget([run for point in points for run in _runs(self._options, point)])

    def save_weights(self) -> None:
        """Stores the best weights of every run in training, as far as it has come."""
        self._recorder.save_weights()

    def curve(self, point: Point, epochs: int) -> list[float]:
        """The objective after each of the first epochs of a point with one run; NaN once it has diverged or failed.

        A run that a callback has ended keeps its last value.
        """
        (run,) = _runs(self._options, point)
        return curve_of(self._table.rows(run), self._options.objective, epochs, complete=self._recorder.complete(run))

    def event(self, name: str) -> dict[str, Any] | None:
        """The last event of this name; None if the records hold none."""
        return next((line for line in reversed(self._events) if line.get("event") == name), None)

    def record_event(self, name: str, **details: Any) -> None:
        """Records an event."""
        self._recorder.event(name, **details)

    def trainer(self, hypermodel: TunedHypermodel, arguments: FitArguments, points: Iterable[Point]) -> Trainer:
        """A trainer for these records whose runs train with other arguments of `fit`."""
        return Trainer.of(self._options, hypermodel, arguments, points)

    def histories(self, point: Point) -> list[keras.callbacks.History]:
        """The history of each run of `point`, as `fit` would return it."""
        found = []
        for run in self._table.runs(point):
            history = keras.callbacks.History()
            rows = self._table.rows(run)
            names = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in OWN_COLUMNS]
            values = {name: [_number(row.get(name)) for row in rows] for name in names}
            history.history = {name: listed for name, listed in values.items() if not np.isnan(listed).all()}
            history.epoch = [row["epoch"] for row in rows]
            found.append(history)
        return found

    def finish_trial(
        self, point: Point, trained: Point, returned: Any, *, own: bool, values: Mapping[str, Any]
    ) -> None:
        """Records that the tuner's own `run_trial` has trained a point.

        Args:
            point: The point of the grid.
            trained: The point that it trained, which may have another batch size.
            returned: What it returned; None if the records hold the result.
            own: Whether it trained without the tuner's `run_trial`, so that no epoch is recorded yet.
            values: Hyperparameters beside those of the grid, by name.
        """
        value = None
        if returned is not None:
            objective = keras_tuner.Objective(self._options.objective, self._options.direction)
            parts = returned if isinstance(returned, list) and returned else [returned]
            results = [read_result(part, objective, "`run_trial`") for part in parts]
            if own:
                self._record_own_engine()
                first = _runs(self._options, trained)[0]
                for number, result in enumerate(results):
                    run = Run(trained.learning_rate, trained.batch_size, number, first.seed + number)
                    self._recorder.record_returned(run, result, None)
            score = float(np.mean([result.score for result in results]))
            recorded = point_metrics(self._table, trained, objective.name, self._options.direction)
            value = None if is_same(score, recorded.get(objective.name, np.nan)) else score
        self._record_trial(point, TrialRecord(trained, value, self._options.repeats, self.arguments.epochs, values))

    def record_trial(self, point: Point, value: float | None, values: Mapping[str, Any]) -> None:
        """Records what the tuner's own methods have reported for a point that was trained.

        Args:
            point: The point.
            value: The objective; None if the records hold the result.
            values: Hyperparameters beside those of the grid, by name.
        """
        self._record_trial(point, TrialRecord(point, value, self._options.repeats, self.arguments.epochs, values))

    def has_logged(self, point: Point, value: float) -> bool:
        """Whether `value` is the best that the runs of `point` have logged."""
        name, direction = self._options.objective, self._options.direction
        scores = [self._table.score(run, name, direction) for run in self._table.runs(point)]
        return bool(scores) and is_same(value, (min if direction == "min" else max)(scores))

    def failure(self, point: Point) -> str | None:
        """The message of the first run, if every run of `point` has failed."""
        if self._options.by_trial and (trial := self._table.trials.get(self._hypermodel.trial_id(point))) is not None:
            point = trial.point
        return failure_of(self._table, point)

    def fail(self, point: Point, error: Exception) -> None:
        """Records that the tuner's own `run_trial` raised an exception."""
        self._recorder.fail(_runs(self._options, point)[0], error)

    def values(self) -> dict[str, Mapping[str, Any]]:
        """Hyperparameters beside those of the grid, by the name of the trial."""
        return {name: trial.values for name, trial in self._table.trials.items()}

    def complete(self, point: Point) -> bool:
        """Whether every run of `point` is complete."""
        if not self._options.by_trial:
            return all(self._recorder.complete(run) for run in _runs(self._options, point))
        trial = self._table.trials.get(self._hypermodel.trial_id(point))
        if trial is not None:
            return trial.repeats >= self._options.repeats and trial.epochs >= self.arguments.epochs
        return any(row["status"] == "failed" for run in self._table.runs(point) for row in self._table.rows(run))

    def metrics(self, point: Point) -> dict[str, float]:
        """What a trial reports: the median over the repeats, each at its best epoch."""
        trial = self._table.trials.get(self._hypermodel.trial_id(point)) if self._options.by_trial else None
        if trial is not None:
            point = trial.point
        return point_metrics(self._table, point, self._options.objective, self._options.direction)

    def grow(self) -> list[Point]:
        """The points to add to a finished grid; recorded, so that a later search adds the same ones."""
        event = self._next_growth()
        if event is None:
            return []
        self._journal.append([event])
        self._grown.append(event)
        return self._add_points(event["learning_rates"])

    def finish(self) -> None:
        """Ends the search.

        Raises:
            SearchError: Every run failed.
            DataError: Every run failed at a label that is outside the classes.
            ModelError: Every run failed since the optimizer was made for other weights.
        """
        self._recorder.finish()
        if self._pool is not None and (details := self._pool.details()):
            self._recorder.event("workers", **details)
        if self.arguments.train is None and self._all_diverge_at_once():
            fault = fault_in_batches(self.arguments)
            if fault:
                warnings.warn(fault, UserWarning, stacklevel=2)
                self._record_fault(fault)

    def close(self) -> None:
        """Releases the project to other processes."""
        self._journal.close()

    def _next_growth(self) -> dict[str, Any] | None:
        """The event by which the finished grid grows next; None if it does not."""
        options = self._options
        frame, objective = with_returned(self._table.frame(), options.objective)
        if not len(frame) or objective not in frame:
            return None
        return next_growth(
            frame,
            self._grown,
            objective=objective,
            direction=options.direction,
            extend=options.extend,
            refine=options.refine,
        )

    def _add_points(self, rates: Iterable[float]) -> list[Point]:
        added = [Point(rate, size) for size in self._batch_sizes for rate in rates]
        self.points = list(dict.fromkeys([*self.points, *added]))
        return added

    def _recorder_of(self, trainer: Trainer) -> Recorder:
        callbacks = {"save_best": self._save_best, "on_epoch": self._show_progress}
        recorder: Recorder = trainer.recorder(self._table, self._journal, **callbacks)
        return recorder

    def _record_trial(self, point: Point, record: TrialRecord) -> None:
        trial_id = self._hypermodel.trial_id(point)
        if self._table.trials.get(trial_id) != record:
            self._table.trials[trial_id] = record
            self._recorder.event("trial", **record.to_line(trial_id), direction=self._options.direction)

    def _record_own_engine(self) -> None:
        if not self._names_engine:
            self._names_engine = True
            details = {"engine": "rebuild", "reason": self._options.by_trial, "environment": self._trainer.environment}
            self._recorder.event("engine", **details)

    def _record_fault(self, message: str) -> None:
        if message not in self._faults:
            self._faults.append(message)
            self._recorder.event("data", message=message)

    def _all_diverge_at_once(self) -> bool:
        first = [row for row in self._table.all_rows() if row["epoch"] == 0]
        return bool(first) and all(row["status"] == "diverged" for row in first)

    def _save_best(self, point: Point, values: Sequence[np.ndarray]) -> None:
        save_weights(self._options.folder.checkpoint(self._hypermodel.trial_id(point)), values)

    def _show_progress(self, *_: Any) -> None:
        # Each update reads the whole table, and a terminal shows at most ten per second.
        began = time.monotonic()
        if self._update is None or began < self._next_update:
            return
        reach = {run: self._recorder.reach(run) for run in self._planned}
        done = sum(
            epochs if self._recorder.complete(run) else len(self._table.rows(run)) for run, epochs in reach.items()
        )
        points = {run.point for run in self._planned}
        finished = sum(self.complete(point) for point in points)
        self._update(done, sum(reach.values()), finished, self._best_so_far(points))
        now = time.monotonic()
        self._next_update = now + max(_UPDATE_SECONDS, _UPDATE_SHARE * (now - began))

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


def faults_in(lines: Iterable[Mapping[str, Any]]) -> list[str]:
    """What earlier searches have found wrong with the data."""
    return list(dict.fromkeys(line["message"] for line in lines if line.get("event") == "data"))


def _number(value: Any) -> float:
    return np.nan if value is None else float(value)


def _growth_events(lines: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in lines if line.get("event") == "grown"]


def _check_objective(objective: str, model: keras.Model, hypermodel: TunedHypermodel, arguments: FitArguments) -> None:
    """Refuses an objective that Keras's own steps do not log; what callbacks and other steps log is unknown."""
    if own_steps(model) or hypermodel.takes_any_data or arguments.callbacks:
        return
    logged = list(model.get_metrics_result())
    logged += [f"val_{name}" for name in logged] if arguments.validates else []
    if objective not in logged:
        raise missing_objective(objective, logged)


def recorded_result(
    frame: pd.DataFrame, lines: Sequence[Mapping[str, Any]], *, objective: str, direction: Direction
) -> SensitivityResult:
    """The result of a search's records. If several engines have trained, it names the slowest.

    Args:
        frame: The rows of `lines`, at least one.
        lines: Lines of the journals.
        objective: Name of the value to judge by.
        direction: "min" or "max".
    """
    engine, reason, environment = trained_by(lines)
    judged, column = with_returned(frame, objective)
    if column != objective:
        direction = next((line["direction"] for line in lines if line.get("event") in ("returned", "trial")), direction)
    result = analyze_sensitivity(
        judged,
        objective=column,
        direction=direction,
        engine=engine,
        engine_reason=reason,
        environment=environment,
    )
    result = replace(result, known=known_of_runs(lines))
    faults = faults_in(lines)
    if not faults:
        return result
    known = [] if result.best_learning_rate is None else [result.reason]
    return replace(result, reason=" ".join([*known, *faults]))


def curve_of(rows: Sequence[Mapping[str, Any]], objective: str, epochs: int, *, complete: bool = False) -> list[float]:
    """The objective after each of at most the first `epochs` epochs of a run.

    An epoch without a value keeps the one before. A run that diverged or failed ends with NaN.

    Args:
        rows: The rows of the run, by epoch.
        objective: Name of the value.
        epochs: Most epochs.
        complete: Whether the run has ended, so that its last value stands for the epochs that it lacks.
    """
    values: list[float] = []
    for row in rows[:epochs]:
        if row["status"] in ("diverged", "failed"):
            return [*values, np.nan]
        value = _number(row.get(objective))
        values.append(value if np.isfinite(value) or not values else values[-1])
    return values + values[-1:] * (epochs - len(values)) if complete else values


def known_of_runs(lines: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """What the first engine that has trained knew of the runs beside their series."""
    return next((dict(line["known"]) for line in lines if line.get("known")), {})


def slowest_engine(lines: Iterable[Mapping[str, Any]]) -> UsedEngine | None:
    """The slowest engine that lines of the journals name; None if they name none."""
    # Older records call the engine "tier".
    used = [
        (line.get("engine") or line["tier"], line.get("reason", ""), line.get("environment"))
        for line in lines
        if line.get("event") in ("engine", "tier")
    ]
    return max(used, key=lambda one: ENGINES.index(one[0]), default=None)


def trained_by(lines: Sequence[Mapping[str, Any]]) -> tuple[EngineName, str, dict[str, Any]]:
    """The slowest engine, the reason for it, and its environment with the workers."""
    engine, reason, environment = slowest_engine(lines) or ("rebuild", "", None)
    used = [line for line in lines if line.get("event") == "workers"]
    workers = {"workers": used[-1]["workers"]} if used else {}
    again = {"shares_trained_again": sum(line["shares_trained_again"] for line in used)} if used else {}
    return engine, reason, {**(environment or {}), **workers, **again}


def point_metrics(table: Table, point: Point, objective: str, direction: Direction) -> dict[str, float]:
    """Medians over the repeats of a point, each at its best epoch; infinitely bad if most repeats diverged.

    Empty if every repeat has failed.
    """
    if failure_of(table, point) is not None:
        return {}
    runs = table.runs(point)
    scores = [table.score(run, objective, direction) for run in runs]
    if not scores:
        return {}
    found: dict[str, list[float]] = {}
    for run, score in zip(runs, scores, strict=True):
        for name, value in _metrics_at(table.rows(run), objective, score).items():
            found.setdefault(name, []).append(value)
    return {**{name: float(np.median(values)) for name, values in found.items()}, objective: float(np.median(scores))}


def failure_of(table: Table, point: Point) -> str | None:
    """The message of the first run, if every run of `point` has failed."""
    ends = [table.rows(run)[-1] for run in table.runs(point)]
    failed = bool(ends) and all(row["status"] == "failed" for row in ends)
    return str(ends[0].get("message", "")) if failed else None


def _metrics_at(rows: Iterable[Mapping[str, Any]], objective: str, score: float) -> dict[str, float]:
    """The metrics of the epoch with `score`, except for those that are missing or not finite.

    Without validation data `val_loss` is NaN, of which KerasTuner would warn.
    """
    row = next((row for row in rows if row.get(objective) == score), {})
    measured = {name: value for name, value in row.items() if name not in OWN_COLUMNS}
    return {name: value for name, value in measured.items() if value is not None and np.isfinite(value)}
