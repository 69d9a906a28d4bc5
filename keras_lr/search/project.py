"""Which search the records of a project belong to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import keras

import keras_lr
from keras_lr.errors import SearchError
from keras_lr.search.description import describe, digest
from keras_lr.search.fit_arguments import FitArguments, fingerprint

_WORDS = {
    "model": "`hypermodel` builds another model",
    "data": "the training data differs",
    "validation": "the validation data differs",
    "seed": "`seed` differs",
}


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
