"""`Report`: results gathered under a title and written as one HTML page."""

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
from pathlib import Path
from typing import Any, Self

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from keras_lr._utils.files import write_text_atomically
from keras_lr._utils.formatting import counted, shortened, shown
from keras_lr.analysis._search_result import read_search
from keras_lr.errors import InvalidArgumentError
from keras_lr.plots._style import BLUE, BLUE_ON_DARK, REGION_COLORS
from keras_lr.report._components import Section, shared_environments, short_name, warning_view
from keras_lr.report._sections import section_of
from keras_lr.results._record import Record

SCHEMA_VERSION = 1
_MAX_WARNINGS = 3
_TITLE_LIMIT = 160
_SMALL_RATE = re.compile(r"\b\d(?:\.\d+)?e-\d+\b")


class Report:
    """Results on one self-contained HTML page.

    The page needs no network and no other file, and is complete with scripts switched off. The same results give the
    same bytes.

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
        self._names: list[str] = []
        self._warnings: list[dict[str, str]] = []

    def add(self, result: Any, *, name: str = "") -> Self:
        """Adds a result and returns the report, so that calls can be chained.

        Args:
            result: A result, or the path of a `LogGridSearch` project's folder, which adds what has been measured so
                far.
            name: Tells the result from others of its kind, such as "32 units"; the page shows it, the JSON does not.

        Raises:
            InvalidArgumentError: The report cannot show this kind of `result`, or `name` is not a string.
            ResultFormatError: `result` is a path without a search.
        """
        if not isinstance(name, str):
            raise InvalidArgumentError(f"`name` must be a string. Received: {name!r}. Write it as text.")
        record = read_search(result) if isinstance(result, (str, Path)) else result
        section_of(record)
        self._records.append(record)
        self._names.append(name)
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
        shown = self._shown()
        view = page_view(self.title, shown, names=self._names, script=self.script, warnings=self._warnings)
        return render_page(view)

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

    def __repr__(self) -> str:
        return f"Report({self.title!r}, {counted(len(self._records), 'result')})"

    def _repr_html_(self) -> str:
        if not self._records:
            return "<p>The report is empty. Call <code>add(result)</code> first.</p>"
        # A notebook shows several results on one page, so their ids must differ.
        digest = hashlib.sha256(self.to_json().encode(errors="surrogatepass")).hexdigest()[:10]
        return render_fragment(page_view(self.title, self._shown(), names=self._names, prefix=f"k{digest}-"))

    def _shown(self) -> list[Record]:
        if not self._records:
            raise InvalidArgumentError("The report is empty. Call `add(result)` first.")
        return self._records


def page_view(
    title: str,
    records: Sequence[Record],
    *,
    names: Sequence[str] = (),
    script: str = "",
    prefix: str = "s",
    warnings: Sequence[dict[str, str]] = (),
) -> dict[str, Any]:
    """Everything the page shows, already computed; the templates only lay it out.

    Args:
        title: The page's title.
        records: What to show, at least one.
        names: The name of each record, empty for one without a name; empty if none has a name.
        script: Commands that reproduce the results; if empty, each section writes its own.
        prefix: Starts every id on the page.
        warnings: From `warning_view`, to stand before those of the sections.

    Raises:
        InvalidArgumentError: `SOURCE_DATE_EPOCH` is set but is not a number of seconds.
    """
    # Before any figure is drawn: matplotlib reads SOURCE_DATE_EPOCH too, and its error message is less helpful.
    date = _report_date(getattr(record, "environment", {}) for record in records)
    named = zip(records, names or [""] * len(records), strict=True)
    sections = [_built(f"{prefix}{n}", *part) for n, part in enumerate(_in_reading_order(named), 1)]
    _make_names_unique(sections)
    first = next((section for section in sections if section["verdict"]["rate"]), sections[0])
    by_urgency = [first, *(section for section in sections if section is not first)]
    return {
        "short_title": shortened(" ".join(title.split()), _TITLE_LIMIT),
        "date": date,
        "version": version("keras-lr"),
        "first": first,
        "warnings": [*warnings, *(item for section in by_urgency for item in section["warnings"])][:_MAX_WARNINGS],
        "sections": sections,
        "environments": shared_environments(sections),
        "scripts": [{"heading": "", "script": script}] if script else _distinct_scripts(sections),
        "json": _script_safe_json(
            stored_report(title, [record for section in sections for record in section["records"]])
        ),
    }


def render_page(view: dict[str, Any]) -> str:
    """A complete page that needs no other file and no network, and can be read with scripts switched off."""
    style, behaviour = _stylesheet(), _behaviour()
    return (
        _templates()
        .get_template("page.html.j2")
        .render(
            view,
            style=style,
            style_hash=_csp_hash(style),
            behaviour=behaviour,
            script_hash=_csp_hash(behaviour),
        )
    )


def render_fragment(view: dict[str, Any]) -> str:
    """HTML for a notebook cell: the first verdict with its figure, and all other parts of the page folded."""
    return _templates().get_template("fragment.html.j2").render(view)


def stored_report(title: str, records: list[dict[str, Any]]) -> dict[str, Any]:
    """The JSON object of a report, from the dicts of its records."""
    return {"kind": "report", "schema_version": SCHEMA_VERSION, "title": title, "records": records}


def _report_date(environments: Iterable[Mapping[str, Any]]) -> str:
    """The date of `SOURCE_DATE_EPOCH`, else that of the first result with a date, else nothing; never today's.

    Source:
        https://reproducible-builds.org/specs/source-date-epoch/
    """
    if epoch := os.environ.get("SOURCE_DATE_EPOCH"):
        try:
            return datetime.fromtimestamp(int(epoch), UTC).date().isoformat()
        except (ValueError, OverflowError, OSError) as err:
            raise InvalidArgumentError(
                f"`SOURCE_DATE_EPOCH` must be a number of seconds since 1970. Received: {epoch[:40]!r}. "
                "Correct or unset it."
            ) from err
    dates = (environment.get("date") for environment in environments)
    return next((date for date in dates if isinstance(date, str)), "")


def _in_reading_order(
    named: Iterable[tuple[Record, str]],
) -> list[tuple[Section, tuple[Record, ...], tuple[str, ...]]]:
    """Each section with its records and their names, by falling rank and then in the order added."""
    groups: dict[Any, list[tuple[Record, str]]] = {}
    for position, (record, name) in enumerate(named):
        section = section_of(record)
        groups.setdefault((section.kind, None if section.together else position), []).append((record, name))
    parts = []
    for group in groups.values():
        records, names = zip(*group, strict=True)
        parts.append((section_of(records[0]), records, names))
    return sorted(parts, key=lambda part: -part[0].rank)


def _built(identifier: str, section: Section, records: tuple[Record, ...], names: tuple[str, ...]) -> dict[str, Any]:
    """The section with ids, and with the name of its record wherever another of its kind might be meant."""
    view = section.build(records, identifier, names) if section.together else section.build(records, identifier)
    if names[0] and not section.together:
        label = short_name(names[0])
        headed = [{**part, "heading": f"{part['heading']}: {label}"} for part in view["parts"]]
        warnings = [{**warning, "problem": f"{label}: {warning['problem']}"} for warning in view["warnings"]]
        verdict = {**view["verdict"], "rest": f"{label}: {view['verdict']['rest']}"}
        view |= {
            "heading": f"{view['heading']}: {label}",
            "parts": headed,
            "warnings": warnings,
            "verdict": verdict,
        }
    parts = [{**part, "id": f"{identifier}-{part['name']}"} for part in view["parts"]]
    return {**view, "id": identifier, "parts": parts}


def _make_names_unique(sections: list[dict[str, Any]]) -> None:
    """Numbers the headings and the names of CSV files that occur more than once on the page."""
    headed = [item for section in sections for item in (section, *section["parts"])]
    _number_repeats(headed, "heading", lambda text, n: f"{text} {n}")
    _number_repeats([section["data"] for section in sections], "csv_name", lambda text, n: text.replace(".", f"_{n}."))


def _number_repeats(items: list[dict[str, Any]], key: str, numbered: Callable[[str, int], str]) -> None:
    names = [item[key] for item in items]
    for place, item in enumerate(items):
        if names.count(names[place]) > 1:
            item[key] = numbered(names[place], names[: place + 1].count(names[place]))


def _distinct_scripts(sections: list[dict[str, Any]]) -> list[dict[str, str]]:
    """The scripts of the sections, each once, under the heading of the first section that has it."""
    headings: dict[str, str] = {}
    for section in sections:
        headings.setdefault(section["script"], section["heading"])
    return [{"heading": heading, "script": script} for script, heading in headings.items() if script]


def _script_safe_json(value: Any) -> str:
    """Strict JSON that can neither end a `<script>` element nor start a comment in it."""
    text = json.dumps(_rounded(value), allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026")


def _rounded(value: Any) -> Any:
    """Floats rounded to nine significant digits, which is all a float32 holds, and losses are float32."""
    if isinstance(value, float):
        return float(f"{value:.9g}")
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, (list, tuple)) else value


@cache
def _templates() -> Environment:
    # `select_autoescape` goes by the file's extension and would leave `.html.j2` unescaped.
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
    """`text`, escaped, with rates such as 1e-2 marked so that no line breaks at their minus sign."""
    return Markup(_SMALL_RATE.sub(r'<span class="rate">\g<0></span>', str(escape(text))))


@cache
def _stylesheet() -> str:
    colors = {"blue": BLUE, "blue_on_dark": BLUE_ON_DARK, "regions": REGION_COLORS}
    return _templates().get_template("report.css.j2").render(colors)


@cache
def _behaviour() -> str:
    return files("keras_lr.report").joinpath("templates", "report.js").read_text(encoding="utf-8")


def _csp_hash(text: str) -> str:
    """The hash by which a content security policy allows this inline style sheet or script and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
