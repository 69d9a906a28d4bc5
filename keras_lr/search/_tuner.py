"""A search over a log grid of learning rates, as a KerasTuner tuner."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import keras
import keras_tuner

from keras_lr._keras.model import build_on
from keras_lr._keras.snapshot import RandomState
from keras_lr._utils.progress import Update, notice, search_line
from keras_lr._utils.validation import whole_number
from keras_lr.errors import InvalidArgumentError, SearchError
from keras_lr.results._sensitivity import SensitivityResult
from keras_lr.search._distributed.chief import serve
from keras_lr.search._distributed.protocol import claim_size, role
from keras_lr.search._distributed.worker import at_work, reach_chief, wait_idle
from keras_lr.search._engines.base import ENGINES, EngineName
from keras_lr.search._fit_arguments import FitArguments, parse_fit_arguments
from keras_lr.search._grid import given_grid, log_grid
from keras_lr.search._keras_tuner import Trial, build_hypermodel, configure_tensorboard, is_worker, local_oracle
from keras_lr.search._model_factory import as_hypermodel, has_own_fit
from keras_lr.search._oracle import BATCH_SIZE, RATE, LogGridOracle, Scores
from keras_lr.search._runs import Point, Run
from keras_lr.search._session import SearchOptions, SearchSession, Training, outcome, point_metrics
from keras_lr.search._storage import Table, load_weights, read_journals


class LogGridSearch(keras_tuner.Tuner):
    """Trains a model at each learning rate of a log grid, several times, and keeps every epoch.

    The search picks the fastest way that serves the model and says which in the result: all rates and repeats as one
    batched program, one compiled function, one reused model with `fit`, or a new model a run. A repeat has the same
    initial weights and the same order of data at every rate. Each epoch is on disk before the next begins; the same
    call again resumes at the first missing run, also with a wider grid, more repeats or more epochs.

    Args:
        hypermodel: `build(hp)` or `build()` that returns a compiled model, or a `keras_tuner.HyperModel`. The search
            sets the optimizer's rate, so the build need not read it; one that wants to reads
            `hp.get("learning_rate")`. Further hyperparameters keep their defaults.
        objective: Name of the value to judge by, or a `keras_tuner.Objective`.
        min_lr: Lowest rate of the grid, above 0.
        max_lr: Highest rate of the grid, above `min_lr`.
        points_per_decade: Least number of points a decade.
        repeats: Trainings of each rate, at least 1, with seeds `seed`, `seed + 1`, ...
        learning_rates: The grid itself, in place of the three above.
        batch_sizes: Batch sizes to search as well; None for the one that `search` is given.
        extend: Whether the grid grows where its lowest or highest rate is the best, by two decades at most.
        refine: Whether points are added around the basin once it is known.
        pruning: Whether a rate that cannot win any more stops early; its curve is then partial.
        engine: The fastest way to train that is allowed: "auto" for all, else "stacked", "function", "reuse" or
            "rebuild".
        seed: Seed of the first repeat, at least 0.
        directory: Folder of the projects.
        project_name: Folder of this search in `directory`.
        overwrite: Whether to delete what the project holds.
        **kwargs: As in `keras_tuner.Tuner`.

    Raises:
        InvalidRangeError: The grid is none.
        InvalidArgumentError: Another argument breaks its rule.
    """

    def __init__(
        self,
        hypermodel: Any,
        objective: Any = "val_loss",
        min_lr: float = 1e-6,
        max_lr: float = 1e-1,
        points_per_decade: float = 1,
        repeats: int = 3,
        *,
        learning_rates: Sequence[float] | None = None,
        batch_sizes: Sequence[int] | None = None,
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
        self.learning_rates = _grid(learning_rates, min_lr, max_lr, points_per_decade)
        self.batch_sizes = None if batch_sizes is None else _batch_sizes(batch_sizes)
        self.repeats = whole_number("repeats", repeats)
        self.seed = whole_number("seed", seed, least=0)
        if engine not in ("auto", *ENGINES):
            raise InvalidArgumentError(f"`engine` must be 'auto' or one of {ENGINES}. Received: {engine!r}.")
        if "executions_per_trial" in kwargs:
            raise InvalidArgumentError("`executions_per_trial` is called `repeats` here. Received both names' tuner.")
        self._engine: EngineName = "stacked" if engine == "auto" else engine
        self._extend, self._refine, self._pruning = bool(extend), bool(refine), bool(pruning)
        self._overwrites = bool(overwrite)
        self._session: SearchSession | None = None
        oracle = LogGridOracle(
            objective,
            (),
            with_batch_size=self.batch_sizes is not None,
            hyperparameters=self._space(hyperparameters),
        )
        random_state = RandomState()
        super().__init__(
            oracle,
            hypermodel=as_hypermodel(hypermodel),
            directory=str(directory),
            project_name=project_name,
            overwrite=overwrite and not is_worker(self),
            **kwargs,
        )
        random_state.restore()
        self.reload()

    def search(self, *fit_args: Any, **fit_kwargs: Any) -> None:
        """Trains every rate that the records lack.

        Args:
            *fit_args: As in `model.fit`.
            **fit_kwargs: As in `model.fit`; `epochs` is the length of each run. With `callbacks`, each run trains by
                `fit` with copies of them. `verbose=0` hides the progress line.

        Raises:
            InvalidArgumentError: An argument breaks its rule, or nothing gives the objective.
            DataError: The data is empty, or can be read only once.
            SearchError: The project holds another search, or every run failed.
            StorageError: A record cannot be written.
        """
        arguments = parse_fit_arguments(fit_args, fit_kwargs, own_fit=has_own_fit(self.hypermodel))
        self._check_objective(arguments)
        random_state = RandomState()
        try:
            with search_line(verbose=arguments.verbose) as update:
                self._search(arguments, update, fit_args, fit_kwargs)
        finally:
            random_state.restore()

    def sensitivity(self) -> SensitivityResult:
        """What the search measured so far, in this process or an earlier one.

        Raises:
            SearchError: Nothing is recorded yet.
        """
        _, lines = read_journals(self._records)
        table = Table(lines)
        if not len(table):
            raise SearchError("The search must have trained. Received no records. Call `search` first.")
        objective = self.oracle.objective
        return outcome(table.frame(), lines, objective=objective.name, direction=objective.direction)

    def run_trial(self, trial: Any, *fit_args: Any, **fit_kwargs: Any) -> dict[str, float]:
        """Trains the repeats of one trial; `search` trains several trials at once instead."""
        if self._session is None:
            raise SearchError("`run_trial` must be called within `search`. Received a call outside. Call `search`.")
        point = self._point(trial)
        self._session.train([point])
        return self._session.metrics(point)

    def load_model(self, trial: Any) -> keras.Model:
        """The model of a trial with the weights of its best epoch."""
        model = build_hypermodel(self, trial.hyperparameters)
        if not model.built and self._session is not None:
            build_on(model, self._session.arguments.first_batch(self._point(trial).batch_size))
        if not model.built:
            raise SearchError(
                "The model must know its input's shape before its weights are loaded. Received: one that takes it from "
                "data. Call `search` with the same data first, which trains nothing twice, or build it in `hypermodel`."
            )
        load_weights(self._checkpoint(trial.trial_id), model)
        return model

    @property
    def project_dir(self) -> str:
        """Folder of this search; made with the first record."""
        return str(Path(self.directory) / self.project_name)

    def save(self) -> None:
        """Writes nothing: each epoch is recorded as it comes."""

    def reload(self) -> None:
        """Reads the records, so that the best hyperparameters of an earlier process are known."""
        if is_worker(self):
            return
        table = Table(read_journals(self._records)[1])
        self.oracle.adopt({point: self._metrics(table, point) for point in table.points()})

    def _search(
        self, arguments: FitArguments, update: Update | None, fit_args: tuple[Any, ...], fit_kwargs: dict[str, Any]
    ) -> None:
        @cache
        def session() -> SearchSession:
            options, training = self._options(), self._training(fit_args, fit_kwargs)
            self._session = SearchSession(options, training, arguments, self._points(arguments), update)
            return self._session

        try:
            if role() == "worker":
                self._work(session, partial(notice, verbose=arguments.verbose))
                return
            self._open(session())
            if role() == "chief":
                self._serve()
            else:
                self._train_all(session())
        finally:
            if self._session is not None:
                self._session.close()

    def _work(self, session: Callable[[], SearchSession], say: Callable[[str], None]) -> None:
        """Trains what the chief gives out, unless there is no chief any more and nothing left to train."""

        def is_over() -> bool:
            # What is there before the chief has answered, the chief may be about to delete.
            return not self._overwrites and session().is_over()

        line = reach_chief(self.tuner_id, is_over=is_over, say=say)
        if line is None:
            return
        self.oracle.stub = line
        with at_work(line, self.tuner_id, say):
            session().on_epoch_recorded = line.check
            self._train_all(session())

    def _serve(self) -> None:
        """Gives out the grid to other processes."""
        if not serve(self.oracle):
            raise SearchError(
                "A worker must last until the grid is done. Received: every worker ended before. What was trained is "
                "kept; mend the cause and search again."
            )

    def _train_all(self, session: SearchSession) -> None:
        self.on_search_begin()
        while trials := self._claim(session):
            for trial in trials:
                self.on_trial_begin(trial)
            session.train([self._point(trial) for trial in trials])
            for trial in trials:
                self.oracle.update_trial(trial.trial_id, session.metrics(self._point(trial)))
                trial.status = "COMPLETED"
                self.on_trial_end(trial)
        session.finish()
        self.on_search_end()

    def _open(self, session: SearchSession) -> None:
        """Tells the oracle the grid and what of it is complete."""

        def recorded() -> Scores:
            session.refresh()
            return {point: session.metrics(point) for point in self.oracle.points if session.complete(point)}

        self.oracle.begin(session.points, session.grow)
        self.oracle.adopt(recorded())
        self.oracle.recorded = recorded if role() == "chief" else None

    def _claim(self, session: SearchSession) -> list[Any]:
        """The trials to train next: all that are open, or this process's share; empty once the search is over."""
        most = float("inf")
        while True:
            if role() == "worker":
                session.refresh()
                most = claim_size(sum(not session.complete(point) for point in session.points))
            trials: list[Any] = []
            status = "RUNNING"
            while status == "RUNNING" and len(trials) < most:
                trial = self.oracle.create_trial(f"{self.tuner_id}#{len(trials)}")
                status = trial.status
                trials.extend([trial] if status == "RUNNING" else [])
            if trials or status == "STOPPED":
                return trials
            wait_idle()

    def _options(self) -> SearchOptions:
        return SearchOptions(
            objective=self.oracle.objective.name,
            direction=self.oracle.objective.direction,
            repeats=self.repeats,
            seed=self.seed,
            extend=self._extend,
            refine=self._refine,
            prunes=self._pruning,
            fastest=self._engine,
            records=self._records,
            writer=self.tuner_id,
        )

    def _training(self, fit_args: tuple[Any, ...], fit_kwargs: dict[str, Any]) -> Training:
        own_fit = has_own_fit(self.hypermodel)

        def fit(run: Run, model: keras.Model, arguments: dict[str, Any]) -> Any:
            if not own_fit:
                return model.fit(**arguments)
            changed = {name: arguments[name] for name in ("callbacks", "verbose")}
            return self.hypermodel.fit(self._values(run.point), model, *fit_args, **{**fit_kwargs, **changed})

        return Training(
            build=lambda rate, size: build_hypermodel(self, self._values(Point(rate, size))),
            fit=fit,
            own_fit=own_fit,
            distributed=self.distribution_strategy is not None,
            decorate=self._decorated,
            checkpoint=lambda point: self._checkpoint(self._local_oracle.trial_id(point)),
        )

    def _decorated(self, run: Run, callbacks: list[Any]) -> list[Any]:
        trial = Trial(self._values(run.point), self._local_oracle.trial_id(run.point))
        if any(type(callback).__name__ == "TensorBoard" for callback in callbacks):
            configure_tensorboard(self, callbacks, trial, run.repeat)
        return callbacks

    def _points(self, arguments: FitArguments) -> list[Point]:
        if self.batch_sizes is not None and arguments.train is None:
            raise InvalidArgumentError(
                f"`batch_sizes` must come with arrays, which the search cuts into batches. Received: "
                f"{type(arguments.given['x']).__name__}. Pass arrays, or leave out `batch_sizes`."
            )
        sizes = self.batch_sizes or (arguments.batch_size,)
        return [Point(rate, size) for size in sizes for rate in self.learning_rates]

    def _check_objective(self, arguments: FitArguments) -> None:
        name = self.oracle.objective.name
        if name.startswith("val_") and not arguments.validates and not has_own_fit(self.hypermodel):
            raise InvalidArgumentError(
                f"`objective` must be a value that training gives. Received: {name!r} without validation data. Pass "
                f"`validation_data`, or choose objective='loss'."
            )

    def _space(self, hyperparameters: keras_tuner.HyperParameters | None) -> keras_tuner.HyperParameters:
        space = keras_tuner.HyperParameters() if hyperparameters is None else hyperparameters.copy()
        space.Choice(RATE, list(self.learning_rates))
        if self.batch_sizes is not None:
            space.Choice(BATCH_SIZE, list(self.batch_sizes))
        return space

    def _values(self, point: Point) -> keras_tuner.HyperParameters:
        values = self._local_oracle.hyperparameters.copy()
        values.values[RATE] = point.learning_rate
        if self.batch_sizes is not None:
            values.values[BATCH_SIZE] = point.batch_size
        return values

    def _point(self, trial: Any) -> Point:
        values = trial.hyperparameters.values
        size = values.get(BATCH_SIZE) if self.batch_sizes is not None else None
        if size is None and self._session is not None:
            size = self._session.arguments.batch_size
        return Point(float(values[RATE]), int(size or 0))

    def _metrics(self, table: Table, point: Point) -> dict[str, float]:
        objective = self.oracle.objective
        return point_metrics(table, point, objective.name, objective.direction)

    def _checkpoint(self, trial_id: str) -> Path:
        return Path(self.project_dir) / f"trial_{trial_id}" / "checkpoint.npz"

    @property
    def _local_oracle(self) -> LogGridOracle:
        """The oracle itself, also where this process asks that of the chief."""
        return local_oracle(self.oracle)  # type: ignore[no-any-return]

    @property
    def _records(self) -> Path:
        return Path(self.project_dir) / "records"


def _grid(
    learning_rates: Iterable[float] | None, min_lr: float, max_lr: float, points_per_decade: float
) -> tuple[float, ...]:
    if learning_rates is not None:
        return given_grid(learning_rates)
    return log_grid(min_lr, max_lr, points_per_decade=points_per_decade)


def _batch_sizes(batch_sizes: Iterable[int]) -> tuple[int, ...]:
    sizes = tuple(sorted({whole_number("batch_sizes", size) for size in batch_sizes}))
    if not sizes:
        raise InvalidArgumentError("`batch_sizes` must hold at least one size. Received: none. Give for example [32].")
    return sizes
