"""Rules by which `tf.vectorized_map` stacks operations that TensorFlow leaves out but Keras models use."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow.python.ops.parallel_for import pfor

_RANDOM = (
    "StatelessRandomGetKeyCounter",
    "StatelessRandomNormalV2",
    "StatelessRandomUniformFullIntV2",
    "StatelessRandomUniformIntV2",
    "StatelessRandomUniformV2",
    "StatelessTruncatedNormalV2",
)
"""Dropout and noise. One copy after the other, as TensorFlow treats the first versions of these, so that a copy draws
what it would draw alone."""


def register_rules() -> None:
    """Adds the rules that are missing; more than once is harmless."""
    _register("Bitcast", _stack_bitcast)
    for name in _RANDOM:
        _register(name, _one_by_one)


def _register(name: str, rule: Any) -> None:
    if name not in pfor._pfor_converter_registry:
        pfor.RegisterPFor(name)(rule)


def _stack_bitcast(operation: Any) -> Any:
    """Element-wise; part of `keras.ops.argmax`, and so of every accuracy."""
    return pfor.wrap(tf.bitcast(operation.stacked_input(0), operation.get_attr("type")), True)


def _one_by_one(operation: Any) -> Any:
    return pfor._fallback_converter(operation, warn=False)
