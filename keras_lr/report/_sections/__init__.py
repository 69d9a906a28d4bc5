"""How each kind of record is shown. To show a new kind, write its section and list it here."""

from __future__ import annotations

from typing import Any

from keras_lr._utils.formatting import with_article
from keras_lr.errors import InvalidArgumentError, ResultFormatError
from keras_lr.report._components import Section
from keras_lr.report._sections import auto_lr, diagnosis, range_test, schedule, sensitivity
from keras_lr.results._record import Record

SECTIONS: dict[str, Section] = {
    section.kind: section
    for section in (
        sensitivity.SECTION,
        range_test.SECTION,
        auto_lr.SECTION,
        diagnosis.COMPARISON,
        diagnosis.DIAGNOSIS,
        schedule.SECTION,
    )
}


def section_of(record: Any) -> Section:
    """The section that shows `record`; raises `InvalidArgumentError` if no section does."""
    section = SECTIONS.get(record.kind) if isinstance(record, Record) else None
    if section is None:
        raise InvalidArgumentError(
            f"`result` must be one of {_shown_types()}. Received: {type(record).__name__}. {_remedy(record)}"
        )
    return section


def _remedy(received: Any) -> str:
    """What to add instead of something that holds a result, or leads to one."""
    if isinstance(received, (list, tuple)):
        return "Add the results one by one."
    if isinstance(received, dict) and "loss" in received:
        return "Pass `keras_lr.analyze_history(history)`."
    remedies = {
        "sensitivity": "Pass its `sensitivity()`.",
        "result": "Pass its `result`, after `fit`.",
        "log": "Pass its `log`, after `fit`.",
        "history": "Pass `keras_lr.analyze_history(history)`.",
    }
    found = (remedy for name, remedy in remedies.items() if hasattr(received, name))
    return next(found, "Pass what a keras_lr call returned.")


def record_from_dict(data: Any) -> Record:
    """The record that `data` describes, of any kind that a report can show.

    Raises:
        ResultFormatError: `data` is damaged, of an unknown kind or from a newer version of keras_lr.
    """
    kind = data.get("kind") if isinstance(data, dict) else None
    if not isinstance(kind, str) or kind not in SECTIONS:
        received = repr(kind[:80]) if isinstance(kind, str) else f"no kind, in {with_article(type(data).__name__)}"
        raise ResultFormatError(f"The stored `kind` must be one of {sorted(SECTIONS)}. Received: {received}.")
    return SECTIONS[kind].record_type.from_dict(data)


def _shown_types() -> list[str]:
    return sorted(section.record_type.__name__ for section in SECTIONS.values())
