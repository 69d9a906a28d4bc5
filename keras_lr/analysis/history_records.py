"""Training histories in the records of this package."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from keras_lr.errors import InvalidArgumentError
from keras_lr.records import AutoLRLog, Diagnosis, RangeTestResult, SensitivityResult
from keras_lr.records.base import Record
from keras_lr.records.rate_words import format_rate

STORED: dict[str, type[Record]] = {
    record.kind: record for record in (AutoLRLog, Diagnosis, RangeTestResult, SensitivityResult)
}


def record_columns(record: Record) -> Mapping[str, Any]:
    """The columns of a run that a record holds: an `AutoLRLog`, or a `Diagnosis` to judge anew.

    Raises:
        InvalidArgumentError: The record is not of a single run.
    """
    if isinstance(record, AutoLRLog):
        return {str(name): column.to_numpy() for name, column in record.to_frame().items()}
    if isinstance(record, Diagnosis):
        return _diagnosed(record)
    if isinstance(record, RangeTestResult):
        raise InvalidArgumentError(
            "`source` must be a training run. Received: a RangeTestResult, whose every step had another learning rate. "
            "Read its `suggestion`."
        )
    raise InvalidArgumentError(
        f"`source` must be one training run. Received: {type(record).__name__}. "
        "Pass a search's result to `analyze_histories`."
    )


def sensitivity_runs(result: SensitivityResult) -> dict[str, pd.DataFrame]:
    """Each run of a search by a name such as "3e-4, repeat 0"; those that failed or were pruned are left out."""
    keys = ["learning_rate", "repeat", "batch_size"]
    sizes = result.frame["batch_size"].nunique()
    runs = {}
    for (_, repeat, size), run in result.frame.groupby(keys, sort=True):
        if run["status"].isin(["ok", "diverged"]).all():
            name = f"{format_rate(run['learning_rate'].iloc[0], digits=3)}, repeat {repeat}"
            name += f", batch size {size}" if sizes > 1 else ""
            runs[name] = run[["epoch", "loss", "val_loss", "learning_rate"]].reset_index(drop=True)
    return runs


def _diagnosed(diagnosis: Diagnosis) -> Mapping[str, Any]:
    named = {
        diagnosis.unit: diagnosis.epochs,
        # What was judged is a loss even where its name is a metric's: it was negated then.
        "loss": diagnosis.losses,
        "val_loss": diagnosis.val_losses,
        "learning_rate": diagnosis.learning_rates,
    }
    return {name: np.array(values, dtype=np.float64) for name, values in named.items() if len(values)}
