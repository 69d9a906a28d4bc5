"""Copies of `tf.data` pipelines, so that reading a shuffled one does not change the order of a later pass."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import tensorflow as tf

_IGNORE_EXTERNAL_STATE = tf.data.experimental.ExternalStatePolicy.IGNORE.value

_STRIPPED_DEVICE = "/device::0"
"""What TensorFlow makes of the device of a `tf.py_function` when it strips devices. It cannot parse that itself."""

_SEED_INPUTS = (2, 3)
"""Places of a shuffle's seeds among its inputs. In `ShuffleDatasetV3` the next one is the generator that they share."""


def independent(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """A pipeline to read without changing the order of `dataset`: a copy if it shuffles by a seed, else `dataset`.

    A seeded shuffle shares one generator among its iterators, so each pass changes the order of every later one. The
    copy makes its own generator from the same seeds. Without a seed the order is random anyway. In-memory sources of
    the pipeline are duplicated by the copy.
    """
    return edited_copy(dataset, _own_generators) if _keeps_shuffle_state(dataset) else dataset


def edited_copy(dataset: tf.data.Dataset, edit: Callable[[tf.compat.v1.GraphDef], None]) -> tf.data.Dataset:
    """The pipeline that is made from the graph of `dataset` after `edit` has changed that graph in place.

    A pipeline that cannot be serialized is returned as it is.
    """
    try:
        graph = tf.raw_ops.DatasetToGraphV2(
            input_dataset=tf.data.experimental.to_variant(dataset),
            external_state_policy=_IGNORE_EXTERNAL_STATE,
            strip_device_assignment=True,
        )
    except tf.errors.OpError:
        return dataset
    definition = tf.compat.v1.GraphDef.FromString(graph.numpy())
    for node in _all_nodes(definition):
        if node.device == _STRIPPED_DEVICE:
            node.device = ""
    edit(definition)
    variant = tf.raw_ops.DatasetFromGraph(graph_def=definition.SerializeToString())
    return tf.data.experimental.from_variant(variant, dataset.element_spec)


def with_own_generators(nodes: Iterable[Any]) -> list[Any]:
    """Gives each shuffle among `nodes` its own generator, made from its seeds, and returns these nodes.

    `ShuffleDatasetV3` takes the shared generator as an input; `ShuffleDataset` has no such input.
    """
    shuffles = [node for node in nodes if node.op == "ShuffleDatasetV3"]
    for node in shuffles:
        node.op = "ShuffleDataset"
        del node.input[4:]
    return shuffles


def _own_generators(definition: tf.compat.v1.GraphDef) -> None:
    with_own_generators(_all_nodes(definition))


def _all_nodes(definition: tf.compat.v1.GraphDef) -> Iterator[Any]:
    """The nodes of the graph and of its functions."""
    functions = (function.node_def for function in definition.library.function)
    return itertools.chain(definition.node, *functions)


def _keeps_shuffle_state(dataset: tf.data.Dataset) -> bool:
    """Whether any part of the pipeline reshuffles by a seed; any pipeline that a function captures counts as such."""
    if getattr(dataset, "_reshuffle_each_iteration", False):
        seeds = (tf.get_static_value(getattr(dataset, name, None)) for name in ("_seed", "_seed2"))
        if any(seed is None or int(seed) for seed in seeds):
            return True
    captured = (
        tensor
        for function in dataset._functions()
        for tensor in function.function.captured_inputs
        if tensor.dtype == tf.variant
    )
    return any(True for _ in captured) or any(_keeps_shuffle_state(part) for part in dataset._inputs())


def pipeline_variables(dataset: tf.data.Dataset) -> Iterator[Any]:
    """Each variable that a function of the pipeline uses, such as the seed state of an augmentation layer in a `map`.

    A function keeps the memory of a variable alive but not the variable itself; one that was deleted is left out.
    """
    for function in dataset._functions():
        references = function.function.graph._weak_variables
        yield from (variable for reference in references if (variable := reference()) is not None)
    for part in dataset._inputs():
        yield from pipeline_variables(part)


def seeded_copy(dataset: tf.data.Dataset, seed: int) -> tf.data.Dataset:
    """A copy of the pipeline whose shuffles are all seeded by `seed`, so that a repeat sees one order at every rate.

    A pipeline that cannot be serialized is returned as it is.
    """
    constants = [_constant(f"keras_lr_seed_{part}", value) for part, value in enumerate((seed + 1, 1))]

    def reseed(definition: tf.compat.v1.GraphDef) -> None:
        _reseed(definition.node, constants, suffix="")
        for function in definition.library.function:
            _reseed(function.node_def, constants, suffix=":output:0")

    return edited_copy(dataset, reseed)


def _reseed(nodes: Any, constants: list[Any], *, suffix: str) -> None:
    shuffles = with_own_generators(nodes)
    for node in shuffles:
        for place, constant in zip(_SEED_INPUTS, constants, strict=True):
            node.input[place] = constant.name + suffix
    if shuffles:
        nodes.extend(constants)


def _constant(name: str, value: int) -> Any:
    node = tf.compat.v1.NodeDef(name=name, op="Const")
    node.attr["dtype"].type = tf.int64.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value, dtype=tf.int64, shape=[]))
    return node
