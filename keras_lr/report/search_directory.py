"""The folder of a search as a result that the report can show."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from keras_lr.errors import ResultFormatError
from keras_lr.records.sensitivity import SensitivityResult

_RECORDS = "records"


def read_search(directory: str | Path) -> SensitivityResult:
    """What the search in `directory` measured so far, also one that is running or was killed.

    It is judged by `val_loss` where that was measured, else by `loss`; `tuner.sensitivity()` judges by another value.

    Args:
        directory: The folder of a project, or one that holds a single project.

    Raises:
        ResultFormatError: There is no search in it, or more than one, or its records are damaged.
    """
    # Imported here: the search stands beside TensorFlow, which nothing else in the report needs.
    from keras_lr.search.journal import read_journals
    from keras_lr.search.outcome import outcome
    from keras_lr.search.table import Table

    _, lines = read_journals(_project(Path(directory)) / _RECORDS)
    table = Table(lines)
    if not len(table):
        raise ResultFormatError(
            f"A search must have recorded an epoch. Received: {directory}, with none. Search first."
        )
    frame = table.frame()
    validated = bool(np.isfinite(frame["val_loss"]).any())
    return outcome(frame, lines, objective="val_loss" if validated else "loss", direction="min")


def _project(directory: Path) -> Path:
    if (directory / _RECORDS).is_dir():
        return directory
    projects = sorted(path.parent for path in directory.glob(f"*/{_RECORDS}") if path.is_dir())
    if len(projects) == 1:
        return projects[0]
    found = f"{len(projects)} searches in it" if projects else "which holds none"
    raise ResultFormatError(
        f"`directory` must be the folder of one search. Received: {directory}, {found}. Name the project's folder."
    )
