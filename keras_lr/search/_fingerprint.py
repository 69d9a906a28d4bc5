"""The fingerprint of a search: what its model and its data are, so that records are only continued by the same ones."""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

import keras_lr
from keras_lr._keras.learning_rate import compiled_rate, leaf_optimizers
from keras_lr._keras.model import layers_of
from keras_lr.errors import SearchError
from keras_lr.search._fit_arguments import FitArguments, sample_count

_NAMES = ("name", "build_config", "module", "registered_name")
_SAMPLED_BYTES = 1 << 20
_DIFFERENCES = {
    "model": "`hypermodel` builds another model",
    "data": "the training data differs",
    "validation": "the validation data differs",
    "seed": "`seed` differs",
}


def project_header(model: keras.Model, arguments: FitArguments, *, seed: int) -> dict[str, Any]:
    """What identifies a search, for the first line of its records.

    The grid, the objective and the numbers of epochs and repeats are left out, since a search may continue with others.
    """
    project = {"model": digest(describe_model(model)), "data": digest(describe_data(arguments.train)), "seed": seed}
    if arguments.validation is not None:
        project["validation"] = digest(describe_data(arguments.validation))
    return {"keras_lr": keras_lr.__version__, "project": project}


def check_project(headers: Iterable[Mapping[str, Any]], header: Mapping[str, Any], folder: Path) -> None:
    """Refuses to continue the records of another search.

    Raises:
        SearchError: A header names another model, other data, other validation data or another seed.
    """
    for other in headers:
        # A search may continue without its validation data, for example with the training loss as the objective.
        stored = {"validation": header["project"].get("validation"), **other.get("project", {})}
        changed = [name for name in header["project"] if stored.get(name) != header["project"][name]]
        if changed:
            differences = " and ".join(_DIFFERENCES[name] for name in changed)
            raise SearchError(
                f"{folder} holds the records of another search: {differences}. Choose another `project_name`, or pass "
                f"`overwrite=True` to delete these records."
            )


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


def describe_data(data: Any) -> dict[str, Any]:
    """Number, shapes and checksums of nested tensors; empty values for None, which stands for data in batches."""
    leaves = [np.asarray(part) for part in keras.tree.flatten(data) if part is not None]
    return {
        "samples": sample_count(data) if data is not None else None,
        "shapes": [list(leaf.shape[1:]) for leaf in leaves],
        "checksum": [_checksum(leaf) for leaf in leaves],
    }


def first_difference(first: Any, second: Any, path: str = "") -> str | None:
    """The path at which two descriptions first differ; None if they are equal."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for name in [*first, *(name for name in second if name not in first)]:
            found = first_difference(first.get(name), second.get(name), f"{path}.{name}" if path else str(name))
            if found is not None:
                return found
        return None
    return None if first == second else path


def digest(description: Mapping[str, Any]) -> str:
    """A hash of a description in 16 hexadecimal digits, the same in every process."""
    text = json.dumps(description, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _layer(layer: Any) -> dict[str, Any]:
    scalars = {name: _plain(value) for name, value in _config(layer).items() if name not in _NAMES}
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
        return {str(name): _plain(part) for name, part in value.items() if name not in _NAMES}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return getattr(value, "__name__", type(value).__name__)


def _checksum(leaf: np.ndarray) -> int:
    """Checksum of evenly spaced samples, about `_SAMPLED_BYTES` in all."""
    data = leaf if leaf.dtype != object else np.asarray(leaf.ravel()[:1000], dtype="S")
    step = max(1, data.nbytes // _SAMPLED_BYTES)
    return zlib.crc32(np.ascontiguousarray(data[::step]).tobytes())
