"""What keras_lr relies on in `tf.data`: the parts of a pipeline, its shuffles, and its serialized graph."""

from __future__ import annotations

from typing import Any

import keras
import pytest
import tensorflow as tf

SEED, SEED2 = 3, 0


def numbers() -> tf.data.Dataset:
    return tf.data.Dataset.range(8)


def serialized(dataset: tf.data.Dataset) -> tf.compat.v1.GraphDef:
    graph = tf.raw_ops.DatasetToGraphV2(
        input_dataset=tf.data.experimental.to_variant(dataset),
        external_state_policy=tf.data.experimental.ExternalStatePolicy.IGNORE.value,
        strip_device_assignment=True,
    )
    return tf.compat.v1.GraphDef.FromString(graph.numpy())


@pytest.mark.parametrize("reshuffles", [True, False])
def test_a_shuffle_keeps_its_seeds_and_whether_it_reshuffles(reshuffles: bool) -> None:
    dataset = numbers().shuffle(8, seed=SEED, reshuffle_each_iteration=reshuffles)
    assert dataset._reshuffle_each_iteration is reshuffles
    assert SEED in {int(tf.get_static_value(dataset._seed)), int(tf.get_static_value(dataset._seed2))}


def test_a_shuffle_without_a_seed_keeps_zeros() -> None:
    tf.random.set_seed(None)
    dataset = numbers().shuffle(8)
    assert [int(tf.get_static_value(seed)) for seed in (dataset._seed, dataset._seed2)] == [0, 0]


def test_inputs_of_a_pipeline_are_the_pipelines_it_reads() -> None:
    first, second = numbers(), numbers().batch(2)
    assert list(tf.data.Dataset.zip(first, second)._inputs()) == [first, second]
    assert list(first._inputs()) == []


def test_functions_of_a_pipeline_have_the_captured_inputs_and_the_variables_of_their_graph() -> None:
    noise, inner = keras.layers.GaussianNoise(1.0, seed=1), numbers()
    mapped = tf.data.Dataset.range(1).map(lambda value: noise(tf.cast(value, "float32"), training=True))
    graphs = [function.function.graph for function in mapped._functions()]
    held = [reference() for graph in graphs for reference in graph._weak_variables]
    assert any(variable is noise.seed_generator.state.value for variable in held)
    nested = tf.data.Dataset.range(1).flat_map(lambda _: inner)
    captured = [tensor for function in nested._functions() for tensor in function.function.captured_inputs]
    assert tf.variant in {tensor.dtype for tensor in captured}


def test_inputs_2_and_3_of_shuffle_dataset_v3_are_seeds_and_input_4_the_shared_generator() -> None:
    definition = serialized(numbers().shuffle(8, seed=SEED))
    nodes = {node.name: node for node in definition.node}
    shuffle = next(node for node in definition.node if node.op == "ShuffleDatasetV3")
    seeds = [tf.make_ndarray(nodes[shuffle.input[place].split(":")[0]].attr["value"].tensor) for place in (2, 3)]
    assert SEED in {int(seed) for seed in seeds}
    assert "Generator" in nodes[shuffle.input[4].split(":")[0]].op or len(shuffle.input) == 5


def test_shuffle_dataset_takes_the_first_four_inputs_and_shuffles_by_the_seeds() -> None:
    def order(dataset: Any) -> list[int]:
        definition = serialized(dataset)
        for node in definition.node:
            if node.op == "ShuffleDatasetV3":
                node.op = "ShuffleDataset"
                del node.input[4:]
        variant = tf.raw_ops.DatasetFromGraph(graph_def=definition.SerializeToString())
        copy = tf.data.experimental.from_variant(variant, dataset.element_spec)
        return [int(value) for value in copy]

    shuffled = order(numbers().shuffle(8, seed=SEED))
    assert shuffled == order(numbers().shuffle(8, seed=SEED))
    assert shuffled != list(range(8))
    assert sorted(shuffled) == list(range(8))


def test_the_device_of_a_python_function_is_stripped_to_the_one_that_is_known() -> None:
    definition = serialized(numbers().map(lambda value: tf.py_function(lambda one: one, [value], tf.int64)))
    nodes = [node for function in definition.library.function for node in function.node_def]
    assert {node.device for node in nodes if node.op == "EagerPyFunc"} <= {"/device::0", ""}
