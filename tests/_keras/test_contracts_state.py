"""What keras_lr relies on to save and restore random state, and to reach the variables behind Keras's."""

from __future__ import annotations

import random
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.backend.common import global_state
from tensorflow.python.eager import context
from tensorflow.python.framework import config
from tensorflow.python.ops import stateful_random_ops

SEEDS = "global_seed_generator"


@pytest.fixture
def random_state() -> Any:
    """Restores Keras's generator, and the seed of TensorFlow, after the test."""
    generator = global_state.get_global_attribute(SEEDS)
    yield
    global_state.set_global_attribute(SEEDS, generator)
    tf.random.set_seed(None)


def test_global_seed_generator_is_a_global_attribute_with_a_state_variable(random_state: Any) -> None:
    global_state.set_global_attribute(SEEDS, None)
    keras.random.uniform((1,))
    generator = global_state.get_global_attribute(SEEDS)
    assert isinstance(generator, keras.random.SeedGenerator)
    assert isinstance(generator.state.value, tf.Variable)


def test_restoring_global_seed_generator_repeats_keras_s_draws(random_state: Any) -> None:
    keras.utils.set_random_seed(3)
    keras.random.uniform((1,))
    generator = global_state.get_global_attribute(SEEDS)
    state = tf.identity(generator.state.value)
    first = keras.random.uniform((4,))
    generator.state.assign(state)
    global_state.set_global_attribute(SEEDS, generator)
    np.testing.assert_array_equal(keras.random.uniform((4,)), first)


def test_uninitialized_variables_are_those_that_a_failed_build_leaves_to_every_later_one() -> None:
    def build(initializer: Any) -> None:
        with keras.StatelessScope():
            keras.Variable(initializer, shape=())

    def fail(shape: Any, dtype: Any) -> Any:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        build(fail)
    with pytest.raises(ZeroDivisionError):
        build("ones")
    assert len(global_state.get_global_attribute("uninitialized_variables")) == 2
    global_state.set_global_attribute("uninitialized_variables", [])
    build("ones")
    assert global_state.get_global_attribute("uninitialized_variables") == []


@pytest.mark.parametrize(
    "layer", [keras.layers.Dropout(0.5), keras.layers.GaussianNoise(1.0)], ids=lambda one: one.name
)
def test_a_seed_state_is_a_variable_of_the_model_but_no_weight_and_is_named_in_its_path(layer: Any) -> None:
    model = keras.Sequential([keras.Input((3,)), layer, keras.layers.Dense(1)])
    weights = {id(weight) for weight in model.weights}
    others = [variable for variable in model.variables if id(variable) not in weights]
    assert [variable.path.split("/")[-1] for variable in others] == ["seed_generator_state"]


def test_rng_of_the_eager_context_is_python_s_and_restoring_it_repeats_the_seeds_of_operations(
    random_state: Any,
) -> None:
    tf.random.set_seed(5)
    generator = context.context()._rng
    assert isinstance(generator, random.Random)
    state = generator.getstate()
    seeds = [tf.compat.v1.random.get_seed(None) for _ in range(2)]
    assert seeds[0] != seeds[1]
    generator.setstate(state)
    assert [tf.compat.v1.random.get_seed(None) for _ in range(2)] == seeds


def test_is_op_determinism_enabled_follows_the_public_switch() -> None:
    assert not config.is_op_determinism_enabled()
    tf.config.experimental.enable_op_determinism()
    try:
        assert config.is_op_determinism_enabled()
    finally:
        config.disable_op_determinism()


def test_a_keras_variable_has_a_tensorflow_variable_as_its_value() -> None:
    assert isinstance(keras.Variable(1.0).value, tf.Variable)


def test_a_distributed_variable_has_one_value_per_replica() -> None:
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        variable = keras.Variable(1.0)
    assert isinstance(variable.value, tf.distribute.DistributedValues)
    assert len(variable.value.values) == 1


def test_seed_of_the_eager_context_is_the_global_one_and_seeds_operations_together_with_rng(random_state: Any) -> None:
    tf.random.set_seed(5)
    eager = context.context()
    assert eager._seed == 5
    expected = [float(tf.random.uniform(())), float(tf.random.uniform((), seed=3))]
    tf.random.set_seed(6)
    eager._seed, eager._rng = 5, random.Random(5)
    assert [float(tf.random.uniform(())), float(tf.random.uniform((), seed=3))] == expected


def test_clear_kernel_cache_starts_stateful_operations_again(random_state: Any) -> None:
    tf.random.set_seed(5)
    first = float(tf.random.uniform((), seed=3))
    assert float(tf.random.uniform((), seed=3)) != first
    context.context().clear_kernel_cache()
    assert float(tf.random.uniform((), seed=3)) == first


def test_global_generator_is_what_get_global_generator_returns() -> None:
    generator = tf.random.get_global_generator()
    assert stateful_random_ops.global_generator is generator


def test_list_all_concrete_functions_has_the_graphs_of_a_function() -> None:
    @tf.function
    def noise() -> Any:
        return tf.random.uniform(())

    noise()
    (concrete,) = noise._list_all_concrete_functions()
    assert [one.op_def.is_stateful for one in concrete.graph.get_operations() if one.type == "RandomUniform"] == [True]


@pytest.mark.parametrize("make", [lambda: keras.Variable(2.0), lambda: keras.layers.Dense(1).add_weight((1,))])
def test_keras_makes_its_variables_by_the_creators_of_tensorflow(make: Any) -> None:
    made = []

    def create(next_creator: Any, **options: Any) -> Any:
        made.append(next_creator(**options))
        return made[-1]

    with tf.variable_creator_scope(create):
        variable = make()
    assert [one is variable.value for one in made] == [True]


def test_a_traced_function_runs_on_other_variables_that_take_the_places_of_those_it_captured() -> None:
    variable, other = tf.Variable(1.0), tf.Variable(10.0)

    @tf.function
    def add(value: Any) -> dict[str, Any]:
        return {"sum": variable.assign_add(value)}

    traced = add.get_concrete_function(tf.TensorSpec((), tf.float32))
    assert [id(handle) for handle in traced.captured_inputs] == [id(variable.handle)]
    result = traced.inference_fn.call_preflattened([tf.constant(2.0), other.handle])
    assert (float(result["sum"]), float(other), float(variable)) == (12.0, 12.0, 1.0)
