"""The report: results gathered under a title, written as one HTML page."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Self

import numpy as np

from keras_lr._utils.files import write_text_atomically
from keras_lr.errors import InvalidArgumentError, ResultFormatError
from keras_lr.report._page import render_fragment, render_page, stored_form, summarize
from keras_lr.report._sections import section_of
from keras_lr.results._record import Record
from keras_lr.results._sensitivity import SensitivityResult

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
    from keras_lr.search._session import outcome
    from keras_lr.search._storage import Table, read_journals

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


class Report:
    """Results shown on one self-contained HTML page.

    The page needs no network, no script and no other file. The same results give the same bytes.

    Args:
        title: Shown at the top of the page.
        script: Commands that make the results again, shown under "Reproduce"; where empty, the report writes its own.

    Raises:
        InvalidArgumentError: `title` is not a text with something in it.

    Example:
        >>> Report("Digits").add(result).save("report.html")
    """

    def __init__(self, title: str = "Learning-rate report", *, script: str = "") -> None:
        if not isinstance(title, str) or not title.strip():
            raise InvalidArgumentError(
                f"`title` must be a text that is not empty. Received: {title!r}. Name the model."
            )
        self.title = title
        self.script = script
        self._records: list[Record] = []
        self._warnings: list[dict[str, str]] = []

    def add(self, result: Any) -> Self:
        """Adds a result and returns the report, so that calls chain.

        Args:
            result: A record, or the path of a `LogGridSearch` project's folder, of which is added what it has measured.

        Raises:
            InvalidArgumentError: `result` is of a kind the report cannot show.
            ResultFormatError: `result` is a path without a search.
        """
        record = read_search(result) if isinstance(result, (str, Path)) else result
        section_of(record)
        self._records.append(record)
        return self

    def warn(self, problem: str, action: str) -> Self:
        """Adds a warning of your own, shown first on the first screen, and returns the report.

        Args:
            problem: What is wrong, in one sentence.
            action: What to do about it, in one sentence.
        """
        self._warnings.append({"problem": problem, "action": action})
        return self

    def to_html(self) -> str:
        """The page.

        Raises:
            InvalidArgumentError: Nothing has been added.
        """
        return render_page(summarize(self.title, self._shown(), script=self.script, warnings=self._warnings))

    def to_json(self) -> str:
        """Title and results as strict JSON; each record loads with its own `from_dict`."""
        stored = stored_form(self.title, [record.to_dict() for record in self._shown()])
        return json.dumps(stored, allow_nan=False, ensure_ascii=False)

    def save(self, path: str | Path) -> Path:
        """Writes the page to `path`, whole or not at all, and returns the path.

        Raises:
            InvalidArgumentError: Nothing has been added.
            OSError: The file cannot be written.
        """
        return write_text_atomically(path, self.to_html())

    def _repr_html_(self) -> str:
        # A notebook shows several results on one page, so the ids must differ from result to result.
        digest = hashlib.sha256(self.to_json().encode(errors="surrogatepass")).hexdigest()[:10]
        return render_fragment(summarize(self.title, self._shown(), prefix=f"k{digest}-"))

    def _shown(self) -> list[Record]:
        if not self._records:
            raise InvalidArgumentError("A report must hold a result. Received: none. Call `add(result)` first.")
        return self._records
