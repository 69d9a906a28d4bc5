"""The section of several runs compared."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from keras_lr._utils.formatting import format_rate, shortened
from keras_lr.report._components import count, optimizer_call, verdict
from keras_lr.report._sections import histories as wording
from keras_lr.report._sections.base import Section, section_view
from keras_lr.report._sections.histories import rows_a_run, runs_in_common, thinned
from keras_lr.results._diagnosis import HistoryComparison


def summarize(comparisons: tuple[HistoryComparison], prefix: str) -> dict[str, Any]:
    """Everything the page says of a comparison."""
    (comparison,) = comparisons
    runs = comparison.diagnoses
    best = comparison.best_run
    limit = rows_a_run(len(runs))
    kept = dataclasses.replace(comparison, diagnoses={name: thinned(run, limit) for name, run in runs.items()})
    return section_view(
        heading="Runs compared",
        verdict=_verdict(comparison),
        # The other runs may have been bad on purpose; what ails the best one is worth a word at the top.
        warnings=wording.warnings(best, runs[best]) if best in runs else [],
        records=[kept.to_dict()],
        **runs_in_common(runs, prefix),
    )


def _verdict(comparison: HistoryComparison) -> dict[str, str]:
    rest = f"{count(len(comparison.diagnoses), 'run')} compared."
    name = comparison.best_run
    if name is not None and name in comparison.diagnoses:
        run = comparison.diagnoses[name]
        what, value = wording.best_in_words(run, comparison.best_losses.get(name))
        rest = f"Of {count(len(comparison.diagnoses), 'run')}, {shortened(name, 60)} reached the {what}, {value}."
        if comparison.part_epoch is not None:
            rest += f" It stays ahead from {run.unit} {comparison.part_epoch} on."
    low, high = comparison.suggested_low, comparison.suggested_high
    if low is None or high is None:
        lead = "These runs give no learning rate to try next"
        return verdict(level="none", lead=lead, rest=rest, reason=comparison.reason)
    rate = format_rate(math.sqrt(low * high))
    return verdict(
        level="tentative",
        lead="Try",
        rate=rate,
        rest=f"To try: {wording.span(low, high)}. {rest}" if low < high else rest,
        reason=comparison.reason,
        code=optimizer_call({}, rate),
    )


SECTION = Section("history_comparison", HistoryComparison, summarize, rank=40)
