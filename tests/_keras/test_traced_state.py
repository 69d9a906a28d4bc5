"""How much memory a traced function needs."""

from __future__ import annotations

from typing import Any

import keras
import pytest
import tensorflow as tf

from keras_lr._keras.traced_state import peak_bytes

ROW = 100 * 4
"""Bytes of a row of 100 floats."""


def traced(function: Any, *shape: int | None) -> Any:
    return tf.function(function, autograph=False).get_concrete_function(tf.TensorSpec(shape, tf.float32))


def chain(value: Any, length: int = 20) -> Any:
    for _ in range(length):
        value = tf.nn.relu(value)
    return value


def slope_of_chain(value: Any) -> Any:
    with tf.GradientTape() as tape:
        tape.watch(value)
        result = chain(value)
    return tape.gradient(result, value)


@pytest.mark.parametrize("batch_size", [8, 64])
def test_a_result_counts_until_its_last_use(batch_size: int) -> None:
    # Two at a time; with the gradient, the 20 results that it needs, and two of its own.
    assert peak_bytes(traced(chain, None, 100), batch_size) == pytest.approx(2 * ROW * batch_size, rel=0.1)
    assert peak_bytes(traced(slope_of_chain, None, 100), batch_size) == pytest.approx(22 * ROW * batch_size, rel=0.1)


def test_a_shape_with_several_unknown_dimensions_is_as_large_as_what_it_is_made_of() -> None:
    repeated = traced(lambda value: keras.ops.repeat(value, 2, axis=1), None, 100)
    unknown = traced(lambda value: tf.reshape(value, tf.where(tf.shape(value) > 0, tf.shape(value), -1)), None, 100)
    for function in (repeated, unknown):
        assert ROW * 32 <= peak_bytes(function, 32) <= 8 * ROW * 32
