"""The oracle: which points of the grid are open, in training, and done."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras_tuner

from keras_lr.errors import InvalidArgumentError
from keras_lr.results._search_records import Point
from keras_lr.search._keras_tuner import MultiObjective, Trial, TrialStatus, UnsavedOracle

Scores = Mapping[Point, Mapping[str, float]]
RATE, BATCH_SIZE = "learning_rate", "batch_size"
FINAL_STEP = -1
"""The step of metrics that replace all that were reported for a trial before."""
_STATUS = TrialStatus
_ANY_NUMBER = 1 << 31


class LogGridOracle(UnsavedOracle):
    """Hands out the points of a grid, one per trial, each once.

    Which points are done is read from the records of the search, not from KerasTuner's own files, so a process can be
    killed at any moment and nothing needs repair.

    Args:
        objective: As in KerasTuner.
        with_batch_size: Whether the batch size is a hyperparameter of the search.
        hyperparameters: As in KerasTuner; they keep their defaults or fixed values.

    Attributes:
        points: The grid.
        grow: Called once every point is done; returns the points to add, or none to end the search.
    """

    def __init__(
        self,
        objective: Any,
        *,
        with_batch_size: bool,
        hyperparameters: keras_tuner.HyperParameters | None = None,
    ) -> None:
        super().__init__(
            objective=objective,
            hyperparameters=hyperparameters,
            max_consecutive_failed_trials=_ANY_NUMBER,
            seed=1,
        )
        if isinstance(self.objective, (MultiObjective, type(None))):
            raise InvalidArgumentError(
                f"`objective` must be a single value to judge by. Received: {objective!r}. Pass for example 'val_loss'."
            )
        self.points: list[Point] = []
        self.grow: Callable[[], Iterable[Point]] = tuple
        self._values: Mapping[str, Mapping[str, Any]] = {}
        self._ended: dict[str, Any] = {}
        self._names: dict[Point, str] = {}
        self._with_batch_size = with_batch_size
        self.verbose = 0

    def trial_id(self, point: Point) -> str:
        """The name of a point's trial, the same in every process."""
        if point not in self._names:
            short = f"{point.learning_rate:g}"
            name = f"lr{short}" if float(short) == point.learning_rate else f"lr{point.learning_rate!r}"
            self._names[point] = f"{name}-b{point.batch_size}" if self._with_batch_size else name
        return self._names[point]

    def running_trial(self, point: Point) -> Any:
        """The trial of a point that is in training; None if there is none."""
        trial = self.trials.get(self.trial_id(point))
        return trial if trial is not None and trial.status == _STATUS.RUNNING else None

    def values_at(self, point: Point) -> keras_tuner.HyperParameters:
        """The hyperparameters of a point: those of its running trial, if there is one."""
        trial = self.running_trial(point)
        return self._grid_values(point) if trial is None else trial.hyperparameters

    @keras_tuner.synchronized  # type: ignore[untyped-decorator]
    def create_trial(self, tuner_id: str) -> Any:
        """The next open point as a running trial; a trial with status "IDLE" or "STOPPED" if there is none.

        "IDLE" means that the grid may yet grow, "STOPPED" that it is done.
        """
        if tuner_id in self.ongoing_trials:
            return self.ongoing_trials[tuner_id]
        point = self._next_point()
        if point is None:
            self.tuner_ids.discard(tuner_id)
            status = _STATUS.IDLE if self.ongoing_trials else _STATUS.STOPPED
            return Trial(self.hyperparameters.copy(), trial_id="none", status=status)
        trial = self._trial(point, _STATUS.RUNNING)
        self.tuner_ids.add(tuner_id)
        self.ongoing_trials[tuner_id] = trial
        self.trials[trial.trial_id] = trial
        self.start_order.append(trial.trial_id)
        return trial

    @keras_tuner.synchronized  # type: ignore[untyped-decorator]
    def end_trial(self, trial: Any) -> None:
        """Records a finished trial."""
        tuner_ids = [name for name, ongoing in self.ongoing_trials.items() if ongoing.trial_id == trial.trial_id]
        super().end_trial(trial)
        self._ended[trial.trial_id] = self.trials[trial.trial_id]
        for name in tuner_ids:
            self.ongoing_trials.pop(name, None)
            self.tuner_ids.discard(name)

    @keras_tuner.synchronized  # type: ignore[untyped-decorator]
    def update_trial(self, trial_id: str, metrics: Any, step: int = 0) -> Any:
        """Records the metrics of a trial.

        What a tuner's own methods report while it trains gives way to the metrics of `FINAL_STEP`.
        """
        if step == FINAL_STEP:
            trial = self.trials[trial_id]
            trial.metrics = type(trial.metrics)()
        return super().update_trial(trial_id, metrics, max(step, 0))

    def begin(self, points: Iterable[Point], grow: Callable[[], Iterable[Point]]) -> None:
        """Starts a search over `points`, all of which are open."""
        self.points, self.grow = list(points), grow
        self.ongoing_trials.clear()
        self._ended.clear()

    @keras_tuner.synchronized  # type: ignore[untyped-decorator]
    def adopt(self, scores: Scores, values: Mapping[str, Mapping[str, Any]]) -> None:
        """Replaces the finished trials by what the records hold; every other point is open again.

        A point without metrics has failed. `values` are hyperparameters beside those of the search, by trial.
        """
        self._values = values
        known = [*self.ongoing_trials.values(), *self._ended.values()]
        self.trials = {trial.trial_id: trial for trial in known}
        self.points = list(dict.fromkeys([*self.points, *scores]))
        for point, metrics in scores.items():
            trial = self._trial(point, _STATUS.COMPLETED if metrics else _STATUS.FAILED)
            self.trials[trial.trial_id] = trial
            if metrics:
                self.update_trial(trial.trial_id, dict(metrics))
                self.score_trial(trial)

    def score_trial(self, trial: Any) -> None:
        """Scores a trial; one without a finite value is the worst, not an error."""
        value = trial.metrics.get_best_value(self.objective.name)
        worst = math.inf if self.objective.direction == "min" else -math.inf
        trial.score = worst if value is None or math.isnan(value) else value
        trial.best_step = trial.metrics.get_best_step(self.objective.name) or 0

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Unused: `create_trial` hands out the points of the grid itself."""
        return {"status": _STATUS.STOPPED}

    def _next_point(self) -> Point | None:
        following = next((point for point in self.points if self.trial_id(point) not in self.trials), None)
        if following is None and not self.ongoing_trials:
            added = [point for point in self.grow() if point not in self.points]
            self.points.extend(added)
            following = next(iter(added), None)
        return following

    def _grid_values(self, point: Point) -> keras_tuner.HyperParameters:
        values = self.hyperparameters.copy()
        values.values[RATE] = point.learning_rate
        if self._with_batch_size:
            values.values[BATCH_SIZE] = point.batch_size
        return values

    def _trial(self, point: Point, status: str) -> Any:
        hyperparameters = self._grid_values(point)
        hyperparameters.values.update(self._values.get(self.trial_id(point), {}))
        return Trial(hyperparameters, trial_id=self.trial_id(point), status=status)
