"""Batches of arrays, cut inside the compiled loop."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from keras.src.backend.tensorflow.trainer import TFEpochIterator
from keras.src.trainers.data_adapters import get_data_adapter
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter, can_convert_arrays
from keras.src.trainers.data_adapters.array_slicing import convert_to_sliceable, train_validation_split
from keras.src.trainers.data_adapters.generator_data_adapter import GeneratorDataAdapter
from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter
from keras.src.trainers.data_adapters.tf_dataset_adapter import TFDatasetAdapter
from keras.src.trainers.epoch_iterator import EpochIterator

from keras_lr._keras.model import build_on_first_of, is_distributed
from keras_lr._keras.snapshot import VariableSnapshot
from keras_lr._keras.tf_data import independent, pipeline_variables
from keras_lr.errors import DataError, InvalidArgumentError

_MAX_BYTES = 64 * 2**20


class ArraySource(NamedTuple):
    """The rows that one sweep reads, and which of them make each batch."""

    arrays: Any
    rows: tf.Tensor
    splits: tf.Tensor

    def get_next(self, step: Any) -> Any:
        """The batch of a step; traced into the loop."""
        with tf.device("CPU:0"):
            rows = self.rows[self.splits[step] : self.splits[step + 1]]
            return _map(lambda array: tf.gather(array, rows), self.arrays)


class ArrayStream:
    """Batches of NumPy arrays and pandas frames in the order of `fit`: shuffled anew each pass, the last one short.

    For small batches a gather inside the loop is several times cheaper than a `tf.data` pipeline. Large ones are
    better prefetched, so that `serves` declines them.

    Args:
        adapter: Keras's adapter of the arrays.

    Raises:
        InvalidArgumentError: The batch size is not an integer above 0.
    """

    def __init__(self, adapter: ArrayDataAdapter) -> None:
        self._inputs = keras.tree.lists_to_tuples(adapter._inputs)
        self._samples = adapter._num_samples
        self._batch_size = adapter._batch_size
        self._shuffle = adapter._shuffle
        if not isinstance(self._batch_size, (int, np.integer)) or self._batch_size < 1:
            raise InvalidArgumentError(
                f"`batch_size` must be an integer of at least 1. Received: {self._batch_size!r}. Pass 32 or None."
            )
        self._batches: Iterator[np.ndarray] = self._endless_batches()

    @classmethod
    def serves(cls, adapter: Any, num_steps: int) -> bool:
        """Whether these arrays are ones that NumPy can cut and the sweep's share of them is small."""
        if not isinstance(adapter, ArrayDataAdapter) or adapter._num_samples == 0:
            return False
        leaves = [leaf for leaf in keras.tree.flatten(adapter._inputs) if leaf is not None]
        if not all(_is_plain(leaf) for leaf in leaves):
            return False
        rows = min(adapter._num_samples, num_steps * adapter._batch_size)
        return bool(rows * sum(_row_bytes(leaf) for leaf in leaves) <= _MAX_BYTES)

    def signature(self) -> ArraySource:
        """What `source` gives, as `tf.TensorSpec`s with every length left open."""
        arrays = _map(
            lambda array: tf.TensorSpec([None, *array.shape[1:]], array.dtype), self._cut(np.zeros(1, np.int64))
        )
        return ArraySource(arrays, tf.TensorSpec([None], tf.int64), tf.TensorSpec([None], tf.int64))

    def source(self, num_steps: int) -> ArraySource:
        """The batches of the next `num_steps` steps."""
        batches = list(itertools.islice(self._batches, num_steps))
        kept, rows = np.unique(np.concatenate(batches), return_inverse=True)
        splits = np.cumsum([0, *map(len, batches)])
        return ArraySource(self._cut(kept), tf.constant(rows, tf.int64), tf.constant(splits, tf.int64))

    def first_batch(self) -> Any:
        """A batch to build a model from."""
        return self._cut(np.arange(min(self._batch_size, self._samples)))

    def renew(self) -> bool:
        """False, since the batches have no end."""
        return False

    def close(self) -> None:
        """Nothing runs beside the loop."""

    def hand_back(self) -> None:
        """Nothing was taken from the user's data."""

    def _cut(self, rows: np.ndarray) -> Any:
        def take(array: Any) -> Any:
            return array.iloc[rows] if isinstance(array, (pd.DataFrame, pd.Series)) else array[rows]

        with tf.device("CPU:0"):
            return convert_to_sliceable(_map(take, self._inputs), target_backend="tensorflow")

    def _endless_batches(self) -> Iterator[np.ndarray]:
        # Seeded by the global state, which the sweep puts back: the same seed gives the same batches.
        rng = np.random.default_rng(np.random.randint(2**31, size=4))
        size = self._batch_size
        while True:
            order = np.arange(self._samples)
            if self._shuffle and self._shuffle != "batch":
                rng.shuffle(order)
            for start in range(0, self._samples, size):
                batch = order[start : start + size]
                yield rng.permutation(batch) if self._shuffle == "batch" else batch


def _map(function: Any, structure: Any) -> Any:
    return keras.tree.map_structure(lambda leaf: None if leaf is None else function(leaf), structure)


def _is_plain(leaf: Any) -> bool:
    if isinstance(leaf, (pd.DataFrame, pd.Series)):
        types = leaf.dtypes if isinstance(leaf, pd.DataFrame) else [leaf.dtype]
        return all(isinstance(kind, np.dtype) and kind.kind in "biuf" for kind in types)
    return isinstance(leaf, np.ndarray) and leaf.dtype.kind in "biufc"


def _row_bytes(leaf: Any) -> float:
    return float(np.prod(leaf.shape[1:], dtype=float)) * 8


class GeneratorReplay:
    """Records what is drawn from a generator, and plays it again.

    Args:
        adapter: Keras's adapter of the generator; its `generator` is replaced by a recording one.
    """

    def __init__(self, adapter: GeneratorDataAdapter) -> None:
        self._adapter = adapter
        self._source = adapter.generator
        self._peeked = len(adapter._first_batches)
        self._taken: list[Any] = []
        adapter.generator = self._recording

    def rewind(self) -> None:
        """Lets the training that follows see the recorded batches first."""
        self._adapter.generator = lambda: itertools.chain(
            self._taken, itertools.islice(self._source(), self._peeked, None)
        )

    def _recording(self) -> Iterator[Any]:
        for batch in self._source():
            self._taken.append(batch)
            yield batch


class IteratorSource(NamedTuple):
    """A running iterator."""

    iterator: Any

    def get_next(self, step: Any) -> Any:
        """The next batch, whatever the step; traced into the loop."""
        return next(self.iterator) if tf.executing_eagerly() else self.iterator.get_next()


class IteratorStream:
    """Batches of any data that Keras turns into a `tf.data` pipeline, over as many passes as a sweep needs.

    The user's own pipeline is left as it was: a shuffled set is read through a copy with a shuffle state of its own,
    the random states within its functions are put back, and what is taken from a one-shot Python generator is handed
    to the training that follows.

    Args:
        epochs: The epoch iterator of `fit`.
        strategy: The model's distribution strategy.
    """

    def __init__(self, epochs: EpochIterator, strategy: tf.distribute.Strategy) -> None:
        self._adapter = adapter = epochs.data_adapter
        self._replay = GeneratorReplay(adapter) if isinstance(adapter, GeneratorDataAdapter) else None
        by_reader = isinstance(adapter, PyDatasetAdapter)
        dataset = epochs._get_iterator()
        if not isinstance(dataset, tf.data.Dataset) and isinstance(adapter, (TFDatasetAdapter, ArrayDataAdapter)):
            # What `fit` has distributed already cannot be repeated.
            dataset = adapter.get_tf_dataset()
        self._state = VariableSnapshot(pipeline_variables(dataset) if isinstance(dataset, tf.data.Dataset) else ())
        if isinstance(dataset, tf.data.Dataset) and self._replay is None:
            dataset = independent(dataset)
            # A `PyDataset` draws its order from Python's random state as a pass begins, which a prefetching `repeat`
            # would do behind the sweep's back, after a batch that failed too.
            if not by_reader and dataset.cardinality() != tf.data.INFINITE_CARDINALITY:
                dataset = dataset.repeat()
            dataset = strategy.experimental_distribute_dataset(dataset)
        self._renewable = by_reader or not isinstance(dataset, tf.data.Dataset)
        self._dataset = dataset
        self._iterator: Any = iter(dataset)

    def signature(self) -> IteratorSource:
        """What `source` gives."""
        return IteratorSource(self._iterator)

    def source(self, num_steps: int) -> IteratorSource:
        """The batches from where the stream stands."""
        return IteratorSource(self._iterator)

    def first_batch(self) -> Any:
        """The first batch, which stays in the stream; None where there is none."""
        first = next(self._iterator, None)
        if first is not None:
            self._iterator = itertools.chain([first], self._iterator)
        return first

    def renew(self) -> bool:
        """Starts another pass after the data ended; False where there is none."""
        if not self._renewable:
            return False
        self._iterator = iter(self._dataset)
        return True

    def close(self) -> None:
        """Ends prefetching and worker processes, so that nothing draws from a random state any more, and puts those of
        the pipeline back.
        """
        self._iterator = None
        enqueuer = getattr(self._adapter, "enqueuer", None)
        if enqueuer is not None:
            enqueuer.stop()
        self._state.restore()

    def hand_back(self) -> None:
        """Lets the training that follows see the batches which the sweep took from a one-shot generator."""
        if self._replay is not None:
            self._replay.rewind()


BatchStream = ArrayStream | IteratorStream


def stream_of_fit(epochs: EpochIterator, model: keras.Model, num_steps: int) -> BatchStream:
    """The stream of the data that a running `fit` was given."""
    if not is_distributed(model) and ArrayStream.serves(epochs.data_adapter, num_steps):
        return ArrayStream(epochs.data_adapter)
    return IteratorStream(epochs, model.distribute_strategy)


def stream_of(model: keras.Model, num_steps: int, **data: Any) -> BatchStream:
    """The stream of what `fit` would be given; under a distribution strategy it builds the model, as `fit` does.

    Args:
        model: A compiled model.
        num_steps: Number of steps of all sweeps.
        **data: `x`, `y`, `sample_weight`, `batch_size`, `shuffle` and `class_weight` of `fit`.

    Raises:
        DataError: `x` is a `PyDataset` without a batch.
    """
    arrays = can_convert_arrays((data["x"], data["y"], data["sample_weight"]))
    if arrays and not is_distributed(model):
        adapter = get_data_adapter(**data)
        if ArrayStream.serves(adapter, num_steps):
            return ArrayStream(adapter)
    # Elsewhere Keras warns that it cannot shuffle, although `True` is its own default.
    reader = isinstance(data["x"], keras.utils.PyDataset) and data["x"].num_batches is not None
    data["shuffle"] = data["shuffle"] and (arrays or reader)
    if reader and data["x"].num_batches < 1:
        raise DataError("`x` must yield at least one batch. Received a `PyDataset` of length 0. Give it batches.")
    epochs = TFEpochIterator(distribute_strategy=model.distribute_strategy, **data)
    build_on_first_of(model, epochs)
    epochs.reset()
    return IteratorStream(epochs, model.distribute_strategy)


def sliceable_arrays(x: Any, y: Any, sample_weight: Any, class_weight: Any = None) -> Any:
    """The arrays of `fit` as nested tuples whose leaves can be cut along the first axis; None for other data.

    A class weight is turned into sample weights, as `fit` does.
    """
    if not can_convert_arrays((x, y, sample_weight)):
        return None
    adapter = ArrayDataAdapter(x, y, sample_weight, batch_size=1, class_weight=class_weight)
    return keras.tree.lists_to_tuples(convert_to_sliceable(adapter._inputs, "tensorflow"))


def split_off_validation(data: tuple[Any, ...], validation_split: float) -> tuple[Any, Any]:
    """Training and validation part of `(x, y, sample_weight)`, cut as `fit(validation_split=...)` cuts them."""
    return train_validation_split(data, validation_split)  # type: ignore[no-any-return]
