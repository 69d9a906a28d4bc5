"""The section of diagnosed runs."""

from __future__ import annotations

import math
from typing import Any

from keras_lr.plots.numbers import format_rate
from keras_lr.records.diagnosis import Diagnosis
from keras_lr.report.sections import histories_text as wording
from keras_lr.report.sections.base import Section
from keras_lr.report.sections.histories import rows_a_run, summarize_runs, thinned
from keras_lr.report.wording import count, optimizer_call


def summarize(diagnoses: tuple[Diagnosis, ...], prefix: str) -> dict[str, Any]:
    """Everything the page says of the runs that were added one by one."""
    runs = dict(zip(wording.run_names(diagnoses), diagnoses, strict=True))
    alone = len(runs) == 1
    return {
        **summarize_runs(runs, prefix),
        "verdict": _verdict_on_one(diagnoses[0]) if alone else _verdict_on_several(runs),
        "warnings": wording.warnings("", diagnoses[0]) if alone else [],
        "records": [thinned(diagnosis, rows_a_run(len(runs))).to_dict() for diagnosis in diagnoses],
    }


def _verdict_on_one(run: Diagnosis) -> dict[str, str]:
    badge = {"level": wording.LEVELS[run.verdict], "badge": wording.VERDICTS[run.verdict]}
    rest = " ".join(run.reasons)
    reason = f"Judged from {count(run.n_epochs, run.unit)} of `{run.monitor}`."
    known = "" if run.learning_rate is None else f" {format_rate(run.learning_rate)}"
    if run.suggested_low is not None and run.suggested_high is not None:
        rate = format_rate(math.sqrt(run.suggested_low * run.suggested_high))
        lead = f"The learning rate{known} was {badge['badge'].lower()} in this run. Try"
        reason = f"{reason} To try next: {wording.span(run.suggested_low, run.suggested_high)}."
        return badge | {"lead": lead, "rate": rate, "rest": rest, "reason": reason, "code": optimizer_call({}, rate)}
    lead = (
        f"No verdict on the learning rate{known}"
        if run.verdict == "unclear"
        else f"The learning rate{known} was {badge['badge'].lower()} in this run"
    )
    return badge | {"lead": lead, "rate": "", "rest": rest, "reason": reason, "code": ""}


def _verdict_on_several(runs: dict[str, Diagnosis]) -> dict[str, str]:
    judged = {name: [run for run, item in runs.items() if item.verdict == name] for name in wording.VERDICTS}
    told = [f"{len(names)} {wording.VERDICTS[verdict].lower()}" for verdict, names in judged.items() if names]
    good = judged["good"]
    return {
        "level": "clear" if good else "tentative",
        "badge": "Good" if good else "Unclear",
        "lead": f"{count(len(runs), 'run')} judged: {', '.join(told)}",
        "rate": "",
        "rest": f"Judged good: {', '.join(good)}." if good else "No run was judged good.",
        "reason": "The table below says why for each run.",
        "code": "",
    }


SECTION = Section(
    "diagnosis", "keras_lr.records.diagnosis:Diagnosis", summarize, "histories.html.j2", rank=30, together=True
)
