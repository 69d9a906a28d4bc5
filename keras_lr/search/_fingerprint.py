"""What a model is, apart from its weights, in plain values that two builds can be compared by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import keras

import keras_lr
from keras_lr._keras.learning_rate import compiled_rate, leaf_optimizers
from keras_lr._keras.model import layers_of
from keras_lr.errors import SearchError
from keras_lr.search._fit_arguments import FitArguments, fingerprint

_NAMES = ("name", "build_config", "module", "registered_name")

_WORDS = {
    "model": "`hypermodel` builds another model",
    "data": "the training data differs",
    "validation": "the validation data differs",
    "seed": "`seed` differs",
}


def describe(model: keras.Model) -> dict[str, Any]:
    """The layers, variables, optimizer and loss of a built `model`; a constant learning rate is left out."""
    layers = [layer for layer in layers_of(model) if layer is not model]
    return {
        "model": type(model).__name__,
        "layers": {str(number): _layer(layer) for number, layer in enumerate(layers)},
        "variables": [[str(variable.dtype), list(variable.shape)] for variable in model.weights],
        "optimizer": _optimizers(model.optimizer),
        "loss": _plain(_configuration_of_loss(model)),
    }


def schedules(description: Mapping[str, Any]) -> list[Any]:
    """The learning-rate schedule of each optimizer in a description, None for a constant rate."""
    return [leaf["schedule"] for leaf in description["optimizer"]]


def difference(first: Any, second: Any, path: str = "") -> str | None:
    """Where two descriptions first differ, as a path; None where they agree."""
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for name in [*first, *(name for name in second if name not in first)]:
            found = difference(first.get(name), second.get(name), f"{path}.{name}" if path else str(name))
            if found is not None:
                return found
        return None
    return None if first == second else path


def digest(description: Mapping[str, Any]) -> str:
    """A short text that is the same for the same description, in every process."""
    text = json.dumps(description, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _layer(layer: Any) -> dict[str, Any]:
    scalars = {name: _plain(value) for name, value in _config(layer).items() if name not in _NAMES}
    return {"class": type(layer).__name__, **{name: value for name, value in scalars.items() if value is not None}}


def _config(configured: Any) -> dict[str, Any]:
    """What `get_config` gives, or the public attributes where it is not written, or that of a part is not."""
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


def _configuration_of_loss(model: keras.Model) -> Any:
    try:
        return model.get_compile_config().get("loss")
    except Exception:
        return getattr(model, "loss", None)


def _plain(value: Any) -> Any:
    """Numbers, texts and what holds them; objects by the name of their class or function, which is stable."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Mapping):
        if value.get("class_name") in ("function", "__lambda__"):
            return value["class_name"] if value["class_name"] == "__lambda__" else value.get("config")
        return {str(name): _plain(part) for name, part in value.items() if name not in _NAMES}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return getattr(value, "__name__", type(value).__name__)


def project_header(model: keras.Model, arguments: FitArguments, *, seed: int) -> dict[str, Any]:
    """What identifies a search, for the first line of its records.

    The grid, the number of epochs and repeats and the objective are left out: a search may go on with others.
    """
    project = {"model": digest(describe(model)), "data": digest(fingerprint(arguments.train)), "seed": seed}
    if arguments.validation is not None:
        project["validation"] = digest(fingerprint(arguments.validation))
    return {"keras_lr": keras_lr.__version__, "project": project}


def check_project(headers: Iterable[Mapping[str, Any]], header: Mapping[str, Any], directory: Path) -> None:
    """Refuses to add to the records of another search.

    Raises:
        SearchError: A header names another model, other data, other validation data or another seed.
    """
    for other in headers:
        # A search may go on without the validation data that it had, as when the training loss is judged next.
        stored = {"validation": header["project"].get("validation"), **other.get("project", {})}
        changed = [name for name in header["project"] if stored.get(name) != header["project"][name]]
        if changed:
            raise SearchError(
                f"A project must go on with the search it holds. Received: {directory}, where "
                f"{' and '.join(_WORDS[name] for name in changed)}. Choose another `project_name`, or pass "
                f"`overwrite=True` to delete the old records."
            )
