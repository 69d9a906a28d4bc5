"""The part of a search's section about individual runs: learning curves, findings, and the rows of the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from keras_lr._utils.downsampling import evenly_chosen, spike_keeping_indices
from keras_lr._utils.formatting import format_number, format_rate
from keras_lr.analysis._sensitivity.summary import RUN_KEYS, main_batch_size, runs_at
from keras_lr.plots._sensitivity import MAX_REPEATS, learning_curve_panels, shown_rates
from keras_lr.report._components import as_sentence, counted, data_view, panels_view, part_view
from keras_lr.report._sections.histories import figure_note, finding_tables, findings_in_words
from keras_lr.results._diagnosis import Diagnosis
from keras_lr.results._sensitivity import INTEGER_COLUMNS, SensitivityResult

_EMBEDDED_ROWS = 1200
_MIN_ROWS_PER_RUN = 4
_TABLE_ROWS = 40


def search_histories(result: SensitivityResult, diagnoses: Mapping[float, Diagnosis], prefix: str) -> list[Any]:
    """The part with one panel per learning rate; no part if there are no runs.

    Args:
        result: What the search measured.
        diagnoses: By learning rate, the diagnosis of its middle run.
        prefix: Starts every id.
    """
    rates = shown_rates(result)
    if not rates:
        return []
    findings = {rate: diagnosis.findings for rate, diagnosis in diagnoses.items()}
    panels = learning_curve_panels(result, findings=findings)
    descriptions = [_describe_rate(result, rate, diagnoses.get(rate)) for rate in rates]
    named = {format_rate(rate): diagnosis for rate, diagnosis in diagnoses.items()}
    caption = "Findings in the middle run of each learning rate"
    return [
        part_view(
            name="histories",
            heading="Training histories",
            note=_note(result, named, rates),
            figure=panels_view(
                {format_rate(rate): draw for rate, draw in panels.items()},
                title="Training histories",
                description=" ".join(descriptions),
                descriptions=descriptions,
                prefix=f"{prefix}-runs",
            ),
            tables=finding_tables(named, caption=caption, name_column="Learning rate"),
        )
    ]


def search_data(result: SensitivityResult, kept: pd.DataFrame) -> dict[str, Any]:
    """The table and the CSV of a search."""
    measured = len(result.frame)
    shown = kept.iloc[evenly_chosen(len(kept), _TABLE_ROWS)]
    columns = [str(column) for column in kept.columns]
    note = ""
    if len(kept) < measured:
        rates = kept["learning_rate"].nunique()
        note = (
            f"Thinned from {counted(measured, 'row')} to {len(kept):,} on this page, in the CSV and in the JSON, at "
            f"{rates} of {counted(len(result.learning_rates), 'learning rate')}; the best epoch and the spikes of each "
            "run are kept."
        )
    return data_view(
        caption=f"Search, {len(shown)} of {counted(measured, 'row')}: one per learning rate, repeat, batch size, epoch",
        columns=columns,
        rows=[
            [_table_cell(name, value) for name, value in zip(columns, row, strict=True)]
            for row in shown.itertuples(index=False)
        ],
        csv_name="sensitivity.csv",
        csv_rows=kept.itertuples(index=False),
        note=note,
    )


def embedded_frame(result: SensitivityResult) -> pd.DataFrame:
    """About `_EMBEDDED_ROWS` rows of the frame; each run in it keeps its best epoch, and so its score."""
    frame = result.frame
    if len(frame) <= _EMBEDDED_ROWS:
        return frame
    rates = result.learning_rates
    runs_per_rate = max(1, frame[RUN_KEYS].drop_duplicates().shape[0] // len(rates))
    best = None if result.best_learning_rate is None else int(np.argmin(np.abs(rates - result.best_learning_rate)))
    limit = max(3, _EMBEDDED_ROWS // (runs_per_rate * _MIN_ROWS_PER_RUN))
    kept_rates = rates[evenly_chosen(len(rates), limit, always=best)]
    rows_per_run = max(_MIN_ROWS_PER_RUN, _EMBEDDED_ROWS // (runs_per_rate * len(kept_rates)))
    runs = frame[frame["learning_rate"].isin(kept_rates)].groupby(RUN_KEYS, sort=False)
    return pd.concat([_thinned_run(run, result, rows_per_run) for _, run in runs], ignore_index=True)


def _note(result: SensitivityResult, named: Mapping[str, Diagnosis], rates: list[float]) -> str:
    parts = ["One panel per learning rate, one line per seed; all panels share a scale.", figure_note(named)]
    if len(result.batch_sizes) > 1:
        parts.append(f"Only batch size {main_batch_size(result)} is shown.")
    tried = len(result.learning_rates)
    if len(rates) < tried:
        parts.append(f"{len(rates)} of {counted(tried, 'learning rate')} are shown.")
    if result.repeats > MAX_REPEATS:
        parts.append(f"{MAX_REPEATS} of {counted(result.repeats, 'seed')} are shown.")
    return " ".join(parts)


def _describe_rate(result: SensitivityResult, rate: float, diagnosis: Diagnosis | None) -> str:
    ends = [run["loss"].dropna() for run in runs_at(result, rate)]
    reached = [float(losses.iloc[-1]) for losses in ends if len(losses)]
    description = f"{format_rate(rate)}: "
    description += f"final loss {format_number(float(np.median(reached)), digits=3)}" if reached else "no finite loss"
    if diagnosis is not None and diagnosis.findings:
        description += f", {findings_in_words(diagnosis)}"
    return as_sentence(description)


def _table_cell(name: str, value: Any) -> str:
    if name == "learning_rate":
        return format_rate(float(value), digits=4)
    if isinstance(value, str):
        return value
    return str(int(value)) if name in INTEGER_COLUMNS else format_number(float(value))


def _thinned_run(run: pd.DataFrame, result: SensitivityResult, limit: int) -> pd.DataFrame:
    if len(run) <= limit:
        return run
    judged = run[result.objective].to_numpy(dtype=np.float64)
    worst = np.inf if result.direction == "min" else -np.inf
    scores = np.where(np.isfinite(judged), judged, worst)
    best = int(np.argmin(scores) if result.direction == "min" else np.argmax(scores))
    kept = {best, *spike_keeping_indices(run["loss"].to_numpy(dtype=np.float64), max(4, limit - 1)).tolist()}
    return run.iloc[sorted(kept)]
