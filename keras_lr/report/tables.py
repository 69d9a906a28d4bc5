"""Numbers as tables and as CSV."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any
from urllib.parse import quote

import numpy as np

from keras_lr.plots.numbers import format_number
from keras_lr.report.characters import shortened, shown

_MOST_DECIMALS = 8
_HEADING_LIMIT = 48
# A spreadsheet takes a cell for a formula that starts so; one with another list separator also after that.
_LEADING = ("\t", "\n")
_FORMULA = re.compile(r"(^|[;,|\t\r\n])(\s*)([=+\-@＝＋－＠])")


def table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> dict[str, Any]:
    """A table to read; the first cell of a row is its header.

    Args:
        caption: What the table holds.
        columns: Headings.
        rows: Cells: a text, or what `number`, `badge` or `chip` made.
    """
    return {
        "caption": caption,
        "columns": [shortened(column, _HEADING_LIMIT) for column in columns],
        "rows": [[{"text": cell, "look": ""} if isinstance(cell, str) else cell for cell in row] for row in rows],
    }


def number(text: str) -> dict[str, str]:
    """A cell aligned with the numbers above and below it."""
    return {"text": text, "look": "number"}


def aligned(values: Sequence[float | None], *, digits: int = 4) -> list[dict[str, str]]:
    """A column of numbers with one count of decimals, so that they can be compared at a glance.

    Args:
        values: The column; a missing one becomes a dash, an infinite one "diverged".
        digits: Significant digits of the largest.
    """
    finite = [abs(value) for value in values if value is not None and np.isfinite(value) and value != 0]
    largest = max(finite, default=1.0)
    decimals = digits - 1 - math.floor(math.log10(largest))
    if not 0 <= decimals <= _MOST_DECIMALS or (finite and min(finite) < 10.0 ** (1 - decimals)):
        return [number("diverged" if _is_infinite(value) else format_number(value, digits=digits)) for value in values]
    return [
        number("diverged")
        if _is_infinite(value)
        else number("–" if value is None or np.isnan(value) else f"{value:.{decimals}f}")
        for value in values
    ]


def badge(text: str, level: str) -> dict[str, str]:
    """A cell that shows a verdict; `level` is "clear", "tentative" or "none"."""
    return {"text": text, "look": f"badge {level}"}


def chip(text: str, color: str) -> dict[str, str]:
    """A cell with a patch of one of the plots' colours: "good", "unstable", "diverged" or "too-low"."""
    return {"text": text, "look": f"chip {color}"}


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """CSV text whose cells no spreadsheet takes for a formula."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([_cell(column) for column in columns])
    writer.writerows([_cell(value) for value in row] for row in rows)
    return stream.getvalue()


def data(
    *,
    caption: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    csv_name: str,
    csv_rows: Iterable[Sequence[Any]],
    note: str = "",
) -> dict[str, Any]:
    """A section's numbers: a table to read, and a CSV to take along, which may hold more.

    Args:
        caption: What the table holds, and how much of it.
        columns: Headings of both.
        rows: The table's cells, written as a person reads them.
        csv_name: The file's name.
        csv_rows: The CSV's cells: texts and numbers.
        note: What was left out.
    """
    text = csv_text(columns, csv_rows)
    return {
        "table": table(caption, columns, ([row[0], *(number(cell) for cell in row[1:])] for row in rows)),
        "csv": text,
        "csv_link": data_link(text),
        "csv_name": csv_name,
        "note": note,
    }


def data_link(text: str) -> str:
    """`text` as the target of a download link that needs no file and no network."""
    return "data:text/csv;charset=utf-8," + quote(text, safe=",.")


def _is_infinite(value: float | None) -> bool:
    return value is not None and bool(np.isinf(value))


def _cell(value: Any) -> str:
    if isinstance(value, (float, np.floating)):
        return f"{value:.7g}" if np.isfinite(value) else ""
    if not isinstance(value, str):
        return "" if value is None else str(value)
    text: str = shown(value)
    return _FORMULA.sub(r"\1\2'\3", f"'{text}" if text.startswith(_LEADING) else text)
