"""What a kind of record needs to be shown in the report."""

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
        build: Turns a tuple of records and an id prefix into a `section_view`.
        rank: Sections follow in falling rank; the first one with a learning rate to suggest fills the first screen.
        together: Whether all records of this kind share one section instead of having one each.
    """

    kind: str
    record_type: type[Record]
    build: Callable[[tuple[Any, ...], str], dict[str, Any]]
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
    """Everything the page shows of one section, as text and numbers; the views are those of `_components`.

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
