"""Plain dict -> HTML text, by Jinja2. Nothing is computed here."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from keras_lr.report.characters import shown

_RATE = re.compile(r"\b\d(?:\.\d+)?e-\d+\b")


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
