"""The table of a search: one line a learning rate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from keras_lr.plots.thinning import evenly_chosen
from keras_lr.records.rate_words import format_rate
from keras_lr.records.sensitivity import SensitivityResult
from keras_lr.report.sections.sensitivity_text import objective_of
from keras_lr.report.tables import aligned, number, table

MAX_ROWS = 60


def rate_table(result: SensitivityResult, runs: pd.DataFrame) -> dict[str, Any]:
    """Median, lowest and highest outcome of each learning rate, and how its runs ended.

    Args:
        result: What the search measured.
        runs: What `run_scores` made of it.
    """
    several = len(result.batch_sizes) > 1
    groups = [group for _, group in runs.groupby(["batch_size", "learning_rate"])]
    best = next((place for place, group in enumerate(groups) if _standing(result, group) == "best"), None)
    shown = evenly_chosen(len(groups), MAX_ROWS, always=best)
    caption = f"Best {objective_of(result)} of each run, by learning rate"
    if len(shown) < len(groups):
        caption += f"; {len(shown)} of {len(groups):,} lines"
    chosen = [groups[place] for place in shown]
    rates = [number(format_rate(float(group["learning_rate"].iloc[0]))) for group in chosen]
    sizes = [number(str(int(group["batch_size"].iloc[0]))) for group in chosen]
    outcomes = [aligned(values) for values in zip(*map(_outcomes, chosen), strict=True)]
    columns = {
        "Learning rate": rates,
        **({"Batch size": sizes} if several else {}),
        **dict(zip(("Median", "Lowest", "Highest"), outcomes, strict=False)),
        "Runs": [_endings(group) for group in chosen],
        "Standing": [_standing(result, group) for group in chosen],
    }
    return table(caption, list(columns), zip(*columns.values(), strict=True))


def _outcomes(group: pd.DataFrame) -> tuple[float | None, float | None, float | None]:
    """Median, lowest and highest; a diverged run counts as the worst there is, so a median may be infinite."""
    scores = group["score"].to_numpy(dtype=np.float64)
    trained, ended = scores[np.isfinite(scores)], scores[~np.isnan(scores)]
    low, high = (float(trained.min()), float(trained.max())) if trained.size else (None, None)
    return float(np.median(ended)) if ended.size else None, low, high


def _endings(group: pd.DataFrame) -> str:
    counts = group["status"].value_counts()
    names = {"ok": "trained", "diverged": "diverged", "pruned": "stopped early", "failed": "failed"}
    return ", ".join(f"{counts[status]} {name}" for status, name in names.items() if counts.get(status))


def _standing(result: SensitivityResult, group: pd.DataFrame) -> str:
    rate, size = float(group["learning_rate"].iloc[0]), int(group["batch_size"].iloc[0])
    if result.best_learning_rate is None or result.low is None or result.high is None:
        return ""
    if result.best_batch_size not in (None, size):
        return ""
    if rate == result.best_learning_rate:
        return "best"
    return "within noise" if result.low <= rate <= result.high else ""
