"""Every epoch that a search has recorded, and which runs are complete."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pandas as pd

from keras_lr.records.sensitivity import FRAME_COLUMNS, KEY_COLUMNS
from keras_lr.search.runs import Point, Run

_NO_METRICS = (*FRAME_COLUMNS, "message")


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
