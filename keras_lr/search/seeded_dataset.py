"""A `tf.data` pipeline whose shuffling follows from the seed of a run."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

_IGNORE_EXTERNAL_STATE = tf.data.experimental.ExternalStatePolicy.IGNORE.value
_SEED_INPUTS = (2, 3)


def seeded_copy(dataset: tf.data.Dataset, seed: int) -> tf.data.Dataset:
    """The same pipeline with each shuffle seeded by `seed`, so that a repeat reads the same order at every rate.

    `ShuffleDatasetV3` keeps a generator outside of the pipeline; `ShuffleDataset` makes its own from its seeds. A
    pipeline that cannot be copied, such as one over a Python generator, is returned as it is.
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
    constants = [_constant(f"keras_lr_seed_{part}", value) for part, value in enumerate((seed + 1, 1))]
    _reseed(definition.node, constants, suffix="")
    for function in definition.library.function:
        _reseed(function.node_def, constants, suffix=":output:0")
    variant = tf.raw_ops.DatasetFromGraph(graph_def=definition.SerializeToString())
    return tf.data.experimental.from_variant(variant, dataset.element_spec)


def _reseed(nodes: Any, constants: list[Any], *, suffix: str) -> None:
    shuffles = [node for node in nodes if node.op == "ShuffleDatasetV3"]
    for node in shuffles:
        node.op = "ShuffleDataset"
        for place, constant in zip(_SEED_INPUTS, constants, strict=True):
            node.input[place] = constant.name + suffix
        del node.input[4:]
    if shuffles:
        nodes.extend(constants)


def _constant(name: str, value: int) -> Any:
    node = tf.compat.v1.NodeDef(name=name, op="Const")
    node.attr["dtype"].type = tf.int64.as_datatype_enum
    node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(value, dtype=tf.int64, shape=[]))
    return node
