"""The trainings of a search: one for each learning rate, repeat and batch size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf


class Point(NamedTuple):
    """A point of the grid, trained in several repeats."""

    learning_rate: float
    batch_size: int


@dataclass(frozen=True, order=True)
class Run:
    """One training.

    Attributes:
        learning_rate: Dimensionless, positive.
        batch_size: Samples a step.
        repeat: Number of the repeat, from 0.
        seed: Seed of the weights and of the data's order; the same at every learning rate and batch size.
    """

    learning_rate: float
    batch_size: int
    repeat: int
    seed: int

    @property
    def point(self) -> Point:
        """The point of the grid that this run repeats."""
        return Point(self.learning_rate, self.batch_size)

    @property
    def key(self) -> tuple[float, int, int]:
        """Learning rate, repeat and batch size, as the records are keyed."""
        return self.learning_rate, self.repeat, self.batch_size


def middle_first(runs: Sequence[Run]) -> list[Run]:
    """The runs from the middle of their rates outwards, so that those which end early have something to lose to."""
    rates = sorted({run.learning_rate for run in runs})
    rank = {rate: abs(place - len(rates) / 2) for place, rate in enumerate(rates)}
    return sorted(runs, key=lambda run: (rank[run.learning_rate], -run.learning_rate, run.batch_size, run.repeat))


def runs_of(point: Point, *, repeats: int, seed: int) -> list[Run]:
    """The runs of a point, whose seeds count up from `seed`."""
    return [Run(point.learning_rate, point.batch_size, repeat, seed + repeat) for repeat in range(repeats)]


def epoch_order(seed: int, epoch: int, size: int, *, shuffle: bool = True) -> np.ndarray:
    """Positions of the samples in the order of training, shape `(size,)`, int32.

    Args:
        seed: Seed of the repeat.
        epoch: Number of the epoch, from 0; each epoch has an order of its own.
        size: Number of samples.
        shuffle: Whether to shuffle at all.
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
        batch_size: Samples a batch; the last batch of an epoch may hold fewer.
        epochs: Number of passes.
        shuffle: Whether to shuffle at all.
        first_epoch: Gives the number of the first epoch; asked whenever the dataset is read from its start.
    """
    size = int(keras.tree.flatten(data)[0].shape[0])

    def positions(epoch: Any) -> tf.data.Dataset:
        order = tf.numpy_function(
            lambda number: epoch_order(seed, first_epoch() + int(number), size, shuffle=shuffle), [epoch], tf.int32
        )
        return tf.data.Dataset.from_tensor_slices(tf.ensure_shape(order, [size])).batch(batch_size)

    dataset = tf.data.Dataset.range(epochs).flat_map(positions)
    dataset = dataset.map(lambda chosen: take(data, chosen), num_parallel_calls=tf.data.AUTOTUNE)
    steps = epochs * -(-size // batch_size)
    return dataset.apply(tf.data.experimental.assert_cardinality(steps)).prefetch(tf.data.AUTOTUNE)


def take(data: Any, positions: Any) -> Any:
    """The samples at `positions`, nested as `data`."""
    return keras.tree.map_structure(lambda part: tf.gather(part, positions), data)
