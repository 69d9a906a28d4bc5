"""A page as a program reads it: its elements, its texts and its data."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

_EMPTY = {"meta", "link", "br", "img", "input", "hr", "base"}


class Page(HTMLParser):
    """What a page holds.

    Attributes:
        elements: Every element as its name and its attributes, in order.
        texts: The text of each element that has some, by the element's name.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self._source = html
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in _EMPTY:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts.append((self._open[-1], data))

    def all(self, tag: str) -> list[dict[str, str]]:
        """The attributes of every element of one name."""
        return [attributes for name, attributes in self.elements if name == tag]

    def text(self, *, without: tuple[str, ...] = ("style", "script")) -> str:
        """All that is written on the page."""
        return re.sub(r"\s+", " ", "".join(text for tag, text in self.texts if tag not in without))

    def data(self) -> dict[str, Any]:
        """The embedded JSON, read strictly."""

        def refuse(constant: str) -> None:
            raise ValueError(constant)

        found = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', self._source, re.S)
        assert found is not None
        return json.loads(found[1], parse_constant=refuse)  # type: ignore[no-any-return]


def first_screen(html: str) -> str:
    """The text of the answer, without its figure."""
    part = html.split('aria-label="Answer"')[1].split("<figure")[0]
    return Page(f"<div{part}").text()
