"""The compiled loop of a range test: take a batch, set the learning rate, train a step, store the loss."""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_lr._keras.batches import ArraySource
from keras_lr._keras.constant_output import regularized_weights
from keras_lr._keras.learning_rate import RateControl, compiled_rate, leaf_optimizers
from keras_lr._keras.model import check_is_loss, loss_tracker, settings_of, users_code
from keras_lr._keras.snapshot import components
from keras_lr.errors import ModelError
from keras_lr.range_test._data_checks import PARTS

MAX_TARGETS = 4096
"""Rows of targets that are kept of a sweep."""

MAX_VALUES = 16384
"""Values of targets that are kept, also in more rows than `MAX_TARGETS`."""

MAX_ROW = 256
"""Targets with more values per row are not kept."""

_NOT_DONE = -1.0
"""The size of the inputs of a step that has not been done."""

_COLUMNS = 2 + len(PARTS) + 2
"""Numbers that are stored per step, apart from its targets."""

_COMPARED = (bool, int, float, str, tuple, np.generic)
"""Settings that are compared by value, others by identity."""

_loops: weakref.WeakKeyDictionary[keras.Model, tuple[tuple[Any, ...], StepLoop]] = weakref.WeakKeyDictionary()


class DataWatch:
    """Looks at the batches that a loop reads.

    Branches within the loop would take longer than a step of a small model. So each batch is reduced, without branches,
    to a row of numbers whose length is fixed for a sweep:

    - how large the inputs, the targets and the sample weights are, each NaN if they hold NaN, infinite if they hold
      infinite values, and finite otherwise;
    - the lowest and the highest target, NaN if its targets are kept;
    - as many targets as there is room for, and NaN if there are fewer.

    Attributes:
        enabled: Whether batches with values that are not finite are found.
        row_values: Values per row of the targets that are kept, in the batches that were traced; 0 if none are.
    """

    def __init__(self) -> None:
        self.enabled = True
        self.row_values = 0
        self._enabled = tf.Variable(True, trainable=False)
        self._room = tf.Variable([], shape=[None], dtype=tf.float64, trainable=False)

    @property
    def variables(self) -> list[tf.Variable]:
        """The variables of the watch, which are no part of the model."""
        return [self._enabled, self._room]

    def begin(self, num_steps: int, *, keeps_targets: bool) -> int:
        """Finds all batches again, makes room for targets, and returns the length of a row.

        Args:
            num_steps: Number of batches.
            keeps_targets: Whether targets are kept, if they can be.
        """
        self.enable(True)
        rows = max(MAX_TARGETS, MAX_VALUES // self.row_values) if self.row_values and keeps_targets else 0
        room = -(-rows // num_steps) * self.row_values
        if room != self._room.shape[0]:
            self._room.assign(np.full(room, np.nan), read_value=False)
        return _COLUMNS + room

    def enable(self, enabled: bool) -> None:
        """Sets whether batches with values that are not finite are found."""
        if enabled != self.enabled:
            self.enabled = enabled
            self._enabled.assign(enabled, read_value=False)

    def expect(self, batch: Any) -> bool:
        """Prepares for such batches, and returns whether others were expected, for which there is other room."""
        expected = self.row_values
        _, targets, weights = _parts(batch)
        kept = targets[0] if len(targets) == 1 and not weights else None
        self.row_values = 0 if kept is None else _row_values(kept)
        return self.row_values != expected

    def invariants(self) -> tuple[Any, Any, Any]:
        """What `row` needs in every step, to be read before the steps."""
        room = self._room.read_value()
        return self._enabled.read_value(), room, tf.shape(room) + _COLUMNS

    def row(self, measured: Any, batch: Any, invariants: tuple[Any, Any, Any]) -> tuple[Any, Any]:
        """The row of a batch, beginning with what was measured, and whether to go on; traced into the loop."""
        enabled, room, length = invariants
        parts = _parts(batch)
        sizes = [[size_of(tensor) for tensor in part if tensor.dtype.is_floating] for part in parts]
        known = [size for part in sizes for size in part]
        goes_on = tf.math.is_finite(tf.add_n(known)) | ~enabled if known else tf.constant(True)
        nothing, unknown = (tf.constant(value, tf.float64) for value in (0.0, np.nan))
        numbers = [*measured, *(tf.add_n(part) if part else nothing for part in sizes)]
        targets = parts[1][0] if len(parts[1]) == 1 else None
        limits, kept = [unknown, unknown], []
        if targets is not None and self.row_values and _row_values(targets) == self.row_values:
            kept = [tf.cast(targets if targets.shape.rank == 1 else tf.reshape(targets, [-1]), tf.float64)]
        elif targets is not None:
            limits = [tf.cast(find(targets), tf.float64) for find in (tf.reduce_min, tf.reduce_max)]
        row = tf.stack([*numbers, *limits])
        if self.row_values:
            row = tf.strided_slice(tf.concat([row, *kept, room], axis=0), [0], length)
        return row, goes_on


def _parts(batch: Any) -> list[list[Any]]:
    """The numeric tensors of the inputs, the targets and the sample weights.

    These are also the parts of a sparse or ragged tensor, and the tensors of every replica.
    """
    found = []
    for part in keras.utils.unpack_x_y_sample_weight(_without_optionals(batch)):
        leaves = filter(tf.is_tensor, tf.nest.flatten(part, expand_composites=True))
        found.append([leaf for leaf in leaves if leaf.dtype.is_floating or leaf.dtype.is_integer])
    return found


def size_of(values: Any) -> Any:
    """A number that is NaN if one of the values is, infinite if one is and none is NaN, and finite otherwise."""
    values = tf.cast(values, tf.float32) if values.dtype.size < 4 else values
    # Otherwise the squares of large values would be infinite.
    return tf.cast(tf.nn.l2_loss(values * values.dtype.max**-0.75), tf.float64)


def _row_values(targets: Any) -> int:
    """Number of values per row of targets; 0 if it is open or large."""
    values = None if targets.shape.rank in (None, 0) else targets.shape[1:].num_elements()
    return values if values is not None and values <= MAX_ROW else 0


class StepLoop:
    """Trains steps at given learning rates and stores each step's own loss on the device.

    Keras logs the mean loss since the metrics were last reset, so they are reset after each step. The losses and what
    the batches hold are stored in a variable instead of being returned, so that those before a failing step survive it.

    Args:
        model: A compiled model; held weakly, so that a cached loop does not keep it alive.
        monitor: Name of the loss in the logs of `train_step`, and of `test_step` with a validation batch.

    Attributes:
        in_graph: Whether the loop is compiled.
        watch: What the batches read from anything but arrays hold.
        chunk_steps: Number of steps to run per call, adapted to how long the last call took.
        traced: The `ConcreteFunction` of the loop; None before `prepare`, and if it is not compiled.
    """

    def __init__(self, model: keras.Model, *, monitor: str) -> None:
        self._model = weakref.ref(model)
        self._monitor = monitor
        self.rates = RateControl(model.optimizer)
        self.in_graph = not model.run_eagerly
        self.chunk_steps = 1
        with tf.device(_home(model)):
            self._rows = tf.Variable(_empty_rows(0, _COLUMNS), shape=[None, None], trainable=False)
            self.watch = DataWatch()
        self._num_steps = 0
        self._rows_done: np.ndarray | None = None
        self._prepared: tuple[Any, list[Any], int] | None = None
        self.traced: Any = None
        self._row_values: dict[Any, int] = {}
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

    def prepare(self, source: Any, validation_batch: Any = None) -> list[Any]:
        """Builds the model and its optimizer, traces the loop, and returns every variable that the loop touches.

        Args:
            source: The source of the batches, or the `tf.TensorSpec`s that describe it.
            validation_batch: As in `run`.
        """
        if not self.in_graph:
            return []
        spec = tf.nest.map_structure(
            lambda part: None if part is None else tf.type_spec_from_value(part), validation_batch
        )
        signature = source, spec
        if self._prepared is not None and self._prepared[0] == signature:
            _, extra, self.watch.row_values = self._prepared
            return extra
        scalar = tf.TensorSpec([], tf.int32)
        self.watch.row_values = 0
        concrete = self._loop.get_concrete_function(source, tf.TensorSpec([None], tf.float32), scalar, scalar, spec)
        self.watch.row_values = self._row_values.setdefault(concrete, self.watch.row_values)
        own = {id(variable) for variable in (self._rows, *self.watch.variables)}
        extra = [variable for variable in concrete.graph.variables if id(variable) not in own]
        self.traced = concrete
        self._prepared = (signature, extra, self.watch.row_values)
        return extra

    def begin(self, num_steps: int, *, keeps_targets: bool = True) -> None:
        """Resets what is stored, with room for `num_steps` steps, and for targets of the batches they read."""
        self._num_steps = num_steps
        self._rows_done = self._make_room(keeps_targets=keeps_targets)[:0]
        self.model.reset_metrics()

    def _make_room(self, *, keeps_targets: bool) -> np.ndarray:
        rows = _empty_rows(self._num_steps, self.watch.begin(self._num_steps, keeps_targets=keeps_targets))
        self._rows.assign(rows, read_value=False)
        return rows

    def run(self, source: Any, learning_rates: Any, start: int, stop: int, validation_batch: Any = None) -> None:
        """Runs the steps from `start` up to `stop`, or up to a batch that `watch` finds.

        `losses` holds those done, also after an exception.

        Args:
            source: Where the batches come from.
            learning_rates: Rate of each step, shape `(num_steps,)`.
            start: The first step.
            stop: The step after the last one.
            validation_batch: `(x, y)` or `(x, y, sample_weight)`, of tensors, on which each step is scored; None for
                the step's own batch.
        """
        self._rows_done = None
        self._loop(
            source, tf.constant(learning_rates, tf.float32), tf.constant(start), tf.constant(stop), validation_batch
        )

    @property
    def completed(self) -> int:
        """Number of steps done since `begin`."""
        return len(self._done())

    @property
    def losses(self) -> np.ndarray:
        """The losses of the steps done, shape `(completed,)`, float64."""
        return self._done()[:, 0]

    @property
    def penalties(self) -> np.ndarray:
        """What regularizers of weights added to each loss on a training batch, shape `(completed,)`, float64."""
        return self._done()[:, 1]

    @property
    def sizes(self) -> np.ndarray:
        """How large the inputs, targets and sample weights were in each step done, shape `(completed, 3)`, float64.

        As `DataWatch` gives them; 0 for arrays.
        """
        return self._done()[:, 2 : 2 + len(PARTS)]

    @property
    def targets(self) -> np.ndarray:
        """Targets of the steps done, the first ones of each batch, shape `(n_rows, n_values)`, float64.

        Empty if there are several tensors of targets, sample weights, or large rows.
        """
        values = self._done()[:, _COLUMNS:].reshape(-1, self.watch.row_values or 1)
        return np.asarray(values[~np.isnan(values).any(axis=1)])

    @property
    def limits(self) -> tuple[float, float]:
        """The lowest and the highest target of the steps done; NaN if they are unknown."""
        values = np.concatenate([self.targets.ravel(), self._done()[:, _COLUMNS - 2 : _COLUMNS].ravel()])
        values = values[~np.isnan(values)]
        known = values.size and np.isfinite(self.sizes[:, PARTS.index("targets")]).all()
        return (float(values.min()), float(values.max())) if known else (np.nan, np.nan)

    def _done(self) -> np.ndarray:
        """The rows of the steps done."""
        if self._rows_done is None:
            rows = np.asarray(self._rows.numpy())
            self._rows_done = rows[: np.count_nonzero(rows[:, 1] != _NOT_DONE)]
        return self._rows_done

    def _graph_loop(self, source: Any, learning_rates: Any, start: Any, stop: Any, validation_batch: Any) -> None:
        invariants = self.watch.invariants()

        def body(index: Any, _: Any) -> tuple[Any, Any]:
            return index + 1, self._one(source, tf.gather(learning_rates, index), index, validation_batch, invariants)

        tf.while_loop(
            lambda index, goes_on: (index < stop) & goes_on, body, [start, tf.constant(True)], parallel_iterations=1
        )

    def _eager_loop(self, source: Any, learning_rates: Any, start: Any, stop: Any, validation_batch: Any) -> None:
        for index in range(int(start), int(stop)):
            if not self._one(source, learning_rates[index], index, validation_batch):
                break

    def _one(self, source: Any, rate: Any, index: Any, validation_batch: Any, invariants: Any = None) -> Any:
        """Trains one step, and returns whether to go on: not if its batch holds values that are not finite."""
        batch = source.get_next(index)
        strategy = self.model.distribute_strategy
        measured = strategy.run(self._compiled_step, args=(batch, rate, validation_batch))
        if strategy.num_replicas_in_sync > 1:
            *totals, samples = (strategy.reduce(tf.distribute.ReduceOp.SUM, part, axis=None) for part in measured)
            measured = [total / samples for total in totals]
        if isinstance(source, ArraySource):
            nothing, unknown = (tf.constant(value, tf.float64) for value in (0.0, np.nan))
            row, goes_on = tf.stack([*measured, *[nothing] * len(PARTS), unknown, unknown]), tf.constant(True)
        else:
            # A step that runs eagerly sees the shapes of its batch alone, and later batches may have others.
            if (self.in_graph or index == 0) and self.watch.expect(batch) and not self.in_graph:
                self._make_room(keeps_targets=True)
            row, goes_on = self.watch.row(measured, batch, invariants or self.watch.invariants())
        self._rows.scatter_update(tf.IndexedSlices(row, index))
        return goes_on

    def _step(self, batch: Any, rate: Any, validation_batch: Any) -> Any:
        model = self.model
        self.rates.assign(rate)
        costs = [tf.cast(weight.regularizer(weight), tf.float64) for weight in regularized_weights(model)]
        penalty = tf.add_n(costs) if costs else tf.constant(0.0, tf.float64)
        logs = model.train_step(_without_optionals(batch))
        if validation_batch is not None:
            model.reset_metrics()
            logs = model.test_step(validation_batch)
        # A step may log the loss of each sample.
        loss = tf.reduce_mean(tf.cast(self._monitored(logs), tf.float64))
        model.reset_metrics()
        if model.distribute_strategy.num_replicas_in_sync == 1:
            return loss, penalty
        # The replicas may get unequal shares of an epoch's last batch.
        samples = tf.cast(_samples(batch), tf.float64)
        return loss * samples, penalty * samples, samples

    def _monitored(self, logs: Any) -> Any:
        if not isinstance(logs, dict) or self._monitor not in logs:
            names = sorted(logs) if isinstance(logs, dict) else type(logs).__name__
            raise ModelError(
                f"`monitor` must name a value that `train_step` returns. Received: {self._monitor!r}; the step returns "
                f"{names}. Name one of these."
            )
        check_is_loss(self.model, self._monitor)
        return logs[self._monitor]


def _empty_rows(count: int, columns: int) -> np.ndarray:
    return np.full((count, columns), _NOT_DONE)


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
    """The loop that an earlier range test traced, unless the model was compiled, frozen or changed otherwise since."""
    signature, loop = _loops.get(model, ((), None))
    current = _signature(model, monitor, map(compiled_rate, leaf_optimizers(model.optimizer)))
    return loop if len(signature) == len(current) and all(map(_is_same, signature, current)) else None


def keep_loop(model: keras.Model, monitor: str, loop: StepLoop) -> None:
    """Caches a traced loop for the next range test of the model, for as long as the model lives.

    A loop that drives several optimizers is not cached, since the ratios of their rates are traced into it.
    """
    if len(leaf_optimizers(model.optimizer)) == 1:
        # While the test runs, a variable stands in for a schedule.
        _loops[model] = (_signature(model, monitor, loop.rates.originals), loop)


def _is_same(old: Any, new: Any) -> bool:
    return old is new or (type(old) is type(new) and isinstance(old, _COMPARED) and bool(old == new))


def _signature(model: keras.Model, monitor: str, rates: Iterable[Any]) -> tuple[Any, ...]:
    """What is traced into the loop; none of it refers to the model."""
    parts = [*users_code(model), *leaf_optimizers(model.optimizer)]
    return (
        loss_tracker(model),
        model.optimizer,
        *rates,
        getattr(model.train_step, "__func__", None),
        model.jit_compile,
        model.run_eagerly,
        monitor,
        *model.trainable_variables,
        *(setting for part in parts for setting in settings_of(part)),
    )
