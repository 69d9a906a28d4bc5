"""A race between learning rates on the user's own model, as a KerasTuner tuner."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import keras_tuner

from keras_lr._utils.validation import non_negative
from keras_lr.analysis._race import Race, first_comparison, rates_around_suggestions, starts_refined
from keras_lr.analysis._search_result import RACE_EVENT, last_race, race_from, race_result
from keras_lr.analysis._suggestion.calibration import kind_of
from keras_lr.errors import InvalidArgumentError, ModelError, SearchError
from keras_lr.range_test._find_lr import find_lr
from keras_lr.results._range_test import Suggestion
from keras_lr.results._search_records import Point
from keras_lr.results._sensitivity import EngineName, SensitivityResult
from keras_lr.search._fit_arguments import FitArguments
from keras_lr.search._overrides import check_arguments
from keras_lr.search._session import SearchSession
from keras_lr.search._tuner import LogGridSearch

_EXAMINED = (1e-4, 1e-2)
"""The rates at which a model is built before a sweep has said where to race; nothing is trained at them."""


class RaceSearch(LogGridSearch):
    """Finds the best learning rate for about the cost of one more training run, and trains the model at it.

    A range test of 100 steps suggests a rate; for an adaptive optimizer, or from `budget=2` on, short runs of as many
    steps refine it. A few rates around it start together, one run each from the same weights on the same data, and are
    compared after 1, 2, 3, 4, 6, 9, ... epochs. If `y` shows that the model was trained before, since its loss starts
    below that of the best constant output, the first comparison is after 2. Each time the worst are dropped; the others
    go on from where they stopped. The winner is trained to the end. `keras_lr.analysis.Race` makes the decisions.

    Each epoch is on disk before the next one begins. After a crash the same call comes to the same result: it keeps
    what is recorded and repeats the runs that are still racing from their first epoch. So does a call with more epochs
    or a larger budget. A rate that diverges or fails is dropped. After Ctrl-C, `sensitivity` and `get_best_models`
    return the best so far.

    Between two comparisons, workers train one run each. A run goes on in any of them, if `x` and `y` are arrays and no
    callback is given; else it starts again in another one.

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
        learning_rates: Iterable[float] | None = None,
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
            learning_rates=rates_around_suggestions() if self._sweeps else learning_rates,
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

    def _train_stage(self, session: SearchSession, race: Race, asked: Iterable[tuple[float, int]]) -> None:
        """Trains up to the next comparison."""
        reach = {Point(rate, session.arguments.batch_size): epochs for rate, epochs in asked}
        for point in reach:
            if point not in session.points:
                session.points.append(point)
                self.oracle.points.append(point)
                self.pre_create_trial()
                trial = self.oracle.create_trial(f"{self.tuner_id}#{len(session.points)}")
                self.on_trial_begin(trial)
        session.train_to(reach)
        for point, epochs in reach.items():
            race.tell(point.learning_rate, session.curve(point, epochs))

    def _leave(self, session: SearchSession, point: Point) -> None:
        """Ends the trial of a rate that is no longer in the race."""
        trial = self.oracle.running_trial(point)
        if trial is not None:
            session.trainer.forget(session.options.runs(point))
            self._end_trial(session, trial)

    def _start(self, session: SearchSession) -> Race:
        """The race, of whose start the records know; a sweep is run only if they do not."""
        event = last_race(session.table) or {}
        found: dict[str, Any] = {"suggestion": None, "compare_from": 1}
        if self._sweeps:
            known = event.get("suggestion") is not None
            found = {name: event.get(name, found[name]) for name in found} if known else self._sweep(session)
        objective = self.oracle.objective
        start = {
            "objective": objective.name,
            "direction": objective.direction,
            "epochs": session.arguments.epochs,
            "budget": self.budget,
            "learning_rates": None if self._sweeps else list(self.learning_rates),
            **found,
        }
        if any(event.get(name) != value for name, value in start.items()):
            session.recorder.event(RACE_EVENT, **start)
        return race_from(start)

    def _sweep(self, session: SearchSession) -> dict[str, Any]:
        """Where the race starts, as its event says it."""
        (run,) = session.options.runs(Point(_EXAMINED[0], session.arguments.batch_size))
        model = session.trainer.factory.model(run)
        given = session.arguments.given
        names = ("x", "y", "sample_weight", "class_weight", "shuffle")
        data = {name: given[name] for name in names if given.get(name) is not None}
        size = session.arguments.batch_size if session.arguments.train is not None else None
        refined = starts_refined(self.budget, adaptive=kind_of(model.optimizer).adaptive)
        try:
            result = find_lr(model, **data, batch_size=size, refine=refined, verbose=False)
        except ModelError as error:
            return {"suggestion": Suggestion.refuse(str(error), rule="none").to_dict(), "compare_from": 1}
        return {
            "suggestion": result.suggestion.to_dict(),
            "compare_from": first_comparison(result.losses, result.constant_loss),
        }
