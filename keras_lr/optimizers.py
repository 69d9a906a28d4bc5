"""A learning rate of its own for each part of a model."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_lr._keras.learning_rate import compiled_rate
from keras_lr._keras.model import layers_of
from keras_lr._utils import validation
from keras_lr.errors import InvalidArgumentError, ModelError
from keras_lr.schedules._scaled import Scaled


def discriminative(model: keras.Model, factors: Mapping[str, float], *, optimizer: Any = None) -> Any:
    """An optimizer that trains parts of a model at multiples of one learning rate.

    Compile the model with it: `model.compile(discriminative(model, {"stem": 0.1, "head": 1.0}), loss)`. Each part has a
    copy of the optimizer, named after it, whose rate is the factor times the base rate; a schedule is scaled. Layers
    that no key covers keep the base rate. A key that lies within another's layer wins over it. Both `model` and
    `optimizer` stay as they are.

    The copies count as one for the range test: they keep their ratios, and the swept rate is that of the part whose
    factor is nearest to 1. A gradient norm is clipped within each part (`global_clipnorm`).

    Args:
        model: A built model.
        factors: Positive factor by layer name, at any depth of the model.
        optimizer: The base, an optimizer or its name; the one `model` was compiled with where None.

    Returns:
        A `keras.optimizers.MultiOptimizer`, which saves and loads with its model.

    Raises:
        InvalidArgumentError: A key names no layer with trainable weights, two keys cover the same ones, or another
            argument breaks its rule.
        ModelError: The model is not built, there is no base optimizer, or the installed Keras has no `MultiOptimizer`.

    Source:
        Howard & Ruder 2018, arXiv:1801.06146, section 3.2.
    """
    several = getattr(keras.optimizers, "MultiOptimizer", None)
    mapping = getattr(keras.optimizers, "OptimizerMap", None)
    if several is None or mapping is None:
        raise ModelError(
            "The installed Keras must have `keras.optimizers.MultiOptimizer`. Received: keras "
            f"{keras.__version__}. Update keras to 3.15 or later."
        )
    base = _base_optimizer(model, optimizer, several)
    groups = _grouped_paths(model, _checked_factors(factors))
    # A swept rate belongs to the first optimizer.
    ordered = sorted(groups.items(), key=lambda group: abs(1 - group[1][0]))
    copies = {name: _scaled_copy(base, factor, name) for name, (factor, _) in ordered}
    every = _distinct_paths(model)
    patterns = {"|".join(_pattern(path, every) for path in paths): copies[name] for name, (_, paths) in ordered}
    # Of its own, since a default that is one of the parts would come apart from it when the model is saved and loaded.
    default = _scaled_copy(base, ordered[0][1][0], "default")
    return several(mapping(default_optimizer=default, optimizer_map=patterns))


def _base_optimizer(model: keras.Model, optimizer: Any, several: type) -> Any:
    base = getattr(model, "optimizer", None) if optimizer is None else keras.optimizers.get(optimizer)
    base = getattr(base, "inner_optimizer", base)
    if base is None:
        raise ModelError(
            "`optimizer` must be given where the model is not compiled. Received: None. Pass one, such as 'adam'."
        )
    if isinstance(base, several):
        raise InvalidArgumentError(
            "`optimizer` must be a single optimizer. Received: a MultiOptimizer. Pass the one to divide."
        )
    return base


def _checked_factors(factors: Any) -> dict[str, float]:
    if not isinstance(factors, Mapping) or not factors:
        raise InvalidArgumentError(
            f'`factors` must be a dict of layer names and factors. Received: {factors!r}. Pass such as {{"stem": 0.1}}.'
        )
    return {str(name): validation.positive(f"factors[{name!r}]", factor) for name, factor in factors.items()}


def _grouped_paths(model: keras.Model, factors: dict[str, float]) -> dict[str, tuple[float, list[str]]]:
    """The factor and the variables' paths of each part, with one named "base" for what no key covers."""
    if not model.built or not model.trainable_variables:
        raise ModelError(
            "`model` must be built and have trainable weights. Received one without. Call it on a batch, or build it."
        )
    covered = {name: _paths_under(model, name) for name in factors}
    owners: dict[str, str] = {}
    for name in sorted(covered, key=lambda name: -len(covered[name])):
        owners.update(dict.fromkeys(covered[name], name))
    groups: dict[str, tuple[float, list[str]]] = {}
    for path in _distinct_paths(model):
        name = owners.get(path, "base")
        groups.setdefault(name, (factors.get(name, 1.0), []))[1].append(path)
    if hidden := sorted(factors.keys() - groups.keys()):
        raise InvalidArgumentError(
            f"`factors` must leave each key weights of its own. Received: {hidden}, whose weights other keys cover. "
            "Remove one of them."
        )
    return groups


def _paths_under(model: keras.Model, name: str) -> list[str]:
    layers = [layer for layer in layers_of(model, include_self=False) if layer.name == name]
    paths = [variable.path for layer in layers for variable in layer.trainable_variables]
    if not paths:
        known = sorted({layer.name for layer in layers_of(model, include_self=False) if layer.trainable_variables})
        raise InvalidArgumentError(
            f"`factors` must name layers with trainable weights. Received: {name!r}; the model has {known}. "
            "Name one of these."
        )
    return paths


def _distinct_paths(model: keras.Model) -> list[str]:
    paths = [variable.path for variable in model.trainable_variables]
    if len(set(paths)) < len(paths):
        twice = sorted({path for path in paths if paths.count(path) > 1})
        raise ModelError(
            f"`model` must have a name of its own for each weight. Received: {twice} more than once. Name the layers."
        )
    return paths


def _pattern(path: str, paths: Sequence[str]) -> str:
    """Matches the variable by the shortest end of its path that no other has, of at least the layer and its own name.

    Keras puts other names before these when a model is built again, or loaded.
    """
    names = path.split("/")
    ends = ("/".join(names[-count:]) for count in range(2, len(names) + 1))
    unique = (end for end in ends if sum(f"/{other}".endswith(f"/{end}") for other in paths) == 1)
    end = next(unique, None)
    return re.escape(path) if end is None else f"(?:.*/)?{re.escape(end)}"


def _scaled_copy(base: Any, factor: float, name: str) -> Any:
    rate = compiled_rate(base)
    scaled: Any
    if isinstance(rate, keras.Variable):
        scaled = float(tf.convert_to_tensor(rate)) * factor
    elif isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        scaled = Scaled(rate, factor)
    else:

        def scaled() -> Any:
            return rate() * factor

    return type(base).from_config({**base.get_config(), "learning_rate": scaled, "name": name})
