"""Records -> one plain dict that holds all a page says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from keras_lr.records.base import Record
from keras_lr.report.dates import report_date
from keras_lr.report.sections import section_of
from keras_lr.report.sections.base import Section

SCHEMA_VERSION = 1


def summarize(title: str, records: Sequence[Record], *, script: str = "", prefix: str = "s") -> dict[str, Any]:
    """Everything the page shows, computed; the templates only lay it out.

    Args:
        title: The page's title.
        records: What to show, at least one.
        script: Commands that make the results again; where empty, each section's own.
        prefix: Starts every id on the page.
    """
    # First, so that a bad SOURCE_DATE_EPOCH meets our message and not matplotlib's, which reads it too.
    date = report_date(getattr(record, "environment", {}) for record in records)
    sections = [
        {"id": f"{prefix}{position}", "template": section.template, **section.summarize(shown, f"{prefix}{position}")}
        for position, (section, shown) in enumerate(_in_reading_order(records), 1)
    ]
    return {
        "title": title,
        "date": date,
        "version": version("keras-lr"),
        "first": sections[0],
        "warnings": [warning for section in sections for warning in section["warnings"]][:3],
        "sections": sections,
        "environments": _distinct([section["environment"] for section in sections]),
        "scripts": [script] if script else _distinct([section["script"] for section in sections]),
        "json": script_safe_json(stored_form(title, [record for section in sections for record in section["records"]])),
    }


def stored_form(title: str, records: list[dict[str, Any]]) -> dict[str, Any]:
    """The report's own JSON object."""
    return {"kind": "report", "schema_version": SCHEMA_VERSION, "title": title, "records": records}


def script_safe_json(value: Any) -> str:
    """Strict JSON that neither ends a `<script>` element nor starts a comment in it."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


def _in_reading_order(records: Sequence[Record]) -> list[tuple[Section, tuple[Record, ...]]]:
    """Each section with its records: what decides first, then in the order added."""
    groups: dict[Any, list[Record]] = {}
    for position, record in enumerate(records):
        section = section_of(record)
        groups.setdefault((section.kind, None if section.together else position), []).append(record)
    parts = [(section_of(shown[0]), tuple(shown)) for shown in groups.values()]
    return sorted(parts, key=lambda part: -part[0].rank)


def _distinct(items: list[Any]) -> list[Any]:
    kept: list[Any] = []
    for item in items:
        if item and item not in kept:
            kept.append(item)
    return kept
