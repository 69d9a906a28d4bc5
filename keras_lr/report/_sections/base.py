"""What a kind of record must bring to be shown in the report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from keras_lr.results._record import Record


@dataclass(frozen=True)
class Section:
    """How one kind of record becomes a section of the page.

    Attributes:
        kind: The record's `kind`.
        record_type: The record's class.
        summarize: Turns a tuple of records and an id prefix into a `section_view`.
        rank: The section of the highest rank that has an answer speaks on the first screen; the others follow by it.
        together: Whether all records of this kind share one section, rather than having one each.
    """

    kind: str
    record_type: type[Record]
    summarize: Callable[[tuple[Any, ...], str], dict[str, Any]]
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
    """Everything the page says of one section, as text and numbers.

    Args:
        heading: The section's title.
        verdict: What the first screen says, from `wording.verdict`.
        figure: The picture that decides, from `figures.figure`.
        data: The numbers behind it, from `tables.data`.
        records: What the page embeds as JSON; each loads with its record's `from_dict`.
        method: How it was measured and judged, and what was not tried, a sentence each.
        script: A whole script that does the same again.
        environment: Rows from `environment_rows`.
        warnings: `problem` and `action` each, the gravest first.
        note: How to read the section.
        facts: `label` and `value` each: the few numbers a reader asks for first.
        tables: From `tables.table`.
        folded: `summary` and `figure` each, closed until the reader opens it.
        parts: Sections of their own that belong to this one, from `part_view`.
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
    """A section that belongs to another one; `name` ends its id."""
    return {"name": name, "heading": heading, "figure": figure, "note": note, "tables": list(tables)}
