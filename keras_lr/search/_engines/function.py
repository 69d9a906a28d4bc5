"""The function engine: one compiled function trains and validates an epoch; it is traced once for all runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from keras_lr._keras.model import logs_of
from keras_lr._keras.snapshot import plain_variables, trainer_variables
from keras_lr._keras.traced_state import hidden_state
from keras_lr._utils.formatting import short_error_message
from keras_lr.search._engines.base import (
    Engine,
    EngineName,
    EngineUnavailableError,
    HiddenStateError,
    compiled_step,
    weights_of,
)
from keras_lr.search._fit_arguments import FitArguments
from keras_lr.search._model_factory import ModelState, ReusableModel
from keras_lr.search._runs import Run, epoch_order


class FunctionEngine(Engine):
    """Trains runs one by one, with a single call into the graph per epoch.

    The steps are the model's own `train_step` and `test_step`, on batches gathered in the graph.
    """

    name: ClassVar[EngineName] = "function"
    _program: EpochProgram | None = None
    _has_trained = False

    def train(self, runs: Sequence[Run]) -> None:
        """Trains `runs` one by one."""
        for run in runs:
            program, first = self._prepared(run)
            for epoch in range(first, self.recorder.epochs):
                logs = self._epoch(program, run, epoch)
                if self.recorder.record(epoch, {run: logs}, program.weights):
                    break
            if self.recorder.pauses(run):
                self.paused[run] = (epoch + 1, program.state())

    def _prepared(self, run: Run) -> tuple[EpochProgram, int]:
        """The program in the state in which `run` goes on, and the epoch with which it does."""
        if run in self.paused and self._program is not None:
            epoch, paused = self.paused.pop(run)
            self._program.restore(paused, run.learning_rate)
            return self._program, epoch
        state = self.factory.initial_state(run)
        if self._program is None:
            try:
                program = EpochProgram(self.factory.any_model(run), self.arguments)
                hidden = program.trace(run.batch_size)
            except Exception as error:
                raise EngineUnavailableError(
                    f"its step cannot be traced into one function ({short_error_message(error)})"
                ) from error
            if hidden:
                raise HiddenStateError(f"its step {hidden}")
            self._program = program
        self._program.reset(state, run.learning_rate)
        return self._program, 0

    def _epoch(self, program: EpochProgram, run: Run, epoch: int) -> dict[str, Any]:
        order = epoch_order(run.seed, epoch, self.arguments.size, shuffle=self.arguments.shuffle)
        try:
            logs = program.epoch(order, run.batch_size)
        except Exception as error:
            if self._has_trained:
                raise
            raise EngineUnavailableError(
                f"its step fails inside one function ({short_error_message(error)})"
            ) from error
        self._has_trained = True
        return logs


class EpochProgram:
    """An epoch of a model as one function of the order of its samples.

    Args:
        model: A compiled model, built with its optimizer.
        arguments: The arguments of the search, with the data as tensors.
    """

    def __init__(self, model: keras.Model, arguments: FitArguments) -> None:
        self.model = model
        self._arguments = arguments
        self._reusable = ReusableModel(model)
        self._train_step = compiled_step(model, model.train_step, arguments.train)
        self._train = tf.function(self._train_pass, autograph=False)
        self._test = None
        if arguments.validates:
            self._test_step = compiled_step(model, model.test_step, arguments.validation)
            self._test = tf.function(self._test_pass, autograph=False)

    def trace(self, batch_size: int) -> str:
        """Traces the functions without training, so that a step that cannot be traced fails here.

        Returns:
            State that a step changes and `reset` does not, as `hidden_state` words it.
        """
        size = tf.constant(batch_size)
        traced = [self._train.get_concrete_function(tf.range(self._arguments.size), size)]
        if self._test is not None:
            traced.append(self._test.get_concrete_function(size))
        known = [*trainer_variables(self.model), *plain_variables(self.model)]
        return next(filter(None, (hidden_state(function, known) for function in traced)), "")

    def reset(self, state: Sequence[np.ndarray], learning_rate: float) -> None:
        """Sets the model to `state` and a learning rate, and the optimizer to its initial state."""
        self._reusable.reset(state, learning_rate)

    def state(self) -> ModelState:
        """All that `restore` needs to go on from here."""
        return self._reusable.state()

    def restore(self, state: ModelState, learning_rate: float) -> None:
        """Sets the model and its optimizer to what `state` returned."""
        self._reusable.restore(state, learning_rate)

    def epoch(self, order: np.ndarray, batch_size: int) -> dict[str, Any]:
        """Trains and validates an epoch, and returns what Keras would log."""
        model = self.model
        model.reset_metrics()
        logs = logs_of(model, self._train(tf.constant(order), tf.constant(batch_size)))
        if self._test is not None:
            model.reset_metrics()
            size = self._arguments.validation_batch_size or batch_size
            tested = logs_of(model, self._test(tf.constant(size)))
            logs.update({f"val_{name}": value for name, value in tested.items()})
        return logs

    def weights(self, run: Run) -> list[np.ndarray]:
        """Present values of `model.weights`, which are those of the run in training."""
        return weights_of(self.model)

    def _train_pass(self, order: Any, batch_size: Any) -> Any:
        return _over_batches(self._train_step, order, batch_size)

    def _test_pass(self, batch_size: Any) -> Any:
        size = keras.tree.flatten(self._arguments.validation)[0].shape[0]
        return _over_batches(self._test_step, tf.range(size), batch_size)


def _over_batches(step: Any, order: Any, batch_size: Any) -> Any:
    """Runs `step` on each batch of indices, and returns the logs of the last one."""
    empty = keras.tree.map_structure(
        lambda part: tf.zeros(part.shape, part.dtype), step.get_concrete_function().structured_outputs
    )
    size = tf.shape(order)[0]

    def body(start: Any, _: Any) -> tuple[Any, Any]:
        return start + batch_size, step(order[start : tf.minimum(start + batch_size, size)])

    return tf.while_loop(lambda start, logs: start < size, body, (tf.constant(0), empty), parallel_iterations=1)[1]
