"""Which runs of a search stand for the rest: what its plots and its report show."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from keras_lr.analysis._diagnosis.diagnose import analyze_history
from keras_lr.errors import KerasLRError
from keras_lr.results._diagnosis import Diagnosis
from keras_lr.results._sensitivity import SensitivityResult


def main_batch_size(result: SensitivityResult) -> int | None:
    """The batch size of the best run; the smallest if no run is best, None if there are no runs."""
    sizes = result.batch_sizes
    return result.best_batch_size if result.best_batch_size in sizes else next(iter(sizes), None)


def trained_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """The rows of `run_scores` whose run ended normally with a finite score."""
    finite = np.isfinite(runs["score"].to_numpy(dtype=np.float64))
    trained: pd.DataFrame = runs[finite & (runs["status"] == "ok").to_numpy()]
    return trained


def median_scores(runs: pd.DataFrame) -> pd.Series:
    """Median score per learning rate, increasing, where that median is finite.

    A diverged run counts as the worst possible one: the median of the remaining runs alone would look better than the
    learning rate is. Rates at which most runs diverged are left out, because their median is infinite.

    Args:
        runs: Rows of `run_scores` with one batch size.
    """
    medians = runs.groupby("learning_rate")["score"].median()
    usable: pd.Series = medians[np.isfinite(medians.to_numpy(dtype=np.float64))]
    return usable


def runs_at(result: SensitivityResult, learning_rate: float) -> list[pd.DataFrame]:
    """The epochs of each repeat at a learning rate and the main batch size, in order."""
    frame = result.frame
    chosen = (frame["batch_size"] == main_batch_size(result)) & (frame["learning_rate"] == learning_rate)
    return [run.sort_values("epoch") for _, run in frame[chosen].groupby("repeat")]


def middle_run(result: SensitivityResult, runs: pd.DataFrame, learning_rate: float) -> pd.DataFrame:
    """The epochs of the repeat with the median score: what to expect, neither the lucky nor the unlucky one.

    Args:
        result: What the search measured.
        runs: What `run_scores` made of it.
        learning_rate: One of the rates tried at the main batch size.
    """
    chosen = (runs["learning_rate"] == learning_rate) & (runs["batch_size"] == main_batch_size(result))
    ranked = runs[chosen].sort_values("score", kind="stable")
    repeat = ranked["repeat"].iloc[(len(ranked) - 1) // 2]
    return next(run for run in runs_at(result, learning_rate) if run["repeat"].iloc[0] == repeat)


def representative_diagnoses(
    result: SensitivityResult, runs: pd.DataFrame, learning_rates: Iterable[float]
) -> dict[float, Diagnosis]:
    """The diagnosis of the middle run at each learning rate; a run that cannot be judged is left out.

    Args:
        result: What the search measured.
        runs: What `run_scores` made of it.
        learning_rates: Rates tried at the main batch size.
    """
    diagnoses = {}
    for rate in learning_rates:
        run = middle_run(result, runs, rate)
        columns = {name: run[name].to_numpy() for name in ("epoch", "learning_rate", "loss", "val_loss")}
        if not np.isfinite(run["val_loss"]).any():
            del columns["val_loss"]
        try:
            diagnoses[rate] = analyze_history(columns)
        except KerasLRError:
            continue
    return diagnoses
