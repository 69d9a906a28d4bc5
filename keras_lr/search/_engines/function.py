"""The function engine: one compiled function trains and validates an epoch; it is traced once for all runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from time import perf_counter
from typing import Any, ClassVar, NamedTuple
from weakref import WeakKeyDictionary

import keras
import numpy as np
import tensorflow as tf

from keras_lr._keras.model import logs_of
from keras_lr._keras.snapshot import RandomState, plain_variables, trainer_variables
from keras_lr._keras.tf_data import keeps_state, python_functions
from keras_lr._keras.traced_state import hidden_state
from keras_lr._utils.formatting import short_error_message
from keras_lr.results._search_records import Run
from keras_lr.results._sensitivity import EngineName
from keras_lr.search._engines.base import (
    Cost,
    Engine,
    EngineUnavailableError,
    HiddenStateError,
    compiled_step,
    dataset_of,
    seconds_per_step,
    weights_of,
)
from keras_lr.search._engines.twins import with_last_bit_changed
from keras_lr.search._fit_arguments import DEFAULT_BATCH_SIZE, FitArguments, sample_count
from keras_lr.search._model_factory import ModelState, ReusableModel
from keras_lr.search._runs import epoch_order

_NO_LIMIT = tf.int32.max


class _Paused(NamedTuple):
    """What a run goes on from: its next epoch, the state of its model, its data, and the random numbers to come.

    The steps on arrays draw no random numbers but those of the model's state, so that it suffices for another process.
    """

    epoch: int
    state: ModelState
    data: tf.data.Dataset | None = None
    random: RandomState | None = None


class FunctionEngine(Engine):
    """Trains runs one by one, with a single call into the graph per epoch.

    The steps are the model's own `train_step` and `test_step`, on batches that are gathered or read in the graph.
    """

    name: ClassVar[EngineName] = "function"
    _program: EpochProgram | None = None
    _has_trained = False

    def prepare(self, runs: Sequence[Run]) -> None:
        """Builds a model for each seed: each build sets seeds, after which TensorFlow prepares its functions again."""
        self.factory.prepare_states([run for run in runs if run not in self.paused])

    def train(self, runs: Sequence[Run]) -> None:
        """Trains `runs` one by one."""
        for run in runs:
            program, first, data = self._prepared(run)
            for epoch in range(first, self.recorder.epochs):
                logs = self._epoch(program, run, self._order(run, epoch) if data is None else data)
                if self.recorder.record(epoch, {run: logs}, program.weights):
                    break
            # Other runs will have read on by then.
            if self.recorder.pauses(run) and not self.arguments.readers.has_moved():
                self.paused[run] = _Paused(epoch + 1, program.state(), data, RandomState())

    def checkpoints(self, runs: Iterable[Run]) -> dict[Run, Any]:
        """What paused runs on arrays go on from; the position in a dataset cannot be sent."""
        paused = {run: self.paused[run] for run in runs if run in self.paused}
        return {run: one._replace(random=None) for run, one in paused.items() if one.data is None}

    def train_twin(self, run: Run, settles: Callable[[Mapping[str, Any]], bool]) -> None:
        """Trains `run` once more, from weights with their last bit changed."""
        assert self._program is not None
        self._program.reset([*map(with_last_bit_changed, self.factory.initial_state(run))], run.learning_rate)
        data = self._data_of(run)
        for epoch in range(self.recorder.epochs):
            if settles(self._epoch(self._program, run, self._order(run, epoch) if data is None else data)):
                break

    @property
    def has_twins(self) -> bool:
        """Whether it has trained."""
        return self._program is not None

    def measured(self, runs: Sequence[Run]) -> Cost:
        """What training takes; the traced program is kept, and the next run begins from its own state."""
        began = perf_counter()
        program, order = self._prepared(runs[0])[0], self._order(runs[0], 0)

        def steps(count: int) -> None:
            self._epoch(program, runs[0], order, most=count)

        steps(1)
        return Cost(perf_counter() - began, seconds_per_step(steps))

    def _prepared(self, run: Run) -> tuple[EpochProgram, int, tf.data.Dataset | None]:
        """The program in the state in which `run` goes on, the epoch with which it does, and the dataset it reads."""
        paused = self.paused.pop(run, None)
        state = () if paused else self.factory.initial_state(run)
        if self._program is None:
            try:
                program = EpochProgram(self.factory.any_model(run), self.arguments)
                hidden = program.trace()
            except Exception as error:
                raise EngineUnavailableError(
                    f"its step cannot be traced into one function ({short_error_message(error)})"
                ) from error
            if hidden:
                raise HiddenStateError(f"its step {hidden}")
            self._program = program
        if paused:
            self._program.restore(paused.state, run.learning_rate)
            if paused.random is not None:
                paused.random.restore()
            return self._program, paused.epoch, paused.data
        self._program.reset(state, run.learning_rate)
        return self._program, 0, self._data_of(run)

    def _data_of(self, run: Run) -> tf.data.Dataset | None:
        if self.arguments.train is not None:
            return None
        self.arguments.readers.rewind()
        return dataset_of(run, self.arguments.given["x"], set_seeds=self._reads_by_python)

    @cached_property
    def _reads_by_python(self) -> bool:
        """Whether a pipeline calls Python code, which may draw from the random states of the process."""
        given = (self.arguments.given.get(name) for name in ("x", "validation_data"))
        pipelines = (data for data in given if isinstance(data, tf.data.Dataset))
        return any(True for pipeline in pipelines for _ in python_functions(pipeline))

    def _order(self, run: Run, epoch: int) -> Any:
        return tf.constant(epoch_order(run.seed, epoch, self.arguments.size, shuffle=self.arguments.shuffle))

    def _epoch(self, program: EpochProgram, run: Run, data: Any, most: int | None = None) -> dict[str, Any]:
        try:
            logs = program.epoch(data, run.batch_size, most)
        except Exception as error:
            if self._has_trained:
                raise
            raise EngineUnavailableError(
                f"its step fails inside one function ({short_error_message(error)})"
            ) from error
        self._has_trained = True
        return logs


class EpochProgram:
    """An epoch of a model as one function, of the order of its samples or of an iterator over its batches.

    Args:
        model: A compiled model, built with its optimizer.
        arguments: The arguments of the search; arrays are held as tensors.
    """

    def __init__(self, model: keras.Model, arguments: FitArguments) -> None:
        self.model = model
        self._arguments = arguments
        self._reusable = ReusableModel(model)
        self._train = _pass(model, model.train_step, arguments.train, arguments.given.get("x"))
        self._test = None
        if arguments.validates:
            self._test = _pass(model, model.test_step, arguments.validation, arguments.given.get("validation_data"))

    def trace(self) -> str:
        """Traces the functions without training, so that a step that cannot be traced fails here.

        Returns:
            State that a step changes and `reset` does not, as `hidden_state` words it.
        """
        traced = [one.trace() for one in (self._train, self._test) if one is not None]
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

    def epoch(self, data: Any, batch_size: int, most: int | None = None) -> dict[str, Any]:
        """Trains and validates an epoch, and returns what Keras would log.

        Args:
            data: The order of the samples, or a dataset.
            batch_size: Samples per batch of arrays.
            most: Limit on the steps of training and of validation on arrays; None for no limit.
        """
        model = self.model
        model.reset_metrics()
        logs = logs_of(model, self._train(data, batch_size, most))
        if self._test is not None:
            model.reset_metrics()
            # `fit` divides arrays beside a dataset into batches of its own default size.
            size = DEFAULT_BATCH_SIZE if self._arguments.train is None else batch_size
            tested = logs_of(model, self._test(None, self._arguments.validation_batch_size or size, most))
            logs.update({f"val_{name}": value for name, value in tested.items()})
        return logs

    def weights(self, run: Run) -> list[np.ndarray]:
        """Present values of `model.weights`, which are those of the run in training."""
        return weights_of(self.model)


def _pass(model: keras.Model, step: Callable[[Any], Any], arrays: Any, dataset: Any) -> ArrayPass | DatasetPass:
    return DatasetPass(model, step, dataset) if arrays is None else ArrayPass(model, step, arrays)


class ArrayPass:
    """Runs a step on each batch of arrays; returns the logs of the last step."""

    def __init__(self, model: keras.Model, step: Callable[[Any], Any], arrays: Any) -> None:
        self._step = compiled_step(model, step, arrays)
        self._all = tf.range(sample_count(arrays))
        signature = [tf.TensorSpec([None], tf.int32), tf.TensorSpec([], tf.int32)]
        self._run = tf.function(self._over_batches, input_signature=signature, autograph=False)

    def trace(self) -> Any:
        """The traced function."""
        return self._run.get_concrete_function()

    def __call__(self, order: Any, batch_size: int, most: int | None) -> Any:
        order = self._all if order is None else order
        return self._run(order if most is None else order[: most * batch_size], tf.constant(batch_size))

    def _over_batches(self, order: Any, batch_size: Any) -> Any:
        size = tf.shape(order)[0]

        def body(start: Any, _: Any) -> tuple[Any, Any]:
            return start + batch_size, self._step(order[start : tf.minimum(start + batch_size, size)])

        start = (tf.constant(0), _empty_logs(self._step.get_concrete_function()))
        return tf.while_loop(lambda start, logs: start < size, body, start, parallel_iterations=1)[1]


class DatasetPass:
    """Runs a step on each batch that a dataset yields; returns the logs of the last step.

    It leaves the state that `fit` leaves. Once `fit` has trained the number of batches that it knows, it opens another
    iterator, which a shuffle counts although nothing is read from it. Of a dataset that does not know its number of
    batches, `fit` takes the first epoch until a step finds no batch. That step fails, but not before what needs no
    batch has run, such as the count of the optimizer's iterations. From then on an epoch has at most as many steps,
    the failed one included.
    """

    def __init__(self, model: keras.Model, step: Callable[[Any], Any], dataset: tf.data.Dataset) -> None:
        self._step = tf.function(step, jit_compile=bool(model.jit_compile) or None, autograph=False)
        self._dataset = dataset
        self._run = tf.function(self._over_batches, autograph=False)
        self._one_more = tf.function(lambda iterator: self._step(iterator.get_next()), autograph=False)
        self._knows_length = dataset.cardinality() >= 0
        self._keeps_state = keeps_state(dataset)
        self._steps_per_call = model.steps_per_execution
        self._limits: WeakKeyDictionary[tf.data.Dataset, int] = WeakKeyDictionary()

    def trace(self) -> Any:
        """The traced function."""
        iterator = tf.data.IteratorSpec(self._dataset.element_spec)
        return self._run.get_concrete_function(iterator, tf.TensorSpec([], tf.int32))

    def __call__(self, dataset: tf.data.Dataset | None, batch_size: int, most: int | None) -> Any:
        iterator = iter(self._dataset if dataset is None else dataset)
        limit = _NO_LIMIT if dataset is None else self._limits.get(dataset, _NO_LIMIT)
        steps, logs = self._run(iterator, tf.constant(limit))
        calls = -(-int(steps) // self._steps_per_call)
        is_complete = self._knows_length or calls * self._steps_per_call >= limit
        if not is_complete and self._steps_per_call == 1:
            with suppress(tf.errors.OutOfRangeError):
                self._one_more(iterator)
        if is_complete and (dataset is not None or self._keeps_state):
            iter(self._dataset if dataset is None else dataset)
        elif dataset is not None:
            self._limits.setdefault(dataset, (calls + 1) * self._steps_per_call)
        return logs

    def _over_batches(self, iterator: Any, limit: Any) -> Any:
        def following(steps: Any) -> Any:
            if self._knows_length:
                return iterator.get_next_as_optional()
            nothing = tf.experimental.Optional.empty(self._dataset.element_spec)
            return tf.cond(steps < limit, iterator.get_next_as_optional, lambda: nothing)

        def body(steps: Any, batch: Any, _: Any) -> tuple[Any, Any, Any]:
            logs = self._step(batch.get_value())
            return steps + 1, following(steps + 1), logs

        start = (
            tf.constant(0),
            iterator.get_next_as_optional(),
            _empty_logs(self._step.get_concrete_function(self._dataset.element_spec)),
        )
        steps, _, logs = tf.while_loop(lambda steps, batch, logs: batch.has_value(), body, start, parallel_iterations=1)
        return steps, logs


def _empty_logs(step: Any) -> Any:
    """Zeros as a traced step's logs."""
    return keras.tree.map_structure(lambda part: tf.zeros(part.shape, part.dtype), step.structured_outputs)
