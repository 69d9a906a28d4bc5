"""Training through `fit` itself, which honours callbacks, any data and any model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import keras
import tensorflow as tf

from keras_lr._keras.learning_rate import RateControl
from keras_lr._keras.tf_data import seeded_copy
from keras_lr.errors import InvalidArgumentError
from keras_lr.search._engines.base import Engine, EngineName, weights_of
from keras_lr.search._model_factory import load_state
from keras_lr.search._recorder import Recorder
from keras_lr.search._runs import Run, ordered_batches

Fit = Callable[[Run, keras.Model, dict[str, Any]], Any]
"""Calls `fit` with the arguments it is given by name."""
_OF_ARRAYS = ("y", "sample_weight", "class_weight", "batch_size", "shuffle")


class RecordEpochs(keras.callbacks.Callback):
    """Records each epoch of one run and ends it where the recorder says so."""

    def __init__(self, run: Run, recorder: Recorder) -> None:
        super().__init__()
        self._run = run
        self._recorder = recorder
        self.epochs = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Records what Keras logs."""
        ended = self._recorder.record(self.epochs, {self._run: logs or {}}, lambda run: weights_of(self.model))
        self.epochs += 1
        if ended:
            self.model.stop_training = True


class FitEngine(Engine):
    """Trains a run by one call of `fit`.

    Args:
        fit: Calls `fit`, the user's own where the hypermodel has one.
        decorate: Prepares copies of the user's callbacks for a run.
    """

    def __init__(
        self, *args: Any, fit: Fit, decorate: Callable[[Run, list[Any]], list[Any]] = lambda run, callbacks: callbacks
    ) -> None:
        super().__init__(*args)
        self._fit = fit
        self._decorate = decorate

    def _fit_run(self, run: Run, model: keras.Model) -> None:
        keras.utils.set_random_seed(run.seed)
        recording = RecordEpochs(run, self.recorder)
        callbacks = [*self._decorate(run, self._copied_callbacks()), recording]
        self._fit(run, model, {**self._fit_arguments(run, recording), "callbacks": callbacks, "verbose": 0})
        if not recording.epochs:
            raise InvalidArgumentError(
                "`fit` must finish at least one epoch and call `callbacks` at its end. Received: a run without one. "
                "Pass `callbacks` on to `model.fit` in the hypermodel's own `fit`, or leave out the callback that ends "
                "the training at once."
            )
        self.recorder.end(run, recording.epochs)

    def _fit_arguments(self, run: Run, recording: RecordEpochs) -> dict[str, Any]:
        given = dict(self.arguments.given)
        validation_batch_size = self.arguments.validation_batch_size or run.batch_size
        if self.arguments.train is None:
            if isinstance(given["x"], tf.data.Dataset):
                given.update(x=seeded_copy(given["x"], run.seed), shuffle=False)
            return given
        given["batch_size"], given["validation_batch_size"] = run.batch_size, validation_batch_size
        return given

    def _copied_callbacks(self) -> list[Any]:
        try:
            return copy.deepcopy(list(self.arguments.callbacks))
        except Exception as error:
            names = [type(callback).__name__ for callback in self.arguments.callbacks]
            raise InvalidArgumentError(
                f"`callbacks` must be deep-copyable, since each run needs its own. Received: {names}; {error}. Leave "
                f"out the one that is not."
            ) from error


class ReuseEngine(FitEngine):
    """Trains one traced model again and again, its state set back between runs."""

    name: ClassVar[EngineName] = "reuse"
    _model: keras.Model | None = None

    def train(self, runs: Sequence[Run]) -> None:
        """Trains `runs` one after the other."""
        for run in runs:
            self._prepare(run)
            self._fit_run(run, self._live)

    @property
    def _live(self) -> keras.Model:
        assert self._model is not None
        return self._model

    def _prepare(self, run: Run) -> None:
        state = self.factory.initial_state(run)
        if self._model is None:
            self._model = self.factory.any_model(run)
            self._rates = RateControl(self._model.optimizer)
            self._rates.engage()
            self._slots = [variable.numpy() for variable in self._model.optimizer.variables]
        load_state(self._live, state)
        for variable, value in zip(self._live.optimizer.variables, self._slots, strict=True):
            variable.assign(value)
        self._rates.assign(run.learning_rate)

    def _fit_arguments(self, run: Run, recording: RecordEpochs) -> dict[str, Any]:
        return _with_own_order(super()._fit_arguments(run, recording), run, self, recording)


class RebuildEngine(FitEngine):
    """Builds and traces a model for each run."""

    name: ClassVar[EngineName] = "rebuild"

    def __init__(self, *args: Any, own_fit: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._own_fit = own_fit

    def train(self, runs: Sequence[Run]) -> None:
        """Trains `runs` one after the other."""
        for run in runs:
            self._fit_run(run, self.factory.model(run))

    def _fit_arguments(self, run: Run, recording: RecordEpochs) -> dict[str, Any]:
        given = super()._fit_arguments(run, recording)
        return given if self._own_fit else _with_own_order(given, run, self, recording)


def _with_own_order(given: dict[str, Any], run: Run, engine: Engine, recording: RecordEpochs) -> dict[str, Any]:
    """The arguments with the training arrays replaced by batches in the search's own order.

    Without `steps_per_epoch`, an epoch is one pass: given the number of steps, Keras would go on to a multiple of
    `steps_per_execution`.
    """
    arguments = engine.arguments
    if arguments.train is None:
        return given
    kept = {name: value for name, value in given.items() if name not in _OF_ARRAYS}
    order: dict[str, Any] = {"seed": run.seed, "batch_size": run.batch_size, "shuffle": arguments.shuffle}
    steps = given.get("steps_per_epoch")
    if steps is None:
        batches = ordered_batches(arguments.train, **order, epochs=1, first_epoch=lambda: recording.epochs)
    else:
        passes = -(-steps * arguments.epochs * run.batch_size // arguments.size) + 1
        batches = ordered_batches(arguments.train, **order, epochs=passes)
    return {**kept, "x": batches, "shuffle": False}
