"""The sections of diagnosed runs: on their own, and compared."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from keras_lr._utils.formatting import format_rate, shortened
from keras_lr.report._components import Section, counted, optimizer_call, section_view, verdict_view
from keras_lr.report._sections.histories import (
    best_in_words,
    finding_warnings,
    rate_span,
    rows_per_run,
    run_names,
    runs_view,
    thinned,
)
from keras_lr.results._diagnosis import VERDICTS, Diagnosis, HistoryComparison, verdict_sentence


def diagnosis_section(diagnoses: tuple[Diagnosis, ...], prefix: str) -> dict[str, Any]:
    """Everything the page shows of the diagnoses that were added one by one."""
    runs = dict(zip(run_names(diagnoses), diagnoses, strict=True))
    alone = len(runs) == 1
    return section_view(
        heading="Diagnosis",
        verdict=_verdict_on_one(diagnoses[0]) if alone else _verdict_on_several(runs),
        warnings=finding_warnings("", diagnoses[0]) if alone else [],
        records=[thinned(diagnosis, rows_per_run(len(runs))).to_dict() for diagnosis in diagnoses],
        **runs_view(runs, prefix),
    )


def comparison_section(comparisons: tuple[HistoryComparison], prefix: str) -> dict[str, Any]:
    """Everything the page shows of a comparison."""
    (comparison,) = comparisons
    runs = comparison.diagnoses
    best = comparison.best_run
    limit = rows_per_run(len(runs))
    kept = dataclasses.replace(comparison, diagnoses={name: thinned(run, limit) for name, run in runs.items()})
    return section_view(
        heading="Runs compared",
        verdict=_verdict_of_comparison(comparison),
        # The other runs may be bad on purpose, so only the best one's findings reach the first screen.
        warnings=finding_warnings(best, runs[best]) if best in runs else [],
        records=[kept.to_dict()],
        **runs_view(runs, prefix),
    )


def _verdict_on_one(run: Diagnosis) -> dict[str, str]:
    words = VERDICTS[run.verdict]
    lead = f"{verdict_sentence(run.verdict, run.learning_rate)} in this run"
    reason = f"Judged from {counted(run.n_epochs, run.unit)} of `{shortened(run.monitor, 48)}`."
    rest = " ".join(run.reasons)
    if run.suggested_low is None or run.suggested_high is None:
        return verdict_view(level=words.level, badge=words.badge, lead=lead, rest=rest, reason=reason)
    rate = format_rate(math.sqrt(run.suggested_low * run.suggested_high))
    return verdict_view(
        level=words.level,
        badge=words.badge,
        lead=f"{lead}. Try",
        rate=rate,
        rest=rest,
        reason=f"{reason} Range to try: {rate_span(run.suggested_low, run.suggested_high)}.",
        code=optimizer_call({}, rate),
    )


def _verdict_on_several(runs: dict[str, Diagnosis]) -> dict[str, str]:
    judged = {verdict: [name for name, run in runs.items() if run.verdict == verdict] for verdict in VERDICTS}
    counts = [f"{len(names)} {VERDICTS[verdict].badge.lower()}" for verdict, names in judged.items() if names]
    good = judged["good"]
    words = VERDICTS["good" if good else "unclear"]
    return verdict_view(
        level=words.level,
        badge=words.badge,
        lead=f"{counted(len(runs), 'run')} judged: {', '.join(counts)}",
        rest=f"Judged good: {', '.join(good)}." if good else "No run was judged good.",
        reason="The table says why for each run.",
    )


def _verdict_of_comparison(comparison: HistoryComparison) -> dict[str, str]:
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


DIAGNOSIS = Section("diagnosis", Diagnosis, diagnosis_section, rank=30, together=True)
COMPARISON = Section("history_comparison", HistoryComparison, comparison_section, rank=40)
