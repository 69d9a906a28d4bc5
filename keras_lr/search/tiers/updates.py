"""How the optimizer updates every copy of a stacked model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from keras_lr.search.tiers.stateless_optimizer import stateless, stateless_kind

_ELEMENT_WISE = tuple(
    getattr(keras.optimizers, name)
    for name in ("SGD", "RMSprop", "Adam", "AdamW", "Adamax", "Nadam", "Adagrad", "Adadelta", "Ftrl", "Lion")
)
_PLAIN = {
    "clipnorm": None,
    "global_clipnorm": None,
    "use_ema": False,
    "gradient_accumulation_steps": None,
    "loss_scale_factor": None,
}


class Update(Protocol):
    """An optimizer's rule for all copies."""

    @property
    def within_copy(self) -> bool:
        """Whether `apply` is given one copy at a time, inside the program of a single copy."""

    def slots(self, learning_rates: np.ndarray) -> list[Any]:
        """Fresh slots of the copies, with the learning rate of each."""

    def apply(self, trainable: list[Any], slots: list[Any], gradients: list[Any]) -> tuple[list[Any], list[Any]]:
        """The weights and slots after a step."""


def update_of(model: keras.Model, count: int) -> Update:
    """The fastest rule for `count` copies of a compiled model."""
    dtypes = {variable.dtype for variable in model.trainable_variables}
    flat = _is_plain(model.optimizer) and len(dtypes) == 1
    return FlatUpdate(model, count) if flat else CopyUpdate(model, count)


class FlatUpdate:
    """An element-wise rule, applied at once to all weights of all copies, laid out as `(copies, weights)`.

    The learning rate broadcasts as `(copies, 1)`. One application stands for one a variable, which would be most of
    the program's operations.
    """

    within_copy = False

    def __init__(self, model: keras.Model, count: int) -> None:
        optimizer = model.optimizer
        self._shapes = [tuple(variable.shape) for variable in model.trainable_variables]
        self._sizes = [int(np.prod(shape)) for shape in self._shapes]
        self._weights = keras.Variable(np.zeros((count, sum(self._sizes))), dtype=model.trainable_variables[0].dtype)
        config = {**optimizer.get_config(), "learning_rate": 1.0}
        self._optimizer = stateless_kind(type(optimizer)).from_config(config)
        self._optimizer.build([self._weights])
        self._optimizer.learning_rate = lambda: self._rates
        self._rates: Any = None
        self._variables = self._optimizer.variables

    def slots(self, learning_rates: np.ndarray) -> list[Any]:
        rates = tf.constant(learning_rates[:, None], self._weights.dtype)
        return [*(tf.constant(variable.numpy()) for variable in self._variables), rates]

    def apply(self, trainable: list[Any], slots: list[Any], gradients: list[Any]) -> tuple[list[Any], list[Any]]:
        *values, self._rates = slots
        mapping = [(self._weights, self._flat(trainable)), *zip(self._variables, values, strict=True)]
        with keras.StatelessScope(mapping) as scope:
            self._optimizer.apply([self._flat(gradients)], [self._weights])
        parts = tf.split(scope.get_current_value(self._weights), self._sizes, axis=1)
        count = self._weights.shape[0]
        weights = [tf.reshape(part, (count, *shape)) for part, shape in zip(parts, self._shapes, strict=True)]
        return weights, [*(scope.get_current_value(variable) for variable in self._variables), self._rates]

    def _flat(self, tensors: Sequence[Any]) -> Any:
        count = self._weights.shape[0]
        return tf.concat([tf.reshape(tensor, (count, -1)) for tensor in tensors], axis=1)


class CopyUpdate:
    """Any rule, applied within the program of one copy, which is then stacked like the rest of it."""

    within_copy = True

    def __init__(self, model: keras.Model, count: int) -> None:
        self._optimizer = model.optimizer
        self._trainable = model.trainable_variables
        self._variables = model.optimizer.variables
        self._fresh = [np.stack([variable.numpy()] * count) for variable in self._variables]
        self._rate = next(i for i, v in enumerate(self._variables) if v is model.optimizer._learning_rate)

    def slots(self, learning_rates: np.ndarray) -> list[Any]:
        slots = [tf.constant(value) for value in self._fresh]
        slots[self._rate] = tf.constant(learning_rates.astype(self._fresh[self._rate].dtype))
        return slots

    def apply(self, trainable: list[Any], slots: list[Any], gradients: list[Any]) -> tuple[list[Any], list[Any]]:
        mapping = [*zip(self._trainable, trainable, strict=True), *zip(self._variables, slots, strict=True)]
        with stateless(self._optimizer, self._trainable), keras.StatelessScope(mapping) as scope:
            self._optimizer.apply(gradients, self._trainable)
        return (
            [scope.get_current_value(variable) for variable in self._trainable],
            [scope.get_current_value(variable) for variable in self._variables],
        )


def _is_plain(optimizer: Any) -> bool:
    """Whether a known rule treats each weight alone, with nothing that reaches across weights or names variables."""
    excluded = getattr(optimizer, "_exclude_from_weight_decay", None) or getattr(
        optimizer, "_exclude_from_weight_decay_names", None
    )
    plain = all(getattr(optimizer, name, value) == value for name, value in _PLAIN.items())
    return type(optimizer) in _ELEMENT_WISE and plain and not excluded
