"""The batches that `fit` would see, read inside a compiled loop without disturbing the user's data."""

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
_ADAPTER_PARTS = ("_inputs", "_num_samples", "_batch_size", "_shuffle")


class ArraySource(NamedTuple):
    """The rows that one sweep reads, and where each of its batches begins and ends."""

    arrays: Any
    rows: tf.Tensor
    splits: tf.Tensor

    def get_next(self, step: Any) -> Any:
        """The batch of step `step`; traced into the loop."""
        with tf.device("CPU:0"):
            rows = self.rows[self.splits[step] : self.splits[step + 1]]
            return _map(lambda array: tf.gather(array, rows), self.arrays)


class ArrayStream:
    """Batches of NumPy arrays and pandas frames in the order of `fit`: reshuffled on each pass, the last batch short.

    For small batches, a gather inside the loop is several times cheaper than a `tf.data` pipeline. Large batches gain
    more from prefetching, so `serves` declines them.

    Args:
        adapter: Keras's adapter of the arrays.

    Raises:
        InvalidArgumentError: The batch size is not an integer >= 1.
    """

    def __init__(self, adapter: ArrayDataAdapter) -> None:
        self._inputs = keras.tree.lists_to_tuples(adapter._inputs)
        self._samples = adapter._num_samples
        self._batch_size = adapter._batch_size
        self._shuffle = adapter._shuffle
        if not isinstance(self._batch_size, (int, np.integer)) or self._batch_size < 1:
            raise InvalidArgumentError(
                f"`batch_size` must be an integer >= 1, got {self._batch_size!r}. Pass 32, or None for the default."
            )
        self._batches: Iterator[np.ndarray] = self._endless_batches()

    @classmethod
    def serves(cls, adapter: Any, num_steps: int) -> bool:
        """Whether NumPy can index the arrays and the sweep reads little of them.

        An adapter of another version of Keras that lacks a part is declined: `IteratorStream` reads the same batches.
        """
        if not isinstance(adapter, ArrayDataAdapter) or not all(hasattr(adapter, part) for part in _ADAPTER_PARTS):
            return False
        if adapter._num_samples == 0:
            return False
        leaves = [leaf for leaf in keras.tree.flatten(adapter._inputs) if leaf is not None]
        if not all(_is_plain(leaf) for leaf in leaves):
            return False
        rows = min(adapter._num_samples, num_steps * adapter._batch_size)
        return bool(rows * sum(_row_bytes(leaf) for leaf in leaves) <= _MAX_BYTES)

    def signature(self) -> ArraySource:
        """The type of `source`, as `tf.TensorSpec`s whose lengths are all open."""
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
        """False: the batches never end."""
        return False

    def close(self) -> None:
        """Does nothing, since no thread or process runs beside the loop."""

    def hand_back(self) -> None:
        """Does nothing, since arrays can be read again."""

    def _cut(self, rows: np.ndarray) -> Any:
        def take(array: Any) -> Any:
            return array.iloc[rows] if isinstance(array, (pd.DataFrame, pd.Series)) else array[rows]

        with tf.device("CPU:0"):
            return convert_to_sliceable(_map(take, self._inputs), target_backend="tensorflow")

    def _endless_batches(self) -> Iterator[np.ndarray]:
        # Seeded from NumPy's global state, which the sweep restores, so that the same seed gives the same batches.
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
    """Records the batches drawn from a generator, and replays them.

    Args:
        adapter: Keras's adapter of the generator, whose `generator` is replaced by a recording one.
    """

    def __init__(self, adapter: GeneratorDataAdapter) -> None:
        self._adapter = adapter
        self._source = adapter.generator
        self._peeked = len(adapter._first_batches)
        self._taken: list[Any] = []
        adapter.generator = self._recording

    def rewind(self) -> None:
        """Makes the adapter yield the recorded batches, then the rest.

        The original generator begins with the batches that Keras has peeked at; those recorded are skipped there.
        """
        self._adapter.generator = lambda: itertools.chain(
            self._taken, itertools.islice(self._source(), min(self._peeked, len(self._taken)), None)
        )

    def _recording(self) -> Iterator[Any]:
        for batch in self._source():
            self._taken.append(batch)
            yield batch


class IteratorSource(NamedTuple):
    """An iterator that is already running."""

    iterator: Any

    def get_next(self, step: Any) -> Any:
        """The next batch, whatever `step` is; traced into the loop."""
        return next(self.iterator) if tf.executing_eagerly() else self.iterator.get_next()


class IteratorStream:
    """Batches of any data that `fit` takes, over as many passes as a sweep needs.

    The user's data stay as they were. A shuffled pipeline is read through a copy that has its own shuffle state, the
    random states inside its functions are restored, and the batches taken from a one-shot Python generator are handed
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
            # `fit` has already distributed this dataset, and a distributed dataset cannot be repeated.
            dataset = adapter.get_tf_dataset()
        self._state = VariableSnapshot(pipeline_variables(dataset) if isinstance(dataset, tf.data.Dataset) else ())
        if isinstance(dataset, tf.data.Dataset) and self._replay is None:
            dataset = independent(dataset)
            # A `PyDataset` draws its order from Python's random state when a pass begins. `repeat` prefetches, so it
            # would begin a pass at any time, even after a batch has failed and the state has been restored.
            if not by_reader and dataset.cardinality() != tf.data.INFINITE_CARDINALITY:
                dataset = dataset.repeat()
            dataset = strategy.experimental_distribute_dataset(dataset)
        self._renewable = by_reader or not isinstance(dataset, tf.data.Dataset)
        self._dataset = dataset
        self._iterator: Any = iter(dataset)

    def signature(self) -> IteratorSource:
        """The type of `source`: the source itself."""
        return IteratorSource(self._iterator)

    def source(self, num_steps: int) -> IteratorSource:
        """The batches that come next."""
        return IteratorSource(self._iterator)

    def first_batch(self) -> Any:
        """The first batch, which stays in the stream; None if the data is empty."""
        first = next(self._iterator, None)
        if first is not None:
            self._iterator = itertools.chain([first], self._iterator)
        return first

    def renew(self) -> bool:
        """Starts another pass after the data has ended, and returns whether it could."""
        if not self._renewable:
            return False
        self._iterator = iter(self._dataset)
        return True

    def close(self) -> None:
        """Stops prefetching and workers, so that nothing consumes random state, then restores that of the pipeline."""
        self._iterator = None
        enqueuer = getattr(self._adapter, "enqueuer", None)
        if enqueuer is not None:
            enqueuer.stop()
        self._state.restore()

    def hand_back(self) -> None:
        """Gives the batches taken from a one-shot generator to the training that follows."""
        if self._replay is not None:
            self._replay.rewind()


BatchStream = ArrayStream | IteratorStream


def stream_of_fit(epochs: EpochIterator, model: keras.Model, num_steps: int) -> BatchStream:
    """A stream of the data of a running `fit`."""
    if not is_distributed(model) and ArrayStream.serves(epochs.data_adapter, num_steps):
        return ArrayStream(epochs.data_adapter)
    return IteratorStream(epochs, model.distribute_strategy)


def stream_of(model: keras.Model, num_steps: int, **data: Any) -> BatchStream:
    """A stream of the data that `fit` would take; under a distribution strategy this builds the model, as `fit` does.

    Args:
        model: A compiled model.
        num_steps: Number of steps of all sweeps together.
        **data: `x`, `y`, `sample_weight`, `batch_size`, `shuffle` and `class_weight` of `fit`.

    Raises:
        DataError: `x` is a `PyDataset` of length 0.
    """
    arrays = can_convert_arrays((data["x"], data["y"], data["sample_weight"]))
    if arrays and not is_distributed(model):
        adapter = get_data_adapter(**data)
        if ArrayStream.serves(adapter, num_steps):
            return ArrayStream(adapter)
    # For other data Keras warns that it cannot shuffle, although `True` is its own default.
    reader = isinstance(data["x"], keras.utils.PyDataset) and data["x"].num_batches is not None
    data["shuffle"] = data["shuffle"] and (arrays or reader)
    if reader and data["x"].num_batches < 1:
        raise DataError("`x` must yield at least one batch. Received a `PyDataset` of length 0.")
    epochs = TFEpochIterator(distribute_strategy=model.distribute_strategy, **data)
    build_on_first_of(model, epochs)
    epochs.reset()
    return IteratorStream(epochs, model.distribute_strategy)


def sliceable_arrays(x: Any, y: Any, sample_weight: Any, class_weight: Any = None) -> Any:
    """The arrays of `fit` as nested tuples whose leaves can be sliced along the first axis; None for other data.

    Class weights become sample weights, as in `fit`.
    """
    if not can_convert_arrays((x, y, sample_weight)):
        return None
    adapter = ArrayDataAdapter(x, y, sample_weight, batch_size=1, class_weight=class_weight)
    return keras.tree.lists_to_tuples(convert_to_sliceable(adapter._inputs, "tensorflow"))


def split_off_validation(data: tuple[Any, ...], validation_split: float) -> tuple[Any, Any]:
    """The training and the validation part of `(x, y, sample_weight)`, split as by `fit(validation_split=...)`."""
    return train_validation_split(data, validation_split)  # type: ignore[no-any-return]
