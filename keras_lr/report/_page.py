"""Records -> one plain dict that holds all a page says."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from keras_lr._utils.formatting import shortened, shown
from keras_lr.errors import InvalidArgumentError
from keras_lr.report._components import shared_environments
from keras_lr.report._sections import section_of
from keras_lr.report._sections.base import Section
from keras_lr.results._record import Record

_RATE = re.compile(r"\b\d(?:\.\d+)?e-\d+\b")

SCHEMA_VERSION = 1
MOST_WARNINGS = 3
_TITLE_LIMIT = 160


def report_date(environments: Iterable[Mapping[str, Any]]) -> str:
    """`SOURCE_DATE_EPOCH` as a date, else the date the first result bears, else nothing: never the time of writing.

    Raises:
        InvalidArgumentError: `SOURCE_DATE_EPOCH` is set but is not a number of seconds.

    Source:
        https://reproducible-builds.org/specs/source-date-epoch/
    """
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        try:
            return datetime.fromtimestamp(int(epoch), UTC).date().isoformat()
        except (ValueError, OverflowError, OSError) as err:
            raise InvalidArgumentError(
                f"`SOURCE_DATE_EPOCH` must be in seconds since 1970. Received: {epoch[:40]!r}. Unset or mend it."
            ) from err
    dates = (environment.get("date") for environment in environments)
    return next((date for date in dates if isinstance(date, str)), "")


def render_page(view: dict[str, Any]) -> str:
    """A whole page that needs no other file, no network and no script."""
    style = _stylesheet()
    return _environment().get_template("page.html.j2").render(view, style=style, style_hash=_hash(style))


def render_fragment(view: dict[str, Any]) -> str:
    """A small piece of HTML for a notebook cell: the verdict and one figure."""
    return _environment().get_template("fragment.html.j2").render(view)


@cache
def _environment() -> Environment:
    # `select_autoescape` looks at the file's ending and would leave `.html.j2` unescaped.
    environment = Environment(
        loader=PackageLoader("keras_lr.report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["whole_rates"] = _whole_rates
    return environment


def _whole_rates(text: str) -> Markup:
    """`text`, escaped, in which no line may end at the minus of a rate such as 1e-2."""
    return Markup(_RATE.sub(r'<span class="rate">\g<0></span>', str(escape(text))))


@cache
def _stylesheet() -> str:
    return files("keras_lr.report").joinpath("templates", "report.css").read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """The hash by which a content security policy allows one inline style sheet and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


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
