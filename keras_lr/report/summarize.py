"""Records -> one plain dict that holds all a page says."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

from keras_lr.records.base import Record
from keras_lr.report.characters import shortened
from keras_lr.report.dates import report_date
from keras_lr.report.environment import shared_environments
from keras_lr.report.sections import section_of
from keras_lr.report.sections.base import Section

SCHEMA_VERSION = 1
MOST_WARNINGS = 3
_TITLE_LIMIT = 160


def summarize(
    title: str,
    records: Sequence[Record],
    *,
    script: str = "",
    prefix: str = "s",
    warnings: Sequence[dict[str, str]] = (),
) -> dict[str, Any]:
    """Everything the page shows, computed; the templates only lay it out.

    Args:
        title: The page's title.
        records: What to show, at least one.
        script: Commands that make the results again; where empty, each section's own.
        prefix: Starts every id on the page.
        warnings: `problem` and `action` each, to stand before the sections' own.
    """
    # First, so that a bad SOURCE_DATE_EPOCH meets our message and not matplotlib's, which reads it too.
    date = report_date(getattr(record, "environment", {}) for record in records)
    parts = [(n, *part) for n, part in enumerate(_in_reading_order(records), 1)]
    sections = [_numbered(section.summarize(shown, f"{prefix}{n}"), f"{prefix}{n}") for n, section, shown in parts]
    _tell_apart(sections)
    first = next((section for section in sections if section["verdict"]["rate"]), sections[0])
    by_urgency = [first, *(section for section in sections if section is not first)]
    return {
        "short_title": shortened(" ".join(title.split()), _TITLE_LIMIT),
        "date": date,
        "version": version("keras-lr"),
        "first": first,
        "warnings": [*warnings, *(told for section in by_urgency for told in section["warnings"])][:MOST_WARNINGS],
        "sections": sections,
        "environments": shared_environments(sections),
        "scripts": [{"heading": "", "script": script}] if script else _distinct(sections, "script"),
        "json": script_safe_json(stored_form(title, [record for section in sections for record in section["records"]])),
    }


def stored_form(title: str, records: list[dict[str, Any]]) -> dict[str, Any]:
    """The report's own JSON object."""
    return {"kind": "report", "schema_version": SCHEMA_VERSION, "title": title, "records": records}


def script_safe_json(value: Any) -> str:
    """Strict JSON that neither ends a `<script>` element nor starts a comment in it."""
    text = json.dumps(_rounded(value), allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


def _rounded(value: Any) -> Any:
    """Nine significant digits: all of a float32, in which losses are computed."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, (list, tuple)) else value


def _in_reading_order(records: Sequence[Record]) -> list[tuple[Section, tuple[Record, ...]]]:
    """Each section with its records: what decides first, then in the order added."""
    groups: dict[Any, list[Record]] = {}
    for position, record in enumerate(records):
        section = section_of(record)
        groups.setdefault((section.kind, None if section.together else position), []).append(record)
    parts = [(section_of(shown[0]), tuple(shown)) for shown in groups.values()]
    return sorted(parts, key=lambda part: -part[0].rank)


def _numbered(section: dict[str, Any], name: str) -> dict[str, Any]:
    parts = [{**part, "id": f"{name}-{part['name']}"} for part in section["parts"]]
    return {**section, "id": name, "parts": parts}


def _tell_apart(sections: list[dict[str, Any]]) -> None:
    """Numbers headings, and the names of files, that would else stand twice on the page."""
    headed = [item for section in sections for item in (section, *section["parts"])]
    _number_repeats(headed, "heading", lambda text, n: f"{text} {n}")
    _number_repeats([section["data"] for section in sections], "csv_name", lambda text, n: text.replace(".", f"_{n}."))


def _number_repeats(items: list[dict[str, Any]], key: str, numbered: Callable[[str, int], str]) -> None:
    names = [item[key] for item in items]
    for place, item in enumerate(items):
        if names.count(names[place]) > 1:
            item[key] = numbered(names[place], names[: place + 1].count(names[place]))


def _distinct(sections: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    """What the sections say under `key`, each once, with the heading of the first that says it."""
    kept: list[dict[str, Any]] = []
    for section in sections:
        if section[key] and section[key] not in [item[key] for item in kept]:
            kept.append({"heading": section["heading"], key: section[key]})
    return kept
