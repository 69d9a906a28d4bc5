"""Searches to export, and what should come of them, computed without the package."""

from __future__ import annotations

import numpy as np
import pandas as pd

from keras_lr.analysis import analyze_sensitivity
from keras_lr.results import SensitivityResult
from tests.sensitivity_samples import sensitivity_frame

RATES = (1e-4, 1e-3, 1e-2, 1.0)
"""The last one diverges."""

EPOCHS = 4


def searched(**kwargs: object) -> SensitivityResult:
    """Four rates, three repeats each."""
    frame = sensitivity_frame(RATES, epochs=EPOCHS)
    return analyze_sensitivity(frame, engine="stacked", **kwargs)


def raced() -> SensitivityResult:
    """Two rates and a single repeat, of which the lower one stopped after two epochs."""
    frame = sensitivity_frame((1e-4, 1e-3), repeats=1, epochs=EPOCHS)
    frame = frame[(frame["learning_rate"] == 1e-3) | (frame["epoch"] < 2)].reset_index(drop=True)
    stopped = (frame["learning_rate"] == 1e-4) & (frame["epoch"] == 1)
    return analyze_sensitivity(frame.assign(status=np.where(stopped, "pruned", "ok")))


def values(frame: pd.DataFrame, rate: float, metric: str) -> np.ndarray:
    """The metric at a rate, shape `(n_repeats, n_epochs)`."""
    rows = frame[frame["learning_rate"] == rate]
    return np.array([rows[rows["repeat"] == repeat][metric].tolist() for repeat in sorted(rows["repeat"].unique())])
