"""Numbers as tables and as CSV, thinned where a page could not hold them all."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

import numpy as np

_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def spike_keeping_indices(values: Any, limit: int) -> np.ndarray:
    """At most `limit` indices into `values` that keep each stretch's lowest and highest value, the first and the last.

    Args:
        values: Shape `(n,)`; non-finite values are kept as the first of their stretch.
        limit: At least 4.

    Returns:
        Increasing integer indices, shape `(m,)` with `m <= limit`; all of them where `n <= limit`.
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) <= limit:
        return np.arange(len(values))
    kept = {0, len(values) - 1}
    for stretch in np.array_split(np.arange(1, len(values) - 1), (limit - 2) // 2):
        # NaN and infinity are the highest there is: a diverged step must not vanish.
        heights = np.where(np.isfinite(values[stretch]), values[stretch], np.inf)
        kept |= {int(stretch[np.argmin(heights)]), int(stretch[np.argmax(heights)])}
    return np.array(sorted(kept))


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """CSV text whose cells no spreadsheet takes for a formula."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([_cell(column) for column in columns])
    writer.writerows([_cell(value) for value in row] for row in rows)
    return stream.getvalue()


def data(
    *, caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]], csv_name: str, csv: str, note: str = ""
) -> dict[str, Any]:
    """A section's numbers: a table to read and a CSV to take along, which may hold more."""
    return {
        "caption": caption,
        "columns": list(columns),
        "rows": [list(row) for row in rows],
        "csv": csv,
        "csv_link": data_link(csv),
        "csv_name": csv_name,
        "note": note,
    }


def data_link(text: str) -> str:
    """`text` as the target of a download link that needs no file and no network."""
    return "data:text/csv;charset=utf-8," + quote(text, safe=",.")


def _cell(value: Any) -> str:
    if isinstance(value, (float, np.floating)):
        return f"{value:.7g}" if np.isfinite(value) else ""
    if not isinstance(value, str):
        return str(value)
    return f"'{value}" if value.startswith(_FORMULA_STARTS) else value
