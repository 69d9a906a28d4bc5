"""The one door to KerasTuner's private parts: its protocol, its trials, and what a tuner keeps to itself."""

from __future__ import annotations

from typing import Any

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
    "build_hypermodel",
    "configure_tensorboard",
    "is_worker",
    "local_oracle",
    "protos",
    "roles",
]


def is_worker(tuner: Any) -> bool:
    """Whether this process is a worker of KerasTuner's distributed mode."""
    return bool(tuner._is_worker())


def build_hypermodel(tuner: Any, values: Any) -> Any:
    """The compiled model of `values`, a `HyperParameters`, as the tuner builds it."""
    return tuner._build_hypermodel(values)


def configure_tensorboard(tuner: Any, callbacks: list[Any], trial: Trial, repeat: int) -> None:
    """Gives the `TensorBoard` callbacks of a run a folder of their own, and their HParams."""
    tuner._configure_tensorboard_dir(callbacks, trial, repeat)


def local_oracle(oracle: Any) -> Any:
    """The oracle itself, also where a worker asks that of the chief through a client."""
    return getattr(oracle, "_oracle", oracle)
