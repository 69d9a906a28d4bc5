"""Discriminative learning rates: each part of a model trains at its own multiple of one rate."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import keras_lr._utils.backend  # noqa: F401  (before Keras, whose own error does not help)

# isort: split
import keras
import tensorflow as tf

from keras_lr._keras.learning_rate import compiled_rate
from keras_lr._keras.model import layers_of
from keras_lr._utils import validation
from keras_lr.errors import InvalidArgumentError, ModelError
from keras_lr.schedules._scaled import Scaled

__all__ = ["discriminative"]


def discriminative(model: keras.Model, factors: Mapping[str, float], *, optimizer: Any = None) -> Any:
    """An optimizer that trains each part of a model at its own multiple of one learning rate.

    Compile the model with it: `model.compile(discriminative(model, {"stem": 0.1, "head": 1.0}), loss)`. Each part gets
    a copy of the optimizer, named after the layer, whose rate is the base rate times the factor; a schedule is scaled.
    Layers that no key covers train at the base rate. If a layer named by one key contains a layer named by another, the
    inner key applies to the inner layer. Neither `model` nor `optimizer` is changed.

    In a range test the parts keep their ratios, and the swept rate is that of the part whose factor is nearest to 1.
    `global_clipnorm` clips the gradient norm of each part separately.

    Args:
        model: A built model.
        factors: Factor above 0 per layer name; the layers may be at any depth of the model.
        optimizer: The base optimizer or its name; None for the one that `model` was compiled with.

    Returns:
        A `keras.optimizers.MultiOptimizer`, which is saved and loaded with its model.

    Raises:
        InvalidArgumentError: A key names no layer with trainable weights, the weights of a key are all covered by other
            keys, or another argument breaks its rule.
        ModelError: The model is not built, there is no base optimizer, or the installed Keras has no `MultiOptimizer`.

    Source:
        Howard & Ruder 2018, arXiv:1801.06146, section 3.2.
    """
    several = getattr(keras.optimizers, "MultiOptimizer", None)
    mapping = getattr(keras.optimizers, "OptimizerMap", None)
    if several is None or mapping is None:
        raise ModelError(
            "`discriminative` needs `keras.optimizers.MultiOptimizer`, which the installed keras "
            f"{keras.__version__} lacks. Update keras to 3.15 or later."
        )
    base = _base_optimizer(model, optimizer, several)
    groups = _grouped_paths(model, _checked_factors(factors))
    # The range test sweeps the rate of the first optimizer.
    ordered = sorted(groups.items(), key=lambda group: abs(1 - group[1][0]))
    copies = {name: _scaled_copy(base, factor, name) for name, (factor, _) in ordered}
    every = _distinct_paths(model)
    patterns = {"|".join(_pattern(path, every) for path in paths): copies[name] for name, (_, paths) in ordered}
    # A separate optimizer: one shared with a part would be duplicated by save and load.
    default = _scaled_copy(base, ordered[0][1][0], "default")
    return several(mapping(default_optimizer=default, optimizer_map=patterns))


def _base_optimizer(model: keras.Model, optimizer: Any, several: type) -> Any:
    base = getattr(model, "optimizer", None) if optimizer is None else keras.optimizers.get(optimizer)
    base = getattr(base, "inner_optimizer", base)
    if base is None:
        raise ModelError("`optimizer` must be given, since the model is not compiled. Pass one, such as 'adam'.")
    if isinstance(base, several):
        raise InvalidArgumentError(
            "`optimizer` must be a single optimizer. Received: a MultiOptimizer. Pass the optimizer to copy per part."
        )
    return base


def _checked_factors(factors: Any) -> dict[str, float]:
    if not isinstance(factors, Mapping) or not factors:
        raise InvalidArgumentError(
            f"`factors` must be a dict of layer names and factors. Received: {factors!r}. "
            'Pass for example {"stem": 0.1}.'
        )
    return {str(name): validation.positive(f"factors[{name!r}]", factor) for name, factor in factors.items()}


def _grouped_paths(model: keras.Model, factors: dict[str, float]) -> dict[str, tuple[float, list[str]]]:
    """Each part's factor and the paths of its variables; the part "base" has those that no key covers."""
    if not model.built or not model.trainable_variables:
        raise ModelError("`model` must be built and have trainable weights. Call it on a batch, or build it.")
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
            f"`factors` must leave each key some weights, but other keys cover all weights of {hidden}. "
            "Remove these keys or the others."
        )
    return groups


def _paths_under(model: keras.Model, name: str) -> list[str]:
    layers = [layer for layer in layers_of(model, include_self=False) if layer.name == name]
    paths = [variable.path for layer in layers for variable in layer.trainable_variables]
    if not paths:
        known = sorted({layer.name for layer in layers_of(model, include_self=False) if layer.trainable_variables})
        raise InvalidArgumentError(
            f"`factors` must name layers with trainable weights. Received: {name!r}; the model has {known}."
        )
    return paths


def _distinct_paths(model: keras.Model) -> list[str]:
    paths = [variable.path for variable in model.trainable_variables]
    if len(set(paths)) < len(paths):
        twice = sorted({path for path in paths if paths.count(path) > 1})
        raise ModelError(
            f"`model` must have a distinct path for each weight, but has several called {twice}. "
            "Give their layers distinct names."
        )
    return paths


def _pattern(path: str, paths: Sequence[str]) -> str:
    """A regular expression for a variable: the shortest end of its path that is unique, with at least its layer's name.

    The beginning of a path changes when a model is rebuilt or loaded.
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
