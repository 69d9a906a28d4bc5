"""The section of several runs compared."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from keras_lr._utils.formatting import format_rate, shortened
from keras_lr.report._components import counted, optimizer_call, verdict_view
from keras_lr.report._sections.base import Section, section_view
from keras_lr.report._sections.histories import (
    best_in_words,
    finding_warnings,
    rate_span,
    rows_per_run,
    runs_view,
    thinned,
)
from keras_lr.results._diagnosis import HistoryComparison


def comparison_section(comparisons: tuple[HistoryComparison], prefix: str) -> dict[str, Any]:
    """Everything the page shows of a comparison."""
    (comparison,) = comparisons
    runs = comparison.diagnoses
    best = comparison.best_run
    limit = rows_per_run(len(runs))
    kept = dataclasses.replace(comparison, diagnoses={name: thinned(run, limit) for name, run in runs.items()})
    return section_view(
        heading="Runs compared",
        verdict=_verdict(comparison),
        # The other runs may be bad on purpose, so only the best one's findings reach the first screen.
        warnings=finding_warnings(best, runs[best]) if best in runs else [],
        records=[kept.to_dict()],
        **runs_view(runs, prefix),
    )


def _verdict(comparison: HistoryComparison) -> dict[str, str]:
    rest = f"{counted(len(comparison.diagnoses), 'run')} compared."
    name = comparison.best_run
    if name is not None and name in comparison.diagnoses:
        run = comparison.diagnoses[name]
        what, value = best_in_words(run, comparison.best_losses.get(name))
        rest = f"Of {counted(len(comparison.diagnoses), 'run')}, {shortened(name, 60)} reached the {what}, {value}."
        if comparison.part_epoch is not None:
            rest += f" It stays ahead from {run.unit} {comparison.part_epoch} on."
    low, high = comparison.suggested_low, comparison.suggested_high
    if low is None or high is None:
        lead = "These runs suggest no learning rate to try next"
        return verdict_view(level="none", lead=lead, rest=rest, reason=comparison.reason)
    rate = format_rate(math.sqrt(low * high))
    return verdict_view(
        level="tentative",
        lead="Try",
        rate=rate,
        rest=f"Range to try: {rate_span(low, high)}. {rest}" if low < high else rest,
        reason=comparison.reason,
        code=optimizer_call({}, rate),
    )


SECTION = Section("history_comparison", HistoryComparison, comparison_section, rank=40)
