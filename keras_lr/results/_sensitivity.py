"""What a search over learning rates measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import pandas as pd

from keras_lr._utils.formatting import format_rate
from keras_lr.results._range_test import Confidence
from keras_lr.results._record import Record, optional_float, text

RunStatus = Literal["ok", "diverged", "pruned", "failed"]
KEY_COLUMNS = ("learning_rate", "repeat", "batch_size", "epoch")
FRAME_COLUMNS = (*KEY_COLUMNS, "seed", "loss", "val_loss", "status")
_INTEGER_COLUMNS = ("repeat", "batch_size", "epoch", "seed")
_FORMER_NAMES = {"tier": "engine", "tier_reason": "engine_reason"}


@dataclass(frozen=True, eq=False)
class SensitivityResult(Record):
    """How the outcome of training depends on the learning rate, and the range that cannot be told from the best.

    Attributes:
        frame: One row a (learning rate, repeat, batch size, epoch), with the columns `learning_rate`, `repeat`,
            `batch_size`, `epoch` (from 0), `seed`, `loss`, `val_loss` (NaN without validation data), each metric and
            its `val_` twin, and `status`. A run ends with its last row: "ok", "diverged" (its loss is not finite, and
            NaN here), "pruned" (stopped early, so that its curve is partial) or "failed" (an exception).
        objective: Column that is judged.
        direction: "min" or "max".
        best_learning_rate: Grid point with the best median over the repeats of each run's best epoch; None where no
            run trained. One of which a repeat diverged gives way to one of which none did, where that costs little.
        low: Lower end of the basin, in which no grid point is told from the best by its noise; None with it.
        high: Upper end of the basin.
        at_edge: Whether the best is the lowest or the highest rate of the grid, so that a better one may lie beyond.
        confidence: "clear", "tentative" or "none".
        reason: One plain sentence that says why.
        engine: How the runs were trained: "stacked", "function", "reuse" or "rebuild"; where several were, the slowest.
        engine_reason: Why no faster way could serve; empty where the fastest did.
        best_batch_size: Batch size of the best run, to which `low` and `high` belong.
        environment: Versions, devices, optimizer and precision of the search; may be empty.
    """

    kind: ClassVar[str] = "sensitivity"

    frame: pd.DataFrame
    objective: str
    direction: Literal["min", "max"]
    best_learning_rate: float | None
    low: float | None
    high: float | None
    at_edge: bool
    confidence: Confidence
    reason: str
    engine: str
    engine_reason: str = ""
    best_batch_size: int | None = None
    environment: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        missing = [name for name in (*FRAME_COLUMNS, self.objective) if name not in self.frame.columns]
        if missing:
            raise ValueError(f"`frame` must have the columns {missing}. Received: {list(self.frame.columns)}.")
        unknown = sorted({str(status) for status in self.frame["status"]} - set(get_args(RunStatus)))
        if unknown:
            raise ValueError(f"`status` must be one of {get_args(RunStatus)}. Received: {unknown}.")
        if self.direction not in ("min", "max"):
            raise ValueError(f"`direction` must be 'min' or 'max'. Received: {self.direction!r}.")
        if self.confidence not in get_args(Confidence):
            raise ValueError(f"`confidence` must be one of {get_args(Confidence)}. Received: {self.confidence!r}.")
        numbers = (self.best_learning_rate, self.low, self.high)
        if self.confidence == "none":
            if any(number is not None for number in numbers):
                raise ValueError(f"Without confidence there is no learning rate. Received: {numbers}.")
        elif any(number is None for number in numbers) or not 0 < self.low <= self.best_learning_rate <= self.high:  # type: ignore[operator]
            raise ValueError(f"A result must satisfy 0 < low <= best_learning_rate <= high. Received: {numbers}.")

    @property
    def learning_rates(self) -> np.ndarray:
        """The rates that were tried, increasing, shape `(n_rates,)`."""
        return np.unique(self.frame["learning_rate"].to_numpy(dtype=np.float64))

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """The batch sizes that were tried, increasing."""
        return tuple(int(size) for size in sorted(self.frame["batch_size"].unique()))

    @property
    def repeats(self) -> int:
        """Number of repeats of a rate."""
        return int(self.frame["repeat"].nunique())

    def to_frame(self) -> pd.DataFrame:
        """A copy of `frame`."""
        return self.frame.copy()

    def best_by_epochs(self) -> pd.DataFrame:
        """The best rate and its basin for each number of epochs, read off the curves.

        One row a budget: `epochs`, `best_learning_rate`, `low`, `high`, `at_edge`, `confidence`, `best_batch_size`.
        """
        from keras_lr.analysis._sensitivity.summary import best_by_epochs

        frame: pd.DataFrame = best_by_epochs(self)
        return frame

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and finite numbers, with `kind` and `schema_version`; the frame by columns."""
        columns = {name: self.frame[name].tolist() for name in self.frame.columns}
        return {**super().to_dict(), "frame": {name: _finite(values) for name, values in columns.items()}}

    def plot(self, ax: Any = None) -> Any:
        """Draws the U-curve on `ax`, a matplotlib Axes (a new one where None), and returns it."""
        from keras_lr.plots import plot_sensitivity

        return plot_sensitivity(self, ax=ax)

    def to_html(self, path: str | Path | None = None) -> str:
        """The result as one self-contained HTML page; also written to `path` where given."""
        from keras_lr.report import Report

        report = Report("Learning-rate sensitivity").add(self)
        if path is not None:
            report.save(path)
        return str(report.to_html())

    def _repr_html_(self) -> str:
        from keras_lr.report import Report

        return str(Report("Learning-rate sensitivity").add(self)._repr_html_())

    def __repr__(self) -> str:
        best = "none" if self.best_learning_rate is None else format_rate(self.best_learning_rate, digits=3)
        return (
            f"SensitivityResult({len(self.learning_rates)} learning rates x {self.repeats} repeats, "
            f"best_learning_rate={best}, confidence={self.confidence!r}, engine={self.engine!r})"
        )

    @classmethod
    def _parse(cls, values: dict[str, Any]) -> dict[str, Any]:
        parsed = {_FORMER_NAMES.get(name, name): value for name, value in values.items()}
        parsed["frame"] = _frame(values["frame"])
        for name in ("best_learning_rate", "low", "high"):
            parsed[name] = optional_float(values[name])
        for name in ("objective", "direction", "reason", "engine", "engine_reason"):
            if name in parsed:
                parsed[name] = text(parsed[name])
        if not isinstance(values["at_edge"], bool):
            raise TypeError("expected true or false for `at_edge`")
        if values.get("best_batch_size") is not None:
            parsed["best_batch_size"] = int(optional_float(values["best_batch_size"]) or 0)
        if not isinstance(values.get("environment", {}), dict):
            raise TypeError("expected an object for `environment`")
        return parsed


def _finite(values: list[Any]) -> list[Any]:
    return [None if isinstance(value, float) and not np.isfinite(value) else value for value in values]


def _frame(columns: Any) -> pd.DataFrame:
    if not isinstance(columns, dict) or not all(isinstance(values, list) for values in columns.values()):
        raise TypeError("expected an object of lists for `frame`")
    frame = pd.DataFrame({text(name): values for name, values in columns.items()})
    for name in frame.columns:
        if name in _INTEGER_COLUMNS:
            frame[name] = frame[name].astype("int64")
        elif name != "status":
            frame[name] = frame[name].astype("float64")
    return frame
