"""Which points of the grid are open, given out and done."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras_tuner
from keras_tuner.src.engine import trial as trial_module

from keras_lr.errors import InvalidArgumentError
from keras_lr.search.runs import Point

RATE, BATCH_SIZE = "learning_rate", "batch_size"
_STATUS = trial_module.TrialStatus
_ANY_NUMBER = 1 << 31


class LogGridOracle(keras_tuner.Oracle):
    """Gives out the points of a grid, one a trial, each once.

    What is done is read from the records of the search, never from files of KerasTuner's own, so that a kill at any
    moment leaves nothing to repair.

    Args:
        objective: As in KerasTuner.
        points: The grid.
        with_batch_size: Whether the batch size is a hyperparameter of the search.
        hyperparameters: As in KerasTuner; they keep their defaults or fixed values.
        grow: Called once every point is done; returns the points to add, none where the search is over.
    """

    def __init__(
        self,
        objective: Any,
        points: Iterable[Point],
        *,
        with_batch_size: bool,
        hyperparameters: keras_tuner.HyperParameters | None = None,
        grow: Callable[[], Iterable[Point]] = tuple,
    ) -> None:
        super().__init__(
            objective=objective,
            hyperparameters=hyperparameters,
            max_consecutive_failed_trials=_ANY_NUMBER,
            seed=1,
        )
        if isinstance(self.objective, (keras_tuner.src.engine.objective.MultiObjective, type(None))):
            raise InvalidArgumentError(
                f"`objective` must be one value to judge by. Received: {objective!r}. Give for example 'val_loss'."
            )
        self.points = list(points)
        self.grow = grow
        self._with_batch_size = with_batch_size
        self.verbose = 0

    def trial_id(self, point: Point) -> str:
        """The name of a point's trial, the same in every process."""
        name = f"lr{point.learning_rate:g}" if _exact(point.learning_rate) else f"lr{point.learning_rate!r}"
        return f"{name}-b{point.batch_size}" if self._with_batch_size else name

    def point(self, trial: Any) -> Point:
        """The point of a trial."""
        return next(point for point in self.points if self.trial_id(point) == trial.trial_id)

    @keras_tuner.synchronized  # type: ignore[untyped-decorator]
    def create_trial(self, tuner_id: str) -> Any:
        """The next open point as a running trial; "STOPPED" where none is left, "IDLE" where one may yet come."""
        if tuner_id in self.ongoing_trials:
            return self.ongoing_trials[tuner_id]
        point = self._next_point()
        if point is None:
            self.tuner_ids.discard(tuner_id)
            status = _STATUS.IDLE if self.ongoing_trials else _STATUS.STOPPED
            return trial_module.Trial(self.hyperparameters.copy(), trial_id="none", status=status)
        trial = self._trial(point, _STATUS.RUNNING)
        self.tuner_ids.add(tuner_id)
        self.ongoing_trials[tuner_id] = trial
        self.trials[trial.trial_id] = trial
        self.start_order.append(trial.trial_id)
        return trial

    @keras_tuner.synchronized  # type: ignore[untyped-decorator]
    def end_trial(self, trial: Any) -> None:
        """Takes in a finished trial."""
        tuner_ids = [name for name, ongoing in self.ongoing_trials.items() if ongoing.trial_id == trial.trial_id]
        super().end_trial(trial)
        for name in tuner_ids:
            self.tuner_ids.discard(name)

    @keras_tuner.synchronized  # type: ignore[untyped-decorator]
    def adopt(self, scores: Mapping[Point, Mapping[str, float]]) -> None:
        """Takes in what the records hold: the metrics of each complete point; every other point is open again."""
        self.trials = {trial.trial_id: trial for trial in self.ongoing_trials.values()}
        for point, metrics in scores.items():
            if point not in self.points:
                self.points.append(point)
            trial = self._trial(point, _STATUS.COMPLETED)
            self.trials[trial.trial_id] = trial
            self.update_trial(trial.trial_id, dict(metrics))
            self.score_trial(trial)

    def score_trial(self, trial: Any) -> None:
        """A point without a finite value is the worst, never an error."""
        value = trial.metrics.get_best_value(self.objective.name)
        worst = math.inf if self.objective.direction == "min" else -math.inf
        trial.score = worst if value is None or math.isnan(value) else value
        trial.best_step = trial.metrics.get_best_step(self.objective.name) or 0

    def populate_space(self, trial_id: str) -> dict[str, Any]:
        """Unused: `create_trial` gives out the grid's points itself."""
        return {"status": _STATUS.STOPPED}

    def save(self) -> None:
        """Writes nothing: the records of the search hold everything."""

    def reload(self) -> None:
        """Reads nothing, as `save` writes nothing."""

    def _save_trial(self, trial: Any) -> None:
        """Writes nothing, as `save`."""

    def _next_point(self) -> Point | None:
        open_points = [point for point in self.points if self.trial_id(point) not in self.trials]
        if not open_points and not self.ongoing_trials:
            open_points = [point for point in self.grow() if point not in self.points]
            self.points.extend(open_points)
        return open_points[0] if open_points else None

    def _trial(self, point: Point, status: str) -> Any:
        hyperparameters = self.hyperparameters.copy()
        hyperparameters.values[RATE] = point.learning_rate
        if self._with_batch_size:
            hyperparameters.values[BATCH_SIZE] = point.batch_size
        return trial_module.Trial(hyperparameters, trial_id=self.trial_id(point), status=status)


def _exact(rate: float) -> bool:
    return float(f"{rate:g}") == rate
