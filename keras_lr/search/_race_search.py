"""A race between learning rates on the user's own model, as a KerasTuner tuner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import keras_tuner
import pandas as pd

from keras_lr._utils.validation import non_negative
from keras_lr.analysis._race import Race
from keras_lr.errors import InvalidArgumentError, ModelError, SearchError
from keras_lr.range_test._find_lr import find_lr
from keras_lr.results._range_test import Suggestion
from keras_lr.results._record import plain
from keras_lr.results._sensitivity import SensitivityResult
from keras_lr.search._engines.base import EngineName
from keras_lr.search._fit_arguments import FitArguments
from keras_lr.search._overrides import check_arguments
from keras_lr.search._runs import Point
from keras_lr.search._session import SearchSession, curve_of, faults_in, known_of_runs, trained_by
from keras_lr.search._storage import Table
from keras_lr.search._tuner import LogGridSearch

EVENT = "race"
"""The event of the records that holds what a race started from."""

_EXAMINED = (1e-4, 1e-2)
"""The rates at which a model is built before a sweep has said where to race; nothing is trained at them."""


class RaceSearch(LogGridSearch):
    """Finds the best learning rate for about the cost of one more training run, and trains the model at it.

    A range test of 100 steps suggests a rate. A few rates around it start together, one run each from the same weights
    on the same data, and are compared after 1, 2, 3, 4, 6, 9, ... epochs. Each time the worst are dropped; the others
    go on from where they stopped. The winner is trained to the end. `keras_lr.analysis.Race` makes the decisions.

    Each epoch is on disk before the next one begins. After a crash the same call comes to the same result: it keeps
    what is recorded and repeats the runs that are still racing from their first epoch. So does a call with more epochs
    or a larger budget. A rate that diverges or fails is dropped. After Ctrl-C, `sensitivity` and `get_best_models`
    return the best so far.

    One run per rate does not show how much repeats differ. Use `LogGridSearch` if that matters, if the objective is
    noisy, or if a run has only one or two epochs: the first comparison is then the last.

    Args:
        hypermodel: As for `LogGridSearch`, without a `fit` of its own.
        objective: Name of a value that training logs after each epoch, or a `keras_tuner.Objective`.
        budget: Number of complete runs that may be spent on rates other than the winner, at least 0; the range
            test is not counted. With 0 the suggested rate is trained without a race.
        learning_rates: The rates to choose from, instead of those around the suggestion of a range test.
        engine: The fastest engine allowed: "auto" for "function", else as for `LogGridSearch`. A stacked program trains
            as many copies when most rates are dropped as at the start.
        seed: Seed of the weights and of the order of the data, at least 0.
        hyperparameters: As for `LogGridSearch`.
        directory: Folder of all projects.
        project_name: Folder of this race in `directory`.
        overwrite: Whether to delete the earlier records of the project.
        **kwargs: As in `keras_tuner.Tuner`; `max_model_size` refuses a larger model.

    Raises:
        InvalidRangeError: The rates do not form a grid.
        InvalidArgumentError: Another argument is invalid.
        UnknownArgumentError: An argument does not exist.

    Source:
        Custom; see `keras_lr.analysis.Race`.

    Example:
        >>> tuner = keras_lr.RaceSearch(build, budget=1.0)
        >>> tuner.search(x, y, validation_data=(x_val, y_val), epochs=20, batch_size=32)
        >>> tuner.sensitivity().reason
        >>> model = tuner.get_best_models()[0]
    """

    def __init__(
        self,
        hypermodel: Any,
        objective: Any = "val_loss",
        budget: float = 1.0,
        *,
        learning_rates: Sequence[float] | None = None,
        engine: EngineName | Literal["auto"] = "auto",
        seed: int = 0,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        directory: str | Path = "runs",
        project_name: str = "race",
        overwrite: bool = False,
        **kwargs: Any,
    ) -> None:
        self.budget = non_negative("budget", budget)
        self._sweeps = learning_rates is None
        check_arguments(type(self), kwargs)
        super().__init__(
            hypermodel,
            objective,
            learning_rates=Race(Suggestion.refuse("", rule="")).learning_rates if self._sweeps else learning_rates,
            repeats=1,
            extend=False,
            engine="function" if engine == "auto" else engine,
            seed=seed,
            hyperparameters=hyperparameters,
            directory=directory,
            project_name=project_name,
            overwrite=overwrite,
            **kwargs,
        )
        if engine == "auto":
            self._why_engine = "a race soon has a single run left, for which stacking does not pay"

    def search(
        self,
        *fit_args: Any,
        workers: int | None = None,
        cluster: Any = None,
        resources: Mapping[str, float] | None = None,
        wait: float = 300.0,
        **fit_kwargs: Any,
    ) -> None:
        """Races, and trains the winner to the end.

        Between two comparisons, workers train one run each. A run goes on in any of them, if `x` and `y` are arrays and
        no callback is given; else it starts again in another one.

        Args:
            *fit_args: As in `model.fit`.
            workers: As for `LogGridSearch`.
            cluster: As for `LogGridSearch`.
            resources: As for `LogGridSearch`.
            wait: As for `LogGridSearch`.
            **fit_kwargs: As in `model.fit`; `epochs` is the length of a complete run, 1 if it is missing. With
                `callbacks`, each run is trained by `fit` with copies of them. `verbose=0` hides the progress line.

        Raises:
            InvalidArgumentError: An argument is invalid, or training does not log the objective.
            DataError: The data is empty, or can be read only once.
            SearchError: The project holds another search, every run failed, or the workers cannot train.
            StorageError: A record cannot be written.
        """
        place: dict[str, Any] = {"workers": workers, "cluster": cluster, "resources": resources, "wait": wait}
        super().search(*fit_args, **place, **fit_kwargs)

    def sensitivity(self) -> SensitivityResult:
        """What the race has measured so far, in this process and earlier ones.

        The runs of dropped rates have the status "pruned", and `race` says when and why each was dropped. Since there
        is one run per rate, `low` and `high` bound the rates that lost at most 5% of the gain when last compared.

        Raises:
            SearchError: Nothing is recorded yet.
        """
        table = self._recorded()
        if last_race(table) is None:
            raise SearchError(f"No race is recorded in {self.project_dir} yet. Call `search` first.")
        return race_result(table)

    def _check_objective(self, arguments: FitArguments) -> None:
        if self._takes_any_data:
            raise InvalidArgumentError(
                "`hypermodel` must leave the training to `RaceSearch`, which lets runs pause and go on. Received a "
                "`fit` or a `run_trial` of your own. Use `LogGridSearch`, or pass what it does as `callbacks`."
            )
        for name, plain_value in (("initial_epoch", 0), ("validation_freq", 1)):
            if name in arguments.fit_only:
                raise InvalidArgumentError(
                    f"`{name}` must be {plain_value} in a race, which compares runs after each of their epochs. "
                    f"Received: {arguments.given[name]!r}. Leave it out."
                )
        super()._check_objective(arguments)

    def _points(self, arguments: FitArguments) -> list[Point]:
        rates = _EXAMINED if self._sweeps else (self.learning_rates[0], self.learning_rates[-1])
        return [Point(rate, arguments.batch_size) for rate in dict.fromkeys(rates)]

    def _begin(self, session: SearchSession) -> None:
        session.points = []
        self.oracle.begin([], tuple)
        self.oracle.adopt({}, session.table.values)

    def _train_all(self, session: SearchSession) -> None:
        self.on_search_begin()
        race = self._start(session)
        try:
            while asked := race.ask():
                self._train_stage(session, race, asked)
                for rate in race.dropped:
                    self._leave(session, Point(rate, session.arguments.batch_size))
        except KeyboardInterrupt:
            session.recorder.save_weights()
            self.reload()
            raise
        for point in list(session.points):
            self._leave(session, point)
        self._trials = {}
        session.finish()
        self.on_search_end()

    def _train_stage(self, session: SearchSession, race: Race, asked: Iterable[tuple[float, int]]) -> None:
        """Trains up to the next comparison."""
        reach = {Point(rate, session.arguments.batch_size): epochs for rate, epochs in asked}
        for point in reach:
            if point not in session.points:
                session.points.append(point)
                self.oracle.points.append(point)
                self.pre_create_trial()
                trial = self.oracle.create_trial(f"{self.tuner_id}#{len(session.points)}")
                self._trials[trial.trial_id] = trial
                self.on_trial_begin(trial)
        session.train_to(reach)
        for point, epochs in reach.items():
            race.tell(point.learning_rate, session.curve(point, epochs))

    def _leave(self, session: SearchSession, point: Point) -> None:
        """Ends the trial of a rate that is no longer in the race."""
        trial = self._trials.pop(self.oracle.trial_id(point), None)
        if trial is not None:
            session.trainer.forget(session.runs(point))
            self._end_trial(session, trial)

    def _start(self, session: SearchSession) -> Race:
        """The race, of whose start the records know; a sweep is run only if they do not."""
        event = last_race(session.table) or {}
        stored = event.get("suggestion") if self._sweeps else None
        if self._sweeps and stored is None:
            stored = self._sweep(session).to_dict()
        objective = self.oracle.objective
        start = {
            "objective": objective.name,
            "direction": objective.direction,
            "epochs": session.arguments.epochs,
            "budget": self.budget,
            "suggestion": stored,
            "learning_rates": None if self._sweeps else list(self.learning_rates),
        }
        if any(event.get(name) != value for name, value in start.items()):
            session.recorder.event(EVENT, **start)
        return race_from(start)

    def _sweep(self, session: SearchSession) -> Suggestion:
        (run,) = session.runs(Point(_EXAMINED[0], session.arguments.batch_size))
        model = session.trainer.factory.model(run)
        given = session.arguments.given
        names = ("x", "y", "sample_weight", "class_weight", "shuffle")
        data = {name: given[name] for name in names if given.get(name) is not None}
        size = session.arguments.batch_size if session.arguments.train is not None else None
        try:
            return find_lr(model, **data, batch_size=size, verbose=False).suggestion
        except ModelError as error:
            return Suggestion.refuse(str(error), rule="none")


def last_race(table: Table) -> Mapping[str, Any] | None:
    """The event with which the last race started; None if none is recorded."""
    return next((event for event in reversed(table.events) if event["event"] == EVENT), None)


def race_from(event: Mapping[str, Any]) -> Race:
    """The race that an event of the records describes, before any result is known."""
    start: Any = event["learning_rates"]
    if start is None:
        start = Suggestion.from_dict(event["suggestion"])
    return Race(start, epochs=event["epochs"], budget=event["budget"], direction=event["direction"])


def race_result(table: Table) -> SensitivityResult:
    """The result of the records of a race, which hold at least one row."""
    event, frame = last_race(table), table.frame()
    assert event is not None
    race = race_from(event)
    runs: dict[Any, list[Any]] = {rate: run.to_dict("records") for rate, run in frame.groupby("learning_rate")}
    ended = {line["learning_rate"] for line in table.events if line["event"] == "ended"}
    while asked := race.ask():
        before = sum(map(len, race.values.values()))
        for rate, epochs in asked:
            curve = curve_of(runs.get(rate, []), event["objective"], epochs, complete=rate in ended)
            race.tell(rate, curve)
        if sum(map(len, race.values.values())) == before:
            break
    shown = _marked(frame, race)
    rates = sorted(shown["learning_rate"].unique())
    best = race.best
    engine, engine_reason, environment = trained_by(table)
    return SensitivityResult(
        frame=shown,
        objective=event["objective"],
        direction=race.direction,
        best_learning_rate=best,
        low=race.usable_low,
        high=race.usable_high,
        at_edge=len(rates) > 1 and best in (rates[0], rates[-1]),
        confidence=race.confidence,
        reason=" ".join([race.reason, *faults_in(table)]),
        engine=engine,
        engine_reason=engine_reason,
        best_batch_size=None if best is None else int(shown["batch_size"].iloc[0]),
        environment=environment,
        basin_by="gain",
        usable_low=race.usable_low,
        usable_high=race.usable_high,
        race=_summary(race),
        known=known_of_runs(table),
    )


def _marked(frame: pd.DataFrame, race: Race) -> pd.DataFrame:
    """The rows of the race, with the status "pruned" where a rate was dropped before its last epoch."""
    asked = frame["learning_rate"].map({rate: len(values) for rate, values in race.values.items()}).fillna(0)
    kept = frame[(frame["epoch"] < asked) | frame["status"].isin(("diverged", "failed"))].reset_index(drop=True)
    dropped = [rate for rate, drop in race.dropped.items() if drop.epoch < race.epochs]
    last = ~kept.duplicated("learning_rate", keep="last") & (kept["status"] == "ok")
    marked: pd.DataFrame = kept.assign(
        status=kept["status"].where(~(last & kept["learning_rate"].isin(dropped)), "pruned")
    )
    return marked


def _summary(race: Race) -> dict[str, Any]:
    """What `SensitivityResult.race` holds."""
    found: dict[str, Any] = plain(
        {
            "epochs": race.epochs,
            "budget": race.budget,
            "cost": race.cost,
            "finished": race.finished,
            "dropped": [
                {"learning_rate": rate, "epoch": drop.epoch, "why": drop.why, "reason": drop.reason}
                for rate, drop in race.dropped.items()
            ],
            "comparisons": [{"epoch": rung.epoch, "kept": rung.kept, "added": rung.added} for rung in race.history],
        }
    )
    return found
