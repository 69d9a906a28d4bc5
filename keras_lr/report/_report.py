"""`Report`: results gathered under a title and written as one HTML page."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Self

import numpy as np

from keras_lr._utils.files import write_text_atomically
from keras_lr.errors import InvalidArgumentError, ResultFormatError
from keras_lr.report._components import warning_view
from keras_lr.report._page import page_view, render_fragment, render_page, stored_report
from keras_lr.report._sections import section_of
from keras_lr.results._record import Record
from keras_lr.results._sensitivity import SensitivityResult


class Report:
    """Results on one self-contained HTML page.

    The page needs no network, no script and no other file. The same results give the same bytes.

    Args:
        title: Shown at the top of the page.
        script: Commands that reproduce the results, shown under "Reproduce"; if empty, the report writes its own.

    Raises:
        InvalidArgumentError: `title` is not a string or is blank.

    Example:
        >>> Report("Digits").add(result).save("report.html")
    """

    def __init__(self, title: str = "Learning-rate report", *, script: str = "") -> None:
        if not isinstance(title, str) or not title.strip():
            raise InvalidArgumentError(
                f"`title` must be a non-empty string. Received: {title!r}. Pass the name of the model, for example."
            )
        self.title = title
        self.script = script
        self._records: list[Record] = []
        self._warnings: list[dict[str, str]] = []

    def add(self, result: Any) -> Self:
        """Adds a result and returns the report, so that calls can be chained.

        Args:
            result: A result, or the path of a `LogGridSearch` project's folder, which adds what has been measured so
                far.

        Raises:
            InvalidArgumentError: The report cannot show this kind of `result`.
            ResultFormatError: `result` is a path without a search.
        """
        record = read_search(result) if isinstance(result, (str, Path)) else result
        section_of(record)
        self._records.append(record)
        return self

    def warn(self, problem: str, action: str) -> Self:
        """Adds a warning of your own to the top of the first screen and returns the report.

        Args:
            problem: What is wrong, in one sentence.
            action: What to do about it, in one sentence.
        """
        self._warnings.append(warning_view(problem, action))
        return self

    def to_html(self) -> str:
        """The page.

        Raises:
            InvalidArgumentError: Nothing has been added.
        """
        return render_page(page_view(self.title, self._shown(), script=self.script, warnings=self._warnings))

    def to_json(self) -> str:
        """Title and results as strict JSON; each result can be read back with its own `from_dict`."""
        stored = stored_report(self.title, [record.to_dict() for record in self._shown()])
        return json.dumps(stored, allow_nan=False, ensure_ascii=False)

    def save(self, path: str | Path) -> Path:
        """Writes the page to `path`, completely or not at all, and returns the path.

        Raises:
            InvalidArgumentError: Nothing has been added.
            OSError: The file cannot be written.
        """
        return write_text_atomically(path, self.to_html())

    def _repr_html_(self) -> str:
        # A notebook shows several results on one page, so their ids must differ.
        digest = hashlib.sha256(self.to_json().encode(errors="surrogatepass")).hexdigest()[:10]
        return render_fragment(page_view(self.title, self._shown(), prefix=f"k{digest}-"))

    def _shown(self) -> list[Record]:
        if not self._records:
            raise InvalidArgumentError("The report is empty. Call `add(result)` first.")
        return self._records


def read_search(directory: str | Path) -> SensitivityResult:
    """What the search in `directory` has measured so far; it may be running, finished or killed.

    It is judged by `val_loss` if that was measured, else by `loss`. To judge by another value, use
    `tuner.sensitivity()`.

    Args:
        directory: The folder of a project, or a folder with a single project in it.

    Raises:
        ResultFormatError: The folder holds no search or several, or the records are damaged.
    """
    # Imported here because the search needs TensorFlow, which nothing else in the report does.
    from keras_lr.search._session import recorded_result
    from keras_lr.search._storage import SearchFolder, Table, read_journals

    _, lines = read_journals(SearchFolder.find(directory).records)
    table = Table(lines)
    if not len(table):
        raise ResultFormatError(f"No epochs are recorded in {directory} yet. Run the search first.")
    frame = table.frame()
    validated = bool(np.isfinite(frame["val_loss"]).any())
    return recorded_result(frame, lines, objective="val_loss" if validated else "loss", direction="min")
