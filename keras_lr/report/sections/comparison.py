"""The section of several runs compared."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from keras_lr.plots.numbers import format_number, format_rate
from keras_lr.records.diagnosis import HistoryComparison
from keras_lr.report.sections import histories_text as wording
from keras_lr.report.sections.base import Section
from keras_lr.report.sections.histories import rows_a_run, summarize_runs, thinned
from keras_lr.report.wording import count, optimizer_call


def summarize(comparisons: tuple[HistoryComparison], prefix: str) -> dict[str, Any]:
    """Everything the page says of a comparison."""
    (comparison,) = comparisons
    runs = comparison.diagnoses
    best = comparison.best_run
    limit = rows_a_run(max(1, len(runs)))
    kept = dataclasses.replace(comparison, diagnoses={name: thinned(run, limit) for name, run in runs.items()})
    return {
        **summarize_runs(runs, prefix),
        "verdict": _verdict(comparison),
        # The other runs may have been bad on purpose; what ails the best one is worth a word at the top.
        "warnings": wording.warnings(best, runs[best]) if best in runs else [],
        "records": [kept.to_dict()],
    }


def _verdict(comparison: HistoryComparison) -> dict[str, str]:
    rest = f"{count(len(comparison.diagnoses), 'run')} compared."
    if comparison.best_run is not None:
        best = format_number(comparison.best_losses.get(comparison.best_run))
        rest = f"Of {count(len(comparison.diagnoses), 'run')}, {comparison.best_run} reached the lowest loss, {best}."
    if comparison.part_epoch is not None:
        rest += f" It stays ahead from epoch {comparison.part_epoch} on."
    low, high = comparison.suggested_low, comparison.suggested_high
    if low is None or high is None:
        return {
            "level": "none",
            "badge": "No answer",
            "lead": "These runs give no learning rate to try next",
            "rate": "",
            "rest": rest,
            "reason": comparison.reason,
            "code": "",
        }
    rate = format_rate(math.sqrt(low * high))
    return {
        "level": "tentative",
        "badge": "Tentative",
        "lead": "Try",
        "rate": rate,
        "rest": f"To try: {wording.span(low, high)}. {rest}" if low < high else rest,
        "reason": comparison.reason,
        "code": optimizer_call({}, rate),
    }


SECTION = Section(
    "history_comparison", "keras_lr.records.diagnosis:HistoryComparison", summarize, "histories.html.j2", rank=40
)
