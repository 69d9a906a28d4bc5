"""The engines that call `fit`, and so support callbacks, any data and any model: reuse and rebuild."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import tensorflow as tf

from keras_lr._keras.traced_state import hidden_state_of_steps
from keras_lr.errors import InvalidArgumentError
from keras_lr.search._engines.base import Engine, EngineName, HiddenStateError, dataset_of, weights_of
from keras_lr.search._fit_arguments import FitArguments
from keras_lr.search._model_factory import ModelFactory, ReusableModel, TunedHypermodel
from keras_lr.search._recorder import Recorder
from keras_lr.search._runs import Run, ordered_batches

_ARRAY_ARGUMENTS = ("y", "sample_weight", "class_weight", "batch_size", "shuffle")


class RecordEpochs(keras.callbacks.Callback):
    """Records each epoch of one run, and ends the run when the recorder says so."""

    def __init__(self, run: Run, recorder: Recorder) -> None:
        super().__init__()
        self._run = run
        self._recorder = recorder
        self.epochs = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Records the logs."""
        ended = self._recorder.record(self.epochs, {self._run: logs or {}}, lambda run: weights_of(self.model))
        self.epochs += 1
        if ended:
            self.model.stop_training = True


class FitEngine(Engine):
    """Trains each run by one call of `fit`.

    Args:
        factory: Builds the models.
        arguments: The arguments of the search.
        recorder: Records each epoch.
        hypermodel: Calls `fit`, and adapts the user's callbacks to a run.
    """

    def __init__(
        self, factory: ModelFactory, arguments: FitArguments, recorder: Recorder, hypermodel: TunedHypermodel
    ) -> None:
        super().__init__(factory, arguments, recorder)
        self.hypermodel = hypermodel

    def _fit_run(self, run: Run, model: keras.Model) -> None:
        keras.utils.set_random_seed(run.seed)
        recording = RecordEpochs(run, self.recorder)
        callbacks = [*self.hypermodel.prepare_callbacks(run, self._copied_callbacks()), recording]
        given = {**self._fit_arguments(run, recording), "callbacks": callbacks, "verbose": 0}
        result = self.hypermodel.fit(run, model, given)
        if result is None and not recording.epochs:
            raise InvalidArgumentError(
                "`fit` returned before a single epoch was recorded. Pass `callbacks` on to `model.fit` in the "
                "hypermodel's own `fit`, or return the objective, and remove any callback that stops the training at "
                "once."
            )
        if result is not None:
            if not recording.epochs:
                self.recorder.record_returned(run, result, lambda run: weights_of(model))
            self.recorder.returned(run, result)
        self.recorder.end(run, recording.epochs or len(result.epochs if result else ()))

    def _fit_arguments(self, run: Run, recording: RecordEpochs) -> dict[str, Any]:
        given = dict(self.arguments.given)
        if self.arguments.train is None:
            if isinstance(given.get("x"), tf.data.Dataset):
                given.update(x=dataset_of(run, given["x"]), shuffle=False)
            return given
        given["batch_size"] = run.batch_size
        given["validation_batch_size"] = self.arguments.validation_batch_size or run.batch_size
        # The hypermodel's own `fit` passes on the arrays that it was given.
        return given if self.hypermodel.has_own_fit else self._with_ordered_batches(given, run, recording)

    def _with_ordered_batches(self, given: dict[str, Any], run: Run, recording: RecordEpochs) -> dict[str, Any]:
        """`given` with batches in the order that all engines share instead of the training arrays.

        Without `steps_per_epoch`, the dataset holds one epoch. If it held them all and Keras counted the steps, an
        epoch would run on to a multiple of `steps_per_execution`.
        """
        arguments = self.arguments
        kept = {name: value for name, value in given.items() if name not in _ARRAY_ARGUMENTS}
        order: dict[str, Any] = {"seed": run.seed, "batch_size": run.batch_size, "shuffle": arguments.shuffle}
        steps = given.get("steps_per_epoch")
        if steps is None:
            batches = ordered_batches(arguments.train, **order, epochs=1, first_epoch=lambda: recording.epochs)
        else:
            passes = -(-steps * arguments.epochs * run.batch_size // arguments.size) + 1
            batches = ordered_batches(arguments.train, **order, epochs=passes)
        return {**kept, "x": batches, "shuffle": False}

    def _copied_callbacks(self) -> list[Any]:
        try:
            return copy.deepcopy(list(self.arguments.callbacks))
        except Exception as error:
            names = [type(callback).__name__ for callback in self.arguments.callbacks]
            raise InvalidArgumentError(
                f"`callbacks` must support `copy.deepcopy`, because each run trains with its own copies. Received: "
                f"{names}, and copying failed: {error}. Remove the callback that cannot be copied."
            ) from error


class ReuseEngine(FitEngine):
    """Trains one traced model for every run, and resets its state between runs."""

    name: ClassVar[EngineName] = "reuse"
    _reusable: ReusableModel | None = None

    def train(self, runs: Sequence[Run]) -> None:
        """Trains `runs` one by one."""
        for run in runs:
            state = self.factory.initial_state(run)
            if self._reusable is None:
                model = self.factory.any_model(run)
                if hidden := hidden_state_of_steps(model, self.arguments.first_batch(run.batch_size)):
                    raise HiddenStateError(f"its step {hidden}")
                self._reusable = ReusableModel(model)
            self._reusable.reset(state, run.learning_rate)
            self._fit_run(run, self._reusable.model)


class RebuildEngine(FitEngine):
    """Builds and traces a new model for each run."""

    name: ClassVar[EngineName] = "rebuild"

    def train(self, runs: Sequence[Run]) -> None:
        """Trains `runs` one by one."""
        for run in runs:
            self._fit_run(run, self.factory.model(run))
