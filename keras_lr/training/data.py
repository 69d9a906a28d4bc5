"""The data that `fit` was given, as a stream of batches that leaves the user's own pipeline untouched."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf
from keras.src.trainers.data_adapters.generator_data_adapter import GeneratorDataAdapter
from keras.src.trainers.epoch_iterator import EpochIterator

from keras_lr.errors import DataError

_IGNORE_EXTERNAL_STATE = tf.data.experimental.ExternalStatePolicy.IGNORE.value


def epoch_iterator_of_fit(model: keras.Model) -> EpochIterator:
    """The epoch iterator of the `model.fit` that is calling.

    Keras hands a callback no data, so it is taken from the frame of `fit`, which always stands above a callback's
    method.

    Raises:
        DataError: No `fit` of this model is running.
    """
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_locals.get("self") is model:
            for value in list(frame.f_locals.values()):
                if isinstance(value, EpochIterator):
                    return value
        frame = frame.f_back  # type: ignore[assignment]
    raise DataError(
        "`LRRangeTest` must be a callback of `model.fit`. Received a call from elsewhere. Use `find_lr` instead."
    )


class BatchStream:
    """Batches for a sweep, over as many passes as it needs.

    The user's pipeline is left as it was: a shuffled `tf.data` set is read through a copy with a shuffle state of its
    own, and batches taken from a one-shot Python generator are handed to the training that follows.

    Args:
        epochs: The epoch iterator of `fit`.
    """

    def __init__(self, epochs: EpochIterator) -> None:
        self._adapter = epochs.data_adapter
        self._one_shot = isinstance(self._adapter, GeneratorDataAdapter)
        if self._one_shot:
            self._record_generator()
        dataset = epochs._get_iterator()
        self._distributed = not isinstance(dataset, tf.data.Dataset)
        if not self._distributed and not self._one_shot:
            dataset = _independent_copy(dataset).repeat()
        self._dataset = dataset
        self.iterator = iter(dataset)

    def build(self, model: keras.Model) -> None:
        """Builds a model that runs eagerly, and its optimizer, from the first batch, which stays in the stream."""
        first = next(self.iterator, None)
        if first is None:
            return
        model._symbolic_build(data_batch=first)
        self.iterator = itertools.chain([first], self.iterator)

    def renew(self) -> bool:
        """Starts another pass after the data ended; False where there is none."""
        if not self._distributed:
            return False
        self.iterator = iter(self._dataset)
        return True

    def close(self) -> None:
        """Ends prefetching and worker processes, so that nothing draws from a random state any more."""
        self.iterator = None
        enqueuer = getattr(self._adapter, "enqueuer", None)
        if enqueuer is not None:
            enqueuer.stop()

    def _record_generator(self) -> None:
        source = self._adapter.generator
        peeked = len(self._adapter._first_batches)
        taken: list[Any] = []

        def recording() -> Iterator[Any]:
            for batch in source():
                taken.append(batch)
                yield batch

        def replay() -> Iterator[Any]:
            return itertools.chain(taken, itertools.islice(source(), peeked, None))

        self._adapter.generator = recording
        self._replay = replay

    def hand_back(self) -> None:
        """Lets the training that follows see the batches which the sweep took from a one-shot generator."""
        if self._one_shot:
            self._adapter.generator = self._replay


def _independent_copy(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The same pipeline with shuffle states of its own.

    A shuffled set keeps one seed generator across its iterators, so that reading it once changes the order of every
    later pass. `ShuffleDatasetV3` holds that generator as an input; `ShuffleDataset` makes its own from the same
    seeds.
    """
    try:
        graph = tf.raw_ops.DatasetToGraphV2(
            input_dataset=tf.data.experimental.to_variant(dataset),
            external_state_policy=_IGNORE_EXTERNAL_STATE,
            strip_device_assignment=True,
        )
    except tf.errors.OpError:
        return dataset
    definition = tf.compat.v1.GraphDef.FromString(graph.numpy())
    nodes = itertools.chain(definition.node, *(function.node_def for function in definition.library.function))
    for node in nodes:
        if node.op == "ShuffleDatasetV3":
            node.op = "ShuffleDataset"
            del node.input[4:]
    variant = tf.raw_ops.DatasetFromGraph(graph_def=definition.SerializeToString())
    return tf.data.experimental.from_variant(variant, dataset.element_spec)
