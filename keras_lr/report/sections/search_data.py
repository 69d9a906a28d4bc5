"""The numbers of a search, thinned where a page could not hold them all."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from keras_lr.plots.numbers import format_number
from keras_lr.plots.thinning import evenly_chosen, spike_keeping_indices
from keras_lr.records.rate_words import format_rate
from keras_lr.records.sensitivity import SensitivityResult
from keras_lr.report.tables import data
from keras_lr.report.wording import count

_ROWS = 1200
_LEAST_ROWS_A_RUN = 4
_TABLE_ROWS = 40
_RUN = ["batch_size", "learning_rate", "repeat"]
_WHOLE = ("repeat", "batch_size", "epoch", "seed")


def embedded_frame(result: SensitivityResult) -> pd.DataFrame:
    """At most about `_ROWS` rows of the frame; each run that stays keeps its best epoch, so that it scores the same."""
    frame = result.frame
    if len(frame) <= _ROWS:
        return frame
    rates = result.learning_rates
    runs_a_rate = max(1, frame[_RUN].drop_duplicates().shape[0] // len(rates))
    best = None if result.best_learning_rate is None else int(np.argmin(np.abs(rates - result.best_learning_rate)))
    limit = max(3, _ROWS // (runs_a_rate * _LEAST_ROWS_A_RUN))
    kept_rates = rates[evenly_chosen(len(rates), limit, always=best)]
    rows_a_run = max(_LEAST_ROWS_A_RUN, _ROWS // (runs_a_rate * len(kept_rates)))
    runs = frame[frame["learning_rate"].isin(kept_rates)].groupby(_RUN, sort=False)
    return pd.concat([_thinned_run(run, result, rows_a_run) for _, run in runs], ignore_index=True)


def search_data(result: SensitivityResult, kept: pd.DataFrame) -> dict[str, Any]:
    """The table and the CSV of a search."""
    measured = len(result.frame)
    shown = kept.iloc[evenly_chosen(len(kept), _TABLE_ROWS)]
    columns = [str(column) for column in kept.columns]
    note = ""
    if len(kept) < measured:
        rates = kept["learning_rate"].nunique()
        note = (
            f"Thinned from {count(measured, 'row')} to {len(kept):,} here, in the CSV and in the JSON, over {rates} of "
            f"{count(len(result.learning_rates), 'learning rate')}; each run kept its best epoch and its spikes."
        )
    return data(
        caption=f"Search, {len(shown)} of {count(measured, 'row')}: one a learning rate, repeat, batch size and epoch",
        columns=columns,
        rows=[
            [_written(name, value) for name, value in zip(columns, row, strict=True)]
            for row in shown.itertuples(index=False)
        ],
        csv_name="sensitivity.csv",
        csv_rows=kept.itertuples(index=False),
        note=note,
    )


def _thinned_run(run: pd.DataFrame, result: SensitivityResult, limit: int) -> pd.DataFrame:
    if len(run) <= limit:
        return run
    judged = run[result.objective].to_numpy(dtype=np.float64)
    worst = np.inf if result.direction == "min" else -np.inf
    scores = np.where(np.isfinite(judged), judged, worst)
    best = int(np.argmin(scores) if result.direction == "min" else np.argmax(scores))
    kept = {best, *spike_keeping_indices(run["loss"].to_numpy(dtype=np.float64), max(4, limit - 1)).tolist()}
    return run.iloc[sorted(kept)]


def _written(name: str, value: Any) -> str:
    if name == "learning_rate":
        return format_rate(float(value), digits=4)
    if isinstance(value, str):
        return value
    return str(int(value)) if name in _WHOLE else format_number(float(value))
