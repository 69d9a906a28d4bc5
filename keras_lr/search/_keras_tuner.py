"""The only module that uses private parts of KerasTuner: its trials, methods of tuners and oracles."""

from __future__ import annotations

import re
from typing import Any

import keras
import keras_tuner
from keras_tuner.errors import FatalError
from keras_tuner.src.distribute import utils as roles
from keras_tuner.src.engine.metrics_tracking import infer_metric_direction
from keras_tuner.src.engine.objective import MultiObjective
from keras_tuner.src.engine.trial import Trial, TrialStatus
from keras_tuner.src.engine.tuner_utils import TunerCallback

from keras_lr._keras.model import compile_arguments

__all__ = ["MultiObjective", "Trial", "TrialStatus", "TunerCallback", "roles"]  # for the rest of the package

NEVER_CALLED = {
    "_build_and_fit_model": "Override `run_trial`, or the `fit` of the hypermodel.",
    "_run_and_update_trial": "Override `run_trial`.",
    "_try_build": "Raise the error in the `build` of the hypermodel.",
    "_try_run_and_update_trial": "Override `run_trial`.",
    "get_state": "The search keeps its state in its records. Store yours in a file, as in `on_trial_end`.",
    "set_state": "The search reads its state from its records. Read yours from a file, as in `on_search_begin`.",
}
"""Methods of a `keras_tuner.Tuner` that a search has no use for, and what to do instead."""

_HIGHER_IS_BETTER = {
    *("cosine_similarity", "f1_score", "fbeta_score", "r2_score"),
    *("iou", "binary_io_u", "mean_io_u", "one_hot_io_u", "one_hot_mean_io_u"),
}
"""Metrics of which KerasTuner says that less is better, or nothing."""

_UNDECIDED = ("mean", "metric", "sum")
"""Metrics of Keras that may be of anything."""


class UnsavedOracle(keras_tuner.Oracle):
    """An oracle that keeps its trials in memory: it writes no file, and reads none."""

    def save(self) -> None:
        """Writes nothing: the records of the search hold everything."""

    def reload(self) -> None:
        """Reads nothing, since `save` writes nothing."""

    def _save_trial(self, trial: Any) -> None:
        """Writes no file for a trial that has changed."""


def is_worker(tuner: Any) -> bool:
    """Whether this process is a worker of KerasTuner's distributed mode."""
    return bool(tuner._is_worker())


def build_hypermodel(tuner: Any, values: Any) -> Any:
    """The compiled model that the tuner builds from `values`, a `HyperParameters`."""
    return tuner._build_hypermodel(values)


def configure_tensorboard(tuner: Any, callbacks: list[Any], trial: Trial, repeat: int) -> None:
    """Gives the `TensorBoard` callbacks of a run their own folder, and adds its hyperparameters to what they write."""
    tuner._configure_tensorboard_dir(callbacks, trial, repeat)


def direction_of(name: str) -> str | None:
    """ "min" or "max" for a value of this name, which may begin with the name of an output; None if it is unknown."""
    # Keras numbers the metrics of one name, as in "auc_1".
    words = re.sub(r"_\d+$", "", name.removeprefix("val_")).split("_")
    for start in range(len(words)):
        part = "_".join(words[start:])
        if part in _HIGHER_IS_BETTER:
            return "max"
        if part in _UNDECIDED:
            return None
        try:
            direction = infer_metric_direction(part)
        except Exception:
            # A metric that cannot be made without arguments, such as `MeanIoU`.
            direction = None
        if direction is not None:
            return str(direction)
    return None


class GridTuner(keras_tuner.Tuner):
    """A tuner whose `build` may fail at some of the rates, and that keeps what `compile` was given."""

    def _populate_initial_space(self) -> None:
        """Builds once to learn the hyperparameters, at the first rate at which that does not fail."""
        values = self.oracle.hyperparameters.values
        default = values["learning_rate"]
        first: Exception | None = None
        for rate in self._rates():
            values["learning_rate"] = rate
            try:
                super()._populate_initial_space()
                return
            except FatalError:
                raise
            except Exception as error:
                first = first or error
            finally:
                values["learning_rate"] = default
        assert first is not None
        raise first

    def _override_compile_args(self, model: keras.Model) -> None:
        """Compiles the model again with the tuner's `optimizer`, `loss` and `metrics`, and with the rest as it was.

        KerasTuner passes on Keras's own collection of the metrics as one metric, which trains only within `fit`.
        """
        given = compile_arguments(model)
        super()._override_compile_args(model)
        if given and (self.optimizer or self.loss or self.metrics):
            metrics = {"metrics": self.metrics} if self.metrics else {}
            with model.distribute_strategy.scope():
                model.compile(**{**given, "optimizer": model.optimizer, "loss": model.loss, **metrics})

    def _rates(self) -> list[float]:
        """The rates of the grid, the default first."""
        space = self.oracle.hyperparameters
        choices = (getattr(one, "values", ()) for one in space.space if one.name == "learning_rate")
        return list(dict.fromkeys([space.values["learning_rate"], *next(choices, ())]))
