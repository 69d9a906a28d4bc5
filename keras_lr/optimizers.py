"""Learning rates per part of a model, and per batch size."""

from __future__ import annotations

import dataclasses
import math
import re
import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import keras_lr._utils.backend  # noqa: F401  (before Keras, whose own error does not help)

# isort: split
import keras

from keras_lr._keras.learning_rate import compiled_rate, current_learning_rate, follows_schedule
from keras_lr._keras.model import graph_nodes, layers_of
from keras_lr._keras.stateless import excluded_from_weight_decay
from keras_lr._utils import validation
from keras_lr._utils.formatting import format_rate
from keras_lr._utils.validation import AnyModel
from keras_lr.analysis._batch_size import scaling_exponent
from keras_lr.errors import InvalidArgumentError, ModelError
from keras_lr.schedules._composed import Scaled

__all__ = ["discriminative", "scale_learning_rate"]


def discriminative(
    model: AnyModel,
    factors: Mapping[str, float] | None = None,
    *,
    decay: float | None = None,
    no_weight_decay_on: Sequence[str] = (),
    optimizer: Any = None,
    verbose: bool = True,
) -> Any:
    """An optimizer that trains each part of a model at its own multiple of one learning rate.

    Compile the model with it: `model.compile(discriminative(model, {"stem": 0.1, "head": 1.0}), loss)`. Each part gets
    a copy of the optimizer, named after the part, whose rate is the base rate times the factor; a schedule is scaled.
    Layers that no key covers train at the base rate. If a layer named by one key contains a layer named by another, the
    inner key applies to the inner layer. Weights that are added later, as by `enable_lora`, belong to no part: add them
    before. Neither `model` nor `optimizer` is changed.

    With `decay` the last layers train at the base rate, each earlier depth at `decay` times the rate of the next. The
    depth of a layer is the number of layers with kernels (weights of two or more dimensions) on the longest path from
    the inputs up to and including it. So a normalization has the depth of the layer before it, parallel layers share a
    depth, and the layers of a nested model count one by one. In a model without a graph, a subclass of `keras.Model`,
    the layers count in the order of `model.layers`. A table shows the rates. `factors` multiply them.

    In a range test the parts keep their ratios, and the swept rate is that of the part whose factor is nearest to 1.
    `global_clipnorm` clips the gradient norm of each part separately.

    Args:
        model: A built model.
        factors: Factor above 0 per layer name; the layers may be at any depth of the model.
        decay: Factor in (0, 1] per depth, such as 0.9; None for the same rate at every depth.
        no_weight_decay_on: What trains without weight decay: "bias" for all biases, "norm" for the weights of all
            normalization layers, or names of layers.
        optimizer: The base optimizer or its name; None for the one that `model` was compiled with.
        verbose: Whether to print the rate of each depth, with `decay`.

    Returns:
        A `keras.optimizers.MultiOptimizer`, which is saved and loaded with its model; inside a `LossScaleOptimizer` if
        the base optimizer was.

    Raises:
        InvalidArgumentError: A key names no layer with trainable weights, the weights of a key are all covered by other
            keys, the optimizer has no weight decay to leave out, or another argument breaks its rule.
        ModelError: The model is not built, there is no base optimizer, or the installed Keras has no `MultiOptimizer`.

    Source:
        Howard & Ruder 2018, arXiv:1801.06146, section 3.2, for a rate per layer; Clark et al. 2020, arXiv:2003.10555,
        for a factor per depth. The depth of a layer in a graph is custom.

    Example:
        >>> optimizer = keras_lr.discriminative(model, {"stem": 0.1, "head": 1.0}, optimizer="sgd")
    """
    several = getattr(keras.optimizers, "MultiOptimizer", None)
    mapping = getattr(keras.optimizers, "OptimizerMap", None)
    if several is None or mapping is None:
        raise ModelError(
            "`discriminative` needs `keras.optimizers.MultiOptimizer`, which the installed keras "
            f"{keras.__version__} lacks. Update keras to 3.15 or later."
        )
    if factors is None and decay is None and not no_weight_decay_on:
        raise InvalidArgumentError(
            "`discriminative` needs `factors`, `decay` or `no_weight_decay_on`. Pass for example decay=0.9."
        )
    given = _given_optimizer(model, optimizer, several)
    base = getattr(given, "inner_optimizer", given)
    checked = {} if factors is None else _checked_factors(factors)
    parts = _parts(model, base, checked, None if decay is None else _checked_decay(decay), no_weight_decay_on)
    if no_weight_decay_on and not getattr(base, "weight_decay", None):
        raise InvalidArgumentError(
            f"`no_weight_decay_on` needs an optimizer with weight decay. Received: {type(base).__name__} without. "
            "Pass for example optimizer=keras.optimizers.AdamW(weight_decay=0.01)."
        )
    if decay is not None and verbose:
        print(_table(model, base, parts))
    # The range test sweeps the rate of the first optimizer.
    ordered = sorted(parts, key=lambda part: abs(1 - part.factor))
    copies = [_scaled_copy(base, part) for part in ordered]
    nested = {layer.name for layer in layers_of(model) if isinstance(layer, keras.Model)}
    _warn_of_indistinct(parts, nested)
    patterns = {
        "|".join(_pattern(path, _other_paths(part, parts, nested), nested) for path in part.paths): copy
        for part, copy in zip(ordered, copies, strict=True)
    }
    # A separate optimizer: one shared with a part would be duplicated by save and load.
    default = _scaled_copy(base, dataclasses.replace(ordered[0], name="default"))
    parted = several(mapping(default, patterns), loss_scale_factor=base.loss_scale_factor)
    if given is base:
        return parted
    return type(given)(parted, initial_scale=given.initial_scale, dynamic_growth_steps=given.dynamic_growth_steps)


def scale_learning_rate(learning_rate: float, from_batch: int, to_batch: int, optimizer: Any = "sgd") -> float:
    """The learning rate for another batch size.

    SGD, with or without momentum, takes a rate in proportion to the batch size. Optimizers whose steps do not grow with
    the gradient (Adam and its relatives, RMSprop, Adagrad, Lion and others) take one in proportion to its square root.

    Both rules hold while the noise of the gradient is large beside the gradient. They fail beyond the critical batch
    size, where a larger batch needs no larger rate, and early in training, for which Goyal et al. warm up. Neither
    knows of a limit to stability: check a rate that a rule raises with a range test. A rate that is already near the
    highest stable one suits larger batches unchanged, as with SGD in both small networks of `benchmarks/batch_size.py`.

    Args:
        learning_rate: A good rate at `from_batch`, above 0.
        from_batch: Batch size at which the rate is good, at least 1.
        to_batch: Batch size to train at, at least 1.
        optimizer: A Keras optimizer or its name.

    Raises:
        InvalidArgumentError: An argument breaks its rule, or no rule is known for the optimizer.

    Source:
        Goyal et al. 2017, arXiv:1706.02677, and Smith et al. 2018, arXiv:1711.00489, for SGD; Malladi et al. 2022,
        arXiv:2205.10287, for Adam and RMSprop. Its use for the other optimizers is custom.

    Example:
        >>> keras_lr.optimizers.scale_learning_rate(0.1, 32, 256)
        0.8
        >>> keras_lr.optimizers.scale_learning_rate(0.001, 32, 128, "adam")
        0.002
    """
    rate = validation.positive("learning_rate", learning_rate)
    ratio = validation.whole_number("to_batch", to_batch) / validation.whole_number("from_batch", from_batch)
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    name = inner if isinstance(inner, str) else type(inner).__name__
    exponent = scaling_exponent(name)
    if exponent is None:
        raise InvalidArgumentError(
            f"`optimizer` must be one for which a rule is known. Received: {name!r}. "
            'Pass "sgd" for the linear rule or "adam" for the square root.'
        )
    return rate * math.pow(ratio, exponent)


@dataclasses.dataclass(frozen=True)
class _Part:
    """The weights that train at one rate.

    Attributes:
        name: Unique among the parts.
        factor: Their rate in units of the base rate.
        decays: Whether they have weight decay.
        depth: See `discriminative`; 0 without `decay`.
        paths: Of their variables.
    """

    name: str
    factor: float
    decays: bool
    depth: int
    paths: list[str]


def _given_optimizer(model: keras.Model, optimizer: Any, several: type) -> Any:
    given = getattr(model, "optimizer", None) if optimizer is None else keras.optimizers.get(optimizer)
    if given is None:
        raise ModelError("`optimizer` must be given, since the model is not compiled. Pass one, such as 'adam'.")
    if isinstance(getattr(given, "inner_optimizer", given), several):
        raise InvalidArgumentError(
            "`optimizer` must be a single optimizer. Received: a MultiOptimizer. Pass the optimizer to copy per part."
        )
    return given


def _checked_factors(factors: Any) -> dict[str, float]:
    if not isinstance(factors, Mapping) or not factors:
        raise InvalidArgumentError(
            f"`factors` must be a dict of layer names and factors. Received: {factors!r}. "
            'Pass for example {"stem": 0.1}.'
        )
    return {str(name): validation.positive(f"factors[{name!r}]", factor) for name, factor in factors.items()}


def _checked_decay(decay: Any) -> float:
    number = validation.positive("decay", decay)
    if number > 1:
        raise InvalidArgumentError(
            f"`decay` must be at most 1. Received: {decay!r}. Pass the factor from one depth to the one before, as 0.9."
        )
    return number


def _parts(
    model: keras.Model,
    base: Any,
    factors: dict[str, float],
    decay: float | None,
    no_weight_decay_on: Sequence[str],
) -> list[_Part]:
    """The model's weights by what they have in common; the part "base" has those that nothing covers."""
    if not model.built or not model.trainable_variables:
        raise ModelError("`model` must be built and have trainable weights. Call it on a batch, or build it.")
    owners = _owners(model, factors)
    exempt = _paths_exempt(model, base, no_weight_decay_on)
    depths = {} if decay is None else _depths(model)
    deepest = max(depths.values(), default=0)
    parts: dict[str, _Part] = {}
    for path in _distinct_paths(model):
        owner, depth = owners.get(path, ""), depths.get(path, deepest)
        factor = factors.get(owner, 1.0) * (1.0 if decay is None else decay ** (deepest - depth))
        words = [owner, f"depth_{depth}" if depth else "", "no_weight_decay" if path in exempt else ""]
        name = "_".join(filter(None, words)) or "base"
        parts.setdefault(name, _Part(name, factor, path not in exempt, depth, [])).paths.append(path)
    return list(parts.values())


def _owners(model: keras.Model, factors: dict[str, float]) -> dict[str, str]:
    """The key that applies to each path: the innermost of those that cover it."""
    covered = {name: _paths_under(model, name) for name in factors}
    owners: dict[str, str] = {}
    for name in sorted(covered, key=lambda name: -len(covered[name])):
        owners.update(dict.fromkeys(covered[name], name))
    if hidden := sorted(factors.keys() - set(owners.values())):
        raise InvalidArgumentError(
            f"`factors` must leave each key some weights, but other keys cover all weights of {hidden}. "
            "Remove these keys or the others."
        )
    return owners


def _words(no_weight_decay_on: Any) -> list[str]:
    if isinstance(no_weight_decay_on, str) or not all(isinstance(word, str) for word in no_weight_decay_on):
        raise InvalidArgumentError(
            f"`no_weight_decay_on` must be a list of names. Received: {no_weight_decay_on!r}. "
            'Pass for example ("bias", "norm").'
        )
    return list(no_weight_decay_on)


def _paths_exempt(model: keras.Model, base: Any, no_weight_decay_on: Sequence[str]) -> set[str]:
    """The paths of the weights that `no_weight_decay_on` or the base optimizer excludes from weight decay."""
    variables = model.trainable_variables
    excluded = {variables[place].path for place in excluded_from_weight_decay(base, variables)}
    return excluded.union(*(_paths_without_decay(model, word) for word in _words(no_weight_decay_on)))


def _paths_without_decay(model: keras.Model, word: str) -> list[str]:
    layers = layers_of(model, include_self=False)
    if word == "bias":
        paths = [one.path for one in model.trainable_variables if "bias" in one.name]
    elif word == "norm":
        norms = [layer for layer in layers if "Normalization" in type(layer).__name__]
        paths = [variable.path for layer in norms for variable in layer.trainable_variables]
    else:
        paths = [variable.path for layer in layers if layer.name == word for variable in layer.trainable_variables]
    if not paths:
        known = sorted({layer.name for layer in layers if layer.trainable_variables})
        raise InvalidArgumentError(
            f'`no_weight_decay_on` must name trainable weights. Received: {word!r}; "bias", "norm" and the names '
            f"of layers are known, here {known}."
        )
    return paths


def _depths(model: keras.Model) -> dict[str, int]:
    """The depth of each trainable variable that a layer holds, by its path."""
    layers = _depths_of_layers(model).items()
    return {variable.path: depth for layer, depth in layers for variable in layer.trainable_variables}


def _depths_of_layers(model: keras.Model) -> dict[Any, int]:
    found: dict[Any, int] = {}
    _walk(model, 0, found)
    return found


def _walk(model: keras.Model, depth: int, found: dict[Any, int]) -> int:
    """Notes the depths of the layers of a model whose inputs have `depth`, and returns the depth of its end."""
    nodes = graph_nodes(model)
    if not nodes:
        for layer in model.layers:
            depth = _enter(layer, depth, found)
        return depth
    reached: dict[Any, int] = {}
    for node in nodes:
        start = max((reached[parent] for parent in node.parent_nodes), default=depth)
        reached[node] = start if node.is_input else _enter(node.operation, start, found)
    return max(reached.values())


def _enter(operation: Any, depth: int, found: dict[Any, int]) -> int:
    if isinstance(operation, keras.Model):
        return _walk(operation, depth, found)
    if not isinstance(operation, keras.Layer):
        return depth
    if any(len(weight.shape) > 1 for weight in operation.weights):
        depth += 1
    found.setdefault(operation, max(depth, 1))
    return depth


def _table(model: keras.Model, base: Any, parts: Sequence[_Part]) -> str:
    """One line per depth, with its rate or, for a schedule, its factor."""
    holders = {weight.path: layer.name for layer in _depths_of_layers(model) for weight in layer.trainable_variables}
    constant = None if follows_schedule(base) else current_learning_rate(base)
    lines = [f"{'depth':>5}  {'factor' if constant is None else 'rate':<8}  layers"]
    for depth, factor in sorted({(part.depth, part.factor) for part in parts}):
        paths = [path for part in parts if (part.depth, part.factor) == (depth, factor) for path in part.paths]
        layers = dict.fromkeys(holders[path] for path in paths if path in holders)
        shown = f"{factor:.3g}" if constant is None else format_rate(factor * constant, digits=3)
        lines.append(f"{depth:>5}  {shown:<8}  {', '.join(layers)}")
    return "\n".join(lines)


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


def _pattern(path: str, others: Collection[str], nested: Collection[str]) -> str:
    """A regular expression for a variable: the shortest end of its path that fits none of the `others`.

    It has at least the layer's name. The beginning of a path changes when a model is rebuilt or loaded, and the names
    of nested models may be left out.
    """
    names = path.split("/")
    alike = [other for other in others if other.split("/")[-2:] == names[-2:]]
    without, written = _ends(names, optional=nested), _ends(names, optional=())
    candidates = (*(f"(?:.*/)?{end}" for end in without), without[-1], *(f"(?:.*/)?{end}" for end in written))
    fitting = (pattern for pattern in candidates if not any(re.fullmatch(pattern, other) for other in alike))
    return next(fitting, re.escape(path))


def _ends(names: Sequence[str], *, optional: Collection[str]) -> list[str]:
    """Regular expressions for the ends of a path, from that with the layer's name to the whole."""
    parts = [f"(?:{re.escape(name)}/)?" if name in optional else f"{re.escape(name)}/" for name in names[:-2]]
    last = re.escape("/".join(names[-2:]))
    return ["".join([*parts[start:], last]) for start in range(len(parts), -1, -1)]


def _other_paths(part: _Part, parts: Sequence[_Part], nested: Collection[str]) -> set[str]:
    """The paths of the other parts, as they are and as they will be once the model is loaded."""
    paths = [path for other in parts if other is not part for path in other.paths]
    return {*paths, *(_loaded(path, nested) for path in paths)}


def _loaded(path: str, nested: Collection[str]) -> str:
    """The path of a variable without the names of nested models, as Keras makes it when it loads the model."""
    *outer, layer, name = path.split("/") if "/" in path else ("", path)
    return "/".join([*(one for one in outer if one not in nested), layer, name])


def _warn_of_indistinct(parts: Sequence[_Part], nested: Collection[str]) -> None:
    found: dict[str, set[str]] = {}
    for part in parts:
        for path in part.paths:
            found.setdefault(_loaded(path, nested), set()).add(part.name)
    if alike := sorted(path for path, names in found.items() if len(names) > 1):
        warnings.warn(
            f"A model that is saved and loaded may train {alike} at other rates: Keras then leaves out the names of "
            "nested models, and these weights belong to several parts. Give the layers of the nested models distinct "
            "names.",
            stacklevel=3,
        )


def _scaled_copy(base: Any, part: _Part) -> Any:
    rate, factor = compiled_rate(base), part.factor
    scaled: Any
    if isinstance(rate, keras.Variable):
        scaled = current_learning_rate(base) * factor
    elif isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        scaled = Scaled(rate, factor)
    else:

        def scaled() -> Any:
            return rate() * factor

    changed = {"learning_rate": scaled, "name": part.name} | ({} if part.decays else {"weight_decay": 0.0})
    return type(base).from_config({**base.get_config(), **changed})
