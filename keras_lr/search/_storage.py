"""The records of a search: one JSON object a line, appended, and whole whenever the process is killed."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from keras_lr.errors import ResultFormatError, SearchError, StorageError
from keras_lr.results._sensitivity import FRAME_COLUMNS, KEY_COLUMNS
from keras_lr.search._runs import Point, Run

SCHEMA_VERSION = 1
_KIND = "search_journal"

_NO_METRICS = (*FRAME_COLUMNS, "message")


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


def save_weights(path: Path, values: Sequence[np.ndarray]) -> None:
    """Stores the values of `model.weights`.

    Raises:
        StorageError: The folder cannot be written, or no space is left.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            np.savez(stream, *values)
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise storage_error(path, error) from error


def load_weights(path: Path, model: keras.Model) -> None:
    """Writes stored values into `model`, which is built.

    Raises:
        SearchError: No weights are stored, or they are another model's.
    """
    try:
        with np.load(path) as stored:
            values = [stored[f"arr_{number}"] for number in range(len(stored.files))]
        shapes = [value.shape for value in values]
        if shapes != [tuple(weight.shape) for weight in model.weights]:
            raise ValueError(f"shapes {shapes}")
    except (OSError, ValueError, KeyError) as error:
        raise SearchError(
            f"The weights of the best epoch must be stored for this model. Received: {path}; {error}. Train it again "
            f"with `tuner.hypermodel.build(tuner.get_best_hyperparameters()[0])`."
        ) from error
    for weight, value in zip(model.weights, values, strict=True):
        weight.assign(value)


class Table:
    """Rows by (learning rate, repeat, batch size, epoch); the first row of a key counts.

    Args:
        lines: Lines of the journals, in the order of writing; events are taken in as well.
    """

    def __init__(self, lines: Iterable[Mapping[str, Any]] = ()) -> None:
        self._rows: dict[tuple[float, int, int], dict[int, dict[str, Any]]] = {}
        self._lengths: dict[tuple[float, int, int], int] = {}
        self.take(lines)

    def take(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Takes in lines of the journals, whether new or not."""
        for line in lines:
            if line.get("event") == "ended":
                self.end(_key(line), int(line["epochs"]))
            elif line.get("event") == "pruned":
                self.prune(_key(line), int(line["epoch"]))
            elif "event" not in line:
                self.add(line)

    def __len__(self) -> int:
        return sum(1 for _ in self.all_rows())

    def add(self, row: Mapping[str, Any]) -> bool:
        """Takes in a row; False where its key is there already."""
        rows = self._rows.setdefault(_key(row), {})
        if row["epoch"] in rows:
            return False
        rows[int(row["epoch"])] = dict(row)
        return True

    def end(self, key: tuple[float, int, int], epochs: int) -> None:
        """Notes that a run ended by itself after `epochs` epochs."""
        self._lengths[key] = epochs

    def rows(self, run: Run) -> list[dict[str, Any]]:
        """The rows of `run`, by epoch."""
        rows = self._rows.get(run.key, {})
        return [rows[epoch] for epoch in sorted(rows)]

    def complete(self, run: Run, epochs: int) -> bool:
        """Whether `run` has all of its `epochs` epochs, or ended before."""
        rows = self._rows.get(run.key, {})
        if any(row["status"] != "ok" for row in rows.values()):
            return True
        return len(rows) >= min(epochs, self._lengths.get(run.key, epochs))

    def prune(self, key: tuple[float, int, int], epoch: int) -> None:
        """Notes that a run was stopped after `epoch`."""
        row = self._rows.get(key, {}).get(epoch)
        if row is not None:
            row["status"] = "pruned"

    def all_rows(self) -> Iterator[dict[str, Any]]:
        """Every row, in no particular order."""
        return (row for rows in self._rows.values() for row in rows.values())

    def runs(self, point: Point) -> list[Run]:
        """The runs of `point` that have rows."""
        return [
            Run(key[0], key[2], key[1], int(next(iter(rows.values()))["seed"]))
            for key, rows in self._rows.items()
            if (key[0], key[2]) == point and rows
        ]

    def points(self) -> list[Point]:
        """The points with at least one row, increasing."""
        return sorted({Point(learning_rate, batch_size) for learning_rate, _, batch_size in self._rows})

    def frame(self) -> pd.DataFrame:
        """The rows as a `SensitivityResult` holds them, ordered by their key."""
        rows = list(self.all_rows())
        metrics = list(dict.fromkeys(name for row in rows for name in row if name not in _NO_METRICS))
        columns = [*FRAME_COLUMNS[:-1], *metrics, "status"]
        frame = pd.DataFrame([{name: row.get(name) for name in columns} for row in rows], columns=columns)
        for name in columns:
            if name in ("repeat", "batch_size", "epoch", "seed"):
                frame[name] = frame[name].astype("int64")
            elif name != "status":
                frame[name] = frame[name].astype("float64")
        return frame.sort_values(list(KEY_COLUMNS), ignore_index=True)


def best_value(rows: Iterable[Mapping[str, Any]], objective: str, direction: str) -> float:
    """The best epoch of a run; infinitely bad where it diverged, failed or has none."""
    worst = math.inf if direction == "min" else -math.inf
    kept = list(rows)
    if any(row["status"] in ("diverged", "failed") for row in kept):
        return worst
    values = [float(row[objective]) for row in kept if _finite(row.get(objective))]
    return (min if direction == "min" else max)(values, default=worst)


def _key(row: Mapping[str, Any]) -> tuple[float, int, int]:
    return float(row["learning_rate"]), int(row["repeat"]), int(row["batch_size"])


def _finite(value: Any) -> bool:
    return value is not None and math.isfinite(value)
