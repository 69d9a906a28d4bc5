"""How the best learning rate depends on the number of epochs, read off the curves of one search."""

from __future__ import annotations

import numpy as np
import pandas as pd

from keras_lr.analysis.sensitivity import summarize
from keras_lr.records.sensitivity import SensitivityResult

MAX_BUDGETS = 20


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
