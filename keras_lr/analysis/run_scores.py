"""What each run of a search came to: its best epoch, or why it has none."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

RUN_KEYS = ["batch_size", "learning_rate", "repeat"]


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
