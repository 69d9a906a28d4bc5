"""What every engine has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import perf_counter
from typing import Any, ClassVar, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_lr._keras.tf_data import is_repeatable, seeded_copy
from keras_lr.errors import KerasLRError
from keras_lr.results._search_records import Run
from keras_lr.results._sensitivity import EngineName
from keras_lr.search._fit_arguments import FitArguments
from keras_lr.search._model_factory import ModelFactory
from keras_lr.search._recorder import Recorder
from keras_lr.search._runs import take

_TIMED_STEPS = 8
_LONG_STEP = 0.05
"""Seconds of a step beside which the overhead of a call does not matter."""


class EngineUnavailableError(KerasLRError, RuntimeError):
    """The engine cannot train the model; the message completes "not faster, because ..."."""


class HiddenStateError(EngineUnavailableError):
    """A model that is used for several runs would carry something from one to the next; a new one per run does not."""


class Cost(NamedTuple):
    """What an engine takes, as measured.

    Attributes:
        trace: Seconds until the first step has run.
        step: Seconds per step of a single run, validation included.
    """

    trace: float
    step: float


class Engine(ABC):
    """Trains runs and records their epochs.

    Args:
        factory: Builds the models.
        arguments: The arguments of the search.
        recorder: Records each epoch.

    Attributes:
        paused: What each paused run goes on from.
    """

    name: ClassVar[EngineName]
    takes_all: ClassVar[bool] = False
    """Whether `train` is faster for many runs in one call than for one after the other."""

    def __init__(self, factory: ModelFactory, arguments: FitArguments, recorder: Recorder) -> None:
        self.factory = factory
        self.arguments = arguments
        self.recorder = recorder
        self.paused: dict[Run, Any] = {}

    def forget(self, runs: Iterable[Run]) -> None:
        """Drops what is kept of paused runs that will not go on."""
        for run in runs:
            self.paused.pop(run, None)

    def checkpoints(self, runs: Iterable[Run]) -> dict[Run, Any]:
        """What those of `runs` that have paused go on from in another process; a run that is missing starts again."""
        return {}

    def prepare(self, runs: Sequence[Run]) -> None:  # noqa: B027
        """Does before the training what would hold it up later; called before the first of `runs` trains."""

    @abstractmethod
    def train(self, runs: Sequence[Run]) -> None:
        """Trains `runs`, and records each epoch.

        A run that has paused goes on from where it stopped. Any other one starts at its first epoch, also if some of
        its epochs are recorded already; it repeats them exactly.

        Raises:
            EngineUnavailableError: This engine cannot train the model; a slower one may.
        """

    def train_twin(self, run: Run, settles: Callable[[Mapping[str, Any]], bool]) -> None:
        """Trains `run` once more, from weights with their last bit changed, and records nothing.

        Args:
            run: A run that this engine can train.
            settles: Takes what Keras logs for each epoch, and returns True once the training can end.
        """
        raise NotImplementedError

    @property
    def has_twins(self) -> bool:
        """Whether `train_twin` trains as `train` does, with no effect beyond the model."""
        return False

    def measured(self, runs: Sequence[Run]) -> Cost:
        """What training `runs` takes, for the engines that are chosen by it; records nothing."""
        raise NotImplementedError


def seconds_per_step(steps: Callable[[int], Any]) -> float:
    """Seconds that `steps(n)` takes per step, without what it takes once per call where that matters."""
    once = _seconds(steps, 1)
    if once > _LONG_STEP:
        return once
    return max(_seconds(steps, 1 + _TIMED_STEPS) - once, 0.0) / _TIMED_STEPS


def _seconds(steps: Callable[[int], Any], count: int) -> float:
    began = perf_counter()
    steps(count)
    return perf_counter() - began


def training_dataset(run: Run, dataset: tf.data.Dataset) -> tf.data.Dataset:
    """What `run` trains on: each shuffle is seeded by the run, so that a repeat sees one order at every rate."""
    return seeded_copy(dataset, run.seed)


def validation_dataset(run: Run, dataset: tf.data.Dataset) -> tf.data.Dataset:
    """What `run` validates on: of a dataset that draws, each run reads a copy that begins from the same draws.

    The seeds that the user has given stay, so that the draws are those of a `fit` of one's own.
    """
    return dataset if is_repeatable(dataset) else seeded_copy(dataset, run.seed, keep_given=True)


def compiled_step(model: keras.Model, step: Callable[[Any], Any], data: Any) -> Any:
    """A step as `fit` compiles it, for batches of any size: a function of the indices of the samples in `data`."""
    return tf.function(
        lambda indices: step(take(data, indices)),
        input_signature=[tf.TensorSpec([None], tf.int32)],
        jit_compile=bool(model.jit_compile) or None,
        autograph=False,
    )


def weights_of(model: keras.Model) -> list[np.ndarray]:
    """Copies of the values of `model.weights`."""
    return [weight.numpy() for weight in model.weights]
