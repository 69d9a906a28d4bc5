"""The records of a search: one JSON object a line, appended, and whole whenever the process is killed."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from keras_lr.errors import ResultFormatError, SearchError, StorageError

SCHEMA_VERSION = 1
_KIND = "search_journal"


class Journal:
    """Appends lines to a file that this process alone writes.

    Each append is one write at the file's end, which the system keeps even where the process is killed at once. What a
    kill cut off is removed at the next opening.

    Args:
        path: The file; made with its folder at the first append.
        header: What identifies the search, stored in the first line.

    Raises:
        StorageError: The folder cannot be written, or no space is left.
        SearchError: Another process is writing the file.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self.path = path
        self._header = {"kind": _KIND, "schema_version": SCHEMA_VERSION, **header}
        self._descriptor: int | None = None

    def append(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Writes `lines` at once; either all of them stand in the file afterwards or, on an error, none."""
        if self._descriptor is None:
            self._open()
        assert self._descriptor is not None
        data = "".join(f"{_encoded(line)}\n" for line in lines).encode()
        before = os.fstat(self._descriptor).st_size
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, before)
            raise storage_error(self.path, error) from error

    def close(self) -> None:
        """Lets another process write the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise storage_error(self.path, error) from error
        try:
            _lock(descriptor, self.path)
            size = _whole_size(descriptor)
            if size < os.fstat(descriptor).st_size:
                os.ftruncate(descriptor, size)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        if size == 0:
            self.append([self._header])


def read_journals(directory: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The headers and the other lines of every journal in `directory`; neither where it does not exist.

    Raises:
        ResultFormatError: A line other than an unfinished last one is damaged, or a newer version wrote the file.
    """
    headers, lines = [], []
    for path in sorted(directory.glob("*.jsonl")):
        found = _lines(path)
        if found:
            _check_header(path, found[0])
            headers.append(found[0])
            lines.extend(found[1:])
    return headers, lines


def storage_error(path: Path, error: OSError) -> StorageError:
    """The error that says what to do about a record that cannot be written."""
    return StorageError(
        f"`directory` must be writable and have space left. Received: {path}, where writing failed: {error.strerror}. "
        f"What was recorded before is kept. Free some space or choose another directory, then search again."
    )


def _lines(path: Path) -> list[dict[str, Any]]:
    whole, *_ = path.read_bytes().rpartition(b"\n")
    parsed = []
    for number, line in enumerate(whole.split(b"\n") if whole else [], start=1):
        try:
            value = json.loads(line)
        except ValueError as error:
            raise _damaged(path, number) from error
        if not isinstance(value, dict):
            raise _damaged(path, number)
        parsed.append(value)
    return parsed


def _check_header(path: Path, header: Mapping[str, Any]) -> None:
    if header.get("kind") != _KIND or not isinstance(header.get("schema_version"), int):
        raise ResultFormatError(
            f"The records of a search must begin with a line that says so. Received: {path}. Choose another "
            f"`project_name`, or move this file away."
        )
    if header["schema_version"] > SCHEMA_VERSION:
        raise ResultFormatError(
            f"The records must be of schema version {SCHEMA_VERSION} or older. Received: {path}, of version "
            f"{header['schema_version']}. Update keras_lr, or choose another `project_name`."
        )


def _damaged(path: Path, number: int) -> ResultFormatError:
    return ResultFormatError(
        f"Each line of the records must be a JSON object. Received: {path}, whose line {number} is damaged. Remove "
        f"that line, and the search fills the gap; or choose another `project_name`."
    )


def _encoded(line: Mapping[str, Any]) -> str:
    plain = {name: None if _not_finite(value) else value for name, value in line.items()}
    return json.dumps(plain, ensure_ascii=False, allow_nan=False)


def _not_finite(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _whole_size(descriptor: int) -> int:
    """Size up to the end of the last finished line."""
    end = os.fstat(descriptor).st_size
    while end:
        start = max(0, end - 65536)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def _lock(descriptor: int, path: Path) -> None:
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise SearchError(
            f"A project must be searched by one process at a time. Received: {path}, which another process is writing. "
            f"Wait for it, or choose another `project_name`."
        ) from error
