"""The fingerprint of a search: all that decides its numbers, so that records are only continued by the same search."""

from __future__ import annotations

import functools
import types
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import keras_lr
from keras_lr._keras.learning_rate import compiled_rate, leaf_optimizers, steps_done
from keras_lr._keras.model import compile_arguments, layers_of
from keras_lr._keras.reader_state import is_users
from keras_lr._keras.snapshot import components, held_variables
from keras_lr._keras.stateless import excluded_from_weight_decay, replaced_methods
from keras_lr._keras.tf_data import is_repeatable
from keras_lr._utils.formatting import with_article
from keras_lr.errors import SearchError
from keras_lr.search._description import (
    NAMES_IN_CONFIG,
    attributes,
    describe,
    describe_callbacks,
    describe_class,
    describe_settings,
    digest,
    first_difference,
    hash_array,
    users_attributes,
)
from keras_lr.search._fit_arguments import FIT_DEFAULTS, FitArguments, first_element, sample_count

_ROUNDING = 1e-4
_SAMPLED_BYTES = 1 << 20
_COMPILED = ("loss", "loss_weights", "metrics", "weighted_metrics", "run_eagerly", "steps_per_execution", "jit_compile")
_OF_TRAINING = ("steps_per_epoch", "initial_epoch", "class_weight")
_USUAL_POLICY = "float32"
_OF_VALIDATION = ("validation_steps", "validation_freq")

_DIFFERENCES = {
    "model": "`hypermodel` builds another model",
    "structure": "`hypermodel` builds another model",
    "data": "the training data differs",
    "content": "the training data differs",
    "validation": "the validation data differs",
    "validation_content": "the validation data differs",
    "validates": "the recorded runs have no validation data",
    "seed": "`seed` differs",
    "code": "the code or a setting of the model differs",
    "compile": "`compile` has other arguments",
    "initial": "`hypermodel` builds a model with other initial weights",
    "callbacks": "the callbacks differ",
    "hypermodel": "the `fit` of the hypermodel differs",
    "tuner": "a method of the tuner differs",
}


def project_header(
    model: keras.Model | None,
    arguments: FitArguments,
    *,
    seed: int,
    common: Mapping[str, Any],
    own: Mapping[str, Any],
    searches_batch_size: bool,
) -> dict[str, Any]:
    """What identifies a search, for the first line of its records.

    The grid, the objective and the numbers of epochs and repeats are left out, since a search may continue with others.

    Args:
        model: The model at the lowest rate; None for a search without a hypermodel.
        arguments: The arguments of the search.
        seed: Seed of the first repeat.
        common: Description of the model, as far as it is the same at every rate.
        own: Descriptions of the "hypermodel" and of the "tuner", where they have methods of their own.
        searches_batch_size: Whether the batch size is part of the grid.
    """
    details = {name: common.get(name, {}) for name in ("code", "compile", "initial")} if common else {}
    project = {
        "model": None if model is None else digest(describe_model(model)),
        "structure": digest({name: part for name, part in common.items() if name not in details}),
        "data": digest(describe_data(arguments.train)),
        "seed": seed,
        "content": _content(arguments.train, arguments.given.get("x"), arguments.given.get("y")),
        "fit": _described_arguments(arguments, searches_batch_size=searches_batch_size),
        "callbacks": describe_callbacks(arguments.callbacks),
        "validates": arguments.validates,
        **details,
        **own,
    }
    if arguments.validation is not None:
        project["validation"] = digest(describe_data(arguments.validation))
    if arguments.validates:
        project["validation_content"] = _content(arguments.validation, arguments.given.get("validation_data"))
    return {"keras_lr": keras_lr.__version__, "project": project}


def check_project(headers: Iterable[Mapping[str, Any]], header: Mapping[str, Any], folder: Path) -> None:
    """Refuses to continue the records of another search.

    What a header does not name, because an earlier version wrote it, is unknown and not compared.

    Raises:
        SearchError: A header names another model, other data, other arguments or other code than `header`.
    """
    for other in headers:
        differences = list(dict.fromkeys(_differences(other.get("project", {}), header["project"])))
        if differences:
            raise SearchError(
                f"{folder} holds the records of another search: {' and '.join(differences)}. Choose another "
                f"`project_name`, or pass `overwrite=True` to delete these records."
            )


def _differences(stored: Mapping[str, Any], project: Mapping[str, Any]) -> Iterable[str]:
    # A model whose build depends on the rate has another description once the grid has grown.
    skipped = {"fit", "model" if "structure" in stored else "structure"}
    # A search may continue without its validation data, for example with the training loss as the objective.
    skipped |= set() if project["validates"] else {"validates"}
    for name in [name for name in project if name in stored and name not in skipped]:
        if name == "initial":
            if not _are_close(stored[name], project[name]):
                yield _DIFFERENCES[name]
            continue
        path = first_difference(stored[name], project[name], shared_only=name in ("code", "compile"))
        if path is not None:
            yield _DIFFERENCES[name] + _place(path, project[name])
    now, before = project.get("fit", {}), stored.get("fit", {})
    for name in now.keys() & before.keys():
        if first_difference(before[name], now[name]) is not None:
            yield f"`{name}` is {now[name]!r} and was {before[name]!r}"


def _are_close(stored: Sequence[float | None], norms: Sequence[float | None]) -> bool:
    """Whether initial norms are equal up to rounding; None is the norm of what each build makes anew."""
    pairs = list(zip(stored, norms, strict=False))
    known = np.array([pair for pair in pairs if None not in pair], float).reshape(-1, 2)
    close = np.allclose(known[:, 0], known[:, 1], rtol=_ROUNDING, atol=_ROUNDING, equal_nan=True)
    return len(stored) == len(norms) and bool(close)


def _place(path: str, described: Any) -> str:
    """Where in a description a difference lies, as " (`EarlyStopping.patience`)"; empty if that says nothing."""
    parts = []
    for part in path.split("."):
        if isinstance(described, list) and part.isdigit():
            described = described[int(part)]
        elif isinstance(described, Mapping):
            parts.extend([str(described["class"]), part] if "class" in described else [part])
            described = described.get(part)
    named = [part for part in parts if not part.startswith(("code ", "uses", "hash"))]
    return f" (`{'.'.join(named)}`)" if named else ""


def describe_model(model: keras.Model) -> dict[str, Any]:
    """The layers, variables, optimizer and loss of a built `model`, without its weights and constant learning rate."""
    layers = [layer for layer in layers_of(model) if layer is not model]
    return {
        "model": type(model).__name__,
        "layers": {str(number): _layer(layer) for number, layer in enumerate(layers)},
        "variables": [[str(variable.dtype), list(variable.shape)] for variable in model.weights],
        "optimizer": _optimizers(model.optimizer),
        "loss": _plain(_compiled_loss(model)),
    }


def schedules_in(description: Mapping[str, Any]) -> list[Any]:
    """The learning-rate schedule of each optimizer in a model's description; None for a constant rate."""
    return [leaf["schedule"] for leaf in description["optimizer"]]


def describe_details(model: keras.Model) -> dict[str, Any]:
    """What decides the numbers of a compiled model beside what `describe_model` names.

    That is the code that the user has written for the model, its layers and its optimizer, the plain attributes of
    these, further optimizers that the model holds, and the other arguments of `compile`.
    """
    layers = [layer for layer in layers_of(model) if layer is not model]
    code: dict[str, Any] = {"model": _users_part(model), "optimizers": _further_optimizers(model)}
    if is_users(type(model.optimizer)):
        code["optimizer"] = describe_class(type(model.optimizer))
    code["replaced"] = [[name, describe(part)] for name, part in sorted(replaced_methods(model.optimizer).items())]
    code["without_decay"] = [
        place
        for leaf in leaf_optimizers(model.optimizer)
        for place in excluded_from_weight_decay(leaf, model.trainable_variables)
    ]
    code.update({f"layer {number}": part for number, layer in enumerate(layers) if (part := _users_part(layer))})
    given = compile_arguments(model)
    return {"code": code, "compile": {name: describe(given[name]) for name in _COMPILED if name in given}}


def initial_norms(model: keras.Model) -> list[float]:
    """The norm of each variable that a new model trains with, beside its seeds, and the steps that it has done."""
    values = [np.asarray(part.numpy()) for part in components([*model.weights, *held_variables(model)])]
    numbers = [value.astype(np.float32) for value in values if value.dtype != object]
    return [*(float(np.sqrt(np.sum(np.square(one), dtype=np.float64))) for one in numbers), steps_done(model.optimizer)]


def in_words(path: str, description: Mapping[str, Any]) -> str:
    """The part of a model's description to which `path`, which `first_difference` returned, leads, in words."""
    kind, *inner = path.split(".")
    if kind == "layers" and inner and inner[0] in description["layers"]:
        layer = description["layers"][inner[0]]["class"]
        named = f"{with_article(layer)} layer"
        return f"`{inner[1]}` of {named}" if len(inner) > 1 else named
    if kind == "optimizer":
        return f"the optimizer's {inner[1]}" if len(inner) > 1 else "the optimizers"
    if kind == "code" and inner and inner[0] == "optimizers":
        return f"the optimizer `{inner[1]}`" if len(inner) > 1 else "its optimizers"
    if kind == "code" and inner and inner[0] == "model":
        return f"the model's `{inner[1]}`" if len(inner) > 1 else "the model's code"
    if kind == "code":
        return f"`{inner[1]}` of a layer" if len(inner) > 1 else "a layer"
    if kind == "compile":
        return f"the argument `{inner[0]}` of `compile`" if inner else "the arguments of `compile`"
    return {"loss": "the loss", "variables": "the shapes of the weights", "model": "the class of the model"}.get(
        kind, kind
    )


def describe_data(data: Any) -> dict[str, Any]:
    """Number, shapes and checksums of nested tensors; empty values for None, which stands for data in batches."""
    leaves = [np.asarray(part) for part in keras.tree.flatten(data) if part is not None]
    return {
        "samples": sample_count(data) if data is not None else None,
        "shapes": [list(leaf.shape[1:]) for leaf in leaves],
        "checksum": [_checksum(leaf) for leaf in leaves],
    }


def _described_arguments(arguments: FitArguments, *, searches_batch_size: bool) -> dict[str, Any]:
    """The arguments of `fit` that change numbers, by name."""
    names = [*_OF_TRAINING, *(_OF_VALIDATION if arguments.validates else ())]
    described = {name: describe(arguments.given.get(name, FIT_DEFAULTS[name])) for name in names}
    batch_size = None if searches_batch_size or arguments.train is None else arguments.batch_size
    described["batch_size"] = batch_size
    if arguments.validates:
        described["validation_batch_size"] = arguments.validation_batch_size or batch_size
    if not isinstance(arguments.given.get("x"), tf.data.Dataset):
        described["shuffle"] = describe(arguments.given.get("shuffle", True))
    return {**described, **{name: describe(value) for name, value in arguments.of_own_fit.items()}}


def _content(tensors: Any, source: Any, targets: Any = None) -> Any:
    """Hashes of arrays; for other data, what is known of them without reading more than the first batch."""
    if tensors is not None:
        return [hash_array(leaf) for leaf in keras.tree.flatten(tensors) if leaf is not None]
    if isinstance(source, tf.data.Dataset):
        first = first_element(source) if is_repeatable(source) else None
        return {
            "elements": str(source.element_spec),
            "batches": int(source.cardinality()),
            "first": None if first is None else [hash_array(_dense(leaf)) for leaf in keras.tree.flatten(first)],
        }
    if isinstance(source, keras.utils.PyDataset):
        return {**describe_class(type(source)), **describe_settings(source), "batches": source.num_batches}
    if is_users(type(source)) or hasattr(source, "dataset"):
        return {"class": type(source).__name__}
    return describe([source, targets])


def _dense(leaf: Any) -> Any:
    """A tensor of any kind as one that has a hash."""
    if isinstance(leaf, tf.RaggedTensor):
        return leaf.flat_values
    return leaf.values if isinstance(leaf, tf.SparseTensor) else leaf


def _users_part(layer: Any) -> dict[str, Any]:
    """Code and attributes of a layer or model of a user's class; of one of Keras, code of the user's and constants.

    Such code is a function, or an object that can be called, such as an initializer. A constant is a tensor that
    `Normalization.adapt` has computed.
    """
    if is_users(type(layer)):
        found = {name: part for name, part in users_attributes(layer).items() if not _holds_state(part)}
        return {**describe_class(type(layer)), **{name: describe(part) for name, part in found.items()}}
    found = {
        name: part for name, part in attributes(layer).items() if isinstance(part, tf.Tensor) or _calls_users_code(part)
    }
    return {name: describe(part) for name, part in found.items()}


def _calls_users_code(part: Any) -> bool:
    """Whether `part` is a function of the user's, a `functools.partial`, or a callable object of a user's class."""
    if isinstance(part, functools.partial):
        return True
    if isinstance(part, (types.FunctionType, types.MethodType)):
        return is_users(part)
    return callable(part) and not isinstance(part, type) and is_users(type(part)) and not _holds_state(part)


def _further_optimizers(model: keras.Model) -> dict[str, Any]:
    """Optimizers that the model or a layer holds beside the compiled one, by the name of the attribute."""
    return {
        name: {"class": type(part).__name__, **{key: _plain(value) for key, value in _config(part).items()}}
        for layer in layers_of(model)
        for name, part in attributes(layer).items()
        if isinstance(part, keras.Optimizer) and part is not model.optimizer
    }


def _holds_state(part: Any) -> bool:
    """Whether an attribute holds layers, variables, metrics or optimizers, which are described elsewhere or change."""
    kinds = (keras.Layer, keras.Variable, keras.Metric, keras.Optimizer, tf.Module, tf.Variable)
    try:
        return any(isinstance(leaf, kinds) for leaf in keras.tree.flatten(part))
    except Exception:
        return False


def _layer(layer: Any) -> dict[str, Any]:
    scalars = {name: _plain(value) for name, value in _config(layer).items() if name not in NAMES_IN_CONFIG}
    # The configuration holds the policy as an object, of which only the class would be compared.
    policy = getattr(getattr(layer, "dtype_policy", None), "name", _USUAL_POLICY)
    if policy != _USUAL_POLICY:
        scalars["dtype_policy"] = policy
    return {"class": type(layer).__name__, **{name: value for name, value in scalars.items() if value is not None}}


def _config(configured: Any) -> dict[str, Any]:
    """The result of `get_config`; the public attributes if that, or the `get_config` of a part, is not implemented."""
    try:
        return dict(configured.get_config())
    except Exception:
        return {name: value for name, value in vars(configured).items() if not name.startswith("_")}


def _optimizers(optimizer: Any) -> list[dict[str, Any]]:
    found = []
    for leaf in leaf_optimizers(optimizer):
        config = _config(leaf)
        rate = config.pop("learning_rate", compiled_rate(leaf))
        if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
            rate = {"class_name": type(rate).__name__, **_config(rate)}
        schedule = _plain(rate) if isinstance(rate, Mapping) else None
        found.append({"class": type(leaf).__name__, **_plain(config), "schedule": schedule})
    return found


def _compiled_loss(model: keras.Model) -> Any:
    try:
        return model.get_compile_config().get("loss")
    except Exception:
        return getattr(model, "loss", None)


def _plain(value: Any) -> Any:
    """Numbers, strings and containers as they are; objects as the name of their class or function, which is stable."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        if value.get("class_name") in ("function", "__lambda__"):
            return value["class_name"] if value["class_name"] == "__lambda__" else value.get("config")
        return {str(name): _plain(part) for name, part in value.items() if name not in NAMES_IN_CONFIG}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return getattr(value, "__name__", type(value).__name__)


def _checksum(leaf: np.ndarray) -> int:
    """Checksum of evenly spaced samples, by which the records of earlier versions know their data."""
    data = leaf if leaf.dtype != object else np.asarray(leaf.ravel()[:1000], dtype="S")
    step = max(1, data.nbytes // _SAMPLED_BYTES)
    return zlib.crc32(np.ascontiguousarray(data[::step]).tobytes())
