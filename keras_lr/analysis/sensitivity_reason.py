"""How sure a search makes us of its best learning rate, and why, in one sentence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from keras_lr.analysis.basin import LOST_SHARE, Basin
from keras_lr.records.rate_words import format_rate
from keras_lr.records.suggestion import Confidence

ENOUGH_REPEATS = 3


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
