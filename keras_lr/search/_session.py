"""One call of `search`: what was recorded before, what is left to train, and the result of the records."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, Protocol

import keras
import keras_tuner
import numpy as np

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
from keras_lr.search._recorder import Recorded, Recorder, Share, is_same, missing_objective
from keras_lr.search._runs import Point, Run, middle_first, read_result, repeats_of
from keras_lr.search._storage import (
    Journal,
    SearchFolder,
    Table,
    TrialRecord,
    number,
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
    """What does not change between the calls of a tuner's `search`; its own arguments have the same names.

    Attributes:
        direction: "min" or "max".
        why_engine: Why no faster engine than `engine` is allowed.
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
    why_engine: str
    searches_batch_size: bool
    by_trial: str
    own_code: Mapping[str, Any]
    by_cost: bool = False

    def runs(self, point: Point, *, repeats: int | None = None) -> list[Run]:
        """The runs of a point, as many as there are repeats if no other number is given."""
        return repeats_of(point, repeats=repeats or self.repeats, seed=self.seed)


class Pool(Protocol):
    """Other processes that train runs."""

    def train(
        self, runs: Sequence[Run], share: Callable[..., Share], *, engine: UsedEngine
    ) -> Generator[Recorded, None, None]:
        """What becomes of the runs, share by share; `share(runs, engine=...)` is what a worker must know of some."""

    def details(self) -> Mapping[str, Any]:
        """Its size and what went wrong, for the records."""


class Trainer:
    """Trains runs with one set of arguments of `fit`; builds the model at both ends of the grid.

    Args:
        options: What does not change between searches.
        hypermodel: The tuner's hypermodel.
        arguments: The arguments of `fit`.
        points: The points of the grid.

    Attributes:
        arguments: The arguments of `fit`.
        factory: Builds the models.
        model: The first model that `factory` has built; None without a hypermodel.
        hypermodel: The tuner's hypermodel.
        fault: What is wrong with the data, so that nothing can be trained on them; empty if nothing is.
    """

    def __init__(
        self, options: SearchOptions, hypermodel: TunedHypermodel, arguments: FitArguments, points: Iterable[Point]
    ) -> None:
        self.arguments = arguments
        self.factory = ModelFactory(hypermodel, arguments)
        self.model: keras.Model | None = None
        self.environment: dict[str, Any] | None = None
        self.known: dict[str, Any] = {}
        self.fault = ""
        self._options = options
        self.hypermodel = hypermodel
        self._selector: EngineSelector | None = None
        self._recorder: Any = None
        self._checkpoints: dict[Run, Any] = {}
        if hypermodel.exists:
            self.model = self.factory.examine([run for point in points for run in options.runs(point)])
            self.environment = environment(self.model)
            _check_objective(options.objective, self.model, hypermodel, arguments)
        if self.model is not None and not hypermodel.takes_any_data:
            if not self.factory.unbuilt:
                check_validation(self.model, arguments)
            self.known = facts_of(self.model, arguments)
            self.fault = data_fault(self.model, arguments)
            for text in advice_on_output(self.model, arguments):
                warnings.warn(text, UserWarning, stacklevel=2)

    def recorder(self, make: Callable[..., Any]) -> Any:
        """The recorder of what is trained with these arguments, which `make` makes once."""
        if self._recorder is None:
            self._recorder = make(
                epochs=self.arguments.epochs,
                objective=self._options.objective,
                direction=self._options.direction,
                pruning=self._options.pruning,
                own_fit=self.hypermodel.has_own_fit,
                validates_always="validation_freq" not in self.arguments.fit_only,
            )
        return self._recorder

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
        """Trains runs, none of which is complete, here or by a pool.

        Args:
            runs: The runs.
            recorder: Records each epoch.
            planned: Number of runs of the whole search.
            recorded: The engine that trained earlier runs; None if there are none.
            pool: Trains them elsewhere.
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
                self.hypermodel,
                allowed=self._options.engine,
                why_allowed=self._options.why_engine,
                runs=planned,
                by_cost=self._options.by_cost,
                recorded=recorded,
            )
        selector = self._selector
        if pool is not None:
            share = partial(recorder.share, planned=planned, paused=self._checkpoints)
            with closing(pool.train(runs, share, engine=(selector.engine, selector.reason, None))) as parts:
                for part in parts:
                    self.hypermodel.adopt(part.values)
                    recorder.adopt(part)
                    self._checkpoints.update(part.checkpoints)
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
    """Trains points of the grid and records them, beginning with what is on disk.

    Args:
        options: What does not change between searches.
        hypermodel: The tuner's hypermodel.
        arguments: The arguments of this search.
        points: The tuner's grid, without the points that it has grown by.
        update: Shows the progress; None to show nothing.
        pool: Trains the runs elsewhere; None to train them here.

    Attributes:
        points: The grid so far.
        table: The records.
        trainer: Trains with the arguments of this search.
        recorder: Records what is trained with them.

    Raises:
        SearchError: The folder holds another search.
        ModelError: The hypermodel does not return a compiled model.
        InvalidArgumentError: Training does not log the objective.
        ResultFormatError: The records are damaged or of a newer version.
    """

    def __init__(
        self,
        options: SearchOptions,
        hypermodel: TunedHypermodel,
        arguments: FitArguments,
        points: Sequence[Point],
        update: Update | None,
        pool: Pool | None = None,
    ) -> None:
        self.arguments = arguments
        self.points = list(points)
        self.pool = pool
        self._options = options
        self._update = update
        self._next_update = 0.0
        self._planned: dict[Run, None] = {}
        self._batch_sizes = sorted({point.batch_size for point in points})
        headers, lines = read_journals(options.folder.records)
        self.table = Table(lines)
        self._recorded = slowest_engine(self.table.events)
        self._add_points(grown_rates(self._growths()))
        self.trainer = Trainer(options, hypermodel, arguments, self.points)
        header = project_header(
            self.trainer.model,
            arguments,
            seed=options.seed,
            structure=self.trainer.factory.structure,
            details=self.trainer.factory.details,
            own=options.own_code,
            searches_batch_size=options.searches_batch_size,
        )
        check_project(headers, header, options.folder.path)
        self._journal = Journal(options.folder.journal(options.writer), header)
        self.recorder: Recorder = self._recorder_of(self.trainer)
        self.check_targets()

    def check_targets(self) -> None:
        """Warns of targets from which no rate can be read, and records the warning, which the result repeats."""
        train, model = self.arguments.train, self.trainer.model
        if train is None or model is None or self.trainer.hypermodel.takes_any_data:
            return
        _, y, _ = keras.utils.unpack_x_y_sample_weight(train)
        sentence = find_target_fault(model, y)
        if sentence is not None:
            warnings.warn(sentence, UserWarning, stacklevel=2)
            self.recorder.event("data", message=sentence)

    def runs(self, point: Point) -> list[Run]:
        """The runs of a point."""
        return self._options.runs(point)

    def train(self, points: Sequence[Point], trainer: Trainer | None = None) -> None:
        """Trains the runs of `points` that the records lack, with the arguments of the search or those of `trainer`."""
        trainer = trainer or self.trainer
        recorder = self._recorder_of(trainer)
        runs = [run for point in points for run in self.runs(point)]
        self._planned.update(dict.fromkeys(runs))
        recorder.start(runs)
        missing = [run for run in runs if not recorder.complete(run)]
        if not missing:
            return
        if self._options.pruning:
            missing = middle_first(missing)
        if trainer.fault:
            self.recorder.event("data", message=trainer.fault)
        planned = len(self.points) * self._options.repeats
        self._show_progress()
        trainer.train(missing, recorder, planned=planned, recorded=self._recorded, pool=self.pool)

    def train_to(self, reach: Mapping[Point, int]) -> None:
        """Trains the runs of some points up to a number of epochs each; they pause there and may go on later."""
        self.recorder.pause_at({run: epochs for point, epochs in reach.items() for run in self.runs(point)})
        self.train(list(reach))

    def curve(self, point: Point, epochs: int) -> list[float]:
        """The objective after each of the first epochs of a point with one run; NaN once it has diverged or failed.

        A run that a callback has ended keeps its last value.
        """
        (run,) = self.runs(point)
        return curve_of(self.table.rows(run), self._options.objective, epochs, complete=self.recorder.complete(run))

    def histories(self, point: Point) -> list[keras.callbacks.History]:
        """The history of each run of `point`, as `fit` would return it."""
        found = []
        for run in self.table.runs(point):
            history = keras.callbacks.History()
            rows = self.table.rows(run)
            names = [name for name in dict.fromkeys(name for row in rows for name in row) if name not in OWN_COLUMNS]
            values = {name: [number(row.get(name)) for row in rows] for name in names}
            history.history = {name: listed for name, listed in values.items() if not np.isnan(listed).all()}
            history.epoch = [row["epoch"] for row in rows]
            found.append(history)
        return found

    def finish_trial(
        self, point: Point, trained: Point, returned: Any, *, own: bool, values: Mapping[str, Any]
    ) -> None:
        """Records that the tuner's own `run_trial` has trained `point`, or the same with another batch size.

        `returned` is None if the records hold the result. If the training was its own, no epoch is recorded yet.
        """
        value = None
        if returned is not None:
            objective = keras_tuner.Objective(self._options.objective, self._options.direction)
            parts = returned if isinstance(returned, list) and returned else [returned]
            results = [read_result(part, objective, "`run_trial`") for part in parts]
            if own:
                details = {"reason": self._options.by_trial, "environment": self.trainer.environment}
                self.recorder.event("engine", engine="rebuild", **details)
                for run, result in zip(self._options.runs(trained, repeats=len(results)), results, strict=True):
                    self.recorder.record_returned(run, result, None)
            score = float(np.mean([result.score for result in results]))
            recorded = self.table.metrics(trained, objective.name, objective.direction)
            value = None if is_same(score, recorded.get(objective.name, np.nan)) else score
        self.record_trial(point, value, values, trained=trained)

    def record_trial(
        self, point: Point, value: float | None, values: Mapping[str, Any], *, trained: Point | None = None
    ) -> None:
        """Records the objective that the tuner's own methods have reported for a point, if the rows do not hold it.

        The rows are those of `trained`, if that is given. `values` are hyperparameters beside those of the grid.
        """
        record = TrialRecord(trained or point, value, self._options.repeats, self.arguments.epochs, values)
        line = record.to_line(self.trainer.hypermodel.trial_id(point))
        self.recorder.event("trial", **line, direction=self._options.direction)

    def has_logged(self, point: Point, value: float) -> bool:
        """Whether `value` is the best that the runs of `point` have logged."""
        name, direction = self._options.objective, self._options.direction
        scores = [self.table.score(run, name, direction) for run in self.table.runs(point)]
        return bool(scores) and is_same(value, (min if direction == "min" else max)(scores))

    def failure(self, point: Point) -> str | None:
        """The message of the first run, if every run of `point` has failed."""
        return self.table.failure(self._trained(point))

    def complete(self, point: Point) -> bool:
        """Whether every run of `point` is complete."""
        if not self._options.by_trial:
            return all(map(self.recorder.complete, self.runs(point)))
        trial = self._trial(point)
        if trial is not None:
            return trial.repeats >= self._options.repeats and trial.epochs >= self.arguments.epochs
        return any(row["status"] == "failed" for run in self.table.runs(point) for row in self.table.rows(run))

    def metrics(self, point: Point) -> dict[str, float]:
        """What a trial reports: the median over the repeats, each at its best epoch."""
        return self.table.metrics(self._trained(point), self._options.objective, self._options.direction)

    def _trial(self, point: Point) -> TrialRecord | None:
        """What is known of a point that a `run_trial` of the user's has trained."""
        return self.table.trials.get(self.trainer.hypermodel.trial_id(point)) if self._options.by_trial else None

    def _trained(self, point: Point) -> Point:
        trial = self._trial(point)
        return point if trial is None else trial.point

    def grow(self) -> list[Point]:
        """The points to add to a finished grid; recorded, so that a later search adds the same ones."""
        options = self._options
        frame, objective = with_returned(self.table.frame(), options.objective)
        if not len(frame) or objective not in frame:
            return []
        growth = next_growth(
            frame,
            self._growths(),
            objective=objective,
            direction=options.direction,
            extend=options.extend,
            refine=options.refine,
        )
        if growth is None:
            return []
        self.recorder.event("grown", **growth)
        return self._add_points(growth["learning_rates"])

    def finish(self) -> None:
        """Ends the search; raises what the recorder says if every run failed."""
        self.recorder.finish()
        if self.pool is not None and (details := self.pool.details()):
            self.recorder.event("workers", **details)
        if self.arguments.train is None and self._all_diverge_at_once():
            fault = fault_in_batches(self.arguments)
            if fault:
                warnings.warn(fault, UserWarning, stacklevel=2)
                self.recorder.event("data", message=fault)

    def close(self) -> None:
        """Releases the project to other processes."""
        self._journal.close()

    def _growths(self) -> list[Mapping[str, Any]]:
        return [event for event in self.table.events if event["event"] == "grown"]

    def _add_points(self, rates: Iterable[float]) -> list[Point]:
        added = [Point(rate, size) for size in self._batch_sizes for rate in rates]
        self.points = list(dict.fromkeys([*self.points, *added]))
        return added

    def _recorder_of(self, trainer: Trainer) -> Any:
        return trainer.recorder(
            partial(Recorder, self.table, self._journal, save_best=self._save_best, on_epoch=self._show_progress)
        )

    def _all_diverge_at_once(self) -> bool:
        first = [row for row in self.table.all_rows() if row["epoch"] == 0]
        return bool(first) and all(row["status"] == "diverged" for row in first)

    def _save_best(self, point: Point, values: Sequence[np.ndarray]) -> None:
        save_weights(self._options.folder.checkpoint(self.trainer.hypermodel.trial_id(point)), values)

    def _show_progress(self) -> None:
        # Each update reads the whole table, and a terminal shows at most ten per second.
        began = time.monotonic()
        if self._update is None or began < self._next_update:
            return
        reach = {run: self.recorder.reach(run) for run in self._planned}
        done = sum(
            epochs if self.recorder.complete(run) else len(self.table.rows(run)) for run, epochs in reach.items()
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


def faults_in(table: Table) -> list[str]:
    """What searches have found wrong with the data."""
    return list(dict.fromkeys(event["message"] for event in table.events if event["event"] == "data"))


def _check_objective(objective: str, model: keras.Model, hypermodel: TunedHypermodel, arguments: FitArguments) -> None:
    """Refuses an objective that Keras's own steps do not log; what callbacks and other steps log is unknown."""
    if own_steps(model) or hypermodel.takes_any_data or arguments.callbacks:
        return
    logged = list(model.get_metrics_result())
    logged += [f"val_{name}" for name in logged] if arguments.validates else []
    if objective not in logged:
        raise missing_objective(objective, logged)


def recorded_result(table: Table, *, objective: str, direction: Direction) -> SensitivityResult:
    """The result of records with at least one row. If several engines have trained, it names the slowest."""
    engine, reason, environment = trained_by(table)
    judged, column = with_returned(table.frame(), objective)
    if column != objective:
        given = (event["direction"] for event in table.events if event["event"] in ("returned", "trial"))
        direction = next(given, direction)
    told: dict[str, Any] = {"engine": engine, "engine_reason": reason, "environment": environment}
    result = analyze_sensitivity(judged, objective=column, direction=direction, **told)
    faults = faults_in(table)
    found = [] if faults and result.best_learning_rate is None else [result.reason]
    return replace(result, known=known_of_runs(table), reason=" ".join([*found, *faults]))


def curve_of(rows: Sequence[Mapping[str, Any]], objective: str, epochs: int, *, complete: bool = False) -> list[float]:
    """The objective after each of at most the first `epochs` epochs of a run.

    An epoch without a value keeps the one before. A run that diverged or failed ends with NaN. The last value of a run
    that is `complete` stands for the epochs that it lacks.
    """
    values: list[float] = []
    for row in rows[:epochs]:
        if row["status"] in ("diverged", "failed"):
            return [*values, np.nan]
        value = number(row.get(objective))
        values.append(value if np.isfinite(value) or not values else values[-1])
    return values + values[-1:] * (epochs - len(values)) if complete else values


def known_of_runs(table: Table) -> dict[str, Any]:
    """What the first engine that has trained knew of the runs beside their series."""
    return next((dict(event["known"]) for event in table.events if event.get("known")), {})


def slowest_engine(lines: Iterable[Mapping[str, Any]]) -> UsedEngine | None:
    """The slowest engine that lines of the journals name; None if they name none."""
    # Older records call the engine "tier".
    used = [
        (line.get("engine") or line["tier"], line.get("reason", ""), line.get("environment"))
        for line in lines
        if line.get("event") in ("engine", "tier")
    ]
    return max(used, key=lambda one: ENGINES.index(one[0]), default=None)


def trained_by(table: Table) -> tuple[EngineName, str, dict[str, Any]]:
    """The slowest engine, the reason for it, and its environment with the workers."""
    engine, reason, environment = slowest_engine(table.events) or ("rebuild", "", None)
    used = [event for event in table.events if event["event"] == "workers"]
    workers = {"workers": used[-1]["workers"]} if used else {}
    again = {"shares_trained_again": sum(event["shares_trained_again"] for event in used)} if used else {}
    return engine, reason, {**(environment or {}), **workers, **again}
