"""Reading a pipeline leaves its later order alone."""

from __future__ import annotations

from typing import Any

import pytest
import tensorflow as tf

from keras_lr._keras.tf_data import independent


def order(dataset: tf.data.Dataset) -> list[int]:
    return [int(value) for value in dataset.as_numpy_iterator()]


def numbers() -> tf.data.Dataset:
    return tf.data.Dataset.range(20)


PIPELINES: dict[str, Any] = {
    "shuffle": lambda: numbers().shuffle(20, seed=3),
    "below other steps": lambda: numbers().shuffle(20, seed=3).map(lambda value: value).prefetch(2),
    "two": lambda: numbers().shuffle(20, seed=3).shuffle(5, seed=4),
    "zipped": lambda: tf.data.Dataset.zip(numbers(), numbers().shuffle(20, seed=3)).map(lambda one, two: two),
    "python function": lambda: (
        numbers().map(lambda value: tf.py_function(lambda one: one, [value], tf.int64)).shuffle(20, seed=3)
    ),
    "generator": lambda: tf.data.Dataset.from_generator(
        lambda: iter(range(20)), output_signature=tf.TensorSpec((), tf.int64)
    ).shuffle(20, seed=3),
    "captured": lambda: (lambda inner: tf.data.Dataset.range(1).flat_map(lambda _: inner))(
        numbers().shuffle(20, seed=3)
    ),
}


@pytest.mark.parametrize("name", PIPELINES)
def test_reading_the_copy_changes_no_later_pass(name: str) -> None:
    untouched, read = PIPELINES[name](), PIPELINES[name]()
    copy = independent(read)
    passes = [order(copy), order(copy)]
    assert passes[0] != passes[1]
    assert [sorted(once) for once in passes] == [list(range(20))] * 2
    assert [order(read), order(read)] == [order(untouched), order(untouched)]


@pytest.mark.parametrize(
    "dataset",
    [numbers(), numbers().shuffle(20, seed=3, reshuffle_each_iteration=False), numbers().batch(4).repeat()],
    ids=["plain", "one order", "batches"],
)
def test_a_pipeline_without_such_a_state_is_read_itself(dataset: Any) -> None:
    assert independent(dataset) is dataset
