"""The only module that uses private parts of KerasTuner: its protocol, its trials, methods of tuners and oracles."""

from __future__ import annotations

from typing import Any

import keras_tuner
from keras_tuner.src import protos
from keras_tuner.src.distribute import utils as roles
from keras_tuner.src.distribute.oracle_chief import OracleServicer
from keras_tuner.src.engine.objective import MultiObjective
from keras_tuner.src.engine.trial import Trial, TrialStatus

__all__ = [
    "MultiObjective",
    "OracleServicer",
    "Trial",
    "TrialStatus",
    "UnsavedOracle",
    "build_hypermodel",
    "configure_tensorboard",
    "is_worker",
    "local_oracle",
    "protos",
    "roles",
]


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


def local_oracle(oracle: Any) -> Any:
    """The oracle of this process; in a worker, `tuner.oracle` is a client of the chief's that wraps it."""
    return getattr(oracle, "_oracle", oracle)
