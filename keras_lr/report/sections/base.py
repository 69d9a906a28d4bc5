"""What the report must know about a kind of record to show it."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras_lr.records.base import Record


@dataclass(frozen=True)
class Section:
    """How one kind of record becomes a section of the page.

    Attributes:
        kind: The record's `kind`.
        home: Module and class of the record, as `module:Class`; imported only to read a stored one, since some kinds
            of record live beside TensorFlow.
        summarize: Turns a tuple of records and an id prefix into the plain dict its template reads. Every summary has
            `heading`, `verdict`, `warnings`, `figure`, `method`, `environment`, `script`, `data` and `records`; the
            rest is the template's own.
        template: File in `templates/`.
        rank: The section of the highest rank speaks on the first screen; the others follow by it.
        together: Whether all records of this kind share one section, rather than having one each.
    """

    kind: str
    home: str
    summarize: Callable[[tuple[Any, ...], str], dict[str, Any]]
    template: str
    rank: int
    together: bool = False

    @property
    def type_name(self) -> str:
        """Name of the record's class."""
        return self.home.partition(":")[2]

    def record_type(self) -> type[Record]:
        """The record's class."""
        module, _, name = self.home.partition(":")
        return getattr(importlib.import_module(module), name)  # type: ignore[no-any-return]
