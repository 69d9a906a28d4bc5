"""The labelled runs on which verdicts are judged, with their features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from keras_lr.analysis._diagnosis.diagnose import verdict_by_rule
from keras_lr.analysis._diagnosis.features import FEATURE_NAMES, features
from keras_lr.analysis._diagnosis.findings import find_all
from keras_lr.analysis._diagnosis.history import from_columns
from keras_lr.errors import CurveError

BUDGETS = (1.0, 0.7, 0.5, 1 / 3)
MIN_BUDGET_EPOCHS = 4


def true_labels(grid: pd.DataFrame, untrained: float) -> dict[float, str]:
    """The label of each learning rate by its regret, without rates between two labels."""
    finite = grid.assign(val_loss=grid["val_loss"].where(np.isfinite(grid["val_loss"]), 10 * untrained))
    scores = finite.groupby(["lr", "seed"])["val_loss"].min().groupby("lr").median()
    regrets = ((scores - scores.min()) / (untrained - scores.min())).clip(0, 1)
    best = scores.idxmin()
    labels = {
        rate: "good" if regret <= 0.05 else "too_low" if rate < best else "too_high" for rate, regret in regrets.items()
    }
    return {rate: label for rate, label in labels.items() if not 0.05 < regrets[rate] <= 0.10}


def load_runs(folder: Path) -> pd.DataFrame:
    """One row per run and budget: task, budget, label, and the verdict of a rule, or the features if no rule decides.

    A run that the package cannot read is unclear. A budget below 1 is the same task, stopped early and labelled by its
    results up to then.
    """
    rows = []
    for path in sorted(folder.glob("*.grid.csv*")):
        grid = pd.read_csv(path).sort_values("epoch")
        rates, epochs = np.sort(grid["lr"].unique()), int(grid["epoch"].max()) + 1
        untrained = grid[(grid["lr"] == rates[0]) & (grid["epoch"] == 0)]["val_loss"].median()
        for budget in BUDGETS:
            length = max(MIN_BUDGET_EPOCHS, round(budget * epochs))
            if budget < 1 and length == epochs:
                continue
            part = grid[grid["epoch"] < length]
            labels = true_labels(part, untrained)
            for (rate, _), run in part.groupby(["lr", "seed"]):
                known = {"task": path.name.split(".")[0], "budget": budget, "lr": rate, "label": labels.get(rate)}
                rows.append(known | _measured(run))
    runs = pd.DataFrame(rows)
    return runs[runs["label"].notna()].reset_index(drop=True)


def _measured(run: pd.DataFrame) -> dict[str, str | float | None]:
    columns = {name: run[name].to_numpy() for name in ("loss", "val_loss", "accuracy", "val_accuracy") if name in run}
    try:
        history = from_columns(columns)
    except CurveError:
        return {"rule": "unclear"}
    rule = verdict_by_rule(history, find_all(history))
    if rule is not None:
        return {"rule": rule[0]}
    return {"rule": None, **dict(zip(FEATURE_NAMES, features(history), strict=True))}
