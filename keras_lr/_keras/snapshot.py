"""The whole state of a live training run: copied once, restored exactly."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.backend.common import global_state
from tensorflow.python.eager import context
from tensorflow.python.framework.config import is_op_determinism_enabled

from keras_lr._keras.model import layers_of

_GLOBAL_SEED_GENERATOR = "global_seed_generator"


class VariableSnapshot:
    """A copy of each variable on the variable's own device.

    Args:
        variables: Variables of Keras or TensorFlow, distributed or not.
    """

    def __init__(self, variables: Iterable[Any]) -> None:
        self._variables = components(variables)
        self._values = [tf.identity(variable) for variable in self._variables]

    def restore(self, *, keep_seeds: Iterable[Any] = ()) -> None:
        """Writes every value back, except to the seed states in `keep_seeds`."""
        kept = {id(component) for component in components(keep_seeds)}
        for variable, value in zip(self._variables, self._values, strict=True):
            if id(variable) not in kept:
                variable.assign(value, read_value=False)


class StateSnapshot(VariableSnapshot):
    """A copy of every variable that a training step can change.

    These are the model's weights, the seed states of its layers, its metrics, and the optimizer's slots, iterations and
    loss scale. Everything is held in memory; no file is written.

    Args:
        model: A compiled `keras.Model`, built.
        extra: Further variables, such as those that a traced step touches.
    """

    def __init__(self, model: keras.Model, extra: Iterable[Any] = ()) -> None:
        super().__init__([*trainer_variables(model), *extra])


class RandomState:
    """The random states of Python, NumPy, TensorFlow's eager mode, and Keras's global seed generator."""

    def __init__(self) -> None:
        self._python = random.getstate()
        self._numpy = np.random.get_state()
        self._tensorflow = _eager_generator()
        self._tensorflow_state: Any = None if self._tensorflow is None else self._tensorflow.getstate()
        self._keras = global_state.get_global_attribute(_GLOBAL_SEED_GENERATOR)
        self._keras_state = None if self._keras is None else tf.identity(self._keras.state.value)

    def restore(self) -> None:
        """Restores every generator to its state at construction."""
        random.setstate(self._python)
        np.random.set_state(self._numpy)
        if self._tensorflow is not None:
            self._tensorflow.setstate(self._tensorflow_state)
        global_state.set_global_attribute(_GLOBAL_SEED_GENERATOR, self._keras)
        if self._keras is not None:
            self._keras.state.assign(self._keras_state)


def trainer_variables(model: keras.Model) -> list[Any]:
    """Every variable that Keras lists: weights, seed states, metrics, optimizer."""
    optimizer = model.optimizer
    return [*model.variables, *model.metrics_variables, *(optimizer.variables if optimizer is not None else [])]


def plain_variables(model: keras.Model) -> list[tf.Variable]:
    """The `tf.Variable`s that the model or a layer holds as attributes, which Keras does not list."""
    return [value for layer in layers_of(model) for value in vars(layer).values() if isinstance(value, tf.Variable)]


def seed_variables(model: keras.Model) -> list[Any]:
    """The seed states of the model's layers (Dropout, noise, augmentation)."""
    weights = {id(variable) for variable in [*model.weights, *model.metrics_variables]}
    return [
        variable
        for variable in model.variables
        if id(variable) not in weights and "seed_generator_state" in getattr(variable, "path", "")
    ]


def components(variables: Iterable[Any]) -> list[Any]:
    """The distinct `tf.Variable`s behind `variables`; a distributed variable has one per replica."""
    found: dict[int, Any] = {}
    for variable in variables:
        backing = variable.value if isinstance(variable, keras.Variable) else variable
        parts = backing.values if isinstance(backing, tf.distribute.DistributedValues) else (backing,)
        found.update({id(part): part for part in parts})
    return list(found.values())


def ops_are_deterministic() -> bool:
    """Whether `tf.config.experimental.enable_op_determinism` was called."""
    return bool(is_op_determinism_enabled())


def _eager_generator() -> random.Random | None:
    """The generator that seeds eager TensorFlow ops; None before a global seed is set."""
    return getattr(context.context(), "_rng", None)
