"""The one line that is quoted from an error of many lines; the errors are TensorFlow's and Keras's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lr._utils.formatting import short_error_message
from tests.fresh_process import with_stacks


def broken(value: Any) -> Any:
    raise ValueError("row 3 is empty.")


def python_function(value: Any) -> Any:
    return tf.py_function(broken, [value], tf.int64)


def dataset() -> tf.data.Dataset:
    return tf.data.Dataset.range(2).map(python_function)


GATHER = tf.function(lambda index: tf.gather([1.0, 2.0], index), autograph=False)


class BrokenLayer(keras.layers.Layer):
    def call(self, inputs: Any) -> Any:
        return broken(inputs)


@pytest.mark.parametrize(
    ("fail", "expected"),
    [
        (lambda: python_function(1), "ValueError: row 3 is empty"),
        (
            lambda: tf.function(lambda value: 1 if value else 2, autograph=False)(tf.constant(True)),
            "Using a symbolic `tf.Tensor` as a Python `bool` is not allowed",
        ),
        (lambda: tf.function(python_function)(tf.constant(1)), "ValueError: row 3 is empty"),
        (lambda: next(iter(dataset())), "ValueError: row 3 is empty"),
        (lambda: tf.function(lambda one: one.get_next())(iter(dataset())), "ValueError: row 3 is empty"),
        (lambda: GATHER(tf.constant(7)), "indices = 7 is not in [0, 2)"),
        (
            lambda: tf.reshape(tf.zeros(3), (2,)),
            "Input to reshape is a tensor with 3 values, but the requested shape has 2",
        ),
        (lambda: BrokenLayer()(np.zeros((2, 4))), "row 3 is empty"),
        (lambda: tf.function(BrokenLayer())(tf.zeros((2, 4))), "row 3 is empty"),
        (lambda: broken(1), "row 3 is empty"),
        (lambda: [][1], "list index out of range"),
    ],
    ids=[
        "eager",
        "condition in a graph",
        "graph",
        "pipeline",
        "pipeline in a graph",
        "operation in a graph",
        "eager operation",
        "layer",
        "layer in a graph",
        "one line",
        "Python",
    ],
)
def test_the_cause_is_found(fail: Callable[[], Any], expected: str) -> None:
    with with_stacks(), pytest.raises(Exception) as raised:  # noqa: PT011
        fail()
    assert short_error_message(raised.value) == expected


def test_an_error_without_a_text_gives_its_type() -> None:
    assert short_error_message(KeyboardInterrupt()) == "KeyboardInterrupt"


def test_a_long_message_is_cut() -> None:
    assert short_error_message(ValueError("x" * 1000)) == "x" * 300
