"""The base of all results: a dict and a JSON form with a schema version, read back strictly."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Self

import numpy as np

from keras_lr._utils.files import write_text_atomically
from keras_lr._utils.names import SuggestsAttributes
from keras_lr.errors import ResultFormatError

SCHEMA_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Record(SuggestsAttributes):
    """A frozen dataclass with a JSON form.

    JSON has neither NaN nor infinity: a non-finite number is written as `null` and read back as NaN in an array and as
    `None` elsewhere.

    Attributes:
        kind: Names the class in stored results.
        former_names: The current name of each field that earlier versions stored under another one.
    """

    kind: ClassVar[str] = "record"
    former_names: ClassVar[Mapping[str, str]] = MappingProxyType({})

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and finite numbers, with `kind` and `schema_version`."""
        fields = {field.name: plain(getattr(self, field.name)) for field in dataclasses.fields(self)}
        return {"kind": self.kind, "schema_version": SCHEMA_VERSION, **fields}

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """The record that `to_dict` described.

        Raises:
            ResultFormatError: `data` is not a dict of this kind or was written by a newer keras_lr, or a field is
                missing, unknown or of the wrong type.
        """
        stored = checked_payload(data, cls.kind)
        values = {cls.former_names.get(name, name): value for name, value in stored.items()}
        names = {field.name for field in dataclasses.fields(cls)}
        required = {
            field.name
            for field in dataclasses.fields(cls)
            if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        }
        if missing := sorted(required - values.keys()):
            raise ResultFormatError(
                f"A stored {cls.kind} must have the fields {missing}, which are missing here. Save the result again."
            )
        if unknown := sorted(values.keys() - names):
            raise ResultFormatError(f"A stored {cls.kind} has no fields {unknown}. Remove them, or update keras_lr.")
        try:
            return cls(**cls._parse(values))
        except (TypeError, ValueError, KeyError, OverflowError) as err:
            raise ResultFormatError(
                f"A stored {cls.kind} has a field of the wrong type: {err}. Save the result again."
            ) from err

    @classmethod
    def _parse(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Turns JSON values into the constructor's arguments; a subclass converts lists to its own types."""
        return values

    def to_json(self, *, indent: int | None = None) -> str:
        """Strict JSON text."""
        return json.dumps(self.to_dict(), allow_nan=False, ensure_ascii=False, indent=indent)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The record that `to_json` wrote; raises `ResultFormatError` for any other text."""
        return cls.from_dict(parse_json(text))

    def save(self, path: str | Path) -> Path:
        """Writes the JSON form to `path`, completely or not at all, and returns the path."""
        return write_text_atomically(path, self.to_json(indent=1) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Reads what `save` wrote.

        Raises:
            ResultFormatError: The file does not hold a record of this class.
            OSError: The file cannot be read.
        """
        return cls.from_json(read_text(path))


@dataclasses.dataclass(frozen=True)
class RecordPart(SuggestsAttributes):
    """A frozen dataclass that records hold. Its own `kind` says what was found or done, not which class it is."""

    def to_dict(self) -> dict[str, Any]:
        """Plain strings and numbers."""
        fields: dict[str, Any] = plain(dataclasses.asdict(self))
        return fields

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """The object that `to_dict` described; raises `ResultFormatError` for anything else."""
        try:
            return cls(**data)
        except (TypeError, ValueError) as err:
            raise ResultFormatError(
                f"A stored part must have the fields of `{cls.__name__}`. Received: {err}."
            ) from err


@dataclasses.dataclass(frozen=True)
class PageRecord(Record):
    """A record that a `Report` can show.

    Attributes:
        page_title: Title of its page.
    """

    page_title: ClassVar[str] = "Learning-rate report"

    def to_html(self, path: str | Path | None = None) -> str:
        """The result as one self-contained HTML page, also written to `path` if given."""
        report = self._report()
        if path is not None:
            report.save(path)
        return str(report.to_html())

    def _repr_html_(self) -> str:
        return str(self._report()._repr_html_())

    def _report(self) -> Any:
        from keras_lr.report import Report

        return Report(self._title).add(self)

    @property
    def _title(self) -> str:
        return self.page_title


def read_text(path: str | Path) -> str:
    """The text of a file; raises `ResultFormatError` if it is not UTF-8."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as err:
        raise ResultFormatError(
            f"`path` must be a UTF-8 JSON file. Received: {path}, which is not UTF-8 text."
        ) from err


def parse_json(text: str) -> Any:
    """Parses strict JSON; raises `ResultFormatError` for anything else."""

    def refuse(constant: str) -> None:
        raise ResultFormatError(f"Strict JSON has no {constant}. Use null for a missing number.")

    try:
        return json.loads(text, parse_constant=refuse)
    except (json.JSONDecodeError, RecursionError, ValueError) as err:
        if isinstance(err, ResultFormatError):
            raise
        raise ResultFormatError(f"A stored result must be JSON: {err}.") from err


def checked_payload(data: Any, kind: str) -> dict[str, Any]:
    """The fields of a stored record; raises `ResultFormatError` if its kind or version does not fit."""
    if not isinstance(data, dict) or "kind" not in data:
        raise ResultFormatError(
            f"A stored result must be a JSON object with a `kind`. Received: {type(data).__name__}."
        )
    if data["kind"] != kind:
        raise ResultFormatError(f"The stored `kind` must be {kind!r}. Received: {str(data['kind'])[:80]!r}.")
    version = data.get("schema_version")
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ResultFormatError(f"`schema_version` must be a positive integer. Received: {str(version)[:80]}.")
    if version > SCHEMA_VERSION:
        raise ResultFormatError(
            f"`schema_version` must be at most {SCHEMA_VERSION}. Received: {version}. Update keras_lr to read this "
            f"file."
        )
    return {key: value for key, value in data.items() if key not in ("kind", "schema_version")}


def float_array(values: Any, *, ndim: int) -> np.ndarray:
    """A read-only float64 array of `ndim` dimensions; None becomes NaN."""
    array = np.array(values, dtype=np.float64)
    if array.ndim != ndim:
        raise ValueError(f"expected {ndim} dimensions, received {array.ndim}")
    array.setflags(write=False)
    return array


def optional_float(value: Any) -> float | None:
    """`value` as a float, or None; raises TypeError for anything that is not a number."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"expected a number or null, received {type(value).__name__}")
    return float(value)


def integer(value: Any) -> int:
    """`value` as an int; raises TypeError for anything that is not a number."""
    number = optional_float(value)
    if number is None:
        raise TypeError("expected a number, received null")
    return int(number)


def json_object(name: str, value: Any) -> dict[str, Any]:
    """`value` itself; raises TypeError, which names the field, unless it is a dict."""
    if not isinstance(value, dict):
        raise TypeError(f"expected an object for `{name}`, received {type(value).__name__}")
    return value


def text(value: Any) -> str:
    """`value` itself; raises TypeError unless it is a string."""
    if not isinstance(value, str):
        raise TypeError(f"expected a string, received {type(value).__name__}")
    return value


def plain(value: Any) -> Any:
    """`value` as dicts, lists, strings and finite Python numbers; a non-finite number becomes None."""
    if isinstance(value, (Record, RecordPart)):
        return value.to_dict()
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value
