"""An optimizer's own update rule on plain tensors, which TensorFlow's Keras leaves out (`stateless_apply` raises)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import tensorflow as tf
from keras.src.optimizers.base_optimizer import BaseOptimizer
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


class _Stateless:
    """Puts the backend-free methods before those that reach for `tf.Variable` and its distribution strategy."""

    assign = BaseOptimizer.assign
    assign_add = BaseOptimizer.assign_add
    assign_sub = BaseOptimizer.assign_sub
    _var_key = BaseOptimizer._var_key
    _apply_weight_decay = BaseOptimizer._apply_weight_decay
    _backend_update_step = BaseOptimizer._backend_update_step
    _backend_increment_gradient_accumulators = BaseOptimizer._backend_increment_gradient_accumulators
    _overwrite_model_variables_with_average_value = BaseOptimizer._overwrite_model_variables_with_average_value


def stateless_kind(kind: type) -> Any:
    """A kind of optimizer whose `apply` works inside a `keras.StatelessScope`."""
    return type(kind.__name__, (_Stateless, kind), {})


@contextlib.contextmanager
def stateless(optimizer: Any, trainable_variables: list[Any]) -> Iterator[None]:
    """Within it, `optimizer.apply` works inside a `keras.StatelessScope`.

    Args:
        optimizer: A built optimizer that holds its rate and its slots itself.
        trainable_variables: The variables it was built on, in their order.
    """
    original, indices = type(optimizer), optimizer._trainable_variables_indices
    optimizer.__class__ = stateless_kind(original)
    optimizer._trainable_variables_indices = {
        id(variable): position for position, variable in enumerate(trainable_variables)
    }
    try:
        yield
    finally:
        optimizer.__class__ = original
        optimizer._trainable_variables_indices = indices


def excludes_from_weight_decay(optimizer: Any) -> bool:
    """Whether some variables were excluded from weight decay, by themselves or by name."""
    names = ("_exclude_from_weight_decay", "_exclude_from_weight_decay_names")
    return any(bool(getattr(optimizer, name, None)) for name in names)


def allow_many_traces(function: Any) -> None:
    """Keeps TensorFlow from warning that `function` is traced often, as for many batch sizes."""
    function._omit_frequent_tracing_warning = True


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
