"""What stacking copies of a model needs: an optimizer's own rule on plain tensors, and rules to batch rare operations.

Keras's `stateless_apply` raises on TensorFlow. Everything private is looked up at its first use, because only one of
the search's engines needs it: without a part, `stacking_unavailable` says so and the other engines work.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import keras
import tensorflow as tf

from keras_lr._utils.formatting import short_error_message

_METHODS = (
    "assign",
    "assign_add",
    "assign_sub",
    "_var_key",
    "_apply_weight_decay",
    "_backend_update_step",
)
"""Methods of `BaseOptimizer` that work on any backend. TensorFlow's optimizer overrides them with others that need a
`tf.Variable` and its distribution strategy."""

_TABLES = (
    "_trainable_variables_indices",
    "_exclude_from_weight_decay",
    "_exclude_from_weight_decay_cache",
    "_weight_decay_by_var_key",
)
"""Dicts and sets with a key per variable: its place, and whether its weights decay (the last one since Keras 3.16)."""

_PFOR_PARTS = ("RegisterPFor", "wrap", "_fallback_converter", "_pfor_converter_registry")

_RANDOM_OPS = (
    "StatelessRandomGetKeyCounter",
    "StatelessRandomNormalV2",
    "StatelessRandomUniformFullIntV2",
    "StatelessRandomUniformIntV2",
    "StatelessRandomUniformV2",
    "StatelessTruncatedNormalV2",
)
"""The operations of Dropout and noise. They run for one copy after the other, as TensorFlow does with the first
versions of these operations, so that a copy draws the numbers it would draw alone."""


def stacking_unavailable() -> str | None:
    """Why the installed Keras or TensorFlow cannot stack copies of a model; None if it can."""
    try:
        parts = [
            (f"keras {keras.__version__}", "BaseOptimizer", _base_optimizer(), _METHODS),
            (f"keras {keras.__version__}", "TFOptimizer", _tensorflow_optimizer(), _METHODS),
            (f"tensorflow {tf.__version__}", "pfor", _pfor(), _PFOR_PARTS),
        ]
    except ImportError as error:
        return short_error_message(error)
    for library, owner, found, names in parts:
        for name in names:
            if not hasattr(found, name):
                return f"{library} has no `{owner}.{name}`"
    return None


def stateless_kind(kind: type) -> Any:
    """A subclass of an optimizer's class whose `apply` works inside a `keras.StatelessScope`.

    It replaces TensorFlow's methods and no others: an override in `kind` or in a class between stays, and its `super()`
    finds the replacement.
    """
    return type(kind.__name__, (kind, _stateless_base()), {})


@cache
def _stateless_base() -> Any:
    """TensorFlow's optimizer with the methods of `BaseOptimizer`; it follows any optimizer in the resolution order."""
    own = _tensorflow_optimizer()
    return type(own.__name__, (own,), {name: getattr(_base_optimizer(), name) for name in _METHODS})


@contextlib.contextmanager
def stateless(optimizer: Any, trainable_variables: list[Any]) -> Iterator[None]:
    """Makes `optimizer.apply` work inside a `keras.StatelessScope` within the block.

    TensorFlow's optimizer has filled its tables with keys of its own, while the methods of `BaseOptimizer` look up
    `id(variable)`, so within the block the tables have those keys.

    Args:
        optimizer: A built optimizer that holds its own rate and slots.
        trainable_variables: The variables it was built with, in the same order.
    """
    ids = {optimizer._var_key(variable): id(variable) for variable in trainable_variables}
    original, tables = type(optimizer), {name: getattr(optimizer, name) for name in _TABLES if hasattr(optimizer, name)}
    optimizer.__class__ = stateless_kind(original)
    for name, table in tables.items():
        setattr(optimizer, name, _with_keys(table, ids))
    try:
        yield
    finally:
        optimizer.__class__ = original
        for name in _TABLES:
            if hasattr(optimizer, name):
                delattr(optimizer, name)
        for name, table in tables.items():
            setattr(optimizer, name, table)


def _with_keys(table: dict[Any, Any] | set[Any], keys: dict[Any, Any]) -> dict[Any, Any] | set[Any]:
    """A copy of a dict or set with new keys; an entry whose key has no replacement is left out."""
    if isinstance(table, dict):
        return {keys[key]: value for key, value in table.items() if key in keys}
    return {keys[key] for key in table if key in keys}


def slot_lists(optimizer: Any) -> dict[str, list[Any]]:
    """An optimizer's variables by the attribute that holds them, except its rate.

    A list holds one variable per trainable variable; a variable that all of them share is a list of one.
    """
    found: dict[str, list[Any]] = {}
    for name, value in vars(optimizer).items():
        if name in ("_variables", "_trainable_variables", "_learning_rate"):
            continue
        if isinstance(value, keras.Variable):
            found[name] = [value]
        elif isinstance(value, list) and value and all(isinstance(part, keras.Variable) for part in value):
            found[name] = list(value)
    return found


def replaced_methods(optimizer: Any) -> dict[str, Any]:
    """Methods that the user has replaced on the optimizer itself, which one made from its configuration lacks."""
    own = {name: value for name, value in vars(optimizer).items() if callable(value)}
    return {name: value for name, value in own.items() if callable(getattr(type(optimizer), name, None))}


def excludes_from_weight_decay(optimizer: Any) -> bool:
    """Whether any variables are excluded from weight decay, directly or by name."""
    names = ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern")
    return any(bool(getattr(optimizer, name, None)) for name in names)


def excluded_from_weight_decay(optimizer: Any, variables: Sequence[Any]) -> list[int]:
    """The places of the variables that are excluded from weight decay."""
    if not excludes_from_weight_decay(optimizer):
        return []
    return [place for place, variable in enumerate(variables) if not optimizer._use_weight_decay(variable)]


def allow_many_traces(function: Any) -> None:
    """Silences TensorFlow's warning about frequent tracing, for a function that is traced once per batch size."""
    function._omit_frequent_tracing_warning = True


@contextlib.contextmanager
def unlogged_batching() -> Iterator[None]:
    """Keeps TensorFlow from logging within the block what it cannot batch, as the error that it raises says so.

    It logs each operation around that one too, with its attributes and where it was made: hundreds of lines.
    """

    def is_from_elsewhere(record: logging.LogRecord) -> bool:
        return record.filename != "pfor.py"

    logger = tf.get_logger()
    logger.addFilter(is_from_elsewhere)
    try:
        yield
    finally:
        logger.removeFilter(is_from_elsewhere)


def register_rules() -> None:
    """Registers the batching rules that TensorFlow lacks; calling it again is harmless."""
    _register("Bitcast", _stack_bitcast)
    for name in _RANDOM_OPS:
        _register(name, _one_by_one)


def _register(name: str, rule: Any) -> None:
    pfor = _pfor()
    if name not in pfor._pfor_converter_registry:
        pfor.RegisterPFor(name)(rule)


def _stack_bitcast(operation: Any) -> Any:
    """Element-wise; part of `keras.ops.argmax`, and so of every accuracy."""
    return _pfor().wrap(tf.bitcast(operation.stacked_input(0), operation.get_attr("type")), True)


def _one_by_one(operation: Any) -> Any:
    return _pfor()._fallback_converter(operation, warn=False)


def _base_optimizer() -> Any:
    from keras.src.optimizers.base_optimizer import BaseOptimizer

    return BaseOptimizer


def _tensorflow_optimizer() -> Any:
    from keras.src.backend.tensorflow.optimizer import TFOptimizer

    return TFOptimizer


def _pfor() -> Any:
    from tensorflow.python.ops.parallel_for import pfor

    return pfor
