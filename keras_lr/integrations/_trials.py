"""What every tool is given: the trials of a search, and its answer in plain values."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from keras_lr.analysis._sensitivity import run_scores
from keras_lr.errors import InvalidArgumentError
from keras_lr.results._sensitivity import OWN_COLUMNS, RunStatus, SensitivityResult

_DIGITS = 12
"""Digits that keep apart any two rates of a grid."""

_ENDINGS: tuple[RunStatus, ...] = ("diverged", "failed", "pruned")
"""How a trial without a value ended, if its repeats ended differently."""


@dataclass(frozen=True)
class Trial:
    """All repeats of one learning rate and batch size.

    Attributes:
        name: Differs from the names of the other trials, and can name a folder.
        parameters: `learning_rate`, and `batch_size`.
        status: "ok" if there is a value, else how the repeats ended.
        value: Median over the repeats of each one's best objective, where a diverged repeat counts as the worst
            possible one; None if that is not finite.
        curves: Median over the repeats of each metric, one row per epoch; NaN where nothing was logged.
        repeats: Number of repeats.
    """

    name: str
    parameters: dict[str, float | int]
    status: RunStatus
    value: float | None
    curves: pd.DataFrame
    repeats: int

    def logged(self) -> Iterator[tuple[int, dict[str, float]]]:
        """Each epoch, with the finite metrics of it."""
        for epoch, row in zip(self.curves.index.tolist(), self.curves.to_dict("records"), strict=True):
            yield int(epoch), {str(name): float(value) for name, value in row.items() if math.isfinite(value)}


def result_of(search: Any) -> SensitivityResult:
    """The result of a search, or the result itself.

    Raises:
        InvalidArgumentError: `search` is neither, or has no runs.
        SearchError: Nothing is recorded yet.
    """
    result = search.sensitivity() if callable(getattr(search, "sensitivity", None)) else search
    if not isinstance(result, SensitivityResult):
        raise InvalidArgumentError(
            f"`search` must be a `LogGridSearch`, a `RaceSearch` or a `SensitivityResult`. Received: "
            f"{type(search).__name__}. Pass what `search.sensitivity()` returns."
        )
    if result.frame.empty:
        raise InvalidArgumentError("`search` must have trained at least one run. Received: a result without runs.")
    return result


def trials_of(result: SensitivityResult) -> list[Trial]:
    """The trials of a result, by batch size and increasing learning rate."""
    scores = run_scores(result.frame, objective=result.objective, direction=result.direction)
    metrics = [name for name in result.frame.columns if name not in OWN_COLUMNS]
    epochs = result.frame.groupby(["batch_size", "learning_rate"])
    several = len(result.batch_sizes) > 1
    trials = []
    keys: Any
    for keys, runs in scores.groupby(["batch_size", "learning_rate"]):
        size, rate = keys
        name = f"lr_{rate:.{_DIGITS}g}" + (f"-batch_{size}" if several else "")
        median = float(runs["score"].median())
        value = median if math.isfinite(median) else None
        ended = set(runs["status"])
        trials.append(
            Trial(
                name=name,
                parameters={"learning_rate": float(rate), "batch_size": int(size)},
                status="ok" if value is not None else next((one for one in _ENDINGS if one in ended), "diverged"),
                value=value,
                curves=epochs.get_group(keys).groupby("epoch")[metrics].median(),
                repeats=len(runs),
            )
        )
    return trials


def answer_of(result: SensitivityResult) -> dict[str, Any]:
    """The answer of a search as numbers and text; what is unknown is left out."""
    names = ("best_learning_rate", "low", "high", "best_batch_size", "lr_sensitivity")
    answer = {name: getattr(result, name) for name in ("objective", "direction", "confidence", "reason", "engine")}
    answer |= {name: getattr(result, name) for name in names if getattr(result, name) is not None}
    return {**answer, "repeats": result.repeats}
