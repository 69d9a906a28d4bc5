"""The training histories of a search: small multiples, and what was found in them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from keras_lr.analysis.diagnosis import analyze_history
from keras_lr.errors import KerasLRError
from keras_lr.plots.learning_curves import MAX_REPEATS, learning_curve_panels, runs_of, shown_rates
from keras_lr.plots.numbers import format_number
from keras_lr.plots.sensitivity import main_batch_size
from keras_lr.records.diagnosis import Diagnosis
from keras_lr.records.rate_words import format_rate
from keras_lr.records.sensitivity import SensitivityResult
from keras_lr.report.figures import panel_figure
from keras_lr.report.sections.base import part_view
from keras_lr.report.sections.histories_text import figure_note, finding_rows, findings_in_words
from keras_lr.report.tables import table
from keras_lr.report.wording import count, sentence


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
