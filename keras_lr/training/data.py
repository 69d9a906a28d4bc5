"""The user's data as a stream of batches for a sweep."""

from __future__ import annotations

import itertools
from typing import Any, NamedTuple

import keras
import tensorflow as tf
from keras.src.backend.tensorflow.trainer import TFEpochIterator
from keras.src.trainers.data_adapters import get_data_adapter
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter, can_convert_arrays
from keras.src.trainers.data_adapters.generator_data_adapter import GeneratorDataAdapter
from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter
from keras.src.trainers.data_adapters.tf_dataset_adapter import TFDatasetAdapter
from keras.src.trainers.epoch_iterator import EpochIterator

from keras_lr.errors import DataError
from keras_lr.training.array_batches import ArrayStream
from keras_lr.training.dataset_copy import independent
from keras_lr.training.dataset_state import pipeline_variables
from keras_lr.training.generator_tape import GeneratorTape
from keras_lr.training.state import VariableSnapshot


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
        self._tape = GeneratorTape(adapter) if isinstance(adapter, GeneratorDataAdapter) else None
        by_reader = isinstance(adapter, PyDatasetAdapter)
        dataset = epochs._get_iterator()
        if not isinstance(dataset, tf.data.Dataset) and isinstance(adapter, (TFDatasetAdapter, ArrayDataAdapter)):
            # What `fit` has distributed already cannot be repeated.
            dataset = adapter.get_tf_dataset()
        self._state = VariableSnapshot(pipeline_variables(dataset) if isinstance(dataset, tf.data.Dataset) else ())
        if isinstance(dataset, tf.data.Dataset) and self._tape is None:
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
        if self._tape is not None:
            self._tape.rewind()


BatchStream = ArrayStream | IteratorStream


def stream_of_fit(epochs: EpochIterator, model: keras.Model, num_steps: int) -> BatchStream:
    """The stream of the data that a running `fit` was given."""
    if model._distribute_strategy is None and ArrayStream.serves(epochs.data_adapter, num_steps):
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
    if arrays and model._distribute_strategy is None:
        adapter = get_data_adapter(**data)
        if ArrayStream.serves(adapter, num_steps):
            return ArrayStream(adapter)
    # Elsewhere Keras warns that it cannot shuffle, although `True` is its own default.
    reader = isinstance(data["x"], keras.utils.PyDataset) and data["x"].num_batches is not None
    data["shuffle"] = data["shuffle"] and (arrays or reader)
    if reader and data["x"].num_batches < 1:
        raise DataError("`x` must yield at least one batch. Received a `PyDataset` of length 0. Give it batches.")
    epochs = TFEpochIterator(distribute_strategy=model.distribute_strategy, **data)
    model._maybe_symbolic_build(iterator=epochs)
    epochs.reset()
    return IteratorStream(epochs, model.distribute_strategy)
