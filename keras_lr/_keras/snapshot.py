"""The whole state of a live training run: copied once, restored exactly."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras.src.backend.common import global_state
from tensorflow.python.eager import context
from tensorflow.python.framework.config import is_op_determinism_enabled
from tensorflow.python.ops import stateful_random_ops

from keras_lr._keras.model import layers_of

_GLOBAL_SEED_GENERATOR = "global_seed_generator"
_UNINITIALIZED = "uninitialized_variables"


class VariableSnapshot:
    """A copy of each variable on the variable's own device.

    Args:
        variables: Variables of Keras or TensorFlow, distributed or not.
    """

    def __init__(self, variables: Iterable[Any]) -> None:
        self._variables = components(variables)
        # The operations themselves take a fifth of the time of the methods of a variable. A value stays as it is read,
        # since TensorFlow changes a variable in place only if nothing else holds its values.
        self._values = [tf.raw_ops.ReadVariableOp(resource=one.handle, dtype=one.dtype) for one in self._variables]

    def restore(self, *, keep_seeds: Iterable[Any] = ()) -> None:
        """Writes every value back, except to the seed states in `keep_seeds`."""
        kept = {id(component) for component in components(keep_seeds)}
        for variable, value in zip(self._variables, self._values, strict=True):
            if id(variable) not in kept:
                tf.raw_ops.AssignVariableOp(resource=variable.handle, value=value)

    def has_changed(self) -> bool:
        """Whether any variable has another value."""
        pairs = zip(self._variables, self._values, strict=True)
        return any(variable.numpy().tobytes() != value.numpy().tobytes() for variable, value in pairs)


class StateSnapshot(VariableSnapshot):
    """A copy of every variable that a training step can change.

    These are the model's weights, the seed states of its layers, its metrics, and the optimizer's slots, iterations and
    loss scale. Everything is held in memory; no file is written.

    Args:
        model: A compiled `keras.Model`, built.
        extra: Further variables, such as those that a traced step touches.
        others: Functions that put back what a step changes beside variables.
    """

    def __init__(self, model: keras.Model, extra: Iterable[Any] = (), others: Iterable[Callable[[], Any]] = ()) -> None:
        super().__init__([*trainer_variables(model), *extra])
        self._others = list(others)

    def restore(self, *, keep_seeds: Iterable[Any] = ()) -> None:
        """Puts everything back, except the seed states in `keep_seeds`."""
        super().restore(keep_seeds=keep_seeds)
        for put_back in self._others:
            put_back()


class RandomState:
    """The random states of Python, NumPy and TensorFlow's eager mode, and of TensorFlow's and Keras's generators."""

    def __init__(self) -> None:
        self._python = random.getstate()
        self._numpy = np.random.get_state()
        self._eager_seed, self._eager = _eager_seeds()
        self._eager_state: Any = None if self._eager is None else self._eager.getstate()
        self._tensorflow = stateful_random_ops.global_generator
        self._keras = global_state.get_global_attribute(_GLOBAL_SEED_GENERATOR)
        generators = (one for one in (self._tensorflow, self._keras) if one is not None)
        self._variables = VariableSnapshot(one.state for one in generators)

    def __reduce__(self) -> tuple[type[RandomState], tuple[()]]:
        """A copy holds the states at the time it is made, as the generators themselves cannot be copied."""
        return RandomState, ()

    def restore(self, *, restart_operations: bool = False) -> None:
        """Restores every generator to its state at construction.

        Args:
            restart_operations: Whether eager TensorFlow operations that drew by seeds of their own since then repeat
                what they drew, as after `tf.random.set_seed`.
        """
        if restart_operations and self._eager is not None and self._eager.getstate() != self._eager_state:
            context.context().clear_kernel_cache()
        random.setstate(self._python)
        np.random.set_state(self._numpy)
        _set_eager_seeds(self._eager_seed, self._eager)
        if self._eager is not None:
            self._eager.setstate(self._eager_state)
        stateful_random_ops.global_generator = self._tensorflow
        global_state.set_global_attribute(_GLOBAL_SEED_GENERATOR, self._keras)
        self._variables.restore()


def random_sources() -> list[tuple[Callable[[], Any], Callable[[Any], None]]]:
    """How to read and how to set each state that Python code draws from without holding a generator of its own."""

    def eager() -> Any:
        generator = _eager_seeds()[1]
        return None if generator is None else generator.getstate()

    def set_eager(state: Any) -> None:
        generator = _eager_seeds()[1]
        if generator is not None and state is not None:
            generator.setstate(state)

    def numpy() -> Any:
        return np.random.get_state(legacy=False)

    def of_keras() -> Any:
        generator = global_state.get_global_attribute(_GLOBAL_SEED_GENERATOR)
        return None if generator is None else tf.identity(generator.state.value).numpy()

    def set_keras(state: Any) -> None:
        generator = global_state.get_global_attribute(_GLOBAL_SEED_GENERATOR)
        if generator is not None and state is not None:
            generator.state.assign(state)

    return [
        (random.getstate, random.setstate),
        (numpy, np.random.set_state),
        (eager, set_eager),
        (of_keras, set_keras),
    ]


@contextmanager
def eager_seeds_of_its_own() -> Iterator[None]:
    """Gives eager TensorFlow operations seeds within the block that no operation outside of it uses.

    A stateful random operation such as `tf.random.uniform` keeps its position in a kernel that can be neither read nor
    set. TensorFlow looks the kernel up by the operation's seeds, one drawn from the global seed or given by the caller
    and the global seed itself. With another global seed the operations of the block have kernels of their own.
    """
    former = _eager_seeds()
    # Depends on Python's state without changing it, so that the same seed repeats the same test.
    own = random.Random(repr(random.getstate())).randrange(2**31)
    _set_eager_seeds(own, random.Random(own))
    try:
        yield
    finally:
        _set_eager_seeds(*former)


@contextmanager
def created_variables() -> Iterator[list[tuple[Any, Any]]]:
    """Collects each variable that is made within the block, with a copy of its initial value."""
    made: list[tuple[Any, Any]] = []

    def create(next_creator: Callable[..., Any], **options: Any) -> Any:
        variable = next_creator(**options)
        made.append((variable, tf.identity(variable)))
        return variable

    with tf.variable_creator_scope(create):
        yield made


@contextmanager
def unchanged_if_it_fails(model: keras.Model) -> Iterator[None]:
    """A block that builds a model. If it fails, the model, its layers, metrics and optimizer are what they were.

    What a failed trace has built says that it is built, although TensorFlow has not initialized its variables. Keras
    would try to do so whenever it builds a model from then on, and fail.
    """
    uninitialized = global_state.get_global_attribute(_UNINITIALIZED, [])
    kept = [
        (container, list(container.items() if isinstance(container, dict) else container))
        for container in _containers_in([model, uninitialized])
    ]
    try:
        yield
    except BaseException:
        for container, content in kept:
            _refill(container, content)
        global_state.set_global_attribute(_UNINITIALIZED, uninitialized)
        raise


def _containers_in(root: Any) -> Iterator[Any]:
    """Each list, dict and set that Keras's objects in `root` hold, and the attributes of each as a dict."""
    seen: dict[int, Any] = {}
    waiting = [root]
    while waiting:
        one = waiting.pop()
        if isinstance(one, (keras.Variable, keras.KerasTensor)):
            continue
        kinds = type(one).__mro__
        if any(kind.__module__.partition(".")[0] == "keras" for kind in kinds) or tf.Module in kinds:
            waiting.append(getattr(one, "__dict__", None))
        if id(one) in seen or not any(kind in kinds for kind in (dict, list, set, tuple)):
            continue
        seen[id(one)] = one
        waiting.extend(one.values() if dict in kinds else one)
        if tuple not in kinds:
            yield one


def _refill(container: Any, content: list[Any]) -> None:
    """Replaces what a container holds, without the methods by which Keras's containers follow what is put in."""
    kind: Any = next(kind for kind in type(container).__mro__ if kind in (OrderedDict, dict, list, set))
    kind.clear(container)
    if kind is list:
        list.extend(container, content)
    elif kind is set:
        set.update(container, content)
    else:
        for name, value in content:
            kind.__setitem__(container, name, value)


def trainer_variables(model: keras.Model) -> list[Any]:
    """Every variable that Keras lists: weights, seed states, metrics, optimizer."""
    optimizer = model.optimizer
    return [*model.variables, *model.metrics_variables, *(optimizer.variables if optimizer is not None else [])]


def plain_variables(model: keras.Model) -> list[Any]:
    """The variables that the model or a layer holds as attributes and that Keras does not list.

    These are those of `held_variables`, the variables of each metric, which an overridden `metrics` leaves out, and
    those of each further optimizer.
    """
    values = (value for layer in layers_of(model) for value in vars(layer).values())
    kept = (value for value in values if isinstance(value, (keras.metrics.Metric, keras.optimizers.Optimizer)))
    return [*held_variables(model), *(variable for value in kept for variable in value.variables)]


def held_variables(model: keras.Model) -> list[Any]:
    """Each `tf.Variable` of the model or a layer, and each variable in a list that Keras does not list itself.

    Such a list holds the states of a stateful `keras.layers.RNN`.
    """
    listed = {id(variable) for variable in model.variables}
    values = (value for layer in layers_of(model) for value in vars(layer).values())
    parts = (part for value in values for part in (value if isinstance(value, (list, tuple)) else [value]))
    return [part for part in parts if isinstance(part, (tf.Variable, keras.Variable)) and id(part) not in listed]


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


def _eager_seeds() -> tuple[int | None, random.Random | None]:
    """The global seed of TensorFlow and the generator that seeds its eager operations; None each before a seed is set.

    `tf.random.set_seed` replaces both.
    """
    eager = context.context()
    return eager._seed, getattr(eager, "_rng", None)


def _set_eager_seeds(seed: int | None, generator: random.Random | None) -> None:
    eager = context.context()
    eager._seed, eager._rng = seed, generator
