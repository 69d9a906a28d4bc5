"""Numbers as tables and as CSV."""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from keras_lr._utils.formatting import format_number, shortened, shown
from keras_lr.plots._losses import name_lines
from keras_lr.plots._svg import figure_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BADGES = {"clear": "Clear", "tentative": "Tentative", "none": "No answer"}
NO_RATE = "No usable learning rate found"

_MOST_DECIMALS = 8
_HEADING_LIMIT = 48
# A spreadsheet takes a cell for a formula that starts so; one with another list separator also after that.
_LEADING = ("\t", "\n")
_FORMULA = re.compile(r"(^|[;,|\t\r\n])(\s*)([=+\-@＝＋－＠])")

_LABELS = {
    "cpus": "CPUs",
    "cuda": "CUDA",
    "cuda_version": "CUDA",
    "cudnn_version": "cuDNN",
    "gpus": "GPUs",
    "jit_compile": "XLA (jit_compile)",
    "keras": "Keras",
    "keras_lr": "keras_lr",
    "keras_lr_version": "keras_lr",
    "keras_version": "Keras",
    "numpy": "NumPy",
    "python": "Python",
    "python_version": "Python",
    "tensorflow": "TensorFlow",
    "tensorflow_version": "TensorFlow",
    "xla": "XLA",
}
_VALUES = {"_DefaultDistributionStrategy": "none, one device"}

HALF_INCHES, BROAD_INCHES, NARROW_INCHES = 7.0, 10.5, 4.1
_PANEL_INCHES = (3.5, 2.3)


def verdict(
    *, level: str, lead: str, rest: str, reason: str, badge: str = "", rate: str = "", code: str = ""
) -> dict[str, str]:
    """What the first screen says of a section.

    Args:
        level: "clear", "tentative" or "none"; colours the badge.
        lead: The sentence, up to the learning rate where there is one.
        rest: The sentence after it.
        reason: Why, for the badge.
        badge: Its word; by default the level's.
        rate: The learning rate.
        code: Something to paste.
    """
    return {
        "level": level,
        "badge": badge or BADGES[level],
        "lead": lead,
        "rate": rate,
        "rest": rest,
        "reason": reason,
        "code": code,
    }


def count(number: int, noun: str) -> str:
    """`1 step`, `2 steps`, `20,000 steps`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def sentence(text: str) -> str:
    """`text` with a full stop at its end, where it has any text."""
    text = text.strip()
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."


def optimizer_call(environment: dict[str, Any], rate: str) -> str:
    """The line to paste: a new optimizer where it is known which, else the rate of the one there is."""
    if optimizer := known(environment, "optimizer", ""):
        return f"keras.optimizers.{optimizer}(learning_rate={rate})"
    return f"model.optimizer.learning_rate = {rate}"


def known(environment: dict[str, Any], name: str, default: str) -> str:
    """An entry that can stand in code: a Python name or a whole number; `default` for anything else."""
    value = environment.get(name)
    if isinstance(value, dict):
        value = value.get("name")
    usable = (isinstance(value, str) and re.fullmatch(r"[A-Za-z_]\w{0,60}", value, re.ASCII)) or (
        isinstance(value, int) and not isinstance(value, bool)
    )
    return str(value) if usable else default


def thinning_note(measured: int, kept: int, noun: str) -> str:
    """What was left out of the page's numbers; empty where nothing was."""
    if kept == measured:
        return ""
    return (
        f"Thinned from {count(measured, noun)} to {kept:,} here, in the CSV and in the JSON; each stretch kept its "
        "lowest and highest loss."
    )


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


def environment_rows(environment: Mapping[str, Any]) -> list[dict[str, str]]:
    """One `label` and `value` a fact, in the order given; what is None or an empty text is left out."""
    rows = ({"label": _label(str(name)), "value": _value(value)} for name, value in environment.items())
    return [row for row in rows if row["value"]]


def shared_environments(sections: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The rows that all sections have in common, once, and then what each has of its own, under its heading."""
    stated = [section for section in sections if section["environment"]]
    if not stated:
        return []
    common = [row for row in stated[0]["environment"] if all(row in section["environment"] for section in stated)]
    parts = [{"heading": "", "rows": common}]
    for section in stated:
        own = [row for row in section["environment"] if row not in common]
        parts.append({"heading": section["heading"], "rows": own})
    return [part for part in parts if part["rows"]]


def _label(name: str) -> str:
    words = name.replace("_", " ").strip()
    return _LABELS.get(name) or words[:1].upper() + words[1:]


def _value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        return ", ".join(f"{_label(str(name))}: {_value(item)}" for name, item in value.items() if _value(item))
    if isinstance(value, (list, tuple)):
        return "; ".join(filter(None, map(_value, value))) or "none"
    return _VALUES.get(str(value), str(value))


def figure(
    draw: Callable[[Figure], object],
    *,
    title: str,
    description: str,
    prefix: str,
    broad: bool = False,
    heights: tuple[float, float] = (4.4, 3.6),
) -> dict[str, Any]:
    """What a template needs to show a figure.

    Scaled down to a telephone, the labels of a wide figure are too small to read; so the page holds a narrow one too.

    Args:
        draw: Draws on the empty figure it is given.
        title: Short name of the figure.
        description: The finding in words, for those who cannot see it.
        prefix: Starts every id in the figure; unique on the page.
        broad: Whether it takes the page's whole width, rather than standing beside text.
        heights: In inches, on a wide page and on a narrow one.
    """
    widths = (BROAD_INCHES if broad else HALF_INCHES, NARROW_INCHES)
    wide, narrow = (
        figure_svg(draw, title=title, description=description, prefix=ids, width=width, height=height)
        for width, height, ids in zip(widths, heights, (prefix, f"{prefix}-n"), strict=True)
    )
    return {"title": title, "description": description, "wide": wide, "narrow": narrow, "panels": [], "broad": broad}


def panel_figure(
    panels: Mapping[str, Callable[[Axes], object]],
    *,
    title: str,
    description: str,
    descriptions: Sequence[str],
    prefix: str,
) -> dict[str, Any]:
    """Small multiples: a little figure a panel, which the page sets out in as many columns as it has room for.

    Args:
        panels: What draws each panel, by its name.
        title: Short name of the figure.
        description: The finding of all panels together, in words.
        descriptions: The finding of each panel.
        prefix: Starts every id in the figure; unique on the page.
    """

    def drawn(draw: Callable[[Axes], object], first: bool) -> Callable[[Figure], None]:
        def on_figure(figure: Figure) -> None:
            ax = figure.subplots()
            draw(ax)
            if first:
                name_lines(ax)

        return on_figure

    svgs = [
        figure_svg(
            drawn(draw, place == 0),
            title=f"{title}: {name}",
            description=told,
            prefix=f"{prefix}-{place}",
            width=_PANEL_INCHES[0],
            height=_PANEL_INCHES[1],
        )
        for place, ((name, draw), told) in enumerate(zip(panels.items(), descriptions, strict=True))
    ]
    return {"title": title, "description": description, "panels": svgs, "broad": True}
