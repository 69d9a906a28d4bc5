"""Judging a search over learning rates: the best rate, the basin around it, and how sure the runs make us."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from keras_lr._utils.formatting import format_rate
from keras_lr.analysis._sensitivity.basin import LOST_SHARE, Basin, find_basin
from keras_lr.errors import InvalidArgumentError
from keras_lr.results._range_test import Confidence
from keras_lr.results._sensitivity import FRAME_COLUMNS, SensitivityResult

RUN_KEYS = ["batch_size", "learning_rate", "repeat"]

ENOUGH_REPEATS = 3

MAX_BUDGETS = 20


def run_scores(frame: pd.DataFrame, *, objective: str, direction: Literal["min", "max"]) -> pd.DataFrame:
    """One row a run: its best epoch's objective and how it ended.

    Args:
        frame: Rows of (learning rate, repeat, batch size, epoch), as a `SensitivityResult` holds them.
        objective: Column that is judged.
        direction: "min" where lower is better, else "max".

    Returns:
        Columns `batch_size`, `learning_rate`, `repeat`, `status` (of the last epoch), `epochs` (how many it has) and
        `score`, in the objective's unit. A diverged run and one whose objective is never finite score the worst there
        is, infinite; a pruned or failed run scores NaN, for what it would have come to is not known.
    """
    ordered = frame.sort_values([*RUN_KEYS, "epoch"], kind="stable")
    judged = ordered[objective].to_numpy(dtype=np.float64)
    runs = ordered.assign(score=np.where(np.isfinite(judged), judged, np.nan)).groupby(RUN_KEYS, sort=True)
    table = runs.agg(status=("status", "last"), epochs=("epoch", "size"), score=("score", direction)).reset_index()
    worst = np.inf if direction == "min" else -np.inf
    score = table["score"].fillna(worst).where(table["status"] != "diverged", worst)
    return table.assign(score=score.where(~table["status"].isin(["pruned", "failed"])))


@dataclass(frozen=True)
class Grid:
    """The runs of one batch size.

    Attributes:
        learning_rates: Increasing, shape `(n_rates,)`.
        scores: Lower is better, shape `(n_rates, n_repeats)`; infinite where a run diverged, NaN where it is not known.
        basin: The best and the rates within its noise.
        batch_size: Samples a batch.
        runs: One row a run, with its `learning_rate` and `status`.
    """

    learning_rates: np.ndarray
    scores: np.ndarray
    basin: Basin
    batch_size: int
    runs: pd.DataFrame

    @property
    def score(self) -> float:
        """Median over the best rate's repeats, lower is better."""
        return float(np.nanmedian(self.scores[self.basin.best]))

    @property
    def diverged_at_best(self) -> int:
        """Number of the best rate's repeats that diverged."""
        return int(np.isinf(self.scores[self.basin.best]).sum())

    @property
    def repeats_at_best(self) -> int:
        """Number of the best rate's repeats whose score is known."""
        return int((~np.isnan(self.scores[self.basin.best])).sum())

    @property
    def at_edge(self) -> bool:
        """Whether the best is the lowest or the highest rate tried."""
        return self.basin.best in (0, len(self.learning_rates) - 1)


def judge_grid(grid: Grid, objective: str, direction: str, *, batch_sizes: int = 1) -> tuple[Confidence, str]:
    """The confidence in the best rate and one sentence that says why; `batch_sizes` is how many were tried."""
    rates, basin = grid.learning_rates, grid.basin
    value = grid.score if direction == "min" else -grid.score
    repeats = grid.scores.shape[1]
    where = f" at batch size {grid.batch_size}" if batch_sizes > 1 else ""
    times = f" x {batch_sizes} batch sizes" if batch_sizes > 1 else ""
    extreme = "lowest" if direction == "min" else "highest"
    text = (
        f"Of {len(rates)} learning rates{times} x {repeats} {'repeat' if repeats == 1 else 'repeats'}, "
        f"{format_rate(rates[basin.best], digits=3)}{where} gave the {extreme} {objective} ({value:.3g})"
    )
    doubts = _doubts(grid)
    return ("tentative" if doubts else "clear"), f"{text}, {_basin_text(grid)}{''.join(f'; {one}' for one in doubts)}."


def refusal(runs: pd.DataFrame, objective: str) -> str:
    """One sentence on why no run can be judged."""
    counts = runs["status"].value_counts()
    parts = [f"{counts[status]} {status}" for status in ("diverged", "failed", "pruned") if counts.get(status)]
    how = ", ".join(parts) if parts else f"{objective} is not a finite number in any of them"
    mend = "Lower the learning rates" if counts.get("diverged") else "Look at the runs' messages"
    return f"None of {len(runs)} runs came to a {objective} that can be judged ({how}). {mend}."


def _basin_text(grid: Grid) -> str:
    rates, basin = grid.learning_rates, grid.basin
    measure = "within noise of it" if np.isfinite(basin.noise) else f"within {LOST_SHARE:.0%} of the gain"
    if basin.low == basin.high:
        return f"and no other rate was {measure}"
    return f"and {format_rate(rates[basin.low], digits=3)} to {format_rate(rates[basin.high], digits=3)} were {measure}"


def _doubts(grid: Grid) -> list[str]:
    """What keeps the answer from being clear."""
    rates, basin, last = grid.learning_rates, grid.basin, len(grid.learning_rates) - 1
    doubts = []
    if grid.diverged_at_best:
        doubts.append(f"{grid.diverged_at_best} of its {grid.repeats_at_best} runs diverged")
    if grid.repeats_at_best < ENOUGH_REPEATS:
        doubts.append(f"fewer than {ENOUGH_REPEATS} repeats leave the noise uncertain")
    if last == 0:
        doubts.append("no other rate was tried")
    elif basin.low == 0 and basin.high == last:
        doubts.append("no two rates could be told apart")
    elif grid.at_edge:
        end = "lowest" if basin.best == 0 else "highest"
        doubts.append(f"it is the {end} rate tried, so that a better one may lie beyond")
    elif basin.low == 0 or basin.high == last:
        end = rates[0 if basin.low == 0 else last]
        doubts.append(f"{format_rate(end, digits=3)} ends the grid, so that a better one may lie beyond")
    return doubts


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
    engine: str,
    engine_reason: str = "",
    environment: dict[str, Any] | None = None,
) -> SensitivityResult:
    """The result of a search from what it measured.

    Args:
        frame: Rows of (learning rate, repeat, batch size, epoch) as `SensitivityResult` describes them; each run ends
            with its status.
        objective: Column that is judged.
        direction: "min" where lower is better, else "max".
        engine: How the runs were trained.
        engine_reason: Why no faster way could serve.
        environment: Versions, devices, optimizer and precision of the search.

    Raises:
        InvalidArgumentError: `frame` has no rows or lacks a column, or `direction` is neither "min" nor "max".
    """
    summary = summarize(frame, objective=objective, direction=direction)
    return SensitivityResult(
        frame=frame,
        objective=objective,
        direction=direction,
        engine=engine,
        engine_reason=engine_reason,
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


def best_by_epochs(result: SensitivityResult) -> pd.DataFrame:
    """What the search would have found with fewer epochs.

    A run at a constant rate passes through every shorter run, so that its curve answers for all of them.

    Args:
        result: A search whose runs were trained at constant rates.

    Returns:
        One row a budget, columns `epochs` (increasing; at most 20, the last the whole run), `best_learning_rate`,
        `low`, `high` (NaN where no run can be judged), `at_edge`, `confidence` and `best_batch_size`.
    """
    frame = result.frame
    longest = int(frame["epoch"].max()) + 1
    budgets = np.unique(np.rint(np.geomspace(1, longest, MAX_BUDGETS)).astype(int))
    rows = []
    for epochs in budgets if longest > MAX_BUDGETS else range(1, longest + 1):
        found = summarize(frame[frame["epoch"] < epochs], objective=result.objective, direction=result.direction)
        rows.append({"epochs": int(epochs), **vars(found)})
    numbers = ["best_learning_rate", "low", "high", "best_batch_size"]
    return pd.DataFrame(rows).drop(columns="reason").astype(dict.fromkeys(numbers, "float64"))
