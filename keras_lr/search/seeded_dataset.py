"""A `tf.data` pipeline whose shuffling follows from the seed of a run."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from keras_lr.training.dataset_copy import edited_copy, with_own_generators

_SEED_INPUTS = (2, 3)


def seeded_copy(dataset: tf.data.Dataset, seed: int) -> tf.data.Dataset:
    """The same pipeline with each shuffle seeded by `seed`, so that a repeat reads the same order at every rate.

    A pipeline that cannot be copied, such as one over a Python generator, is returned as it is.
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
