"""A search on disk: the folder of a project, its journals, the table they add up to, and its checkpoints."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from keras_lr._utils.files import atomic_writer
from keras_lr.errors import ResultFormatError, SearchError, StorageError
from keras_lr.results._sensitivity import CHAOTIC, FRAME_COLUMNS, KEY_COLUMNS, OWN_COLUMNS, with_column_types

SCHEMA_VERSION = 1
_KIND = "search_journal"
_RECORDS = "records"
_BAD = ("diverged", "failed")
RETURNED = "objective"
"""Column for what the user's own `fit` or `run_trial` returned, in a run's last row, unless it logged the same."""


class Point(NamedTuple):
    """A point of the grid; it is trained once per repeat."""

    learning_rate: float
    batch_size: int

    def runs(self, *, repeats: int, seed: int) -> list[Run]:
        """Its runs, with the seeds `seed`, `seed + 1`, ..."""
        return [Run(*self, repeat, seed + repeat) for repeat in range(repeats)]


@dataclass(frozen=True, order=True)
class Run:
    """One training of the model.

    Attributes:
        learning_rate: Dimensionless, positive.
        batch_size: Samples per step.
        repeat: Number of the repeat, from 0.
        seed: Seed of the weights and of the order of the data; the same at every learning rate and batch size.
    """

    learning_rate: float
    batch_size: int
    repeat: int
    seed: int

    @property
    def point(self) -> Point:
        """The point of the grid to which this run belongs."""
        return Point(self.learning_rate, self.batch_size)


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

    def table(self) -> Table:
        """What is recorded so far."""
        return Table(read_journals(self.records)[1])

    def save_weights(self, trial_id: str, values: Sequence[np.ndarray]) -> None:
        """Stores the weights of one trial; raises `StorageError` if they cannot be written."""
        path = self.checkpoint(trial_id)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with atomic_writer(path, durable=False) as stream:
                np.savez(stream, *values)
        except OSError as error:
            raise _storage_error(path, error) from error

    def load_weights(self, trial_id: str, shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
        """The weights of one trial; raises `SearchError` if they are not those of a model with these shapes."""
        path = self.checkpoint(trial_id)
        try:
            with np.load(path) as stored:
                values = [stored[f"arr_{number}"] for number in range(len(stored.files))]
            if (found := [value.shape for value in values]) != list(shapes):
                raise ValueError(f"the stored shapes are {found}")
        except (OSError, ValueError, KeyError) as error:
            raise SearchError(
                f"The weights of the best epoch cannot be loaded into this model from {path}: {error}. Build the model "
                f"with `tuner.hypermodel.build(tuner.get_best_hyperparameters()[0])` and train it again."
            ) from error
        return values


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
            os.ftruncate(descriptor, self.path.read_bytes().rfind(b"\n") + 1)
            found = _lines(self.path)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        if not found:
            self.append([self._header])
            return
        first, *lines = found
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
    plain = {name: None if isinstance(part, float) and not math.isfinite(part) else part for name, part in line.items()}
    return json.dumps(plain, ensure_ascii=False, allow_nan=False)


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
        """The record that an event of the journal holds."""
        value = number(line["value"]) if line["returned"] else None
        return cls(_point(line), value, int(line["repeats"]), int(line["epochs"]), line["values"])


@dataclass
class _RunRecord:
    """What is known of a run.

    Attributes:
        rows: Its rows, by epoch.
        ended: The number of epochs after which a callback or the user's own `fit` has ended it, and of those that were
            asked for; None if neither has.
        returned: What the user's own `fit` returned, which counts instead of the rows; None if it returned nothing.
    """

    rows: dict[int, dict[str, Any]] = field(default_factory=dict)
    ended: tuple[int, int] | None = None
    returned: float | None = None


class Table:
    """What the lines of the journals add up to; if a row occurs twice, the first one counts.

    Args:
        lines: Lines of the journals, in the order of writing.

    Attributes:
        events: The lines that are no rows.
        trials: What is known of the points that a `run_trial` of the user's has trained, by name.
        chaotic: The points whose runs depend on the last bit of their weights.
    """

    def __init__(self, lines: Iterable[dict[str, Any]] = ()) -> None:
        self.events: list[Mapping[str, Any]] = []
        self.trials: dict[str, TrialRecord] = {}
        self.chaotic: set[Point] = set()
        self._runs: dict[Point, dict[int, _RunRecord]] = {}
        for line in lines:
            self.add(line)

    @property
    def values(self) -> dict[str, Mapping[str, Any]]:
        """Hyperparameters beside those of the grid, by the name of the trial."""
        return {name: trial.values for name, trial in self.trials.items()}

    def __len__(self) -> int:
        return sum(1 for _ in self.all_rows())

    def add(self, line: dict[str, Any]) -> bool:
        """Takes in a row, which the caller may still change, or an event; returns False if that is known already."""
        event = line.get("event")
        if event is None:
            return self._add_row(line)
        if event == "chaotic":
            known = _point(line) in self.chaotic
            self.chaotic.add(_point(line))
        elif event == "trial":
            record = TrialRecord.of_line(line)
            known = self.trials.get(line["trial"]) == record
            self.trials[line["trial"]] = record
        else:
            known = event in ("engine", "data", "batch_size") and line in self.events
            if event in ("ended", "pruned", "returned"):
                self._mark_run(line)
        if not known:
            self.events.append(line)
        return not known

    def _add_row(self, row: dict[str, Any]) -> bool:
        rows = self._run(row).rows
        epoch = int(row["epoch"])
        return rows.setdefault(epoch, row) is row

    def _mark_run(self, line: Mapping[str, Any]) -> None:
        run = self._run(line)
        if line["event"] == "ended":
            run.ended = int(line["epochs"]), int(line.get("asked") or line["epochs"])
        elif line["event"] == "returned":
            run.returned = number(line["value"])
        elif (epoch := int(line["epoch"])) in run.rows:
            run.rows[epoch]["status"] = "pruned"

    def _run(self, line: Mapping[str, Any]) -> _RunRecord:
        return self._runs.setdefault(_point(line), {}).setdefault(int(line["repeat"]), _RunRecord())

    def _record(self, run: Run) -> _RunRecord:
        return self._runs.get(run.point, {}).get(run.repeat) or _RunRecord()

    def all_rows(self) -> Iterator[dict[str, Any]]:
        """Every row, in no particular order."""
        return (row for runs in self._runs.values() for run in runs.values() for row in run.rows.values())

    def points(self) -> list[Point]:
        """The points with at least one row, increasing."""
        return sorted(point for point in self._runs if self.runs(point))

    def runs(self, point: Point) -> list[Run]:
        """The runs of `point` that have rows."""
        found = ((repeat, run.rows) for repeat, run in self._runs.get(point, {}).items() if run.rows)
        return [Run(*point, repeat, int(next(iter(rows.values()))["seed"])) for repeat, rows in found]

    def rows(self, run: Run) -> list[dict[str, Any]]:
        """The rows of `run`, by epoch."""
        rows = self._record(run).rows
        return [rows[epoch] for epoch in sorted(rows)]

    def complete(self, run: Run, epochs: int, *, own_fit: bool = False) -> bool:
        """Whether `run` has all of its `epochs` epochs, or ended before; with `own_fit`, only its end says so."""
        record = self._record(run)
        if any(row["status"] != "ok" for row in record.rows.values()):
            return True
        if own_fit:
            return record.ended is not None and epochs <= max(record.ended)
        return len(record.rows) >= (min(epochs, record.ended[0]) if record.ended else epochs)

    def score(self, run: Run, objective: str, direction: str) -> float:
        """What was returned for a run, else the objective at its best epoch; infinitely bad if it did not end well."""
        better, worst = (min, math.inf) if direction == "min" else (max, -math.inf)
        record = self._record(run)
        if any(row["status"] in _BAD for row in record.rows.values()):
            return worst
        value = self._returned(run.point, record)
        values = [number(row.get(objective)) for row in record.rows.values()] if value is None else [value]
        return better(filter(math.isfinite, values), default=worst)

    def metrics(self, point: Point, objective: str, direction: str) -> dict[str, float]:
        """Medians over the repeats of a point, each at its best epoch; infinitely bad if most repeats diverged.

        Empty if every repeat has failed. KerasTuner would warn of values that are not finite, so they are left out.
        """
        runs = self.runs(point)
        if not runs or self.failure(point) is not None:
            return {}
        scores = [self.score(run, objective, direction) for run in runs]
        found: dict[str, list[float]] = {}
        for run, score in zip(runs, scores, strict=True):
            best = next((row for row in self.rows(run) if row.get(objective) == score), {})
            for name, value in best.items():
                if name not in OWN_COLUMNS and math.isfinite(number(value)):
                    found.setdefault(name, []).append(value)
        medians = {name: float(np.median(values)) for name, values in found.items()}
        return {**medians, objective: float(np.median(scores))}

    def failure(self, point: Point) -> str | None:
        """The message of the first run, if every run of `point` has failed."""
        ends = [self.rows(run)[-1] for run in self.runs(point)]
        failed = bool(ends) and all(row["status"] == "failed" for row in ends)
        return str(ends[0].get("message", "")) if failed else None

    def frame(self) -> pd.DataFrame:
        """The rows as a `SensitivityResult` holds them, sorted by their key."""
        rows: list[dict[str, Any]] = []
        for point, runs in self._runs.items():
            for run in runs.values():
                returned, last = self._returned(point, run), max(run.rows, default=None)
                for epoch, row in run.rows.items():
                    rows.append({**row, CHAOTIC: point in self.chaotic, RETURNED: returned if epoch == last else None})
        fixed = {*FRAME_COLUMNS, *OWN_COLUMNS, CHAOTIC, RETURNED}
        metrics = list(dict.fromkeys(name for row in rows for name in row if name not in fixed))
        if any(row[RETURNED] is not None for row in rows):
            metrics.append(RETURNED)
        columns = [*FRAME_COLUMNS[:-1], *metrics, FRAME_COLUMNS[-1], CHAOTIC]
        frame = pd.DataFrame([{name: row.get(name) for name in columns} for row in rows], columns=columns)
        return with_column_types(frame).sort_values(list(KEY_COLUMNS), ignore_index=True)

    def _returned(self, point: Point, run: _RunRecord) -> float | None:
        """What was returned for a run, or for its point; None if nothing was."""
        of_point = (trial.value for trial in self.trials.values() if trial.point == point and trial.value is not None)
        return next(of_point, run.returned)


def with_returned(frame: pd.DataFrame, objective: str) -> tuple[pd.DataFrame, str]:
    """The rows with the column to judge by: what the user's own code returned, where it did, else the objective."""
    if RETURNED not in frame or not frame[RETURNED].notna().any():
        return frame.drop(columns=RETURNED, errors="ignore"), objective
    keys = ["learning_rate", "repeat", "batch_size"]
    given = frame.groupby(keys)[RETURNED].transform("count") > 0
    if objective in frame:
        frame = frame.assign(**{RETURNED: frame[RETURNED].where(given, frame[objective])})
    return frame, RETURNED


def number(value: Any) -> float:
    """A number of a line, in which null stands for NaN."""
    return math.nan if value is None else float(value)


def _point(line: Mapping[str, Any]) -> Point:
    return Point(float(line["learning_rate"]), int(line["batch_size"]))


def _storage_error(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"`directory` must be writable and have space left, but writing {path} failed: {error.strerror}. What was "
        f"recorded before is kept. Free some space or choose another directory, then run the search again."
    )
