"""The batches that `fit` would see, read inside a compiled loop without disturbing the user's data."""

from __future__ import annotations

import contextlib
import inspect
import itertools
import queue
import types
from collections.abc import Callable, Iterator, Sequence
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
from keras_lr._keras.reader_state import ReplayedIterator, global_random_memories, global_random_values, same_values
from keras_lr._keras.snapshot import RandomState
from keras_lr._keras.surroundings import Surroundings
from keras_lr._keras.tf_data import independent, keeps_state, pipeline_variables, python_functions, stop
from keras_lr._utils.formatting import with_article
from keras_lr._utils.validation import is_number
from keras_lr.errors import DataError, InvalidArgumentError

_MAX_BYTES = 64 * 2**20
_READ_BY_KERAS = (tf.data.Dataset, tf.distribute.DistributedDataset, keras.utils.PyDataset, types.GeneratorType)
_ADAPTER_PARTS = ("_inputs", "_num_samples", "_batch_size", "_shuffle")


class ArraySource(NamedTuple):
    """The rows that one sweep reads, and where each of its batches begins and ends.

    If all batches have one size, `rows` has the shape `(num_steps, size)`, so that the graph knows it, as that of `fit`
    does.
    """

    arrays: Any
    rows: tf.Tensor
    splits: tf.Tensor

    def get_next(self, step: Any) -> Any:
        """The batch of step `step`; traced into the loop."""
        with tf.device("CPU:0"):
            whole = self.rows.shape.rank == 2
            rows = self.rows[step] if whole else self.rows[self.splits[step] : self.splits[step + 1]]
            return _map(lambda array: tf.gather(array, rows), self.arrays)


class ArrayStream:
    """Batches of NumPy arrays and pandas frames in the order of `fit`: reshuffled on each pass, the last batch short.

    For small batches, a gather inside the loop is several times cheaper than a `tf.data` pipeline. Large batches gain
    more from prefetching, so `serves` declines them.

    Args:
        adapter: Keras's adapter of the arrays.

    Attributes:
        arrays: The inputs, targets and sample weights that were given, as a tuple.
        unrestored: What reading the data has changed for good, each as a clause: nothing.

    Raises:
        InvalidArgumentError: The batch size is not an integer >= 1.
    """

    unrestored: tuple[str, ...] = ()

    def __init__(self, adapter: ArrayDataAdapter) -> None:
        self.arrays = self._inputs = keras.tree.lists_to_tuples(adapter._inputs)
        self._samples = adapter._num_samples
        self._batch_size = adapter._batch_size
        self._shuffle = adapter._shuffle
        if not isinstance(self._batch_size, (int, np.integer)) or self._batch_size < 1:
            raise InvalidArgumentError(
                f"`batch_size` must be an integer >= 1. Received: {self._batch_size!r}. Pass 32, or None for the "
                "default."
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

    @property
    def batch_size(self) -> int:
        """Samples per batch."""
        return int(self._batch_size)

    @property
    def steps_per_epoch(self) -> int | None:
        """Number of batches in a pass."""
        return -(-int(self._samples) // int(self._batch_size))

    def signature(self) -> ArraySource:
        """The type of `source`, as `tf.TensorSpec`s whose lengths are open, apart from that of whole batches."""
        rows = tf.TensorSpec([None, *self._whole_size], tf.int64)
        return ArraySource(self._specs([None]), rows, tf.TensorSpec([None], tf.int64))

    def source(self, num_steps: int) -> ArraySource:
        """The batches of the next `num_steps` steps."""
        batches = list(itertools.islice(self._batches, num_steps))
        kept, rows = np.unique(np.concatenate(batches), return_inverse=True)
        splits = np.cumsum([0, *map(len, batches)])
        rows = tf.constant(rows.reshape(-1, *self._whole_size), tf.int64)
        return ArraySource(self._cut(kept), rows, tf.constant(splits, tf.int64))

    def batch_of(self, row: int) -> ArraySource:
        """The batch that holds `row` if the rows are not shuffled, as the only one of a source."""
        first = row // self._batch_size * self._batch_size
        rows = np.arange(first, min(first + self._batch_size, self._samples))
        places = tf.constant(np.arange(len(rows)).reshape(-1, *self._whole_size), tf.int64)
        return ArraySource(self._cut(rows), places, tf.constant([0, len(rows)], tf.int64))

    def sample(self) -> Any:
        """The `tf.TensorSpec`s of a batch."""
        return self._specs(self._whole_size or [None])

    @property
    def _whole_size(self) -> list[int]:
        """The size of every batch, as a list; empty if the last batch is short."""
        return [] if self._samples % self._batch_size else [int(self._batch_size)]

    def _specs(self, length: Sequence[int | None]) -> Any:
        return _map(
            lambda array: tf.TensorSpec([*length, *array.shape[1:]], array.dtype), self._cut(np.zeros(1, np.int64))
        )

    def first_batch(self) -> Any:
        """A batch to build a model from."""
        return self.batch_of(0).get_next(0)

    def renew(self) -> bool:
        """False: the batches never end."""
        return False

    def close(self) -> None:
        """Does nothing, since no thread or process runs beside the loop."""

    def _cut(self, rows: np.ndarray) -> Any:
        def take(array: Any) -> Any:
            return array.iloc[rows] if isinstance(array, (pd.DataFrame, pd.Series)) else array[rows]

        with tf.device("CPU:0"):
            return _sliceable(_map(take, self._inputs))

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


def share_generator(adapter: GeneratorDataAdapter) -> ReplayedIterator:
    """What a generator yields after the batches that Keras has peeked at, such that it can be handed back.

    Keras begins each epoch with the peeked batches and goes on with what is left of the generator; so does the adapter
    after this.
    """
    peeked, source = adapter._first_batches, adapter.generator
    rest = ReplayedIterator(itertools.islice(source(), len(peeked), None), global_random_memories())
    adapter.generator = lambda: itertools.chain(peeked, rest)
    return rest.record()


def _reader_of_its_own(adapter: PyDatasetAdapter) -> PyDatasetAdapter:
    """Another adapter of the same `PyDataset`: what its workers have read ahead must not reach the next epoch."""
    own = PyDatasetAdapter(adapter.py_dataset, class_weight=adapter.class_weight, shuffle=adapter.shuffle)
    own._output_signature = adapter._output_signature
    return own


def _stop_workers(enqueuer: Any) -> None:
    """Stops the workers of a `PyDataset` and waits for those at work, also if one has failed."""
    thread = enqueuer.run_thread
    with contextlib.suppress(Exception):
        enqueuer.stop()
    while thread is not None and thread.is_alive():
        with contextlib.suppress(queue.Empty):
            result = enqueuer.future_queue.get(timeout=0.05)
            if not isinstance(result, Exception):
                result.wait()


class IteratorSource(NamedTuple):
    """An iterator that is already running."""

    iterator: Any

    def get_next(self, step: Any) -> Any:
        """The next batch, whatever `step` is; traced into the loop."""
        return next(self.iterator) if tf.executing_eagerly() else self.iterator.get_next()


class IteratorStream:
    """Batches of any data that `fit` takes, over as many passes as a sweep needs.

    A shuffled pipeline is read through a copy that has its own shuffle state. The batches taken from a one-shot Python
    generator are handed to the training that follows. What the code of the user's reader changes is not restored here.

    Args:
        epochs: The epoch iterator of `fit`.
        strategy: The model's distribution strategy.

    Attributes:
        arrays: The inputs, targets and sample weights that were given, if they are arrays; else None.
        unrestored: What reading the data has changed for good, each as a clause.
    """

    def __init__(self, epochs: EpochIterator, strategy: tf.distribute.Strategy) -> None:
        adapter = epochs.data_adapter
        self._rest = share_generator(adapter) if isinstance(adapter, GeneratorDataAdapter) else None
        self._by_reader = isinstance(adapter, PyDatasetAdapter)
        self._adapter = _reader_of_its_own(adapter) if self._by_reader else adapter
        self.arrays = keras.tree.lists_to_tuples(adapter._inputs) if isinstance(adapter, ArrayDataAdapter) else None
        dataset = self._adapter.get_tf_dataset() if self._by_reader else epochs._get_iterator()
        if not isinstance(dataset, tf.data.Dataset) and isinstance(adapter, (TFDatasetAdapter, ArrayDataAdapter)):
            # `fit` has already distributed this dataset, and a distributed dataset cannot be repeated.
            dataset = adapter.get_tf_dataset()
        self.unrestored: tuple[str, ...] = ()
        if isinstance(dataset, tf.data.Dataset) and self._rest is None:
            dataset = self._repeated(dataset)
            dataset = strategy.experimental_distribute_dataset(dataset)
        self._renewable = self._rest is None and (self._by_reader or not isinstance(dataset, tf.data.Dataset))
        self._dataset = dataset
        self._iterator: Any = None

    @property
    def batch_size(self) -> int | None:
        """Samples per batch; None if that is unknown."""
        size = self._adapter.batch_size
        return None if size is None else int(size)

    @property
    def steps_per_epoch(self) -> int | None:
        """Number of batches in a pass; None if that is unknown."""
        count = self._adapter.num_batches
        return int(count) if count is not None and count > 0 else None

    def signature(self) -> IteratorSource:
        """The type of `source`, without reading anything if that is possible."""
        if isinstance(self._dataset, tf.data.Dataset):
            return IteratorSource(tf.data.IteratorSpec(self._dataset.element_spec))
        return self.source(1)

    def source(self, num_steps: int) -> IteratorSource:
        """The batches that come next."""
        if self._iterator is None:
            self._adapter.on_epoch_begin()
            self._iterator = iter(self._dataset)
        return IteratorSource(self._iterator)

    def batch_of(self, row: int) -> ArraySource:
        """The batch that holds `row` of `arrays`, as the only one of a source."""
        size = self._adapter._batch_size
        first = row // size * size
        with tf.device("CPU:0"):
            sliceable = convert_to_sliceable(self.arrays, target_backend="tensorflow")
            rows = _map(lambda array: tf.convert_to_tensor(array[first : first + size]), sliceable)
        count = len(next(leaf for leaf in keras.tree.flatten(rows) if leaf is not None))
        return ArraySource(rows, tf.range(count, dtype=tf.int64), tf.constant([0, count], tf.int64))

    def sample(self) -> Any:
        """The `tf.TensorSpec`s of a batch."""
        return self._dataset.element_spec

    def first_batch(self) -> Any:
        """The first batch, which stays in the stream; None if the data is empty."""
        batch = next(self.source(1).iterator, None)
        self._stop()
        if self._rest is not None:
            self._rest.hand_back()
            self._rest.record()
        return batch

    def renew(self) -> bool:
        """Starts another pass after the data has ended, and returns whether it could."""
        if self._renewable:
            self._stop()
        return self._renewable

    def close(self) -> None:
        """Stops every thread that reads, and hands the batches taken from a generator to the training that follows."""
        self._stop_threads()
        if self._rest is not None:
            self._rest.hand_back()

    def _repeated(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        copied = independent(dataset)
        if copied is dataset and keeps_state(dataset):
            self.unrestored = ("the `tf.data` pipeline shuffles or caches, and cannot be copied",)
        # A `PyDataset` draws its order from Python's random state when a pass begins. `repeat` prefetches, so it would
        # begin a pass at any time, even after a batch has failed and the state has been restored.
        endless = self._by_reader or copied.cardinality() == tf.data.INFINITE_CARDINALITY
        return copied if endless else copied.repeat()

    def _stop(self) -> None:
        """Ends a pass, as `fit` does."""
        self._stop_threads()
        self._adapter.on_epoch_end()

    def _stop_threads(self) -> None:
        iterator, self._iterator = self._iterator, None
        if isinstance(iterator, tf.data.Iterator):
            stop(iterator, self._dataset)
        enqueuer = getattr(self._adapter, "enqueuer", None)
        if enqueuer is not None:
            _stop_workers(enqueuer)


BatchStream = ArrayStream | IteratorStream


class DataSource(NamedTuple):
    """Data that have not been read yet.

    Attributes:
        readers: The user's objects and functions that read them, and the variables of their pipeline.
        is_generator: Whether they come from a one-shot Python generator.
        open: Makes a stream; may read batches to learn their shapes, as `fit` does.
    """

    readers: tuple[Any, ...]
    is_generator: bool
    open: Callable[[], BatchStream]


def data_of_fit(epochs: EpochIterator, model: keras.Model, num_steps: int) -> DataSource:
    """The data of a running `fit`."""
    adapter = epochs.data_adapter

    def open_stream() -> BatchStream:
        if not is_distributed(model) and ArrayStream.serves(adapter, num_steps):
            return ArrayStream(adapter)
        return IteratorStream(epochs, model.distribute_strategy)

    names = {PyDatasetAdapter: "py_dataset", TFDatasetAdapter: "_dataset"}
    data = getattr(adapter, names.get(type(adapter), ""), None)
    return DataSource(readers_of(data), isinstance(adapter, GeneratorDataAdapter), open_stream)


def targets_of(adapter: Any) -> Any:
    """The targets of Keras's adapter of arrays; None with sample weights, and for other data."""
    arrays = getattr(adapter, "_inputs", None) if isinstance(adapter, ArrayDataAdapter) else None
    if arrays is None:
        return None
    _, targets, weights = keras.utils.unpack_x_y_sample_weight(keras.tree.lists_to_tuples(arrays))
    return targets if weights is None else None


class ReadingOfFit(NamedTuple):
    """What `fit` has drawn before it called its first callback.

    Attributes:
        before: The random states before it; None if they are not known, or still the same.
        unrestored: What cannot be undone, each as a clause.
    """

    before: RandomState | None
    unrestored: list[str]


def reading_of_fit(epochs: EpochIterator, candidate: RandomState) -> ReadingOfFit:
    """Finds out what a running `fit` has drawn to learn the shapes of a `PyDataset`, by drawing it again.

    Args:
        epochs: The epoch iterator of that `fit`, before its first epoch.
        candidate: Random states from before that `fit`; right if drawing from them leads to the present ones.
    """
    adapter = epochs.data_adapter
    if not isinstance(adapter, PyDatasetAdapter):
        return ReadingOfFit(None, [])
    surroundings = Surroundings([adapter.py_dataset])
    now = global_random_values()

    def drawn() -> list[Any]:
        again = PyDatasetAdapter(adapter.py_dataset, class_weight=adapter.class_weight, shuffle=adapter.shuffle)
        again.get_tf_dataset()
        again.on_epoch_end()
        return global_random_values()

    try:
        draws = not same_values(drawn(), now)
        moves = surroundings.reader_has_changed()
        candidate.restore()
        known = draws and same_values(drawn(), now)
    except Exception:
        # The test itself reports data that fail.
        return ReadingOfFit(None, [])
    finally:
        surroundings.restore()
    unrestored = ["`fit` had read from the `PyDataset` before the test, which changed its state"] if moves else []
    if draws and not known:
        unrestored.append("`fit` had drawn from a random state before the test")
    return ReadingOfFit(candidate if known else None, unrestored)


def data_of(model: keras.Model, num_steps: int, **data: Any) -> DataSource:
    """The data that `fit` would take; to open them under a distribution strategy builds the model, as `fit` does.

    Args:
        model: A compiled model.
        num_steps: Number of steps of all sweeps together.
        **data: `x`, `y`, `sample_weight`, `batch_size`, `shuffle` and `class_weight` of `fit`.

    Raises:
        DataError: On opening, if `x` is a `PyDataset` of length 0.
    """

    def open_stream() -> BatchStream:
        return _stream_of(model, num_steps, data)

    return DataSource(readers_of(data["x"]), isinstance(data["x"], types.GeneratorType), open_stream)


def readers_of(x: Any) -> tuple[Any, ...]:
    """What keeps a state while `x` is read: a `PyDataset`, or the functions and variables of a pipeline."""
    if isinstance(x, tf.data.Dataset):
        return (*python_functions(x), *pipeline_variables(x))
    return (x,) if isinstance(x, keras.utils.PyDataset) else ()


def _stream_of(model: keras.Model, num_steps: int, data: dict[str, Any]) -> BatchStream:
    check_data_types(x=data["x"], y=data["y"], sample_weight=data["sample_weight"])
    check_is_readable("x", data["x"])
    check_class_weight(data.get("class_weight"), data["sample_weight"])
    arrays = can_convert_arrays((data["x"], data["y"], data["sample_weight"]))
    if arrays:
        _check_arrays(data["x"], data["y"], data["sample_weight"])
    if arrays and not is_distributed(model):
        adapter = get_data_adapter(**data)
        if ArrayStream.serves(adapter, num_steps):
            return ArrayStream(adapter)
    # For other data Keras warns that it cannot shuffle, although `True` is its own default.
    reader = isinstance(data["x"], keras.utils.PyDataset) and data["x"].num_batches is not None
    if reader and data["x"].num_batches < 1:
        raise no_batch(received="a `PyDataset` of length 0")
    shuffle = data["shuffle"] and (arrays or reader)
    epochs = TFEpochIterator(distribute_strategy=model.distribute_strategy, **{**data, "shuffle": shuffle})
    build_on_first_of(model, epochs)
    epochs.reset()
    return IteratorStream(epochs, model.distribute_strategy)


def sliceable_arrays(x: Any, y: Any, sample_weight: Any, class_weight: Any = None) -> Any:
    """The arrays of `fit` as nested tuples whose leaves can be sliced along the first axis; None for other data.

    Class weights become sample weights, as in `fit`.
    """
    if not can_convert_arrays((x, y, sample_weight)):
        return None
    _check_arrays(x, y, sample_weight)
    adapter = ArrayDataAdapter(x, y, sample_weight, batch_size=1, class_weight=class_weight)
    return keras.tree.lists_to_tuples(_sliceable(adapter._inputs))


def check_data_types(**parts: Any) -> None:
    """Raises `DataError` if an argument of `fit` is Python's own numbers or text, a function or an iterator."""
    for name, part in parts.items():
        if isinstance(part, (str, bytes)):
            raise DataError(f"`{name}` must hold arrays. Received the text {part!r:.80}. Load the file first.")
        if inspect.isroutine(part):
            raise DataError(f"`{name}` must hold data. Received a function. Call it, and pass what it returns.")
        if isinstance(part, tf.data.Iterator):
            raise DataError(f"`{name}` must hold data. Received an iterator over a dataset. Pass the dataset itself.")
        first = part
        while isinstance(first, (list, tuple)) and first:
            first = first[0]
        if isinstance(first, (bool, int, float, complex, str, bytes)):
            raise DataError(
                f"`{name}` must hold arrays. Received: {type(part).__name__} of {type(first).__name__}. "
                f"Convert it with `np.array({name})`."
            )


def check_is_readable(name: str, data: Any) -> None:
    """Raises `DataError` if `data`, an argument of `fit`, is of no kind that Keras reads."""
    if data is None or can_convert_arrays((data, None, None)) or isinstance(data, _READ_BY_KERAS):
        return
    try:
        get_data_adapter(data)
    except ValueError as error:
        if "Unrecognized data type" not in str(error):
            raise
        raise DataError(
            f"`{name}` must hold data of a kind that `fit` reads: arrays, a tf.data.Dataset or a PyDataset. Received: "
            f"{data!r:.80} ({type(data).__name__}). Pass one of these."
        ) from error


def no_batch(name: str = "x", *, received: str = "none") -> DataError:
    """The error for data without a batch; `name` is that of the argument."""
    return DataError(f"`{name}` must yield at least one batch. Received {received}. Pass data that is not empty.")


def check_class_weight(class_weight: Any, sample_weight: Any = None) -> None:
    """Raises `InvalidArgumentError` for class weights that `fit` fails on."""
    if class_weight is None:
        return
    if not hasattr(class_weight, "get"):
        raise InvalidArgumentError(
            f"`class_weight` must be a dict of a weight by class. Received: {type(class_weight).__name__}. Pass for "
            "example {0: 1.0, 1: 5.0}."
        )
    if sample_weight is not None:
        raise InvalidArgumentError(
            "`class_weight` must be None if `sample_weight` is given, as in `fit`. Received both. Multiply the weight "
            "of each sample by that of its class."
        )


def _check_arrays(x: Any, y: Any, sample_weight: Any) -> None:
    """Raises `DataError` if the arrays hold no numbers, or not the same number of samples."""
    for leaf in keras.tree.flatten((x, y, sample_weight)):
        if isinstance(leaf, pd.DataFrame):
            _check_columns(leaf)
        if isinstance(leaf, (np.ndarray, pd.DataFrame, pd.Series)):
            _sliceable(leaf[:1])
    parts = {"x": x, "y": y, "sample_weight": sample_weight}
    lengths = {
        name: sorted({int(leaf.shape[0]) for leaf in keras.tree.flatten(part) if leaf is not None and leaf.shape})
        for name, part in parts.items()
    }
    if empty := [name for name, found in lengths.items() if 0 in found]:
        raise no_batch(empty[0])
    if len({length for found in lengths.values() for length in found}) > 1:
        given = ", ".join(f"`{name}` of {' and '.join(map(str, found))}" for name, found in lengths.items() if found)
        raise DataError(
            f"The arrays must hold the same number of samples. Received {given}. Pass one target, and one weight if "
            "there are weights, for each input."
        )


def _check_columns(frame: pd.DataFrame) -> None:
    """Raises `DataError` if the columns make an array of Python objects, as flags beside numbers do."""
    kinds = frame.dtypes.items() if frame[:1].to_numpy().dtype == object else ()
    odd = [(name, kind) for name, kind in kinds if not isinstance(kind, np.dtype) or kind.kind not in "iuf"]
    if odd:
        name, kind = odd[0]
        others = f" and {len(odd) - 1} more" if len(odd) > 1 else ""
        raise DataError(
            f"The arrays must hold numbers. Received the dtype {kind} in the column {name!r}{others}. "
            f"{_number_remedy(str(kind))}"
        )


def _number_remedy(dtype: str) -> str:
    """How to make numbers of an array or a column of this dtype."""
    if dtype == "category":
        return "Pass the codes of the categories, `series.cat.codes`."
    if dtype.startswith(("bool", "Int", "UInt", "Float", "Sparse")):
        return 'Convert it with `astype("float32")`.'
    return 'Map text to numbers, and convert Python objects with `array.astype("float32")`.'


def _sliceable(arrays: Any) -> Any:
    """What Keras converts arrays to before it slices them.

    Raises:
        DataError: An array holds text or Python objects.
    """
    try:
        return convert_to_sliceable(arrays, target_backend="tensorflow")
    except ValueError as error:
        if "Invalid dtype" not in str(error):
            raise
        dtype = str(error).rpartition(": ")[2]
        raise DataError(f"The arrays must hold numbers. Received the dtype {dtype}. {_number_remedy(dtype)}") from error


def split_off_validation(data: tuple[Any, ...], validation_split: float) -> tuple[Any, Any]:
    """The training and the validation part of `(x, y, sample_weight)`, split as by `fit(validation_split=...)`.

    Raises:
        InvalidArgumentError: `validation_split` is not between 0 and 1, the data does not consist of arrays, or one
            part would be empty.
    """
    if not is_number(validation_split) or not 0 < validation_split < 1:
        raise InvalidArgumentError(
            f"`validation_split` must be a number above 0 and below 1. Received: {validation_split!r}. Pass a share "
            "such as 0.2."
        )
    if not can_convert_arrays(data):
        raise InvalidArgumentError(
            f"`validation_split` needs arrays. Received: {with_article(type(data[0]).__name__)}. Pass "
            "`validation_data` instead."
        )
    _check_arrays(*data)
    try:
        return train_validation_split(data, validation_split)  # type: ignore[no-any-return]
    except ValueError as error:
        if "not sufficient" not in str(error):
            raise
        raise InvalidArgumentError(
            f"`validation_split` must leave samples to train on. Received: {validation_split!r} of few samples. Pass a "
            "smaller share, or more data."
        ) from error
