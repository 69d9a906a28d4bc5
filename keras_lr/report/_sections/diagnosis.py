"""The section of diagnosed runs."""

from __future__ import annotations

import math
from typing import Any

from keras_lr._utils.formatting import format_rate, shortened
from keras_lr.report._components import count, optimizer_call, verdict
from keras_lr.report._sections import histories as wording
from keras_lr.report._sections.base import Section, section_view
from keras_lr.report._sections.histories import rows_a_run, runs_in_common, thinned
from keras_lr.results._diagnosis import Diagnosis


def summarize(diagnoses: tuple[Diagnosis, ...], prefix: str) -> dict[str, Any]:
    """Everything the page says of the runs that were added one by one."""
    runs = dict(zip(wording.run_names(diagnoses), diagnoses, strict=True))
    alone = len(runs) == 1
    return section_view(
        heading="Diagnosis",
        verdict=_verdict_on_one(diagnoses[0]) if alone else _verdict_on_several(runs),
        warnings=wording.warnings("", diagnoses[0]) if alone else [],
        records=[thinned(diagnosis, rows_a_run(len(runs))).to_dict() for diagnosis in diagnoses],
        **runs_in_common(runs, prefix),
    )


def _verdict_on_one(run: Diagnosis) -> dict[str, str]:
    level, judged = wording.LEVELS[run.verdict], wording.VERDICTS[run.verdict]
    reason = f"Judged from {count(run.n_epochs, run.unit)} of `{shortened(run.monitor, 48)}`."
    known = "" if run.learning_rate is None else f" {format_rate(run.learning_rate)}"
    lead = (
        f"No verdict on the learning rate{known}"
        if run.verdict == "unclear"
        else f"The learning rate{known} was {judged.lower()} in this run"
    )
    shared = {"level": level, "badge": judged, "rest": " ".join(run.reasons)}
    if run.suggested_low is None or run.suggested_high is None:
        return verdict(lead=lead, reason=reason, **shared)
    rate = format_rate(math.sqrt(run.suggested_low * run.suggested_high))
    reason = f"{reason} To try next: {wording.span(run.suggested_low, run.suggested_high)}."
    return verdict(lead=f"{lead}. Try", rate=rate, reason=reason, code=optimizer_call({}, rate), **shared)


def _verdict_on_several(runs: dict[str, Diagnosis]) -> dict[str, str]:
    judged = {name: [run for run, item in runs.items() if item.verdict == name] for name in wording.VERDICTS}
    told = [f"{len(names)} {wording.VERDICTS[found].lower()}" for found, names in judged.items() if names]
    good = judged["good"]
    return verdict(
        level="clear" if good else "tentative",
        badge="Good" if good else "Unclear",
        lead=f"{count(len(runs), 'run')} judged: {', '.join(told)}",
        rest=f"Judged good: {', '.join(good)}." if good else "No run was judged good.",
        reason="The table says why for each run.",
    )


SECTION = Section("diagnosis", Diagnosis, summarize, rank=30, together=True)
