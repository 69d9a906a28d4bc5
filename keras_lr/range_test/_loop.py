"""The compiled loop of a range test: take a batch, set the learning rate, train a step, store the loss."""

from __future__ import annotations

import sys
import weakref
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_lr._keras.batches import ArraySource
from keras_lr._keras.learning_rate import RateControl, compiled_rate, leaf_optimizers
from keras_lr._keras.model import loss_tracker
from keras_lr._keras.snapshot import components
from keras_lr.errors import ModelError
from keras_lr.range_test._data_checks import KINDS, PARTS

MAX_TARGETS = 4096
"""Rows of targets that are kept, ..."""

MAX_TARGET_VALUES = 256
"""... unless a row holds more values than this."""

_loops: weakref.WeakKeyDictionary[keras.Model, tuple[tuple[Any, ...], StepLoop]] = weakref.WeakKeyDictionary()


class DataWatch:
    """Looks at the batches that a loop reads, in variables beside it.

    Attributes:
        kinds: For each of the inputs, targets and sample weights, whether a batch held NaN and infinite values, bool,
            shape `(3, 2)`.
        limits: The lowest and the highest target so far, shape `(2,)`; kept if there is one tensor of targets.
        targets: The first targets, shape `(n_rows, n_values)`, float64; empty if there are several tensors of targets,
            sample weights, or large rows.
    """

    def __init__(self) -> None:
        self._enabled = tf.Variable(True, trainable=False)
        self._found = tf.Variable(np.zeros((len(PARTS), len(KINDS)), bool), trainable=False)
        self._limits = tf.Variable([np.inf, -np.inf], dtype=tf.float64, trainable=False)
        self._targets = tf.Variable(np.zeros((0, 0)), shape=[None, None], dtype=tf.float64, trainable=False)

    @property
    def variables(self) -> list[tf.Variable]:
        """The variables of the watch, which are no part of the model."""
        return [self._enabled, self._found, self._limits, self._targets]

    @property
    def kinds(self) -> np.ndarray:
        return np.asarray(self._found.numpy())

    @property
    def limits(self) -> np.ndarray:
        return np.asarray(self._limits.numpy())

    @property
    def targets(self) -> np.ndarray:
        return np.asarray(self._targets.numpy())

    def begin(self) -> None:
        """Forgets what has been seen."""
        self.resume(enabled=True)
        self._limits.assign([np.inf, -np.inf])
        self._targets.assign(np.zeros((0, 0)))

    def resume(self, *, enabled: bool) -> None:
        """Goes on after a batch that was found, and finds further ones if `enabled`."""
        self._enabled.assign(enabled)
        self._found.assign(np.zeros_like(self.kinds))

    def look(self, batch: Any) -> Any:
        """Whether the batch holds a value that is not finite, a bool tensor; traced into the loop."""
        parts = [_tensors(part) for part in keras.utils.unpack_x_y_sample_weight(batch)]
        floats = [tensor for part in parts for tensor in part if tensor.dtype.is_floating]
        if len(parts[1]) == 1 and not parts[1][0].dtype.is_bool:
            low, high = (tf.cast(limit(parts[1][0]), tf.float64) for limit in (tf.reduce_min, tf.reduce_max))
            self._limits.assign([tf.minimum(self._limits[0], low), tf.maximum(self._limits[1], high)])
            if not parts[2]:
                self._keep(parts[1][0])
        if not floats:
            return tf.constant(False)
        bad = ~tf.reduce_all([tf.reduce_all(tf.math.is_finite(tensor)) for tensor in floats])

        def note() -> Any:
            kinds = [[_any(test, part) for test in (tf.math.is_nan, tf.math.is_inf)] for part in parts]
            self._found.assign(tf.stack(kinds))
            return tf.constant(True)

        return tf.cond(self._enabled & bad, note, lambda: tf.constant(False))

    def _keep(self, targets: Any) -> None:
        """Adds targets to those that are kept, as long as there is room."""
        values = _row_values(targets)
        if values is None or not 0 < values <= MAX_TARGET_VALUES:
            return

        def add() -> Any:
            rows = tf.reshape(tf.cast(targets, tf.float64), [-1, values])
            self._targets.assign(tf.concat([tf.reshape(self._targets, [-1, values]), rows], axis=0))
            return tf.constant(True)

        tf.cond(tf.shape(self._targets)[0] < MAX_TARGETS, add, lambda: tf.constant(False))


def _row_values(targets: Any) -> int | None:
    """Number of values per row; None if it is open."""
    return None if targets.shape.rank in (None, 0) else targets.shape[1:].num_elements()


def _tensors(part: Any) -> list[Any]:
    """The numeric tensors of a part of a batch, also those of a sparse or ragged one, and of every replica."""
    leaves = tf.nest.flatten(part, expand_composites=True)
    return [leaf for leaf in leaves if tf.is_tensor(leaf) and (leaf.dtype.is_floating or leaf.dtype.is_integer)]


def _any(test: Any, tensors: list[Any]) -> Any:
    found = [tf.reduce_any(test(tensor)) for tensor in tensors if tensor.dtype.is_floating]
    return tf.reduce_any(tf.stack(found)) if found else tf.constant(False)


class StepLoop:
    """Trains steps at given learning rates and stores each step's own loss on the device.

    Keras logs the mean loss since the metrics were last reset, so they are reset after each step. The losses are stored
    in a variable instead of being returned, so that those before a failing step survive it.

    Args:
        model: A compiled model; held weakly, so that a cached loop does not keep it alive.
        monitor: Name of the loss in the logs of `train_step`.
        validation_batch: `(x, y)` or `(x, y, sample_weight)` on which each point is scored; None for the training
            batch.

    Attributes:
        in_graph: Whether the loop is compiled.
        watch: What the batches read from anything but arrays hold.
        chunk_steps: Number of steps to run per call, adapted to how long the last call took.
    """

    def __init__(self, model: keras.Model, *, monitor: str, validation_batch: Any = None) -> None:
        self._model = weakref.ref(model)
        self._monitor = monitor
        self._validation_batch = validation_batch
        self.rates = RateControl(model.optimizer)
        self.in_graph = not model.run_eagerly
        self.chunk_steps = 1
        self._unlogged: ModelError | None = None
        with tf.device(_home(model)):
            self._losses = tf.Variable(np.zeros(0), shape=[None], dtype=tf.float64, trainable=False)
            self._completed = tf.Variable(0, dtype=tf.int64, trainable=False)
            self.watch = DataWatch()
        step = self._step
        if self.in_graph and model.jit_compile:
            step = tf.function(step, jit_compile=True, reduce_retracing=True)
        self._compiled_step = step
        self._loop: Any = self._eager_loop
        if self.in_graph:
            self._loop = tf.function(self._graph_loop, autograph=False, reduce_retracing=True)

    @property
    def model(self) -> keras.Model:
        """The model.

        Raises:
            ModelError: It was garbage-collected.
        """
        model = self._model()
        if model is None:
            raise ModelError("The model was garbage-collected during the range test; keep a reference to it.")
        return model

    def prepare(self, signature: Any) -> list[Any]:
        """Builds the model and its optimizer, traces the loop, and returns every variable that the loop touches.

        Args:
            signature: The source of the batches, or the `tf.TensorSpec`s that describe it.
        """
        if not self.in_graph:
            return []
        scalar = tf.TensorSpec([], tf.int32)
        concrete = self._loop.get_concrete_function(signature, tf.TensorSpec([None], tf.float32), scalar, scalar)
        if self._unlogged is not None:
            raise self._unlogged
        own = {id(variable) for variable in (self._losses, self._completed, *self.watch.variables)}
        return [variable for variable in concrete.graph.variables if id(variable) not in own]

    def begin(self, num_steps: int) -> None:
        """Resets the stored losses, with room for `num_steps` steps."""
        self._losses.assign(np.full(num_steps, np.nan))
        self._completed.assign(0)
        self.watch.begin()
        self.model.reset_metrics()

    def run(self, source: Any, learning_rates: Any, start: int, stop: int) -> None:
        """Runs the steps from `start` up to `stop`, or up to a batch that `watch` finds.

        `losses` holds those done, also after an exception.
        """
        self._loop(source, learning_rates, tf.constant(start), tf.constant(stop))

    @property
    def completed(self) -> int:
        """Number of steps done since `begin`."""
        return int(self._completed.numpy())

    @property
    def losses(self) -> np.ndarray:
        """The losses of the steps done, shape `(completed,)`, float64."""
        return np.asarray(self._losses.numpy()[: self.completed])

    def _graph_loop(self, source: Any, learning_rates: Any, start: Any, stop: Any) -> None:
        def body(index: Any, _: Any) -> tuple[Any, Any]:
            return index + 1, self._one(source, tf.gather(learning_rates, index), index)

        tf.while_loop(
            lambda index, found: (index < stop) & ~found, body, [start, tf.constant(False)], parallel_iterations=1
        )

    def _eager_loop(self, source: Any, learning_rates: Any, start: Any, stop: Any) -> None:
        for index in range(int(start), int(stop)):
            if self._one(source, learning_rates[index], index):
                break

    def _one(self, source: Any, rate: Any, index: Any) -> Any:
        """Trains one step, and returns whether its batch holds values that are not finite."""
        batch = source.get_next(index)
        strategy = self.model.distribute_strategy
        loss = strategy.run(self._compiled_step, args=(batch, rate))
        if strategy.num_replicas_in_sync > 1:
            total, samples = (strategy.reduce(tf.distribute.ReduceOp.SUM, part, axis=None) for part in loss)
            loss = total / samples
        stored = self._losses.scatter_update(tf.IndexedSlices(loss, index))
        # Otherwise a step that fails because the data has ended could still be counted.
        with tf.control_dependencies([stored]):
            self._completed.assign_add(1)
        return tf.constant(False) if isinstance(source, ArraySource) else self.watch.look(_without_optionals(batch))

    def _step(self, batch: Any, rate: Any) -> Any:
        model = self.model
        self.rates.assign(rate)
        logs = model.train_step(_without_optionals(batch))
        if self._validation_batch is not None:
            model.reset_metrics()
            logs = model.test_step(self._validation_batch)
        loss = tf.cast(self._monitored(logs), tf.float64)
        model.reset_metrics()
        if model.distribute_strategy.num_replicas_in_sync == 1:
            return loss
        # The replicas may get unequal shares of an epoch's last batch.
        samples = tf.cast(_samples(batch), tf.float64)
        return loss * samples, samples

    def _monitored(self, logs: Any) -> Any:
        if not isinstance(logs, dict) or self._monitor not in logs:
            names = sorted(logs) if isinstance(logs, dict) else type(logs).__name__
            error = ModelError(
                f"`monitor` must name a value that `train_step` returns. Received: {self._monitor!r}; the step returns "
                f"{names}. Name one of these."
            )
            if not self.in_graph:
                raise error
            # An error within the trace would leave the variables that it creates without values.
            self._unlogged = error
            return np.nan
        return logs[self._monitor]


def _without_optionals(batch: Any) -> Any:
    """`batch` with None for each part that a generator left out, which Keras marks by an empty Optional."""
    return keras.tree.map_structure(lambda part: None if isinstance(part, tf.experimental.Optional) else part, batch)


def _samples(batch: Any) -> Any:
    leaves = [leaf for leaf in keras.tree.flatten(batch) if hasattr(leaf, "shape") and leaf.shape.rank]
    return tf.shape(leaves[0])[0] if leaves else 1


def _home(model: keras.Model) -> str | None:
    """The device of the weights, on the first replica if there are several; None if the model is not built."""
    return next((str(part.device) for part in components(model.weights[:1])), None)


def cached_loop(model: keras.Model, monitor: str) -> StepLoop | None:
    """The loop that an earlier range test traced, unless the model was compiled, frozen or given a new rate since."""
    signature, loop = _loops.get(model, ((), None))
    current = _signature(model, monitor)
    fits = len(signature) == len(current) and all(old is new for old, new in zip(signature, current, strict=True))
    return loop if fits else None


def keep_loop(model: keras.Model, monitor: str, loop: StepLoop) -> None:
    """Caches a traced loop for the next range test of the model, for as long as the model lives.

    A loop that drives several optimizers is not cached, since the ratios of their rates are traced into it.
    """
    if len(leaf_optimizers(model.optimizer)) == 1:
        _loops[model] = (_signature(model, monitor), loop)


def _signature(model: keras.Model, monitor: str) -> tuple[Any, ...]:
    """The objects that are traced into the loop, to be compared by identity; none of them refers to the model."""
    return (
        loss_tracker(model),
        model.optimizer,
        *(compiled_rate(leaf) for leaf in leaf_optimizers(model.optimizer)),
        getattr(model.train_step, "__func__", None),
        model.jit_compile,
        model.run_eagerly,
        sys.intern(monitor),
        *model.trainable_variables,
    )
