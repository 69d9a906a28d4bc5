"""What a search keeps on disk: the folder of a project, its journals, the table they add up to, and its checkpoints."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from keras_lr._utils.files import atomic_writer
from keras_lr.errors import ResultFormatError, SearchError, StorageError
from keras_lr.results._sensitivity import CHAOTIC, FRAME_COLUMNS, KEY_COLUMNS, OWN_COLUMNS, with_column_types
from keras_lr.search._runs import Point, Run

SCHEMA_VERSION = 1
_KIND = "search_journal"
_RECORDS = "records"
_BAD = ("diverged", "failed")
RETURNED = "objective"
"""Column for what the user's own `fit` or `run_trial` returned, in a run's last row, unless it logged the same."""


@dataclass(frozen=True)
class SearchFolder:
    """The folder of one search, `directory/project_name`.

        records/WRITER.jsonl        one journal per process that trains
        trial_ID/checkpoint.npz     the weights of a grid point's best epoch
        logs/WORKER.log             what each local worker printed

    Attributes:
        path: The folder; it may not exist yet.
    """

    path: Path

    @classmethod
    def find(cls, directory: str | Path) -> SearchFolder:
        """The search in `directory`, which is its folder or holds the folder of a single search.

        Raises:
            ResultFormatError: `directory` holds no search, or more than one.
        """
        folder = Path(directory)
        if (folder / _RECORDS).is_dir():
            return cls(folder)
        found = sorted(path.parent for path in folder.glob(f"*/{_RECORDS}") if path.is_dir())
        if len(found) != 1:
            count = f"with {len(found)} searches in it" if found else "which holds none"
            raise ResultFormatError(
                f"`directory` must be the folder of one search. Received: {directory}, {count}. Pass the project's own "
                f"folder."
            )
        return cls(found[0])

    @property
    def records(self) -> Path:
        """Folder of the journals."""
        return self.path / _RECORDS

    @property
    def logs(self) -> Path:
        """Folder of the local workers' logs."""
        return self.path / "logs"

    def journal(self, writer: str) -> Path:
        """The journal of one process."""
        return self.records / f"{writer}.jsonl"

    def checkpoint(self, trial_id: str) -> Path:
        """The best weights of one trial."""
        return self.path / f"trial_{trial_id}" / "checkpoint.npz"


class Journal:
    """Appends lines of JSON to a file that no other process may write.

    Each append is one write at the end of the file, which survives even if the process is killed right after it. An
    unfinished line left by a kill is removed when the file is next opened.

    Args:
        path: The file; created with its folder by the first append.
        header: What identifies the search; stored in the first line, or in a later one if another search, which has not
            trained an epoch, has written the first.

    Raises:
        StorageError: The folder cannot be written, or no space is left.
        SearchError: Another process is writing the file.
    """

    def __init__(self, path: Path, header: Mapping[str, Any]) -> None:
        self.path = path
        self._header = {"kind": _KIND, "schema_version": SCHEMA_VERSION, **header}
        self._descriptor: int | None = None

    def append(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Writes all of `lines`; if that fails, none of them is in the file."""
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
            raise _storage_error(self.path, error) from error

    def close(self) -> None:
        """Releases the file to other processes."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise _storage_error(self.path, error) from error
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
            return
        first, *lines = _lines(self.path)
        known = next((line for line in reversed(lines) if line.get("event") == "project"), first)
        if "project" in self._header and known.get("project") != self._header["project"] and not _has_rows(lines):
            self.append([{"event": "project", "project": self._header["project"]}])


def read_journals(records: Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The headers and the other lines of every journal in the folder `records`; both empty if it does not exist.

    A journal without an epoch binds no later search, so its header is left out.

    Raises:
        ResultFormatError: A line other than an unfinished last one is damaged, or a newer version wrote the file.
    """
    headers: list[dict[str, Any]] = []
    lines: list[dict[str, Any]] = []
    for path in sorted(records.glob("*.jsonl")):
        found = _lines(path)
        if found:
            _check_header(path, found[0])
            renewed = [line for line in found if line.get("event") == "project"]
            if _has_rows(found[1:]):
                headers.append({**found[0], "project": renewed[-1]["project"]} if renewed else found[0])
            lines.extend(line for line in found[1:] if line.get("event") != "project")
    return headers, lines


def _has_rows(lines: Iterable[Mapping[str, Any]]) -> bool:
    return any("event" not in line for line in lines)


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
            f"{path} is in the folder of a search's records, but its first line is not the header of a journal. Move "
            f"the file away, or choose another `project_name`."
        )
    if header["schema_version"] > SCHEMA_VERSION:
        raise ResultFormatError(
            f"{path} has schema version {header['schema_version']}; this version of keras_lr reads versions up to "
            f"{SCHEMA_VERSION}. Update keras_lr, or choose another `project_name`."
        )


def _damaged(path: Path, number: int) -> ResultFormatError:
    return ResultFormatError(
        f"Line {number} of {path} is damaged: it is not a JSON object. Remove the line, and the search trains again "
        f"what it held; or choose another `project_name`."
    )


def _encoded(line: Mapping[str, Any]) -> str:
    plain = {name: None if _is_infinite_or_nan(value) else value for name, value in line.items()}
    return json.dumps(plain, ensure_ascii=False, allow_nan=False)


def _is_infinite_or_nan(value: Any) -> bool:
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
            f"Only one process at a time may search a project, and another one is writing {path}. Wait for it, or "
            f"choose another `project_name`."
        ) from error


@dataclass(frozen=True)
class TrialRecord:
    """What is known of a point that a `run_trial` of the user's has trained.

    Attributes:
        point: The point that it trained; its batch size is that of the rows.
        value: The objective that it returned; None if the rows say it.
        repeats: Number of repeats that were asked for.
        epochs: Number of epochs that were asked for.
        values: Hyperparameters that it, `build` or `fit` named, by name, beside those of the grid.
    """

    point: Point
    value: float | None
    repeats: int
    epochs: int
    values: Mapping[str, Any]

    @classmethod
    def of_line(cls, line: Mapping[str, Any]) -> TrialRecord:
        """The record of a line that `to_line` has made."""
        point = Point(float(line["learning_rate"]), int(line["batch_size"]))
        value = _float(line["value"]) if line["returned"] else None
        return cls(point, value, int(line["repeats"]), int(line["epochs"]), line["values"])

    def to_line(self, trial_id: str) -> dict[str, Any]:
        """The event for the journal, without its name."""
        return {
            "trial": trial_id,
            "learning_rate": self.point.learning_rate,
            "batch_size": self.point.batch_size,
            "returned": self.value is not None,
            "value": self.value,
            "repeats": self.repeats,
            "epochs": self.epochs,
            "values": dict(self.values),
        }


class Table:
    """Rows by (learning rate, repeat, batch size, epoch); if a key occurs twice, its first row counts.

    Args:
        lines: Lines of the journals, in the order of writing; they include events.

    Attributes:
        trials: What is known of the points that a `run_trial` of the user's has trained, by name.
    """

    def __init__(self, lines: Iterable[Mapping[str, Any]] = ()) -> None:
        self._rows: dict[tuple[float, int, int], dict[int, dict[str, Any]]] = {}
        self._lengths: dict[tuple[float, int, int], int] = {}
        self._asked: dict[tuple[float, int, int], int] = {}
        self._returned: dict[tuple[float, int, int], float] = {}
        self.trials: dict[str, TrialRecord] = {}
        self._chaotic: set[Point] = set()
        self._keys: dict[Point, dict[tuple[float, int, int], None]] = {}
        self.add_lines(lines)

    def add_lines(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Adds lines of the journals; those that are known already change nothing."""
        for line in lines:
            if line.get("event") == "ended":
                self.end(_key(line), int(line["epochs"]), asked=line.get("asked"))
            elif line.get("event") == "pruned":
                self.prune(_key(line), int(line["epoch"]))
            elif line.get("event") == "chaotic":
                self.mark_chaotic(Point(float(line["learning_rate"]), int(line["batch_size"])))
            elif line.get("event") == "returned":
                self.set_returned(_key(line), _float(line["value"]))
            elif line.get("event") == "trial":
                self.trials[line["trial"]] = TrialRecord.of_line(line)
            elif "event" not in line:
                self.add(line)

    def __len__(self) -> int:
        return sum(1 for _ in self.all_rows())

    def add(self, row: Mapping[str, Any]) -> bool:
        """Adds a row; returns False if its key is present already."""
        key = _key(row)
        rows = self._rows.setdefault(key, {})
        self._keys.setdefault(Point(key[0], key[2]), {})[key] = None
        if row["epoch"] in rows:
            return False
        rows[int(row["epoch"])] = dict(row)
        return True

    def end(self, key: tuple[float, int, int], epochs: int, *, asked: int | None = None) -> None:
        """Marks a run as ended after `epochs` epochs, of `asked`, by a callback or by the user's own `fit`."""
        self._lengths[key] = epochs
        self._asked[key] = epochs if asked is None else int(asked)

    def prune(self, key: tuple[float, int, int], epoch: int) -> None:
        """Marks a run as stopped early after `epoch`."""
        self.set_status(key, epoch, "pruned")

    def set_status(self, key: tuple[float, int, int], epoch: int, status: str) -> None:
        """Changes how a run stands at `epoch`."""
        row = self._rows.get(key, {}).get(epoch)
        if row is not None:
            row["status"] = status

    def set_returned(self, key: tuple[float, int, int], value: float) -> None:
        """Sets what the user's own `fit` returned for a run, which counts instead of its rows."""
        self._returned[key] = value

    def score(self, run: Run, objective: str, direction: str) -> float:
        """What was returned for a run, else the objective at its best epoch; infinitely bad if it did not end well."""
        worst = math.inf if direction == "min" else -math.inf
        rows = self.rows(run)
        value = self._value_returned(run.key)
        if value is None:
            return best_value(rows, objective, direction)
        return value if math.isfinite(value) and not any(row["status"] in _BAD for row in rows) else worst

    def mark_chaotic(self, point: Point) -> bool:
        """Marks the runs of `point` as chaotic; returns False if they are marked already."""
        known = point in self._chaotic
        self._chaotic.add(point)
        return not known

    def is_chaotic(self, point: Point) -> bool:
        """Whether the runs of `point` are marked as chaotic."""
        return point in self._chaotic

    def rows(self, run: Run) -> list[dict[str, Any]]:
        """The rows of `run`, by epoch."""
        rows = self._rows.get(run.key, {})
        return [rows[epoch] for epoch in sorted(rows)]

    def complete(self, run: Run, epochs: int, *, own_fit: bool = False) -> bool:
        """Whether `run` has all of its `epochs` epochs, or ended before; with `own_fit`, only its end says so."""
        rows = self._rows.get(run.key, {})
        if any(row["status"] != "ok" for row in rows.values()):
            return True
        if own_fit:
            return run.key in self._lengths and epochs <= max(self._asked[run.key], self._lengths[run.key])
        return len(rows) >= min(epochs, self._lengths.get(run.key, epochs))

    def all_rows(self) -> Iterator[dict[str, Any]]:
        """Every row, in no particular order."""
        return (row for rows in self._rows.values() for row in rows.values())

    def _value_returned(self, key: tuple[float, int, int]) -> float | None:
        """What was returned for a run, or for its point; None if nothing was."""
        point = Point(key[0], key[2])
        of_point = (trial.value for trial in self.trials.values() if trial.point == point and trial.value is not None)
        return next(of_point, self._returned.get(key))

    def _value_at(self, row: Mapping[str, Any]) -> float | None:
        """What was returned for the run whose last row is `row`."""
        key = _key(row)
        return self._value_returned(key) if row["epoch"] == max(self._rows[key]) else None

    def runs(self, point: Point) -> list[Run]:
        """The runs of `point` that have rows."""
        found = ((key, self._rows[key]) for key in self._keys.get(point, ()))
        return [Run(key[0], key[2], key[1], int(next(iter(rows.values()))["seed"])) for key, rows in found]

    def points(self) -> list[Point]:
        """The points with at least one row, increasing."""
        return sorted({Point(learning_rate, batch_size) for learning_rate, _, batch_size in self._rows})

    def frame(self) -> pd.DataFrame:
        """The rows as a `SensitivityResult` holds them, sorted by their key."""
        rows = list(self.all_rows())
        fixed = {*FRAME_COLUMNS, *OWN_COLUMNS}
        metrics = list(dict.fromkeys(name for row in rows for name in row if name not in fixed))
        if self._returned or any(trial.value is not None for trial in self.trials.values()):
            rows = [{**row, RETURNED: self._value_at(row)} for row in rows]
            metrics.append(RETURNED)
        columns = [*FRAME_COLUMNS[:-1], *metrics, FRAME_COLUMNS[-1]]
        frame = pd.DataFrame([{name: row.get(name) for name in columns} for row in rows], columns=columns)
        frame[CHAOTIC] = [Point(row["learning_rate"], row["batch_size"]) in self._chaotic for row in rows]
        return with_column_types(frame).sort_values(list(KEY_COLUMNS), ignore_index=True)


def with_returned(frame: pd.DataFrame, objective: str) -> tuple[pd.DataFrame, str]:
    """The rows with the column to judge by: what the user's own code returned, where it did, else the objective."""
    if RETURNED not in frame or not frame[RETURNED].notna().any():
        return frame.drop(columns=RETURNED, errors="ignore"), objective
    keys = ["learning_rate", "repeat", "batch_size"]
    given = frame.groupby(keys)[RETURNED].transform("count") > 0
    if objective in frame:
        frame = frame.assign(**{RETURNED: frame[RETURNED].where(given, frame[objective])})
    return frame, RETURNED


def best_value(rows: Iterable[Mapping[str, Any]], objective: str, direction: str) -> float:
    """The objective at a run's best epoch; infinitely bad if the run diverged, failed or has no finite value."""
    worst = math.inf if direction == "min" else -math.inf
    kept = list(rows)
    if any(row["status"] in _BAD for row in kept):
        return worst
    values = [float(row[objective]) for row in kept if _is_finite(row.get(objective))]
    return (min if direction == "min" else max)(values, default=worst)


def _key(row: Mapping[str, Any]) -> tuple[float, int, int]:
    return float(row["learning_rate"]), int(row["repeat"]), int(row["batch_size"])


def _float(value: Any) -> float:
    return math.nan if value is None else float(value)


def _is_finite(value: Any) -> bool:
    return value is not None and math.isfinite(value)


def save_weights(path: Path, values: Sequence[np.ndarray]) -> None:
    """Stores the values of `model.weights`.

    Raises:
        StorageError: The folder cannot be written, or no space is left.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_writer(path, durable=False) as stream:
            np.savez(stream, *values)
    except OSError as error:
        raise _storage_error(path, error) from error


def load_weights(path: Path, model: keras.Model) -> None:
    """Assigns stored values to `model.weights`; `model` must be built.

    Raises:
        SearchError: No weights are stored, or they belong to another model.
    """
    try:
        with np.load(path) as stored:
            values = [stored[f"arr_{number}"] for number in range(len(stored.files))]
        shapes = [value.shape for value in values]
        if shapes != [tuple(weight.shape) for weight in model.weights]:
            raise ValueError(f"the stored shapes are {shapes}")
    except (OSError, ValueError, KeyError) as error:
        raise SearchError(
            f"The weights of the best epoch cannot be loaded into this model from {path}: {error}. Build the model "
            f"with `tuner.hypermodel.build(tuner.get_best_hyperparameters()[0])` and train it again."
        ) from error
    for weight, value in zip(model.weights, values, strict=True):
        weight.assign(value)


def _storage_error(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"`directory` must be writable and have space left, but writing {path} failed: {error.strerror}. What was "
        f"recorded before is kept. Free some space or choose another directory, then run the search again."
    )
