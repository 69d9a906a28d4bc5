"""A section and its parts as plain dicts for the templates: sentences, tables, environment rows and figures."""

from __future__ import annotations

import csv
import functools
import io
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from keras_lr._utils.formatting import counted, format_number, shortened, shown
from keras_lr.plots._history import add_line_legend
from keras_lr.plots._svg import figure_svg
from keras_lr.results._range_test import CONFIDENCE_BADGES, Confidence
from keras_lr.results._record import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KERAS_OPTIMIZERS = (
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Ftrl",
    "Lamb",
    "Lion",
    "Muon",
    "Nadam",
    "RMSprop",
    "SGD",
    "ScheduleFreeAdamW",
)
"""The optimizers of Keras that hold a learning rate of their own."""

NO_RATE = "No usable learning rate found"
TABLE_ROWS = 40
"""Most rows of a table of numbers; its CSV may hold more."""

_MAX_DECIMALS = 8
_NAME_LIMIT = 48
# In characters: a cell up to the first does not wrap; one above the second needs room, on a phone a line of its own.
_SHORT_TEXT, _LONG_TEXT = 24, 40
# A spreadsheet reads a cell that starts like this as a formula. It may also split the cell at other list separators.
_FORMULA = re.compile(r"(^|[;,|\t\r\n])(\s*)([=+\-@＝＋－＠])")
_LEADING_SPACE = ("\t", "\n")

_ENVIRONMENT_LABELS = {
    "cpus": "CPU cores",
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
_ENVIRONMENT_VALUES = {"_DefaultDistributionStrategy": "none, one device"}

_HALF_PAGE_INCHES, _FULL_PAGE_INCHES, _NARROW_PAGE_INCHES = 7.0, 10.5, 4.1
_PANEL_INCHES = (3.5, 2.3)


@dataclass(frozen=True)
class Section:
    """How one kind of record becomes a section of the page.

    Attributes:
        kind: The record's `kind`.
        record_type: The record's class.
        build: Turns a tuple of records, an id prefix and, if `together`, the records' names into a `section_view`.
        rank: Sections follow in falling rank; the first one with a learning rate to suggest fills the first screen.
        together: Whether all records of this kind share one section instead of having one each.
    """

    kind: str
    record_type: type[Record]
    build: Callable[..., dict[str, Any]]
    rank: int
    together: bool = False


def section_view(
    *,
    heading: str,
    verdict: dict[str, str],
    figure: dict[str, Any],
    data: dict[str, Any],
    records: Sequence[dict[str, Any]],
    method: Sequence[str],
    script: str,
    environment: Sequence[dict[str, str]] = (),
    warnings: Sequence[dict[str, str]] = (),
    note: str = "",
    facts: Sequence[dict[str, str]] = (),
    tables: Sequence[dict[str, Any]] = (),
    folded: Sequence[dict[str, Any]] = (),
    parts: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """Everything the page shows of one section, as text and numbers; the views are those of this module.

    Args:
        heading: The section's title.
        verdict: What the first screen says, from `verdict_view`.
        figure: The figure that decides, from `figure_view` or `panels_view`.
        data: The numbers behind it, from `data_view`.
        records: What the page embeds as JSON; each loads with its record's `from_dict`.
        method: How it was measured and judged and what was not tried, one sentence per item.
        script: A complete script that reproduces the results.
        environment: Rows from `environment_rows`.
        warnings: From `warning_view`, the most severe first.
        note: How to read the section.
        facts: From `fact_views`.
        tables: From `table_view`.
        folded: Dicts with a `summary` and a `figure`, closed until the reader opens them.
        parts: Further sections that belong to this one, from `part_view`.
    """
    return {
        "heading": heading,
        "verdict": verdict,
        "figure": figure,
        "data": data,
        "records": list(records),
        "method": list(method),
        "script": script,
        "environment": list(environment),
        "warnings": list(warnings),
        "note": note,
        "facts": list(facts),
        "tables": list(tables),
        "folded": list(folded),
        "parts": list(parts),
    }


def part_view(
    *,
    name: str,
    heading: str,
    figure: dict[str, Any],
    note: str = "",
    tables: Sequence[dict[str, Any]] = (),
) -> dict[str, Any]:
    """A section that belongs to another one; its id ends with `name`."""
    return {"name": name, "heading": heading, "figure": figure, "note": note, "tables": list(tables)}


def verdict_view(
    *, level: Confidence, lead: str, rest: str, reason: str, badge: str = "", rate: str = "", code: str = ""
) -> dict[str, str]:
    """What the first screen says of a section.

    Args:
        level: Colours the badge.
        lead: The first sentence, up to the learning rate if it names one.
        rest: What follows the first sentence.
        reason: Why, in small print.
        badge: Text of the badge; by default that of the level.
        rate: The learning rate.
        code: Something to paste.
    """
    return {
        "level": level,
        "badge": badge or CONFIDENCE_BADGES[level],
        "lead": lead,
        "rate": rate,
        "rest": rest,
        "reason": reason,
        "code": code,
    }


def warning_view(problem: str, action: str) -> dict[str, str]:
    """A warning of the first screen: what is wrong and what to do about it, one sentence each."""
    return {"problem": problem, "action": action}


def fact_views(facts: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    """The few numbers a reader asks for first, from pairs of label and value."""
    return [{"label": label, "value": value} for label, value in facts]


def short_name(name: str) -> str:
    """A name that others gave, cut to what a sentence or a cell has room for."""
    return shortened(name, _NAME_LIMIT)


def as_sentence(text: str) -> str:
    """`text` with a full stop, unless it is empty or already ends with a punctuation mark."""
    text = text.strip()
    return text if not text or text.endswith((".", "!", "?")) else f"{text}."


def code_to_paste(environment: Mapping[str, Any], rate: str, *, batch_size: Any = None) -> str:
    """A new optimizer if it is one of Keras's, else the assignment of the rate; and the batch size if that is known.

    Args:
        environment: The record's; gives the optimizer, and the batch size unless `batch_size` does.
        rate: The learning rate.
        batch_size: The one that the rate was measured with.
    """
    optimizer = code_value(environment, "optimizer", "")
    if optimizer in KERAS_OPTIMIZERS:
        lines = [f"optimizer = keras.optimizers.{optimizer}(learning_rate={rate})"]
    elif optimizer == "MultiOptimizer":
        lines = [f"learning_rate = {rate}  # of the part with factor 1"]
    else:
        lines = [f"model.optimizer.learning_rate = {rate}"]
    size = code_value({"size": batch_size or environment.get("batch_size")}, "size", "")
    return "\n".join([*lines, f"batch_size = {size}"] if size.isdecimal() else lines)


def code_value(environment: Mapping[str, Any], name: str, default: str) -> str:
    """An entry of the environment that is safe in code: a Python name or an integer; `default` for anything else."""
    value = environment.get(name)
    if isinstance(value, dict):
        value = value.get("name")
    usable = (isinstance(value, str) and re.fullmatch(r"[A-Za-z_]\w{0,60}", value, re.ASCII)) or (
        isinstance(value, int) and not isinstance(value, bool)
    )
    return str(value) if usable else default


def thinning_note(measured: int, kept: int, noun: str) -> str:
    """How many of the measured points the page holds; empty if it holds all."""
    if kept == measured:
        return ""
    return (
        f"Thinned from {counted(measured, noun)} to {kept:,} on this page, in the CSV and in the JSON; the lowest and "
        "highest loss of each stretch are kept."
    )


def table_view(caption: str, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> dict[str, Any]:
    """A table to read; the first cell of each row is its header.

    Args:
        caption: What the table holds.
        columns: Headings.
        rows: Cells: text, or what `number_cell`, `badge_cell` or `chip_cell` returned.
    """
    filled = [[_text_cell(cell) if isinstance(cell, str) else cell for cell in row] for row in rows]
    numbers = [cell["look"] == "number" for cell in filled[0]] if filled else [False] * len(columns)
    return {
        "caption": caption,
        "columns": [
            _cell(short_name(column), "number" if is_number else "")
            for column, is_number in zip(columns, numbers, strict=True)
        ],
        "rows": filled,
        "cards": any(len(cell["text"]) > _LONG_TEXT for row in filled for cell in row[1:]),
    }


def _cell(text: str, look: str, *, badge: str = "") -> dict[str, str]:
    return {"text": text, "look": look, "badge": badge}


def _text_cell(text: str) -> dict[str, str]:
    return _cell(text, "short" if len(text) <= _SHORT_TEXT else "long" if len(text) > _LONG_TEXT else "")


def number_cell(text: str) -> dict[str, str]:
    """A cell aligned with the numbers above and below it."""
    return _cell(text, "number")


def number_column(values: Sequence[float | None], *, digits: int = 4) -> list[dict[str, str]]:
    """Cells of numbers with the same number of decimals, so that they can be compared at a glance.

    Args:
        values: The column; None becomes a dash, infinity "diverged".
        digits: Significant digits of the largest number.
    """
    finite = [abs(value) for value in values if value is not None and np.isfinite(value) and value != 0]
    decimals = digits - 1 - math.floor(math.log10(max(finite, default=1.0)))
    comparable = 0 <= decimals <= _MAX_DECIMALS and min(finite, default=1.0) >= 10.0 ** (1 - decimals)

    def written(value: float | None) -> str:
        if value is not None and np.isinf(value):
            return "diverged"
        if value is None or np.isnan(value) or not comparable:
            return format_number(value, digits=digits)
        return f"{value:.{decimals}f}"

    return [number_cell(written(value)) for value in values]


def badge_cell(text: str, level: Confidence) -> dict[str, str]:
    """A cell that shows a verdict; `level` colours it."""
    return _cell(text, "short", badge=level)


def chip_cell(text: str) -> dict[str, str]:
    """A cell with a patch of the colour that the plots give the region named `text`."""
    return _cell(text, f"chip {text.replace(' ', '-')}")


def data_view(
    *,
    caption: str,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    csv_name: str,
    csv_rows: Iterable[Sequence[Any]],
    note: str = "",
) -> dict[str, Any]:
    """The numbers of a section: a table to read, and a CSV to download, which may hold more rows.

    Args:
        caption: What the table holds, and how much of it.
        columns: Headings of both.
        rows: Cells of the table, formatted for a reader.
        csv_name: Name of the file.
        csv_rows: Cells of the CSV: text and numbers.
        note: What was left out.
    """
    text = csv_text(columns, csv_rows)
    return {
        "table": table_view(caption, columns, ([row[0], *map(number_cell, row[1:])] for row in rows)),
        "csv": text,
        "csv_link": data_link(text),
        "csv_name": csv_name,
        "note": note,
    }


def csv_text(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """CSV text with no cell that a spreadsheet would read as a formula."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow([_csv_cell(column) for column in columns])
    writer.writerows([_csv_cell(value) for value in row] for row in rows)
    return stream.getvalue()


def data_link(text: str) -> str:
    """`text` as the target of a download link that needs neither a file nor a network."""
    return "data:text/csv;charset=utf-8," + quote(text, safe=",.")


def environment_rows(environment: Mapping[str, Any]) -> list[dict[str, str]]:
    """One row with `label` and `value` per entry, in the given order, without entries that are None or empty."""
    rows = ((_environment_label(str(name)), _environment_value(value)) for name, value in environment.items())
    return fact_views((label, value) for label, value in rows if value)


def shared_environments(sections: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """First the rows that all sections share, then each section's own rows under its heading."""
    stated = [section for section in sections if section["environment"]]
    if not stated:
        return []
    common = [row for row in stated[0]["environment"] if all(row in section["environment"] for section in stated)]
    parts = [{"heading": "", "rows": common}]
    for section in stated:
        own = [row for row in section["environment"] if row not in common]
        parts.append({"heading": section["heading"], "rows": own})
    return [part for part in parts if part["rows"]]


def figure_view(
    draw: Callable[[Figure], object],
    *,
    title: str,
    description: str,
    prefix: str,
    key: str = "",
    broad: bool = False,
    heights: tuple[float, float] = (4.4, 3.6),
) -> dict[str, Any]:
    """A figure, drawn twice: on a phone the labels of the wide drawing would be too small to read.

    Args:
        draw: Draws on the empty figure it is given.
        title: Short name of the figure.
        description: The finding in words, also for screen readers.
        prefix: Starts every id in the figure; unique on the page.
        key: How to read the figure.
        broad: Whether the figure takes the full width of the page rather than standing beside text.
        heights: Of the wide and the narrow drawing, in inches.
    """
    widths = (_FULL_PAGE_INCHES if broad else _HALF_PAGE_INCHES, _NARROW_PAGE_INCHES)
    wide, narrow = (
        figure_svg(draw, title=title, description=description, prefix=ids, width=width, height=height)
        for width, height, ids in zip(widths, heights, (prefix, f"{prefix}-n"), strict=True)
    )
    return {
        "title": title,
        "description": description,
        "key": key,
        "wide": wide,
        "narrow": narrow,
        "panels": [],
        "broad": broad,
    }


def panels_view(
    panels: Mapping[str, Callable[[Axes], object]],
    *,
    title: str,
    description: str,
    descriptions: Sequence[str],
    prefix: str,
    key: str = "",
) -> dict[str, Any]:
    """Small multiples: one small figure per panel, which the page sets in as many columns as fit.

    Args:
        panels: By the panel's name, a function that draws it.
        title: Short name of the whole.
        description: The finding of all panels together, in words.
        descriptions: The finding of each panel, also for screen readers.
        prefix: Starts every id in the figures; unique on the page.
        key: How to read the figures.
    """
    svgs = [
        figure_svg(
            functools.partial(_draw_panel, draw, legend=place == 0),
            title=f"{title}: {name}",
            description=finding,
            prefix=f"{prefix}-{place}",
            width=_PANEL_INCHES[0],
            height=_PANEL_INCHES[1],
        )
        for place, ((name, draw), finding) in enumerate(zip(panels.items(), descriptions, strict=True))
    ]
    named = [{"name": name, "svg": svg} for name, svg in zip(panels, svgs, strict=True)]
    return {"title": title, "description": description, "key": key, "panels": named, "broad": True}


def _draw_panel(draw: Callable[[Axes], object], figure: Figure, *, legend: bool) -> None:
    ax = figure.subplots()
    draw(ax)
    if legend:
        add_line_legend(ax)


def _csv_cell(value: Any) -> str:
    if isinstance(value, (float, np.floating)):
        return f"{value:.7g}" if np.isfinite(value) else ""
    if not isinstance(value, str):
        return "" if value is None else str(value)
    text: str = shown(value)
    return _FORMULA.sub(r"\1\2'\3", f"'{text}" if text.startswith(_LEADING_SPACE) else text)


def _environment_label(name: str) -> str:
    words = name.replace("_", " ").strip()
    return _ENVIRONMENT_LABELS.get(name) or words[:1].upper() + words[1:]


def _environment_value(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Mapping):
        parts = ((_environment_label(str(name)), _environment_value(item)) for name, item in value.items())
        return ", ".join(f"{label}: {text}" for label, text in parts if text)
    if isinstance(value, (list, tuple)):
        return "; ".join(filter(None, map(_environment_value, value))) or "none"
    return _ENVIRONMENT_VALUES.get(str(value), str(value))
