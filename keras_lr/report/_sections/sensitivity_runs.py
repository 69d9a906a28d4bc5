"""The training histories of a search: small multiples, and what was found in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from keras_lr._utils.downsampling import evenly_chosen, spike_keeping_indices
from keras_lr._utils.formatting import format_number, format_rate
from keras_lr.analysis._diagnosis.diagnose import analyze_history
from keras_lr.errors import KerasLRError
from keras_lr.plots._sensitivity import MAX_REPEATS, learning_curve_panels, main_batch_size, runs_of, shown_rates
from keras_lr.report._components import count, data, panel_figure, sentence, table
from keras_lr.report._sections.base import part_view
from keras_lr.report._sections.histories import figure_note, finding_rows, findings_in_words
from keras_lr.results._diagnosis import Diagnosis
from keras_lr.results._sensitivity import SensitivityResult

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


def representative_diagnoses(result: SensitivityResult, runs: pd.DataFrame) -> dict[float, Diagnosis]:
    """The diagnosis of each shown learning rate's middle run, by the rate; none where a run cannot be judged."""
    found = {}
    for rate in shown_rates(result):
        run = _middle_run(result, runs, rate)
        columns = {name: run[name].to_numpy() for name in ("epoch", "learning_rate", "loss", "val_loss")}
        if not np.isfinite(run["val_loss"]).any():
            del columns["val_loss"]
        try:
            found[rate] = analyze_history(columns)
        except KerasLRError:
            continue
    return found


def search_histories(result: SensitivityResult, diagnoses: Mapping[float, Diagnosis], prefix: str) -> list[Any]:
    """The part of the page that shows them; none where there is no run."""
    rates = shown_rates(result)
    if not rates:
        return []
    findings = {rate: diagnosis.findings for rate, diagnosis in diagnoses.items()}
    panels = learning_curve_panels(result, findings=findings)
    told = [_describe_rate(result, rate, diagnoses.get(rate)) for rate in rates]
    named = {format_rate(rate): diagnosis for rate, diagnosis in diagnoses.items()}
    rows = finding_rows(named)
    columns = ["Finding", "Learning rate", "Where", "Evidence", "Advice"]
    return [
        part_view(
            name="histories",
            heading="Training histories",
            note=_note(result, named, rates),
            figure=panel_figure(
                {format_rate(rate): draw for rate, draw in panels.items()},
                title="Training histories",
                description=" ".join(told),
                descriptions=told,
                prefix=f"{prefix}-runs",
            ),
            tables=[table("What was found in the middle run of each learning rate", columns, rows)] if rows else [],
        )
    ]


def _middle_run(result: SensitivityResult, runs: pd.DataFrame, rate: float) -> pd.DataFrame:
    """The repeat whose outcome is the median: what to expect, neither the lucky nor the unlucky one."""
    size = main_batch_size(result)
    own = runs[(runs["learning_rate"] == rate) & (runs["batch_size"] == size)].sort_values("score", kind="stable")
    repeat = own["repeat"].iloc[(len(own) - 1) // 2]
    return next(run for run in runs_of(result, rate) if run["repeat"].iloc[0] == repeat)


def _note(result: SensitivityResult, named: Mapping[str, Diagnosis], rates: list[float]) -> str:
    parts = ["One panel a learning rate, one line a seed, one scale."]
    parts.append(figure_note(named))
    if len(result.batch_sizes) > 1:
        parts.append(f"Batch size {main_batch_size(result)}.")
    tried = len(result.learning_rates)
    if len(rates) < tried:
        parts.append(f"Shown are {len(rates)} of {count(tried, 'learning rate')}.")
    if result.repeats > MAX_REPEATS:
        parts.append(f"Shown are {MAX_REPEATS} of {count(result.repeats, 'seed')}.")
    return " ".join(parts)


def _describe_rate(result: SensitivityResult, rate: float, diagnosis: Diagnosis | None) -> str:
    ends = [run["loss"].dropna() for run in runs_of(result, rate)]
    reached = [float(losses.iloc[-1]) for losses in ends if len(losses)]
    told = f"{format_rate(rate)}: "
    told += f"last loss {format_number(float(np.median(reached)), digits=3)}" if reached else "no finite loss"
    if diagnosis is not None and diagnosis.findings:
        told += f", {findings_in_words(diagnosis)}"
    return sentence(told)
