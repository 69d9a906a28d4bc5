"""The state behind traced functions: what they change, how it is put back and copied, and how much memory they need."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lr._keras.traced_state import (
    TracedResources,
    VariableCopies,
    hidden_state,
    peak_bytes,
    undone,
    watched_trace,
)


def table() -> Any:
    return tf.lookup.experimental.MutableHashTable(tf.int64, tf.float32, 0.0)


def counting(kept: Any) -> float:
    """Adds 1 to what a table holds for the key 1."""
    key = tf.constant(1, tf.int64)
    number = kept.lookup(key) + 1.0
    kept.insert(key, number)
    return number  # type: ignore[no-any-return]


def dense_table() -> Any:
    return tf.lookup.experimental.DenseHashTable(tf.int64, tf.float32, 0.0, empty_key=-1, deleted_key=-2)


def words() -> Any:
    return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer([1], [2.0], tf.int64, tf.float32), 0.0)


def filled_queue() -> Any:
    kept = tf.queue.FIFOQueue(9, [tf.float32], [[]])
    kept.enqueue_many([[1.0, 2.0, 3.0]])
    return kept


def iterator() -> Any:
    return iter(tf.data.Dataset.range(9).map(lambda number: tf.cast(number, tf.float32)))


def sampled(_: Any) -> Any:
    """Negative samples, as of `tf.nn.nce_loss`."""
    chosen = tf.random.log_uniform_candidate_sampler([[1]], num_true=1, num_sampled=2, unique=True, range_max=9)
    return tf.cast(chosen.sampled_candidates[0], tf.float32)


def summarized(writer: Any) -> Any:
    with writer.as_default(step=1):
        tf.summary.scalar("loss", 1.0)
    return tf.constant(0.0)


def in_a_branch(kept: Any) -> Any:
    return tf.cond(tf.constant(True) & (kept.size() >= 0), lambda: counting(kept), lambda: 0.0)


STATES = {
    "table": (table, counting, "beside its variables"),
    "dense table": (dense_table, counting, "beside its variables"),
    "table in a branch": (table, in_a_branch, "beside its variables"),
    "queue": (filled_queue, lambda kept: kept.dequeue(), "beside its variables"),
    "iterator": (iterator, next, "beside its variables"),
    "unlisted variable": (lambda: tf.Variable(0.0), lambda kept: kept.assign_add(1.0), "a variable that the model"),
    "negative samples": (lambda: None, sampled, "draws from a random state"),
    "table that is read": (words, lambda kept: kept.lookup(tf.constant(1, tf.int64)), ""),
    "variable that is read": (lambda: tf.Variable(1.0), lambda kept: kept + 1.0, ""),
}


def traced(make: Any, use: Any) -> Any:
    """A function that uses what `make` returns, which it keeps alive."""
    kept = make()
    function = tf.function(lambda: use(kept), autograph=False).get_concrete_function()
    function.kept = kept
    return function


@pytest.mark.parametrize("kind", STATES)
def test_what_a_step_changes_is_seen(kind: str) -> None:
    make, use, expected = STATES[kind]
    found = hidden_state(traced(make, use), ())
    assert expected in found
    assert bool(found) == bool(expected)


def test_what_a_step_writes_for_tensorboard_is_no_state(tmp_path: Any) -> None:
    assert hidden_state(traced(lambda: tf.summary.create_file_writer(str(tmp_path)), summarized), ()) == ""


@pytest.mark.parametrize("kind", ["table", "dense table", "iterator"])
def test_tables_and_iterators_are_put_back(kind: str) -> None:
    make, use, _ = STATES[kind]
    function, plain = traced(make, use), traced(make, use)
    expected = [float(plain()) for _ in range(4)]
    assert float(function()) == expected[0]
    resources = TracedResources(function)
    saved = resources.saved()
    for _ in range(2):
        assert [float(function()) for _ in range(3)] == expected[1:]
        for put_back in saved:
            put_back()
    assert resources.unrestored == []


def test_what_cannot_be_put_back_is_said() -> None:
    make, use, _ = STATES["queue"]
    assert TracedResources(traced(make, use)).unrestored == [
        "a step changes a state beside the variables (`QueueDequeueV2`)"
    ]


def test_copies_of_variables_grow_as_the_variables_do() -> None:
    grown, text = tf.Variable(tf.zeros((0, 2)), shape=[None, 2]), tf.Variable("a")

    def grow() -> Any:
        grown.assign(tf.concat([grown, tf.ones((1, 2))], 0))
        text.assign(tf.strings.join([text, "b"]))
        return tf.shape(grown)[0]

    function = tf.function(grow, autograph=False).get_concrete_function()
    copies = VariableCopies([grown, text])
    assert [int(copies.call(function)) for _ in range(3)] == [1, 2, 3]
    assert grown.shape[0] == 0 or grown.numpy().shape == (0, 2)
    copies.load()
    assert grown.numpy().shape == (3, 2)
    assert text.numpy() == b"abbb"
    copies.store()


class Changing(keras.layers.Layer):
    """Counts in Python and in a variable, and keeps its last output."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0
        self.last: Any = None
        self.generator = np.random.default_rng(3)
        self.average = tf.Variable(0.0, trainable=False)

    def call(self, inputs: Any) -> Any:
        self.calls += 1
        self.last = inputs
        self.average.assign_add(1.0)
        return inputs * (self.calls + self.generator.random()) + self.average


def changing_model() -> Any:
    flowers = keras.Input((2,))
    layer = Changing()
    model = keras.Model(flowers, layer(keras.layers.Dense(2)(flowers)))
    model.compile("sgd", "mse")
    return model, layer


def test_what_python_changes_while_a_step_is_traced_is_undone_and_said() -> None:
    model, layer = changing_model()
    before = layer.calls, layer.generator.bit_generator.state
    with watched_trace(model) as while_traced:
        tf.function(model, autograph=False).get_concrete_function(tf.TensorSpec((None, 2)))
        assert layer.calls == before[0] + 1
    assert (layer.calls, layer.generator.bit_generator.state) == before
    assert while_traced() == "changes a value in Python while it is traced"


def test_random_numbers_of_the_process_that_a_trace_draws_are_said() -> None:
    model, _ = changing_model()
    with watched_trace(model) as while_traced:
        pass
    assert while_traced() == ""
    with watched_trace(model) as while_traced:
        random.random()
    assert while_traced() == "draws random numbers in Python while it is traced"


def test_what_is_made_while_a_step_is_traced_stays_with_the_flag_that_says_so() -> None:
    class Late(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__()
            self.is_made = False

        def call(self, inputs: Any) -> Any:
            if not self.is_made and isinstance(inputs, tf.Tensor):
                self.is_made, self.offset = True, tf.Variable(1.0, trainable=False)
            return inputs

    layer = Late()
    flowers = keras.Input((2,))
    model = keras.Model(flowers, layer(flowers))
    model.compile("sgd", "mse")
    with watched_trace(model):
        model(np.ones((1, 2)))
    assert layer.is_made
    assert isinstance(layer.offset, tf.Variable)


def test_calls_are_undone() -> None:
    model, layer = changing_model()
    before = layer.calls, layer.generator.bit_generator.state
    with undone(model):
        model(np.ones((1, 2)))
        np.random.rand()
        assert float(layer.average) == 1.0
    assert (layer.calls, layer.generator.bit_generator.state) == before
    assert float(layer.average) == 0.0


ROW = 100 * 4
"""Bytes of a row of 100 floats."""


def on_rows(function: Any, *shape: int | None) -> Any:
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
    assert peak_bytes(on_rows(chain, None, 100), batch_size) == pytest.approx(2 * ROW * batch_size, rel=0.1)
    assert peak_bytes(on_rows(slope_of_chain, None, 100), batch_size) == pytest.approx(22 * ROW * batch_size, rel=0.1)


def test_a_shape_with_several_unknown_dimensions_is_as_large_as_what_it_is_made_of() -> None:
    repeated = on_rows(lambda value: keras.ops.repeat(value, 2, axis=1), None, 100)
    unknown = on_rows(lambda value: tf.reshape(value, tf.where(tf.shape(value) > 0, tf.shape(value), -1)), None, 100)
    for function in (repeated, unknown):
        assert ROW * 32 <= peak_bytes(function, 32) <= 8 * ROW * 32


@pytest.mark.parametrize("batch_size", [8, 64])
def test_what_a_loop_collects_for_its_gradient_counts(batch_size: int) -> None:
    steps, width = 50, 16
    layer = keras.layers.LSTM(width)
    layer.build((None, steps, width))

    def slope(value: Any) -> Any:
        with tf.GradientTape() as tape:
            result = layer(value)
        return tape.gradient(result, layer.trainable_variables)

    # At least the state and the four gates of every step, at most ten times that.
    least = 5 * steps * batch_size * width * 4
    assert least <= peak_bytes(on_rows(slope, None, steps, width), batch_size) <= 10 * least


LAYERS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "convolution": (lambda: keras.layers.Conv2D(3, 3), (8, 8, 2)),
    "transposed": (lambda: keras.layers.Conv1DTranspose(3, 3, strides=2), (8, 2)),
    "separable": (lambda: keras.layers.SeparableConv2D(3, 3), (8, 8, 2)),
    "GRU": (lambda: keras.layers.GRU(3, dropout=0.1, recurrent_dropout=0.1), (8, 2)),
    "bidirectional": (lambda: keras.layers.Bidirectional(keras.layers.LSTM(3, return_sequences=True)), (8, 2)),
    "cells": (lambda: keras.layers.RNN([keras.layers.LSTMCell(3), keras.layers.GRUCell(2)]), (8, 2)),
    "convolutional recurrent": (lambda: keras.layers.ConvLSTM1D(2, 3), (4, 8, 2)),
    "distributed": (lambda: keras.layers.TimeDistributed(keras.layers.Conv1D(2, 3)), (4, 8, 2)),
    "attention": (lambda: keras.layers.MultiHeadAttention(2, 2), (8, 2)),
    "normalized": (lambda: keras.layers.BatchNormalization(), (8, 2)),
}


@pytest.mark.parametrize("kind", LAYERS)
def test_the_memory_of_a_step_is_known_for_every_kind_of_layer(kind: str) -> None:
    make, shape = LAYERS[kind]
    layer = make()
    given = keras.Input(shape)
    model = keras.Model(given, layer(given, given) if kind == "attention" else layer(given))

    def slope(value: Any) -> Any:
        with tf.GradientTape() as tape:
            result = tf.reduce_sum(model(value, training=True) ** 2)
        return tape.gradient(result, model.trainable_variables)

    needed = peak_bytes(on_rows(slope, None, *shape), 16)
    assert 16 * np.prod(shape) * 4 <= needed < 1000 * 16 * np.prod(shape) * 4
