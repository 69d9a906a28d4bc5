"""Judging a search over learning rates: the best rate, the basin around it, and how sure the runs make us."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from keras_lr.analysis.basin import find_basin
from keras_lr.analysis.run_scores import run_scores
from keras_lr.analysis.sensitivity_reason import Grid, judge_grid, refusal
from keras_lr.errors import InvalidArgumentError
from keras_lr.records.sensitivity import FRAME_COLUMNS, SensitivityResult
from keras_lr.records.suggestion import Confidence


@dataclass(frozen=True)
class Summary:
    """What a search comes to; each attribute as in `SensitivityResult`."""

    best_learning_rate: float | None
    low: float | None
    high: float | None
    at_edge: bool
    confidence: Confidence
    reason: str
    best_batch_size: int | None = None


def sensitivity_result(
    frame: pd.DataFrame,
    *,
    objective: str = "val_loss",
    direction: Literal["min", "max"] = "min",
    tier: str,
    tier_reason: str = "",
    environment: dict[str, Any] | None = None,
) -> SensitivityResult:
    """The result of a search from what it measured.

    Args:
        frame: Rows of (learning rate, repeat, batch size, epoch) as `SensitivityResult` describes them; each run ends
            with its status.
        objective: Column that is judged.
        direction: "min" where lower is better, else "max".
        tier: How the runs were trained.
        tier_reason: Why no faster way could serve.
        environment: Versions, devices, optimizer and precision of the search.

    Raises:
        InvalidArgumentError: `frame` has no rows or lacks a column, or `direction` is neither "min" nor "max".
    """
    summary = summarize(frame, objective=objective, direction=direction)
    return SensitivityResult(
        frame=frame,
        objective=objective,
        direction=direction,
        tier=tier,
        tier_reason=tier_reason,
        environment=environment or {},
        **vars(summary),
    )


def summarize(frame: pd.DataFrame, *, objective: str = "val_loss", direction: Literal["min", "max"] = "min") -> Summary:
    """The best rate and its basin, judged at the batch size where the best stands; see `sensitivity_result`."""
    if direction not in ("min", "max"):
        raise InvalidArgumentError(f"`direction` must be 'min' or 'max'. Received: {direction!r}.")
    if missing := [name for name in (*FRAME_COLUMNS, objective) if name not in frame.columns]:
        raise InvalidArgumentError(
            f"`frame` must have the columns {missing}. Received: {list(frame.columns)}. Name another `objective` or "
            "add them."
        )
    if frame.empty:
        raise InvalidArgumentError("`frame` must have rows. Received: none. Search first.")
    runs = run_scores(frame, objective=objective, direction=direction)
    sign = 1.0 if direction == "min" else -1.0
    first_epoch = sign * frame.loc[frame["epoch"] == frame["epoch"].min(), objective].median()
    candidates = [
        _read_grid(part.assign(score=sign * part["score"]), first_epoch) for _, part in runs.groupby("batch_size")
    ]
    found = [grid for grid in candidates if grid is not None]
    if not found:
        return Summary(None, None, None, False, "none", refusal(runs, objective))
    grid = min(found, key=lambda one: one.score)
    confidence, reason = judge_grid(grid, objective, direction, batch_sizes=len(candidates))
    rates, basin = grid.learning_rates, grid.basin
    best, low, high = (float(rates[place]) for place in (basin.best, basin.low, basin.high))
    return Summary(best, low, high, grid.at_edge, confidence, reason, grid.batch_size)


def _read_grid(runs: pd.DataFrame, first_epoch: float) -> Grid | None:
    """The runs of one batch size as rates by repeats, lower is better; None where none has a finite score."""
    scores = runs.pivot(index="learning_rate", columns="repeat", values="score")
    rates, values = scores.index.to_numpy(dtype=np.float64), scores.to_numpy(dtype=np.float64)
    finite = values[np.isfinite(values)]
    basin = find_basin(rates, values, gain=max(first_epoch - finite.min(), 0.0)) if len(finite) else None
    return None if basin is None else Grid(rates, values, basin, int(runs["batch_size"].iloc[0]), runs)
