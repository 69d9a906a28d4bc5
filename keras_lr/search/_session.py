"""One call of `search`: what was recorded before, what is left to train, and the result of the records."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, Protocol

import keras
import keras_tuner
import numpy as np

from keras_lr._utils.formatting import format_rate
from keras_lr._utils.progress import Update
from keras_lr.analysis._grid import grown_rates, next_growth
from keras_lr.analysis._search_result import OBJECTIVE_EVENT, UsedEngine, curve_of, last_objective, slowest_engine
from keras_lr.devices import environment
from keras_lr.range_test._data_checks import find_target_fault, limits_of_targets, output_advice
from keras_lr.results._search_records import (
    Journal,
    Point,
    Run,
    SearchFolder,
    Table,
    TrialRecord,
    number,
    read_journals,
    with_returned,
)
from keras_lr.results._sensitivity import OWN_COLUMNS, EngineName
from keras_lr.search._engines.selection import EngineSelector, own_steps
from keras_lr.search._fingerprint import check_project, project_header
from keras_lr.search._fit_arguments import (
    FitArguments,
    check_validation,
    data_fault,
    facts_of,
    fault_in_batches,
)
from keras_lr.search._model_factory import ModelFactory, TunedHypermodel
from keras_lr.search._recorder import Recorded, Recorder, Share, is_same, missing_objective
from keras_lr.search._runs import middle_first, read_result

Direction = Literal["min", "max"]

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
        return point.runs(repeats=repeats or self.repeats, seed=self.seed)


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

    Attributes:
        model: The first model that `factory` has built; None without a hypermodel.
        fault: What is wrong with the data, so that nothing can be trained on them; empty if nothing is.
        target_fault: Why no rate can be read from the targets; empty if nothing is known to be wrong.
    """

    def __init__(
        self, options: SearchOptions, hypermodel: TunedHypermodel, arguments: FitArguments, points: Iterable[Point]
    ) -> None:
        self.arguments = arguments
        self.factory = ModelFactory(hypermodel, arguments)
        self.model: keras.Model | None = None
        self.environment: dict[str, Any] | None = None
        self.known: dict[str, Any] = {}
        self.fault = self.target_fault = ""
        self.options = options
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
            if arguments.train is not None:
                _, y, _ = keras.utils.unpack_x_y_sample_weight(arguments.train)
                self.target_fault = find_target_fault(self.model, y) or ""
                for text in output_advice(self.model, limits_of_targets(y)):
                    warnings.warn(text, UserWarning, stacklevel=2)

    def recorder(self, make: Callable[..., Any]) -> Any:
        """The recorder of what is trained with these arguments, which `make` makes once."""
        if self._recorder is None:
            self._recorder = make(
                epochs=self.arguments.epochs,
                objective=self.options.objective,
                direction=self.options.direction,
                pruning=self.options.pruning,
                own_fit=self.hypermodel.calls_own_fit,
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
            recorder.event("data", message=self.fault)
            recorder.skip(runs, self.fault)
            return
        runs = self._that_build(runs, recorder)
        if not runs or self.model is None:
            return
        if self._selector is None:
            self._selector = EngineSelector.for_model(
                self.model,
                self.factory,
                self.arguments,
                recorder,
                self.hypermodel,
                allowed=self.options.engine,
                why_allowed=self.options.why_engine,
                runs=planned,
                by_cost=self.options.by_cost,
                recorded=recorded,
            )
        selector = self._selector
        if pool is not None:
            share = partial(recorder.share, planned=planned, paused=self._checkpoints)
            self._take_in(pool.train(runs, share, engine=(selector.engine, selector.reason, None)), recorder)
            return
        details = {"environment": self.environment, "known": self.known}
        selector.train(
            runs,
            lambda: recorder.event("engine", engine=selector.engine, reason=selector.reason, **details),
            checkpoints,
        )

    def _that_build(self, runs: Sequence[Run], recorder: Recorder) -> list[Run]:
        """Those of `runs` at whose rates `build` succeeds; the others are recorded as failed."""
        former = self.factory.rate_in_build
        self.factory.check_rates(run.learning_rate for run in runs)
        if self.factory.rate_in_build != former:
            self._selector = None
        failures = self.factory.failures
        for run in runs:
            if run.learning_rate in failures:
                recorder.fail(run, failures[run.learning_rate])
        return [run for run in runs if run.learning_rate not in failures]

    def _take_in(self, parts: Any, recorder: Recorder) -> None:
        """Records what a pool has trained, as it arrives."""
        with closing(parts):
            for part in parts:
                self.hypermodel.adopt(part.values)
                recorder.adopt(part)
                self._checkpoints.update(part.checkpoints)

    def checkpoints(self, runs: Iterable[Run]) -> dict[Run, Any]:
        """What those of `runs` that have paused go on from in another process, where that can be sent."""
        return {} if self._selector is None else self._selector.checkpoints(runs)

    def close(self) -> None:
        """Frees the memory of the engines: traced functions, copies of variables and batches."""
        self._selector = None

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
        self.options = options
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
            common=self.trainer.factory.description,
            own=options.own_code,
            searches_batch_size=options.searches_batch_size,
        )
        check_project(headers, header, options.folder.path)
        self._journal = Journal(options.folder.journal(options.writer), header)
        self.recorder: Recorder = self._recorder_of(self.trainer)
        self._record_objective()
        if self.trainer.target_fault:
            self._warn_of_data(self.trainer.target_fault)

    def _record_objective(self) -> None:
        """Stores what the search judges by, for a report that is made from its folder."""
        judged = {"objective": self.options.objective, "direction": self.options.direction}
        known = last_objective(self.table) or {}
        if any(known.get(name) != value for name, value in judged.items()):
            self.recorder.event(OBJECTIVE_EVENT, **judged)

    def train(self, points: Sequence[Point], trainer: Trainer | None = None) -> None:
        """Trains the runs of `points` that the records lack, with the arguments of the search or those of `trainer`."""
        trainer = trainer or self.trainer
        recorder = self._recorder_of(trainer)
        runs = [run for point in points for run in self.options.runs(point)]
        self._planned.update(dict.fromkeys(runs))
        recorder.start(runs)
        missing = [run for run in runs if not recorder.complete(run)]
        if not missing:
            return
        if self.options.pruning:
            missing = middle_first(missing)
        planned = len(self.points) * self.options.repeats
        self._show_progress()
        trainer.train(missing, recorder, planned=planned, recorded=self._recorded, pool=self.pool)

    def train_to(self, reach: Mapping[Point, int]) -> None:
        """Trains the runs of some points up to a number of epochs each; they pause there and may go on later."""
        self.recorder.pause_at({run: epochs for point, epochs in reach.items() for run in self.options.runs(point)})
        self.train(list(reach))

    def curve(self, point: Point, epochs: int) -> list[float]:
        """The objective after each of the first epochs of a point with one run; NaN once it has diverged or failed.

        A run that a callback has ended keeps its last value.
        """
        (run,) = self.options.runs(point)
        return curve_of(self.table.rows(run), self.options.objective, epochs, complete=self.recorder.complete(run))

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
            objective = keras_tuner.Objective(self.options.objective, self.options.direction)
            parts = returned if isinstance(returned, list) and returned else [returned]
            results = [read_result(part, objective, "`run_trial`") for part in parts]
            if own:
                details = {"reason": self.options.by_trial, "environment": self.trainer.environment}
                self.recorder.event("engine", engine="rebuild", **details)
                for run, result in zip(self.options.runs(trained, repeats=len(results)), results, strict=True):
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
        self.recorder.event(
            "trial",
            trial=self.trainer.hypermodel.trial_id(point),
            **(trained or point)._asdict(),
            returned=value is not None,
            value=value,
            repeats=self.options.repeats,
            epochs=self.arguments.epochs,
            values=dict(values),
            direction=self.options.direction,
        )

    def has_logged(self, point: Point, value: float) -> bool:
        """Whether `value` is the best that the runs of `point` have logged."""
        name, direction = self.options.objective, self.options.direction
        scores = [self.table.score(run, name, direction) for run in self.table.runs(point)]
        return bool(scores) and is_same(value, (min if direction == "min" else max)(scores))

    def failure(self, point: Point) -> str | None:
        """The message of the first run, if every run of `point` has failed."""
        return self.table.failure(self._trained(point))

    def complete(self, point: Point) -> bool:
        """Whether every run of `point` is complete."""
        if not self.options.by_trial:
            return all(map(self.recorder.complete, self.options.runs(point)))
        trial = self._trial(point)
        if trial is not None:
            return trial.repeats >= self.options.repeats and trial.epochs >= self.arguments.epochs
        return any(row["status"] == "failed" for run in self.table.runs(point) for row in self.table.rows(run))

    def metrics(self, point: Point) -> dict[str, float]:
        """What a trial reports: the median over the repeats, each at its best epoch."""
        return self.table.metrics(self._trained(point), self.options.objective, self.options.direction)

    def _trial(self, point: Point) -> TrialRecord | None:
        """What is known of a point that a `run_trial` of the user's has trained."""
        return self.table.trials.get(self.trainer.hypermodel.trial_id(point)) if self.options.by_trial else None

    def _trained(self, point: Point) -> Point:
        trial = self._trial(point)
        return point if trial is None else trial.point

    def grow(self) -> list[Point]:
        """The points to add to a finished grid; recorded, so that a later search adds the same ones."""
        options = self.options
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
        first = [row["status"] for row in self.table.all_rows() if row["epoch"] == 0]
        if self.arguments.train is None and {*first} == {"diverged"} and (fault := fault_in_batches(self.arguments)):
            self._warn_of_data(fault)

    def close(self) -> None:
        """Releases the project to other processes, and the memory that training took."""
        self._journal.close()
        self.trainer.close()

    def _warn_of_data(self, sentence: str) -> None:
        """Says what is wrong with the data, also in the result."""
        warnings.warn(sentence, UserWarning, stacklevel=2)
        self.recorder.event("data", message=sentence)

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

    def _save_best(self, point: Point, values: Sequence[np.ndarray]) -> None:
        self.options.folder.save_weights(self.trainer.hypermodel.trial_id(point), values)

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
        name, direction = self.options.objective, self.options.direction
        values = {point: self.metrics(point).get(name, np.nan) for point in points}
        finite = {point: value for point, value in values.items() if np.isfinite(value)}
        if not finite:
            return "none yet"
        best = (min if direction == "min" else max)(finite, key=lambda point: finite[point])
        return f"{format_rate(best.learning_rate, digits=3)} ({name} {finite[best]:.4g})"


def _check_objective(objective: str, model: keras.Model, hypermodel: TunedHypermodel, arguments: FitArguments) -> None:
    """Refuses an objective that Keras's own steps do not log; what callbacks and other steps log is unknown."""
    if own_steps(model) or hypermodel.takes_any_data or arguments.callbacks:
        return
    # For data that can only be iterated, `fit` builds the metrics.
    if not all(getattr(metric, "built", True) for metric in model.metrics):
        return
    logged = list(model.get_metrics_result())
    logged += [f"val_{name}" for name in logged] if arguments.validates else []
    if objective not in logged:
        raise missing_objective(objective, logged)
