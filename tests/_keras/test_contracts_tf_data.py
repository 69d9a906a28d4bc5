"""What keras_lr relies on in `tf.data`: the parts of a pipeline, its shuffles, and its serialized graph."""

from __future__ import annotations

import time
import weakref
from typing import Any

import keras
import pytest
import tensorflow as tf
from tensorflow.python.data.ops import cache_op
from tensorflow.python.framework import op_def_registry
from tensorflow.python.ops import script_ops

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


def test_inputs_2_and_3_of_shuffle_dataset_v3_are_seeds() -> None:
    definition = serialized(numbers().shuffle(8, seed=SEED))
    nodes = {node.name: node for node in definition.node}
    shuffle = next(node for node in definition.node if node.op == "ShuffleDatasetV3")
    seeds = [tf.make_ndarray(nodes[shuffle.input[place].split(":")[0]].attr["value"].tensor) for place in (2, 3)]
    assert SEED in {int(seed) for seed in seeds}


@pytest.mark.parametrize(
    ("dataset", "operation", "place"),
    [
        (numbers().shuffle(8, seed=SEED), "ShuffleDatasetV3", 4),
        (tf.data.Dataset.random(seed=SEED, rerandomize_each_iteration=True).take(3), "RandomDatasetV2", 2),
        (tf.data.Dataset.random(rerandomize_each_iteration=True).take(3).cache(), "CacheDatasetV2", 2),
    ],
)
def test_a_node_that_finds_no_resource_of_the_name_it_is_given_makes_its_own(
    dataset: Any, operation: str, place: int
) -> None:
    def copied(name: str) -> Any:
        definition = serialized(dataset)
        nodes = {node.name: node for node in definition.node}
        (node,) = (node for node in definition.node if node.op == operation)
        (handle,) = nodes[node.input[place].split(":")[0]].attr["value"].tensor.resource_handle_val
        handle.name = name
        variant = tf.raw_ops.DatasetFromGraph(graph_def=definition.SerializeToString())
        return tf.data.experimental.from_variant(variant, dataset.element_spec)

    def passes(one: Any) -> list[list[int]]:
        return [[int(value) for value in one] for _ in range(2)]

    first, second = copied("one"), copied("other")
    seen = passes(first)
    if operation == "CacheDatasetV2":
        assert seen[0] == seen[1]
        assert passes(second)[0] != seen[0]
    else:
        assert seen[0] != seen[1]
        assert passes(second) == seen
        assert passes(dataset) == seen


def test_the_device_of_a_python_function_is_stripped_to_the_one_that_is_known() -> None:
    definition = serialized(numbers().map(lambda value: tf.py_function(lambda one: one, [value], tf.int64)))
    nodes = [node for function in definition.library.function for node in function.node_def]
    assert {node.device for node in nodes if node.op == "EagerPyFunc"} <= {"/device::0", ""}


def test_a_rerandomized_random_dataset_says_so_and_keeps_its_seeds() -> None:
    for rerandomizes in (True, False):
        dataset = tf.data.Dataset.random(seed=SEED, rerandomize_each_iteration=rerandomizes)
        assert bool(dataset._rerandomize) is rerandomizes
        assert SEED in {int(tf.get_static_value(dataset._seed)), int(tf.get_static_value(dataset._seed2))}


@pytest.mark.parametrize("name", ["", "file"])
def test_input_1_of_a_cache_is_the_name_of_its_files(name: str, tmp_path: Any) -> None:
    path = str(tmp_path / name) if name else ""
    dataset = numbers().cache(path)
    assert isinstance(dataset, cache_op.CacheDataset)
    assert tf.get_static_value(dataset._filename) == path.encode()
    definition = serialized(dataset)
    nodes = {node.name: node for node in definition.node}
    cache = next(node for node in definition.node if node.op == "CacheDatasetV2")
    named = nodes[cache.input[1].split(":")[0]]
    assert tf.make_ndarray(named.attr["value"].tensor).item() == path.encode()
    if path:
        assert len(list(dataset)) == 8
        assert tf.io.gfile.exists(path + ".index")


def test_the_token_of_a_python_function_is_its_key_among_the_python_functions() -> None:
    def read(value: Any) -> Any:
        return value

    for wrap in (tf.numpy_function, tf.py_function):
        dataset = numbers().map(lambda value, wrap=wrap: wrap(read, [value], tf.int64))
        nodes = [node for function in dataset._functions() for node in function.function.graph.as_graph_def().node]
        tokens = [node.attr["token"].s.decode() for node in nodes if "PyFunc" in node.op]
        assert len(tokens) == 1
        assert callable(script_ops._py_funcs._funcs.get(tokens[0]))


def test_random_and_python_operations_are_stateful_and_arithmetic_is_not() -> None:
    stateful = {
        name: op_def_registry.get(name).is_stateful for name in ("RandomUniform", "PyFunc", "EagerPyFunc", "Mul")
    }
    assert stateful == {"RandomUniform": True, "PyFunc": True, "EagerPyFunc": True, "Mul": False}


def begun_pipeline() -> tuple[tf.data.Dataset, Any, list[int]]:
    """A dataset that reads ahead, an iterator over it that has given one element, and the elements read so far."""
    read: list[int] = []

    def note(value: Any) -> Any:
        read.append(int(value))
        return value

    dataset = tf.data.Dataset.range(10**6).map(lambda value: tf.numpy_function(note, [value], tf.int64)).prefetch(4)
    iterator = iter(dataset)
    next(iterator)
    return dataset, iterator, read


def test_make_iterator_replaces_what_an_iterator_iterates_over_and_stops_its_threads() -> None:
    dataset, iterator, read = begun_pipeline()
    nothing = tf.data.experimental.to_variant(dataset.take(0))
    tf.raw_ops.MakeIterator(dataset=nothing, iterator=iterator._iterator_resource)
    count = len(read)
    with pytest.raises(StopIteration):
        next(iterator)
    assert len(read) == count < 100


def test_deleting_the_resource_of_an_iterator_stops_its_threads() -> None:
    _, iterator, read = begun_pipeline()
    resource = weakref.ref(iterator._iterator_resource)
    iterator._iterator_resource = None
    count = len(read)
    assert resource() is None
    time.sleep(0.02)
    assert len(read) == count < 100


def test_a_generator_of_a_dataset_is_kept_as_generator() -> None:
    def rows() -> Any:
        yield 1

    dataset = tf.data.Dataset.from_generator(rows, output_signature=tf.TensorSpec((), tf.int64))
    states = [
        cell.cell_contents
        for function in dataset._functions()
        for node in [
            *function.function.graph.as_graph_def().node,
            *(node for one in function.function.graph.as_graph_def().library.function for node in one.node_def),
        ]
        if "PyFunc" in node.op
        for cell in script_ops._py_funcs._funcs.get(node.attr["token"].s.decode()).__closure__ or ()
    ]
    owners = [getattr(state, "__self__", None) for state in states]
    assert any(getattr(owner, "_generator", None) is rows for owner in owners)
