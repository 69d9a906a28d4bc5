"""What keras_lr relies on in Keras's data adapters and epoch iterators."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.backend.tensorflow.trainer import TFEpochIterator
from keras.src.trainers.data_adapters import get_data_adapter
from keras.src.trainers.data_adapters.array_data_adapter import ArrayDataAdapter, can_convert_arrays
from keras.src.trainers.data_adapters.array_slicing import convert_to_sliceable, train_validation_split
from keras.src.trainers.data_adapters.generator_data_adapter import GeneratorDataAdapter
from keras.src.trainers.data_adapters.py_dataset_adapter import PyDatasetAdapter
from keras.src.trainers.data_adapters.tf_dataset_adapter import TFDatasetAdapter

from tests._keras.tiny_model import X, Y
from tests.versions import VERSION

needs_missing_parts = pytest.mark.skipif(VERSION < (3, 12), reason="this Keras takes no None from a generator")

BATCHES = [(np.full((2, 3), number), np.full((2, 1), number)) for number in range(4)]


class Reader(keras.utils.PyDataset):
    def __len__(self) -> int:
        return len(BATCHES)

    def __getitem__(self, index: int) -> Any:
        return BATCHES[index]


def numbers(batches: Any) -> list[int]:
    return [int(np.asarray(x).flat[0]) for x, _ in batches]


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: X, ArrayDataAdapter),
        (lambda: tf.data.Dataset.from_tensors((X, Y)), TFDatasetAdapter),
        (Reader, PyDatasetAdapter),
        (lambda: (batch for batch in BATCHES), GeneratorDataAdapter),
    ],
    ids=["arrays", "dataset", "PyDataset", "generator"],
)
def test_get_data_adapter_takes_fit_s_arguments_and_tells_the_kinds_of_data_apart(make: Any, kind: type) -> None:
    x = make()
    options = {"y": Y, "batch_size": 4, "shuffle": True} if x is X else {"shuffle": False}
    adapter = get_data_adapter(x=x, sample_weight=None, class_weight=None, **options)
    assert type(adapter) is kind
    assert isinstance(adapter.get_tf_dataset(), tf.data.Dataset)


def test_can_convert_arrays_is_true_of_arrays_and_none_alone() -> None:
    assert can_convert_arrays((X, [Y, Y], None))
    assert not can_convert_arrays((tf.data.Dataset.from_tensors(X), None, None))
    assert not can_convert_arrays((iter(BATCHES), None, None))


def test_array_data_adapter_keeps_inputs_num_samples_batch_size_and_shuffle() -> None:
    adapter = ArrayDataAdapter(X, Y, batch_size=4, shuffle="batch")
    x, y, *rest = adapter._inputs
    np.testing.assert_array_equal(x, X)
    np.testing.assert_array_equal(y, Y)
    assert rest in ([], [None])
    assert (adapter._num_samples, adapter._batch_size, adapter._shuffle) == (8, 4, "batch")
    assert ArrayDataAdapter(X)._batch_size == 32


def test_array_data_adapter_turns_class_weights_into_sample_weights() -> None:
    labels = np.array([0, 1] * 4)
    adapter = ArrayDataAdapter(X, labels, class_weight={0: 0.5, 1: 2.0})
    np.testing.assert_allclose(np.asarray(adapter._inputs[2]).ravel(), [0.5, 2.0] * 4)


def test_convert_to_sliceable_gives_leaves_that_can_be_sliced_in_the_dtype_of_fit() -> None:
    sliced = convert_to_sliceable((X.astype("float64"), None, Y), target_backend="tensorflow")
    assert sliced[1] is None
    assert tf.convert_to_tensor(sliced[0][2:5]).dtype == "float32"
    np.testing.assert_allclose(sliced[0][2:5], X[2:5])


def test_train_validation_split_takes_the_last_rows() -> None:
    train, validation = train_validation_split((X, Y, None), 0.25)
    np.testing.assert_array_equal(train[0], X[:6])
    np.testing.assert_array_equal(validation[1], Y[6:])
    assert train[2] is None


def test_generator_of_the_adapter_yields_the_first_batches_it_has_peeked_at_and_then_the_rest() -> None:
    adapter = GeneratorDataAdapter(iter(BATCHES))
    assert 1 <= len(adapter._first_batches) < len(BATCHES)
    assert numbers(adapter._first_batches) == [0, 1][: len(adapter._first_batches)]
    assert numbers(adapter.generator()) == [0, 1, 2, 3]
    assert numbers(adapter.generator()) == numbers(adapter._first_batches)


def test_the_dataset_of_a_generator_reads_the_adapter_s_present_generator() -> None:
    adapter = GeneratorDataAdapter(iter(BATCHES))
    dataset = adapter.get_tf_dataset()
    adapter.generator = lambda: iter(BATCHES[2:])
    assert numbers(dataset) == [2, 3]


@needs_missing_parts
def test_a_part_that_a_generator_leaves_out_is_an_empty_optional() -> None:
    def without_weights() -> Iterator[Any]:
        yield from ((x, None) for x, _ in BATCHES)

    _, missing = next(iter(GeneratorDataAdapter(without_weights()).get_tf_dataset()))
    assert isinstance(missing, tf.experimental.Optional)
    assert not missing.has_value()


def test_enqueuer_of_a_reader_runs_while_it_is_read_and_can_be_stopped() -> None:
    assert PyDatasetAdapter(Reader(), shuffle=False).enqueuer is None
    adapter = PyDatasetAdapter(Reader(workers=2), shuffle=False)
    iterator = iter(adapter.get_tf_dataset())
    next(iterator)
    assert adapter.enqueuer.is_running()
    adapter.enqueuer.stop()
    assert not adapter.enqueuer.is_running()


def test_py_dataset_adapter_keeps_its_reader_class_weight_shuffle_and_signature() -> None:
    reader = Reader()
    adapter = PyDatasetAdapter(reader, class_weight={0: 1.0}, shuffle=True)
    assert (adapter.py_dataset, adapter.class_weight, adapter.shuffle) == (reader, {0: 1.0}, True)
    assert adapter._output_signature is None
    adapter.get_tf_dataset()
    other = PyDatasetAdapter(reader, class_weight={0: 1.0}, shuffle=False)
    other._output_signature = adapter._output_signature
    assert other.get_tf_dataset().element_spec == adapter._output_signature


def test_tf_dataset_adapter_keeps_its_dataset() -> None:
    dataset = tf.data.Dataset.from_tensors((X, Y))
    assert get_data_adapter(x=dataset, shuffle=False)._dataset is dataset


def test_run_thread_and_future_queue_of_an_enqueuer_end_when_it_is_stopped() -> None:
    # The queue of one batch keeps the thread waiting.
    adapter = PyDatasetAdapter(Reader(workers=2, max_queue_size=1), shuffle=False)
    next(iter(adapter.get_tf_dataset()))
    thread = adapter.enqueuer.run_thread
    assert thread.is_alive()
    adapter.enqueuer.stop()
    assert not thread.is_alive()
    assert adapter.enqueuer.future_queue.empty()


def test_get_iterator_is_a_dataset_unless_a_strategy_distributes_it() -> None:
    def data_of(strategy: Any) -> Any:
        epochs = TFEpochIterator(distribute_strategy=strategy, x=X, y=Y, batch_size=4)
        assert isinstance(epochs.data_adapter, ArrayDataAdapter)
        epochs.reset()
        return epochs._get_iterator()

    assert isinstance(data_of(tf.distribute.get_strategy()), tf.data.Dataset)
    assert not isinstance(data_of(tf.distribute.MirroredStrategy(["CPU:0"])), tf.data.Dataset)
