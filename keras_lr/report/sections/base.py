"""What the report must know about a kind of record to show it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from keras_lr.records.base import Record


@dataclass(frozen=True)
class Section:
    """How one kind of record becomes a section of the page.

    Attributes:
        record_type: The record shown.
        summarize: Turns a record and an id prefix into the plain dict its template reads. Every summary has `heading`,
            `verdict`, `warnings`, `figure`, `method`, `environment`, `script`, `data` and `record`; the rest is the
            template's own.
        template: File in `templates/`.
        rank: The section of the highest rank speaks on the first screen.
    """

    record_type: type[Record]
    summarize: Callable[[Any, str], dict[str, Any]]
    template: str
    rank: int
