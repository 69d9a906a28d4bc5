"""The function engine: one compiled function trains and validates an epoch; it is traced once for all runs.

Steps of a small model seldom keep all processor cores busy. So several runs train side by side: the one function runs
in as many threads, in each on variables of its own. The numbers are the same to the bit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, partial
from time import perf_counter
from typing import Any, ClassVar, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_lr._keras.model import logs_of
from keras_lr._keras.snapshot import RandomState, plain_variables, trainer_variables
from keras_lr._keras.tf_data import (
    EpochReader,
    HeldEpochs,
    is_repeatable,
    is_self_contained,
    python_functions,
    seeded_copy,
)
from keras_lr._keras.traced_state import (
    VariableCopies,
    bytes_of_variables,
    hidden_state,
    peak_bytes,
    variables_used_by,
    watched_trace,
)
from keras_lr._utils.formatting import short_error_message
from keras_lr.devices import operation_threads
from keras_lr.errors import ModelError
from keras_lr.range_test._data_checks import recompile_error
from keras_lr.results._search_records import Run
from keras_lr.results._sensitivity import EngineName
from keras_lr.search._engines.base import (
    Cost,
    Engine,
    EngineUnavailableError,
    HiddenStateError,
    compiled_step,
    seconds_per_step,
    training_dataset,
    validation_dataset,
    weights_of,
)
from keras_lr.search._engines.twins import with_last_bit_changed
from keras_lr.search._fit_arguments import DEFAULT_BATCH_SIZE, FitArguments, sample_count
from keras_lr.search._model_factory import ReusableModel, RunState
from keras_lr.search._runs import epoch_order

_NO_LIMIT = tf.int32.max
_MOST_SIDE_BY_SIDE = 8
_MAX_MORE_BYTES = 1 << 30
"""Limit on the memory that runs side by side may take beyond one run."""
_MAX_HELD_BYTES = 1 << 29
"""Limit on the memory for the batches of a dataset that all runs read."""


class _Paused(NamedTuple):
    """What a run goes on from: its next epoch, the state of its model, its data, and the random numbers to come.

    The steps on arrays draw no random numbers but those of the model's state, so that it suffices for another process.
    """

    epoch: int
    state: RunState
    readers: Mapping[str, EpochReader] | None = None
    random: RandomState | None = None


@dataclass
class Part:
    """A run in training.

    Attributes:
        run: The run.
        epoch: Its next epoch.
        readers: Read what is a dataset and no array, by the prefix of the logs.
        copies: The variables that it trains; None for those of the model.
        has_ended: Whether it has ended or paused.
    """

    run: Run
    epoch: int
    readers: Mapping[str, EpochReader]
    copies: VariableCopies | None
    has_ended: bool = False

    def load(self, variables: Iterable[Any] | None = None) -> None:
        """Assigns its values of these variables, or of all, to those of the model."""
        if self.copies is not None:
            self.copies.load(variables)

    def store(self, variables: Iterable[Any] | None = None) -> None:
        """Takes over the model's values of these variables, or of all."""
        if self.copies is not None:
            self.copies.store(variables)


class FunctionEngine(Engine):
    """Trains runs with a single call into the graph per epoch, several runs side by side where that is faster.

    The steps are the model's own `train_step` and `test_step`, on batches that are gathered or read in the graph.
    """

    name: ClassVar[EngineName] = "function"
    takes_all: ClassVar[bool] = True
    _program: EpochProgram | None = None
    _has_trained = False

    def __init__(self, *common: Any) -> None:
        super().__init__(*common)
        self._copies: list[VariableCopies] = []

    def prepare(self, runs: Sequence[Run]) -> None:
        """Builds a model for each seed: each build sets seeds, after which TensorFlow prepares its functions again."""
        self.factory.prepare_states([run for run in runs if run not in self.paused])

    def train(self, runs: Sequence[Run]) -> None:
        """Trains `runs`; each begins as soon as there is a place for it."""
        waiting, going = deque(runs), list[Part]()
        program = self._program_of(runs[0])
        free = self._places(program, runs)
        while waiting or going:
            while waiting and free:
                # Another run may have pruned this one.
                if not self.recorder.complete(run := waiting.popleft()):
                    going.append(self._begun(run, free.pop()))
            if not going:
                break
            for part, logs in zip(going, self._epochs(going), strict=True):
                part.epoch += 1
                if not self.recorder.record(part.epoch - 1, {part.run: logs}, partial(program.weights, part)):
                    continue
                # Other runs will have read on by then.
                if self.recorder.pauses(part.run) and not self.arguments.readers.has_moved():
                    self.paused[part.run] = _Paused(part.epoch, program.state(part), part.readers, RandomState())
                free.append(part.copies)
                part.has_ended = True
            going = [part for part in going if not part.has_ended]

    def checkpoints(self, runs: Iterable[Run]) -> dict[Run, Any]:
        """What paused runs on arrays go on from; the position in a dataset cannot be sent."""
        if not all(prefix and data.repeats for prefix, data in self._datasets.items()):
            return {}
        return {run: self.paused[run]._replace(readers=None, random=None) for run in runs if run in self.paused}

    def train_twin(self, run: Run, settles: Callable[[Mapping[str, Any]], bool]) -> None:
        """Trains `run` once more, from weights with their last bit changed."""
        assert self._program is not None
        self._program.reset([*map(with_last_bit_changed, self.factory.initial_state(run))], run.learning_rate)
        part = Part(run, 0, self._readers_of(run), None)
        for part.epoch in range(self.recorder.epochs):
            if settles(self._epochs([part])[0]):
                break

    @property
    def has_twins(self) -> bool:
        """Whether it has trained."""
        return self._program is not None

    def measured(self, runs: Sequence[Run]) -> Cost:
        """What training takes; the traced program is kept, and the next run begins from its own state."""
        began = perf_counter()
        program = self._program_of(runs[0])
        parts = [self._begun(runs[0], copies) for copies in self._places(program, runs)]

        def steps(count: int) -> None:
            self._epochs(parts, most=count)

        steps(1)
        return Cost(perf_counter() - began, seconds_per_step(steps) / len(parts))

    def _program_of(self, run: Run) -> EpochProgram:
        """The program, which the first call traces."""
        if self._program is None:
            if run not in self.paused:
                # A model that cannot be built is no fault of the engine.
                self.factory.initial_state(run)
            try:
                program = EpochProgram(self.factory.any_model(run), self.arguments)
                hidden = program.trace()
            except Exception as error:
                if (sentence := recompile_error(error)) is not None:
                    raise ModelError(sentence) from error
                raise EngineUnavailableError(
                    f"its step cannot be traced into one function ({short_error_message(error)})"
                ) from error
            if hidden:
                raise HiddenStateError(f"its step {hidden}")
            self._program = program
        return self._program

    def _places(self, program: EpochProgram, runs: Sequence[Run]) -> list[VariableCopies | None]:
        """What the runs that train side by side train, one entry each; the model itself if it is one at a time."""
        if len(runs) < 2 or self.recorder.prunes or not all(data.is_alone for data in self._datasets.values()):
            return [None]
        most = program.most_side_by_side(max(run.batch_size for run in runs))
        count = min(len(runs), operation_threads(), most, _MOST_SIDE_BY_SIDE)
        while len(self._copies) < count > 1:
            self._copies.append(program.copies())
        return [*self._copies[:count]] if count > 1 else [None]

    def _begun(self, run: Run, copies: VariableCopies | None) -> Part:
        """`run`, with its variables in the state in which it starts or goes on."""
        assert self._program is not None
        paused = self.paused.pop(run, None)
        if paused is None:
            self._program.reset(self.factory.initial_state(run), run.learning_rate)
            part = Part(run, 0, self._readers_of(run), copies)
        else:
            self._program.restore(paused.state, run.learning_rate)
            if paused.random is not None:
                paused.random.restore()
            part = Part(run, paused.epoch, paused.readers or self._readers_of(run), copies)
        part.store()
        return part

    @cached_property
    def _datasets(self) -> dict[str, SharedDataset]:
        """What is a dataset and no array, by the prefix of the logs."""
        given, epochs = self.arguments.given, self.recorder.epochs
        found = {}
        if self.arguments.train is None:
            found[""] = SharedDataset(given["x"], epochs)
        if self.arguments.validates and self.arguments.validation is None:
            found["val_"] = SharedDataset(given["validation_data"], epochs, validates=True)
        return found

    def _readers_of(self, run: Run) -> dict[str, EpochReader]:
        """Readers of the data that `run` begins with."""
        assert self._program is not None
        steps_per_call = self._program.model.steps_per_execution
        if not all(data.is_alone for data in self._datasets.values()):
            self.arguments.readers.rewind()
        if any(data.runs_python for data in self._datasets.values()):
            keras.utils.set_random_seed(run.seed)
        return {prefix: data.reader(run, steps_per_call) for prefix, data in self._datasets.items()}

    def _data_of(self, part: Part) -> dict[str, Any]:
        """What the next epoch of a part reads: the order of the samples, readers, and None for validation arrays."""
        for reader in part.readers.values():
            reader.begin(part.epoch)
        data: dict[str, Any] = {"val_": None, **part.readers}
        if self.arguments.train is not None:
            order = epoch_order(part.run.seed, part.epoch, self.arguments.size, shuffle=self.arguments.shuffle)
            data[""] = tf.constant(order)
        return data

    def _epochs(self, parts: Sequence[Part], most: int | None = None) -> list[dict[str, Any]]:
        """Trains and validates an epoch of each part."""
        assert self._program is not None
        try:
            data = [self._data_of(part) for part in parts]
            logs = self._program.epochs(parts, data, most)
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
        self._variables = [*trainer_variables(model), *plain_variables(model)]
        self._is_prepared = False
        self._passes: dict[str, ArrayPass | DatasetPass] = {}
        if arguments.train is None:
            self._passes[""] = DatasetPass(model, model.train_step, arguments.given["x"])
        else:
            self._passes[""] = ArrayPass(model, model.train_step, arguments.train)
        if arguments.validates and arguments.validation is None:
            self._passes["val_"] = DatasetPass(model, model.test_step, arguments.given["validation_data"])
        elif arguments.validates:
            self._passes["val_"] = ArrayPass(model, model.test_step, arguments.validation)

    def trace(self) -> str:
        """Traces the functions without training, so that a step that cannot be traced fails here.

        Returns:
            State that a step changes and `reset` does not, as `hidden_state` words it.
        """
        for one in self._passes.values():
            with watched_trace(self.model) as while_traced:
                traced = one.trace()
            if found := while_traced() or hidden_state(traced, self._variables):
                return found
        return ""

    def reset(self, state: Sequence[np.ndarray], learning_rate: float) -> None:
        """Sets the model to `state` and a learning rate, and the optimizer to its initial state."""
        self._reusable.reset(state, learning_rate)

    def state(self, part: Part) -> RunState:
        """All that `restore` needs to go on with `part` from here."""
        part.load()
        return self._reusable.state()

    def restore(self, state: RunState, learning_rate: float) -> None:
        """Sets the model and its optimizer to what `state` returned."""
        self._reusable.restore(state, learning_rate)

    def copies(self) -> VariableCopies:
        """Variables for one more part to train."""
        return VariableCopies(self._copied)

    def most_side_by_side(self, batch_size: int) -> int:
        """How many parts may train at once: one on a GPU, which a single part keeps busy, else what memory allows."""
        if self.model.jit_compile or tf.config.list_logical_devices("GPU"):
            return 1
        try:
            copied = self._copied
        except Exception:
            # Its metrics cannot be traced, so that nothing tells what they read.
            return 1
        each = bytes_of_variables(copied) + self._passes[""].bytes_per_step(batch_size)
        return 1 + _MAX_MORE_BYTES // max(each, 1)

    def epochs(
        self, parts: Sequence[Part], data: Sequence[Mapping[str, Any]], most: int | None = None
    ) -> list[dict[str, Any]]:
        """Trains and validates an epoch of each part, side by side, and returns what Keras would log of each.

        Args:
            parts: What trains.
            data: For each part what it reads, by the prefix of the logs.
            most: Limit on the steps of training and of validation on arrays; None for no limit.
        """
        logs: list[dict[str, Any]] = [{} for _ in parts]
        if len(parts) > 1 and not self._is_prepared:
            for one in self._passes.values():
                one.prepare()
            self._is_prepared = True
        for prefix, one in self._passes.items():
            for part in parts:
                # A metric may keep some of its state.
                part.load(self._metric_variables)
                self.model.reset_metrics()
                part.store(self._metric_variables)
            calls = [
                partial(one, read[prefix], self._size(part, prefix), most, part.copies)
                for part, read in zip(parts, data, strict=True)
            ]
            for part, found, result in zip(parts, logs, _side_by_side(calls), strict=True):
                part.load(self._metric_variables)
                found.update({f"{prefix}{name}": value for name, value in logs_of(self.model, result).items()})
        return logs

    def weights(self, part: Part, run: Run) -> list[np.ndarray]:
        """Present values of `model.weights` of a part, which are those of `run`."""
        part.load(self.model.weights)
        return weights_of(self.model)

    @cached_property
    def _copied(self) -> list[Any]:
        """The variables of a part: those of the model, and what its steps use beside them."""
        used = [variable for one in self._passes.values() for variable in one.trace().graph.variables]
        return [*self._variables, *used, *self._metric_variables]

    @cached_property
    def _metric_variables(self) -> list[Any]:
        return variables_used_by(self.model.reset_metrics, self.model.get_metrics_result)

    def _size(self, part: Part, prefix: str) -> int:
        """Samples per batch of arrays."""
        if not prefix:
            return part.run.batch_size
        if self._arguments.train is not None:
            size = part.run.batch_size
        else:
            # `fit` divides arrays beside a dataset by what it was given, or by its own default.
            size = self._arguments.given.get("batch_size") or DEFAULT_BATCH_SIZE
        return self._arguments.validation_batch_size or size


class SharedDataset:
    """A dataset that all runs read: each by a copy of its own, or from memory if that can hold what they read.

    Args:
        dataset: The dataset.
        epochs: Number of epochs that each run reads.
        validates: Whether it is read for validation.

    Attributes:
        repeats: Whether every epoch of every run yields the same.
        runs_python: Whether reading it calls Python code, which may draw from the random states of the process.
        is_alone: Whether a run reads it without a trace that another run would meet.
    """

    def __init__(self, dataset: tf.data.Dataset, epochs: int, *, validates: bool = False) -> None:
        self.repeats = is_repeatable(dataset)
        self.runs_python = any(True for _ in python_functions(dataset))
        self.is_alone = is_self_contained(dataset) and (self.repeats or seeded_copy(dataset, 0) is not dataset)
        self._dataset = dataset
        self._validates = validates
        self._epochs = epochs
        self._held: dict[int | None, HeldEpochs | None] = {}
        self._free_bytes = _MAX_HELD_BYTES

    def reader(self, run: Run, steps_per_call: int) -> EpochReader:
        """Reads the epochs of `run` as a `fit` that runs `steps_per_call` steps in one call."""
        seed = None if self.repeats else run.seed
        if self.is_alone and seed not in self._held:
            self._held[seed] = self._held_epochs(self._own_reader(run, steps_per_call))
        held = self._held.get(seed)
        return self._own_reader(run, steps_per_call) if held is None else held.reader()

    def _own_reader(self, run: Run, steps_per_call: int) -> EpochReader:
        copied = (validation_dataset if self._validates else training_dataset)(run, self._dataset)
        return EpochReader(copied, steps_per_call, validates=self._validates)

    def _held_epochs(self, reader: EpochReader) -> HeldEpochs | None:
        """What `reader` reads, in memory; None if it does not fit. Errors are left to the training."""
        if None in self._held.values():
            return None
        count = 1 if self.repeats else self._epochs
        try:
            held = HeldEpochs(reader, self._free_bytes // count, repeats=self.repeats)
        except (ValueError, tf.errors.OpError):
            return None
        self._free_bytes -= held.bytes_per_epoch * count
        return held


def _side_by_side(calls: Sequence[Callable[[], Any]]) -> list[Any]:
    """What the calls return, each in a thread of its own but for the first."""
    if len(calls) == 1:
        return [calls[0]()]
    with ThreadPoolExecutor(len(calls) - 1) as threads:
        others = [threads.submit(call) for call in calls[1:]]
        return [calls[0](), *(other.result() for other in others)]


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

    def bytes_per_step(self, batch_size: int) -> int:
        """Memory that a step takes at a time."""
        return peak_bytes(self._step.get_concrete_function(), batch_size)

    def prepare(self) -> None:
        """Runs no step, so that TensorFlow optimizes the function once and not in each of several threads."""
        self._run(self._all[:0], tf.constant(1))

    def __call__(self, order: Any, batch_size: int, most: int | None, copies: VariableCopies | None) -> Any:
        order = self._all if order is None else order
        run = self._run if copies is None else partial(copies.call, self.trace())
        return run(order if most is None else order[: most * batch_size], tf.constant(batch_size))

    def _over_batches(self, order: Any, batch_size: Any) -> Any:
        size = tf.shape(order)[0]

        def body(start: Any, _: Any) -> tuple[Any, Any]:
            return start + batch_size, self._step(order[start : tf.minimum(start + batch_size, size)])

        start = (tf.constant(0), _empty_logs(self._step.get_concrete_function()))
        return tf.while_loop(lambda start, logs: start < size, body, start, parallel_iterations=1)[1]


class DatasetPass:
    """Runs a step on each batch that a dataset yields, as `EpochReader` reads it; returns the logs of the last step.

    Args:
        model: A compiled model.
        step: Its `train_step` or `test_step`.
        dataset: What the readers of the calls read, or another dataset of its kind.
    """

    def __init__(self, model: keras.Model, step: Callable[[Any], Any], dataset: tf.data.Dataset) -> None:
        self._step = tf.function(step, jit_compile=bool(model.jit_compile) or None, autograph=False)
        self._dataset = dataset
        self._iterator = tf.data.IteratorSpec(dataset.element_spec)
        self._run = tf.function(self._over_batches, autograph=False)
        self._one_more = tf.function(lambda iterator: self._step(iterator.get_next()), autograph=False)
        self._knows_length = dataset.cardinality() >= 0

    def trace(self) -> Any:
        """The traced function."""
        return self._run.get_concrete_function(self._iterator, tf.TensorSpec([], tf.int32))

    def bytes_per_step(self, batch_size: int) -> int:
        """Memory that a step takes at a time."""
        return peak_bytes(self._step.get_concrete_function(self._dataset.element_spec), batch_size)

    def prepare(self) -> None:
        """Runs no step, as `ArrayPass.prepare` does."""
        self._run(iter(self._dataset.take(0)), tf.constant(0))

    def __call__(self, reader: EpochReader, batch_size: int, most: int | None, copies: VariableCopies | None) -> Any:
        iterator = iter(reader.dataset)
        run = self._run if copies is None else partial(copies.call, self.trace())
        steps, logs = run(iterator, tf.constant(_NO_LIMIT if reader.limit is None else reader.limit))
        if reader.end(int(steps)):
            with suppress(tf.errors.OutOfRangeError):
                one_more = self._one_more
                if copies is not None:
                    one_more = partial(copies.call, self._one_more.get_concrete_function(self._iterator))
                one_more(iterator)
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
