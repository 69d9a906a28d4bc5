"""A search over a log grid of learning rates, as a KerasTuner tuner."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, closing, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import keras
import keras_tuner
import pandas as pd
import tensorflow as tf

from keras_lr._keras.learning_rate import follows_schedule, set_learning_rate
from keras_lr._keras.snapshot import RandomState
from keras_lr._utils.progress import Update, notice, search_line, summary
from keras_lr._utils.validation import whole_number
from keras_lr.analysis._grid import given_grid, log_grid
from keras_lr.analysis._search_result import search_result
from keras_lr.errors import InvalidArgumentError, SearchError
from keras_lr.results._search_records import Point, SearchFolder, Table
from keras_lr.results._sensitivity import ENGINES, EngineName, SensitivityResult, best_in_words
from keras_lr.search._distributed.place import Place
from keras_lr.search._fit_arguments import FitArguments, parse_fit_arguments
from keras_lr.search._keras_tuner import (
    GridTuner,
    build_hypermodel,
    is_worker,
)
from keras_lr.search._model_factory import FATAL, TunedHypermodel, as_hypermodel, build_as_fit, code_of, has_own_fit
from keras_lr.search._oracle import BATCH_SIZE, FINAL_STEP, RATE, LogGridOracle
from keras_lr.search._overrides import (
    EPOCH_HOOKS,
    TRIAL_HOOKS,
    as_objective,
    check_arguments,
    check_overrides,
    check_tuner_id,
    describe_own_code,
    has_several_values,
    overrides,
)
from keras_lr.search._session import Pool, SearchOptions, SearchSession, Trainer

_SEEDS = 2**32
"""Number of seeds that NumPy accepts."""


class LogGridSearch(GridTuner):
    """Trains a model several times at each learning rate of a log grid, and records every epoch.

    The search uses the fastest engine that can train the model, and the result says which: all rates and repeats as one
    batched program, one compiled function, one reused model with `fit`, or a new model per run. If the training is long
    enough to pay for it, the first two are timed on a few steps. A repeat has the same initial weights and the same
    order of data at every rate. Each epoch is on disk before the next one begins. The same call continues at the first
    missing run, also with a wider grid, more repeats or more epochs. It refuses to continue with another model, other
    data, other arguments of `fit` or other code. A `tf.data.Dataset` is known by the type and number of its elements,
    and by its first one if it neither shuffles nor draws; a reader by its code and attributes.

    What a subclass or a `HyperModel` overrides is called as in KerasTuner: the value that `HyperModel.fit` or
    `run_trial` returns is the objective, and the methods for trials, epochs and batches are called. Only the learning
    rate and the batch size vary, also if `fit` names further hyperparameters.

    Args:
        hypermodel: `build(hp)`, `build(learning_rate)` or `build()` that returns a compiled model, or a
            `keras_tuner.HyperModel`. The search sets the optimizer's rate, so the function need not read it; it may, as
            `hp.get("learning_rate")`. Other hyperparameters keep their defaults. A rate at which the function fails
            has failed runs. None if a subclass has its own `run_trial`.
        objective: Name of the value to judge by, or a `keras_tuner.Objective`; None for a number that `HyperModel.fit`
            or `run_trial` returns, to be minimized.
        min_lr: Lowest rate of the grid, above 0.
        max_lr: Highest rate of the grid, above `min_lr`.
        points_per_decade: Minimum number of points per decade.
        repeats: Runs per rate, at least 1, with seeds `seed`, `seed + 1`, ...
        learning_rates: The grid itself, instead of the three arguments above.
        batch_sizes: Batch sizes to search as well; None for the one passed to `search`.
        extend: Whether the grid is extended, by up to two decades, at an edge that has the best rate.
        refine: Whether points are added around the basin once it is known.
        pruning: Whether a rate that can no longer win is stopped early; its curve is then partial.
        engine: The fastest engine allowed: "auto" for any, else "stacked", "function", "reuse" or "rebuild".
        seed: Seed of the first repeat, at least 0.
        hyperparameters: `keras_tuner.HyperParameters` with the values that `build` reads; None for their defaults.
        directory: Folder of all projects.
        project_name: Folder of this search in `directory`.
        overwrite: Whether to delete the earlier records of the project.
        **kwargs: As in `keras_tuner.Tuner`; `max_model_size` refuses a larger model.

    Raises:
        InvalidRangeError: The rates do not form a grid.
        InvalidArgumentError: Another argument is invalid.
        UnknownArgumentError: An argument does not exist.

    Example:
        >>> tuner = keras_lr.LogGridSearch(
        ...     build, objective="loss", learning_rates=[1e-3, 1e-2], repeats=1, project_name="example"
        ... )
        >>> tuner.search(x, y, epochs=2, verbose=0)
        >>> tuner.sensitivity().best_learning_rate
    """

    _why_engine = "`engine` asks for it"

    def __init__(
        self,
        hypermodel: Any,
        objective: Any = "val_loss",
        min_lr: float = 1e-6,
        max_lr: float = 1e-1,
        points_per_decade: float = 1,
        repeats: int = 3,
        *,
        learning_rates: Iterable[float] | None = None,
        batch_sizes: Iterable[int] | None = None,
        extend: bool = True,
        refine: bool = False,
        pruning: bool = False,
        engine: EngineName | Literal["auto"] = "auto",
        seed: int = 0,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        directory: str | Path = "runs",
        project_name: str = "lr",
        overwrite: bool = False,
        **kwargs: Any,
    ) -> None:
        if learning_rates is None:
            self.learning_rates = log_grid(min_lr, max_lr, points_per_decade=points_per_decade)
        else:
            self.learning_rates = given_grid(learning_rates)
        self.batch_sizes = None if batch_sizes is None else _batch_sizes(batch_sizes)
        self.repeats = whole_number("repeats", repeats)
        self.seed = whole_number("seed", seed, least=0)
        if self.seed + self.repeats > _SEEDS:
            raise InvalidArgumentError(
                f"`seed` must be below 2**32, also that of the last repeat. Received: {seed!r}. Pass a smaller one."
            )
        if engine not in ("auto", *ENGINES):
            raise InvalidArgumentError(f"`engine` must be 'auto' or one of {ENGINES}. Received: {engine!r}.")
        check_arguments(type(self), kwargs)
        self._chooses_engine = engine == "auto"
        self._engine: EngineName = "stacked" if engine == "auto" else engine
        self._extend, self._refine, self._pruning = bool(extend), bool(refine), bool(pruning)
        self._session: SearchSession | None = None
        self._fit_arguments: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})
        self._trainer: tuple[tuple[tuple[Any, ...], dict[str, Any]], Trainer] | None = None
        self._trained: dict[str, tuple[Point, list[keras.callbacks.History]]] = {}
        self._warned = False
        by_trial = self._runs_by_trial
        known = hypermodel if hypermodel is None and by_trial else as_hypermodel(hypermodel)
        oracle = LogGridOracle(
            as_objective(objective, own_result=by_trial or has_own_fit(known)),
            with_batch_size=self.batch_sizes is not None,
            hyperparameters=self._space(hyperparameters),
        )
        random_state = RandomState()
        super().__init__(
            oracle,
            hypermodel=known,
            directory=str(directory),
            project_name=project_name,
            overwrite=overwrite and not is_worker(self),
            **kwargs,
        )
        random_state.restore()
        check_tuner_id(self.tuner_id)
        self.reload()

    def search(
        self,
        *fit_args: Any,
        workers: int | None = None,
        cluster: Any = None,
        resources: Mapping[str, float] | None = None,
        wait: float = 300.0,
        **fit_kwargs: Any,
    ) -> None:
        """Trains every run that the records lack.

        With KerasTuner's three environment variables, the process named "chief" trains by its workers, and any other is
        one of these: it ends with the search. Workers get the code and the data of the search by value.

        Args:
            *fit_args: As in `model.fit`.
            workers: Number of processes to train in on this machine, one per GPU if it has any; needs Dask.
            cluster: Workers elsewhere: the address of a Dask scheduler, such as "tcp://10.0.0.1:8786", or a
                `distributed.Client`.
            resources: What a worker of `cluster` must declare, and what each share takes of it, such as {"GPU": 1}.
            wait: Seconds to wait for a worker before giving up, at least 0.
            **fit_kwargs: As in `model.fit`; `epochs` is the length of each run. With `callbacks`, each run is trained
                by `fit` with copies of them. What they share with the code of the model or of the data, such as a
                variable of the loss, is not copied, and each run begins with its first value. `verbose=0` hides the
                progress and the line with the best rate at the end.

        Raises:
            InvalidArgumentError: An argument is invalid, or training does not log the objective.
            MissingPackageError: Dask, which workers need, is not installed.
            DataError: The data is empty, or can be read only once.
            SearchError: The project holds another search, every run failed, or the workers cannot train.
            StorageError: A record cannot be written.
        """
        place = Place.of(workers, cluster, resources, wait)
        self._check_place(place)
        place.end_worker()
        check_overrides(self)
        arguments = parse_fit_arguments(
            fit_args,
            fit_kwargs,
            own_fit=self._takes_any_data,
            searches_batch_size=self.batch_sizes is not None,
            as_tensors=place.is_here,
            code=code_of(self.hypermodel),
        )
        self._check_objective(arguments)
        self._name_kept_values(verbose=arguments.verbose)
        self._fit_arguments = (fit_args, fit_kwargs)
        random_state = RandomState()
        try:
            with search_line(verbose=arguments.verbose) as update, self._pool(place, arguments) as pool:
                self._search(arguments, self._tuned_hypermodel(fit_args, fit_kwargs), update, pool)
            with suppress(SearchError):
                summary(f"{best_in_words(self.sensitivity())} Records: {self.project_dir}", verbose=arguments.verbose)
        finally:
            arguments.readers.rewind()
            random_state.restore()

    def sensitivity(self) -> SensitivityResult:
        """What the search has measured so far, in this process and earlier ones.

        Raises:
            SearchError: Nothing is recorded yet.
        """
        objective = self.oracle.objective
        return search_result(self._recorded(), objective=objective.name, direction=objective.direction)

    def to_frame(self) -> pd.DataFrame:
        """`sensitivity().to_frame()`: one row per rate, repeat, batch size and epoch measured so far."""
        return self.sensitivity().to_frame()

    def plot(self, ax: Any = None) -> Any:
        """`sensitivity().plot(ax)`: the U-curve of what has been measured so far."""
        return self.sensitivity().plot(ax)

    def _repr_html_(self) -> str | None:
        """The sensitivity for a notebook; None, which leaves the plain text, before anything is recorded."""
        try:
            return self.sensitivity()._repr_html_()
        except SearchError:
            return None

    def run_trial(self, trial: Any, *fit_args: Any, **fit_kwargs: Any) -> list[keras.callbacks.History]:
        """Trains the repeats of one trial, for a subclass whose own `run_trial` calls this one.

        `search` itself trains several trials at once.

        Returns:
            The history of each repeat. If a subclass returns this list, the median of the repeats counts.
        """
        session = self._session
        if session is None:
            raise SearchError("`run_trial` works only within a search. Call `search` instead.")
        point, trainer = self._point(trial), self._trainer_for(trial, fit_args, fit_kwargs)
        if trainer is not None and self.batch_sizes is None:
            point = Point(point.learning_rate, trainer.arguments.batch_size)
        session.train([point], trainer)
        histories = session.histories(point)
        self._trained[trial.trial_id] = (point, histories)
        return histories

    def load_model(self, trial: Any) -> keras.Model:
        """The model of a trial with the weights of its best epoch, compiled at the rate of the trial."""
        model = build_hypermodel(self, trial.hyperparameters)
        if not follows_schedule(model.optimizer):
            set_learning_rate(model.optimizer, self._point(trial).learning_rate)
        batch = None if self._session is None else self._session.arguments.first_batch(self._point(trial).batch_size)
        if not model.built and batch is not None:
            build_as_fit(model, batch)
        if not model.built and batch is None:
            # A search that knows no batch has left the data to the hypermodel's own `fit`.
            searched = self._session is not None
            instead = "" if searched else ", or call `search` with the same data first, which trains nothing twice"
            raise SearchError(
                "The weights cannot be loaded into a model that does not know its input shape yet. Build the model in "
                f"`hypermodel`, for example from a `keras.Input`{instead}."
            )
        shapes = [tuple(weight.shape) for weight in model.weights]
        for weight, value in zip(model.weights, self._folder.load_weights(trial.trial_id, shapes), strict=True):
            weight.assign(value)
        return model

    @property
    def project_dir(self) -> str:
        """Folder of this search; created with the first record."""
        return str(self._folder.path)

    def save(self) -> None:
        """Writes nothing: each epoch is recorded when it ends."""

    def reload(self) -> None:
        """Reads the records, so that the best hyperparameters of an earlier process are known."""
        if is_worker(self):
            return
        table = self._folder.table()
        objective = self.oracle.objective
        scores = {point: table.metrics(point, objective.name, objective.direction) for point in table.points()}
        self.oracle.adopt(scores, table.values)

    def _recorded(self) -> Table:
        """The records, with at least one row."""
        table = self._folder.table()
        if not len(table):
            raise SearchError(f"No epochs are recorded in {self.project_dir} yet. Call `search` first.")
        return table

    def _search(
        self, arguments: FitArguments, hypermodel: TunedHypermodel, update: Update | None, pool: Pool | None
    ) -> None:
        points = self._points(arguments)
        # The workers' devices may be others than those of this process.
        options = replace(self._options(), by_cost=self._chooses_engine and pool is None)
        session = SearchSession(options, hypermodel, arguments, points, update, pool)
        self._session = session
        self._named = frozenset(self.oracle.hyperparameters.values)
        with closing(session):
            self._begin(session)
            self.on_search_begin()
            self._train_all(session)
            session.finish()
            self.on_search_end()

    def _begin(self, session: SearchSession) -> None:
        """Gives the oracle the grid and the points that are complete."""
        self.oracle.begin(session.points, session.grow)
        scores = {point: session.metrics(point) for point in session.points if session.complete(point)}
        self.oracle.adopt(scores, session.table.values)

    def _check_place(self, place: Place) -> None:
        """Refuses to train elsewhere what only this process can train."""
        if place.is_here:
            return
        if found := overrides(self, LogGridSearch, (*EPOCH_HOOKS, "run_trial")):
            raise InvalidArgumentError(
                f"A search with workers trains outside of the tuner's process, where `{found[0]}` of "
                f"{type(self).__name__} is not called. Search without workers, or write a `keras_tuner.HyperModel` "
                f"with its own `fit`."
            )
        if self.distribution_strategy is not None or tf.distribute.has_strategy():
            raise InvalidArgumentError(
                "A search with workers cannot train under a distribution strategy. Leave one of them out: each worker "
                "has a device of its own."
            )

    def _pool(self, place: Place, arguments: FitArguments) -> AbstractContextManager[Pool | None]:
        """The workers of this search; None to train in this process."""
        if place.is_here:
            return nullcontext()
        given = self._fit_arguments if self._takes_any_data else ((), {**arguments.given, "verbose": 0})
        return place.open(RemoteSearch(self.constructor_arguments(), *given), self._folder.logs, arguments.verbose)

    def constructor_arguments(self) -> dict[str, Any]:
        """What makes a tuner that trains the same runs in another process."""
        kept = ("hypermodel", "learning_rates", "batch_sizes", "repeats", "seed", "max_model_size")
        compiled = ("optimizer", "loss", "metrics")
        return {
            **{name: getattr(self, name) for name in (*kept, *compiled)},
            "objective": self.oracle.objective,
            "hyperparameters": self.oracle.hyperparameters,
            "pruning": self._pruning,
            "engine": self._engine,
        }

    def _options(self) -> SearchOptions:
        objective = self.oracle.objective
        return SearchOptions(
            objective=objective.name,
            direction=objective.direction,
            repeats=self.repeats,
            seed=self.seed,
            extend=self._extend,
            refine=self._refine,
            pruning=self._pruning,
            engine=self._engine,
            why_engine=self._why_engine,
            folder=self._folder,
            writer=self.tuner_id,
            searches_batch_size=self.batch_sizes is not None,
            by_trial="the tuner has its own `run_trial`" if self._runs_by_trial else "",
            own_code=describe_own_code(self, LogGridSearch),
        )

    def _train_all(self, session: SearchSession) -> None:
        while trials := self._claim(session):
            for trial in trials:
                self.on_trial_begin(trial)
            if self._runs_by_trial:
                for trial in trials:
                    self._train_by_trial(session, trial)
            else:
                session.train([self._point(trial) for trial in trials])
            for trial in trials:
                self._end_trial(session, trial)

    def _train_by_trial(self, session: SearchSession, trial: Any) -> None:
        """Calls the subclass's own `run_trial`, whose result counts."""
        point = self._point(trial)
        args, kwargs = self._fit_arguments
        self._trained.pop(trial.trial_id, None)
        try:
            returned: Any = self.run_trial(trial, *args, **kwargs)
        except FATAL:
            raise
        except Exception as error:
            session.recorder.fail(session.options.runs(point)[0], error)
            return
        trained, histories = self._trained.get(trial.trial_id, (point, []))
        # As in KerasTuner, what was reported to the oracle goes before what was returned.
        reported = self._reported(session, trial, trained)
        returned = returned if reported is None else reported
        if not histories and returned is None:
            raise InvalidArgumentError(
                "`run_trial` must return the objective as a number, a dict that holds it, the `History` of "
                "`model.fit`, or a list of these. Received: None. Return one of them."
            )
        if histories and _is_same(returned, histories):
            returned = None
        values = self._further_values(trial)
        session.finish_trial(point, trained, returned, own=not histories, values=values)

    def _end_trial(self, session: SearchSession, trial: Any) -> None:
        point, values = self._point(trial), self._further_values(trial)
        if not self._runs_by_trial:
            reported = self._reported(session, trial, point)
            if values or reported is not None:
                session.record_trial(point, reported, values)
        self._warn_of(trial, values)
        message = session.failure(point)
        if message is None:
            self.oracle.update_trial(trial.trial_id, session.metrics(point), FINAL_STEP)
        trial.status, trial.message = ("COMPLETED", None) if message is None else ("FAILED", message)
        self.on_trial_end(trial)
        ongoing = self.oracle.ongoing_trials.values()
        if any(one.trial_id == trial.trial_id for one in ongoing):
            # A subclass has not called the inherited method, without which the trial would be handed out again.
            LogGridSearch.on_trial_end(self, trial)

    def _reported(self, session: SearchSession, trial: Any, point: Point) -> float | None:
        """The objective that a subclass has reported to the oracle itself, unless that is what its runs have logged."""
        if not overrides(self, LogGridSearch, (*EPOCH_HOOKS, "run_trial")):
            return None
        metrics, name = self.oracle.get_trial(trial.trial_id).metrics, self.oracle.objective.name
        value = metrics.get_best_value(name) if metrics.exists(name) else None
        return None if value is None or session.has_logged(point, value) else float(value)

    def _further_values(self, trial: Any) -> dict[str, Any]:
        """Hyperparameters that `fit` or `run_trial` was the first to name."""
        return {name: value for name, value in trial.hyperparameters.values.items() if name not in self._named}

    def _name_kept_values(self, *, verbose: Any) -> None:
        """Says which of several values the other hyperparameters of the model keep in all runs."""
        given = self.oracle.hyperparameters
        others = [one.name for one in given.space if one.name not in (RATE, BATCH_SIZE) and has_several_values(one)]
        named = ", ".join(f"{name}={given.values[name]!r}" for name in others if name in given.values)
        if named:
            varied = "the learning rate" if self.batch_sizes is None else "the learning rate and the batch size"
            line = f"The search varies {varied} alone. All runs have {named}; `hyperparameters` sets other values."
            notice(line, verbose=verbose)

    def _warn_of(self, trial: Any, values: Mapping[str, Any]) -> None:
        ranges = [one for one in trial.hyperparameters.space if one.name in values and has_several_values(one)]
        if ranges and not self._warned:
            self._warned = True
            named = ", ".join(f"`{one.name}` = {values[one.name]!r}" for one in ranges)
            warnings.warn(
                "The search varies the learning rate, not the hyperparameters that `fit` or `run_trial` names; they "
                f"keep their defaults: {named}.",
                UserWarning,
                stacklevel=2,
            )

    def _trainer_for(self, trial: Any, fit_args: tuple[Any, ...], fit_kwargs: dict[str, Any]) -> Trainer | None:
        """The trainer for the arguments with which a subclass calls `run_trial`; None if they are those of `search`."""
        given = (fit_args, fit_kwargs)
        if self._session is None or _is_same(given, self._fit_arguments):
            return None
        if self._trainer is None or not _is_same(given, self._trainer[0]):
            searches = self.batch_sizes is not None
            own_fit, code = has_own_fit(self.hypermodel), code_of(self.hypermodel)
            arguments = parse_fit_arguments(
                fit_args, fit_kwargs, own_fit=own_fit, searches_batch_size=searches, code=code
            )
            size = self._point(trial).batch_size if searches else arguments.batch_size
            points = [Point(rate, size) for rate in self.learning_rates]
            hypermodel = self._tuned_hypermodel(fit_args, fit_kwargs)
            self._trainer = given, Trainer(self._options(), hypermodel, arguments, points)
        return self._trainer[1]

    @property
    def _runs_by_trial(self) -> bool:
        """Whether a subclass has its own `run_trial`."""
        return bool(overrides(self, LogGridSearch, ("run_trial",)))

    @property
    def _takes_any_data(self) -> bool:
        return self._runs_by_trial or has_own_fit(self.hypermodel)

    def _claim(self, session: SearchSession) -> list[Any]:
        """The trials to train next: one, or all that are open; empty once the search is over."""
        # Workers train several trials at a time anyway.
        one_by_one = session.pool is None and bool(overrides(self, LogGridSearch, TRIAL_HOOKS))
        trials: list[Any] = []
        while not trials or not one_by_one:
            self.pre_create_trial()
            trial = self.oracle.create_trial(f"{self.tuner_id}#{len(trials)}")
            if trial.status != "RUNNING":
                break
            trials.append(trial)
        return trials

    def _points(self, arguments: FitArguments) -> list[Point]:
        if self.batch_sizes is not None and arguments.train is None:
            raise InvalidArgumentError(
                f"`batch_sizes` needs arrays, which the search divides into batches itself. Received: "
                f"{type(arguments.given['x']).__name__}. Pass arrays, or omit `batch_sizes`."
            )
        sizes = self.batch_sizes or (arguments.batch_size,)
        return [Point(rate, size) for size in sizes for rate in self.learning_rates]

    def _check_objective(self, arguments: FitArguments) -> None:
        name = self.oracle.objective.name
        if not name.startswith("val_") or self._takes_any_data:
            return
        if not arguments.validates:
            raise InvalidArgumentError(
                f"`objective` must be a value that training logs. Received: {name!r} without validation data. Pass "
                f"`validation_data`, or choose objective='loss'."
            )
        if not arguments.validated_epochs:
            frequency = arguments.given.get("validation_freq")
            raise InvalidArgumentError(
                f"`validation_freq` must measure {name!r} at least once in {arguments.epochs} epochs. Received: "
                f"{frequency!r}. Lower it, or raise `epochs`."
            )

    def _space(self, hyperparameters: keras_tuner.HyperParameters | None) -> keras_tuner.HyperParameters:
        space = keras_tuner.HyperParameters() if hyperparameters is None else hyperparameters.copy()
        space.Choice(RATE, list(self.learning_rates))
        if self.batch_sizes is not None:
            space.Choice(BATCH_SIZE, list(self.batch_sizes))
        return space

    def _tuned_hypermodel(self, fit_args: tuple[Any, ...], fit_kwargs: dict[str, Any]) -> TunedHypermodel:
        return TunedHypermodel(
            self,
            fit_args,
            fit_kwargs,
            takes_any_data=self._takes_any_data,
            hooks=overrides(self, LogGridSearch, EPOCH_HOOKS),
        )

    def _point(self, trial: Any) -> Point:
        values = trial.hyperparameters.values
        size = values.get(BATCH_SIZE) if self.batch_sizes is not None else None
        if size is None and self._session is not None:
            size = self._session.arguments.batch_size
        return Point(float(values[RATE]), int(size or 0))

    @property
    def _folder(self) -> SearchFolder:
        return SearchFolder(Path(self.directory) / self.project_name)


@dataclass(frozen=True)
class RemoteSearch:
    """What a worker calls to open the search in its own process; everything in it must be picklable."""

    tuner: dict[str, Any]
    fit_args: tuple[Any, ...]
    fit_kwargs: dict[str, Any]

    def __call__(self) -> Trainer:
        tuner = LogGridSearch(**self.tuner)
        own_fit, code = tuner._takes_any_data, code_of(tuner.hypermodel)
        searches = tuner.batch_sizes is not None
        arguments = parse_fit_arguments(
            self.fit_args, self.fit_kwargs, own_fit=own_fit, searches_batch_size=searches, code=code
        )
        given = self.fit_args, self.fit_kwargs
        if arguments.train is not None and not tuner._takes_any_data:
            # The tensors are all that is read; the arrays would double the memory.
            kept = {name: value for name, value in arguments.given.items() if name not in ("x", "y", "sample_weight")}
            arguments, given = replace(arguments, given=kept), ((), {})
        return Trainer(tuner._options(), tuner._tuned_hypermodel(*given), arguments, tuner._points(arguments))


def _batch_sizes(batch_sizes: Iterable[int]) -> tuple[int, ...]:
    if not isinstance(batch_sizes, Iterable):
        raise InvalidArgumentError(
            f"`batch_sizes` must be a list of sizes. Received: {batch_sizes!r}. Pass for example [32, 128]; a single "
            "size is the `batch_size` of `search`."
        )
    sizes = tuple(sorted({whole_number("batch_sizes", size) for size in batch_sizes}))
    if not sizes:
        raise InvalidArgumentError("`batch_sizes` must hold at least one size. Received: none. Pass for example [32].")
    return sizes


def _is_same(first: Any, second: Any) -> bool:
    """Whether two arguments are the same object or equal numbers or strings, or hold such parts."""
    if isinstance(first, (list, tuple)) and isinstance(second, (list, tuple)):
        return len(first) == len(second) and all(map(_is_same, first, second))
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(_is_same(first[name], second[name]) for name in first)
    plain = (bool, int, float, str)
    return first is second or (isinstance(first, plain) and isinstance(second, plain) and first == second)
