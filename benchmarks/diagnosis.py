"""How often the verdict on a learning rate is right, on tasks that the scorecards were not fitted on.

`python benchmarks/diagnosis.py` prints the tables and writes `benchmarks/results/diagnosis.md`. `--sweeps DIR` also
judges the sweeps `TASK.grid.csv` in any folder, by the package's own scorecards. `--fit` fits the scorecards on all
tasks but the drawn ones and writes `keras_lr/analysis/_diagnosis/scorecard_table.py`. Needs scikit-learn (the
`examples` extra).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from _diagnosis_card import SEEN, Scorecard
from _diagnosis_runs import STATES

from keras_lr.analysis._diagnosis.scorecard import SCORED_VERDICTS, weighed

HERE = Path(__file__).parent
TABLE = HERE.parent / "keras_lr" / "analysis" / "_diagnosis" / "scorecard_table.py"
FOLDS = 8
BISTABLE = "vae"
"""Tasks with this in their name are shown apart: two equal runs may end at two very different losses."""

Judged = pd.DataFrame
"""Runs with a verdict and a share per state of knowledge; the share is NaN if a fact settled the verdict."""


def judge(runs: pd.DataFrame, cards: dict[str, Scorecard]) -> Judged:
    """The verdicts on complete runs, for each state of knowledge."""
    judged = runs[runs["budget"] == 1].copy()
    for state in STATES:
        verdicts = judged[f"settled {state}"].astype(object)
        open_ = verdicts.isna().to_numpy()
        shares = SEEN[state].shares(cards, judged[open_], excluded=judged.loc[open_, f"excluded {state}"])
        verdicts[open_] = [weighed(dict(zip(SCORED_VERDICTS, row, strict=True))) for row in shares]
        judged[f"verdict {state}"] = verdicts
        judged[f"leader {state}"] = verdicts
        judged.loc[open_, f"leader {state}"] = np.array(SCORED_VERDICTS)[shares.argmax(axis=1)]
        judged.loc[open_, f"share {state}"] = shares.max(axis=1)
    return judged
