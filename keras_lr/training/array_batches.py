"""Batches of arrays, cut inside the compiled loop."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter
from keras.src.trainers.data_adapters.array_slicing import convert_to_sliceable

from keras_lr.errors import InvalidArgumentError

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
