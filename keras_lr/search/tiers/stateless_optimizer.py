"""An optimizer's own update rule on plain tensors, which TensorFlow's Keras leaves out (`stateless_apply` raises)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from keras.src.optimizers.base_optimizer import BaseOptimizer


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
