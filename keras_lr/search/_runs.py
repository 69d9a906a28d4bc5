"""The runs of a search, one per learning rate, batch size and repeat, and the order in which each sees its samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf


class Point(NamedTuple):
    """A point of the grid; it is trained once per repeat."""

    learning_rate: float
    batch_size: int


@dataclass(frozen=True, order=True)
class Run:
    """One training of the model.

    Attributes:
        learning_rate: Dimensionless, positive.
        batch_size: Samples per step.
        repeat: Number of the repeat, from 0.
        seed: Seed of the weights and of the order of the data; the same at every learning rate and batch size.
    """

    learning_rate: float
    batch_size: int
    repeat: int
    seed: int

    @property
    def point(self) -> Point:
        """The point of the grid to which this run belongs."""
        return Point(self.learning_rate, self.batch_size)

    @property
    def key(self) -> tuple[float, int, int]:
        """Learning rate, repeat and batch size: the key of the records."""
        return self.learning_rate, self.repeat, self.batch_size


def repeats_of(point: Point, *, repeats: int, seed: int) -> list[Run]:
    """The runs of a point, with the seeds `seed`, `seed + 1`, ..."""
    return [Run(point.learning_rate, point.batch_size, repeat, seed + repeat) for repeat in range(repeats)]


def middle_first(runs: Sequence[Run]) -> list[Run]:
    """The runs sorted from the middle of the rates outwards: pruning needs good runs to compare the others with."""
    rates = sorted({run.learning_rate for run in runs})
    rank = {rate: abs(place - len(rates) / 2) for place, rate in enumerate(rates)}
    return sorted(runs, key=lambda run: (rank[run.learning_rate], -run.learning_rate, run.batch_size, run.repeat))


def epoch_order(seed: int, epoch: int, size: int, *, shuffle: bool = True) -> np.ndarray:
    """Indices of the samples in the order of training, shape `(size,)`, int32.

    Args:
        seed: Seed of the repeat.
        epoch: Number of the epoch, from 0; each epoch has its own order.
        size: Number of samples.
        shuffle: False for the order of the data.
    """
    if not shuffle:
        return np.arange(size, dtype=np.int32)
    return np.random.default_rng([seed, epoch]).permutation(size).astype(np.int32)


def ordered_batches(
    data: Any, *, seed: int, batch_size: int, epochs: int, shuffle: bool, first_epoch: Callable[[], int] = int
) -> tf.data.Dataset:
    """Batches of `data` over `epochs` epochs, in the order of `epoch_order`.

    Args:
        data: Tensors, nested as `train_step` takes them, each with the samples along its first axis.
        seed: Seed of the repeat.
        batch_size: Samples per batch; the last batch of an epoch may hold fewer.
        epochs: Number of passes.
        shuffle: False for the order of the data.
        first_epoch: Returns the number of the first epoch; called whenever the dataset is read from its start.
    """
    size = int(keras.tree.flatten(data)[0].shape[0])

    def indices(epoch: Any) -> tf.data.Dataset:
        order = tf.numpy_function(
            lambda number: epoch_order(seed, first_epoch() + int(number), size, shuffle=shuffle), [epoch], tf.int32
        )
        return tf.data.Dataset.from_tensor_slices(tf.ensure_shape(order, [size])).batch(batch_size)

    dataset = tf.data.Dataset.range(epochs).flat_map(indices)
    dataset = dataset.map(lambda chosen: take(data, chosen), num_parallel_calls=tf.data.AUTOTUNE)
    steps = epochs * -(-size // batch_size)
    return dataset.apply(tf.data.experimental.assert_cardinality(steps)).prefetch(tf.data.AUTOTUNE)


def take(data: Any, indices: Any) -> Any:
    """The samples at `indices`, nested as `data`."""
    return keras.tree.map_structure(lambda part: tf.gather(part, indices), data)
