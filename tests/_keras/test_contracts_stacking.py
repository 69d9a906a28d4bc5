"""What stacking relies on in TensorFlow's `tf.vectorized_map` and in its tracing."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.ops.parallel_for import pfor

from keras_lr._keras.stateless import register_rules


@pytest.fixture(autouse=True)
def registered() -> None:
    """The rules that keras_lr adds."""
    register_rules()


def vectorized(function: Any, values: Any) -> np.ndarray:
    return np.asarray(tf.vectorized_map(function, values, fallback_to_while_loop=False))


def test_register_pfor_adds_to_the_registry_a_rule_that_vectorized_map_uses() -> None:
    name, called = "Bessel_I0e_for_this_test", []
    assert name not in pfor._pfor_converter_registry
    rule = pfor._pfor_converter_registry["BesselI0e"]
    try:
        pfor._pfor_converter_registry.pop("BesselI0e")

        @pfor.RegisterPFor("BesselI0e")
        def convert(operation: Any) -> Any:
            called.append(operation.op_type)
            return pfor.wrap(tf.math.bessel_i0e(operation.stacked_input(0)), True)

        np.testing.assert_allclose(vectorized(tf.math.bessel_i0e, tf.zeros((3,))), np.ones(3))
    finally:
        pfor._pfor_converter_registry["BesselI0e"] = rule
    assert called == ["BesselI0e"]


def test_a_bitcast_gives_its_stacked_input_and_its_type_to_a_rule() -> None:
    values = tf.constant([1.0, -2.0, 3.0])
    np.testing.assert_array_equal(
        vectorized(lambda one: tf.bitcast(one, tf.int32), values), tf.bitcast(values, tf.int32)
    )


def test_keras_s_argmax_can_be_stacked() -> None:
    values = tf.constant([[1.0, 3.0, 2.0], [5.0, 4.0, 6.0]])
    np.testing.assert_array_equal(vectorized(lambda one: keras.ops.argmax(one), values), [1, 2])


def test_the_fallback_converter_draws_for_each_copy_what_it_would_draw_alone() -> None:
    seeds = tf.constant([[1, 2], [3, 4], [5, 6]])
    alone = [tf.random.stateless_uniform((4,), seed) for seed in seeds]
    np.testing.assert_array_equal(vectorized(lambda seed: tf.random.stateless_uniform((4,), seed), seeds), alone)


@pytest.mark.parametrize(
    "layer", [keras.layers.Dropout(0.5), keras.layers.GaussianNoise(1.0)], ids=lambda one: one.name
)
def test_random_layers_use_operations_for_which_there_is_a_rule(layer: Any) -> None:
    graph = tf.function(lambda x: layer(x, training=True)).get_concrete_function(tf.TensorSpec((2, 3))).graph
    random = {operation.type for operation in graph.get_operations() if "Random" in operation.type}
    assert random
    assert random <= set(pfor._pfor_converter_registry)


def test_a_function_takes_an_attribute_that_silences_the_warning_about_tracing() -> None:
    function = tf.function(lambda x: x)
    assert function._omit_frequent_tracing_warning is False
