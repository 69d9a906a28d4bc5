"""What the report says of training histories, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keras_lr.analysis.history_columns import is_higher_better
from keras_lr.plots.numbers import format_number
from keras_lr.records.diagnosis import Diagnosis
from keras_lr.records.rate_words import format_rate
from keras_lr.report.characters import shortened
from keras_lr.report.tables import badge, number
from keras_lr.report.wording import count, sentence

VERDICTS = {"too_low": "Too low", "good": "Good", "too_high": "Too high", "unclear": "Unclear"}
LEVELS = {"too_low": "tentative", "good": "clear", "too_high": "none", "unclear": "tentative"}
_WARNED = ("critical", "warning")
_KEYS = (
    ("hatched: oscillation", {"oscillation"}),
    ("dotted: stagnation or a plateau", {"stagnation", "early_plateau"}),
    ("crossed: divergence", {"divergence"}),
    ("hatched the other way: overfitting", {"overfitting"}),
)
_NAME_LIMIT = 48


def run_names(diagnoses: Sequence[Diagnosis]) -> list[str]:
    """A name a run: its learning rate where that is known and no other run has it, else its place."""
    rates = [
        "" if run.learning_rate is None else f"learning_rate={format_rate(run.learning_rate)}" for run in diagnoses
    ]
    return [
        rate if rate and rates.count(rate) == 1 else f"run {place}" + (f", {rate}" if rate else "")
        for place, rate in enumerate(rates, 1)
    ]


def run_row(name: str, diagnosis: Diagnosis) -> list[Any]:
    """One line of the table of runs."""
    return [
        shortened(name, _NAME_LIMIT),
        badge(VERDICTS[diagnosis.verdict], LEVELS[diagnosis.verdict]),
        number(best_in_words(diagnosis, _best(diagnosis))[1]),
        number(span(diagnosis.suggested_low, diagnosis.suggested_high) or "–"),
        " ".join(diagnosis.reasons),
    ]


def finding_rows(diagnoses: Mapping[str, Diagnosis]) -> list[list[Any]]:
    """The table of findings, a line each."""
    return [
        [
            finding.kind.replace("_", " "),
            shortened(name, _NAME_LIMIT),
            number(f"{diagnosis.unit}s {finding.start_epoch} to {finding.end_epoch}"),
            f"{finding.evidence} ({format_number(finding.effect_size, digits=3)} {finding.effect_unit})",
            finding.advice,
        ]
        for name, diagnosis in diagnoses.items()
        for finding in diagnosis.findings
    ]


def findings_in_words(diagnosis: Diagnosis) -> str:
    """`oscillation in epochs 12 to 19, stagnation in epochs 20 to 30`."""
    return ", ".join(
        f"{finding.kind.replace('_', ' ')} in {diagnosis.unit}s {finding.start_epoch} to {finding.end_epoch}"
        for finding in diagnosis.findings
    )


def warnings(name: str, diagnosis: Diagnosis) -> list[dict[str, str]]:
    """The findings that want an action, the gravest first."""
    found = [finding for finding in diagnosis.findings if finding.severity in _WARNED]
    found.sort(key=lambda finding: _WARNED.index(finding.severity))
    place = f" of {shortened(name, _NAME_LIMIT)}" if name else ""
    return [
        {
            "problem": f"{finding.kind.replace('_', ' ').capitalize()}, {diagnosis.unit}s {finding.start_epoch} to "
            f"{finding.end_epoch}{place}.",
            "action": finding.advice,
        }
        for finding in found
    ]


def figure_note(diagnoses: Mapping[str, Diagnosis], *, shown: int | None = None) -> str:
    """How to read the picture, and what is not in it.

    Args:
        diagnoses: The runs.
        shown: How many of them the picture holds; all where None.
    """
    kinds = {finding.kind for diagnosis in diagnoses.values() for finding in diagnosis.findings}
    keys = [key for key, explained in _KEYS if kinds & explained]
    parts = [f"{'; '.join(keys).capitalize()}."] if keys else []
    parts.append("Crosses at the upper edge: losses above the scale, or not finite.")
    if shown is not None and shown < len(diagnoses):
        parts.append(f"The picture shows the first {shown} runs; {len(diagnoses) - shown} are left out of it.")
    return " ".join(parts)


def describe(diagnoses: Mapping[str, Diagnosis]) -> str:
    """The finding of the picture."""
    return " ".join(_describe_run(name, diagnosis) for name, diagnosis in diagnoses.items())


def method(diagnoses: Mapping[str, Diagnosis]) -> list[str]:
    """How the runs were judged, and what was not looked at."""
    monitors = sorted({shortened(diagnosis.monitor, _NAME_LIMIT) for diagnosis in diagnoses.values()})
    return [
        f"Judged by {' and '.join(f'`{name}`' for name in monitors)} over "
        f"{count(sum(diagnosis.n_epochs for diagnosis in diagnoses.values()), 'point')} of "
        f"{count(len(diagnoses), 'run')}; every threshold is in units of the series' own noise, none in units of loss.",
        "A verdict is the one of too low, good and too high for which the series' features speak most; where none "
        "stands out it is unclear.",
        "Not looked at: gradients, weights, and anything else that the history does not hold.",
    ]


def script(runs: int) -> str:
    """A script that judges the same again; the reader supplies the histories."""
    if runs == 1:
        return """import keras_lr

diagnosis = keras_lr.analyze_history("history.csv")  # what keras.callbacks.CSVLogger wrote
print(diagnosis.verdict, diagnosis.reasons)
keras_lr.Report("One run").add(diagnosis).save("report.html")
"""
    return """import keras_lr

# What keras.callbacks.CSVLogger wrote for each run.
comparison = keras_lr.analyze_histories({"first": "first.csv", "second": "second.csv"})
print(comparison.reason)
keras_lr.Report("Runs compared").add(comparison).save("report.html")
"""


def span(low: float | None, high: float | None) -> str:
    """`1e-4 to 1e-3`; empty where there is none."""
    return "" if low is None or high is None else f"{format_rate(low)} to {format_rate(high)}"


def best_in_words(diagnosis: Diagnosis, loss: float | None) -> tuple[str, str]:
    """What a run's best value is, and its number; a metric that should grow stands negated in the record."""
    if is_higher_better(diagnosis.monitor):
        return f"highest {shortened(diagnosis.monitor, _NAME_LIMIT)}", format_number(None if loss is None else -loss)
    return "lowest loss", format_number(loss)


def _describe_run(name: str, diagnosis: Diagnosis) -> str:
    grows = is_higher_better(diagnosis.monitor)
    losses = [-loss if grows else loss for loss in diagnosis.losses if loss is not None]
    what = shortened(diagnosis.monitor, _NAME_LIMIT) if grows else "the loss"
    course = (
        f"{what} went from {format_number(losses[0], digits=3)} to {format_number(losses[-1], digits=3)} in "
        f"{count(diagnosis.n_epochs, diagnosis.unit)}"
        if losses
        else "no loss was finite"
    )
    seen = findings_in_words(diagnosis)
    judged = f"{VERDICTS[diagnosis.verdict].lower()}, {course}" + (f"; {seen}" if seen else "")
    return sentence(f"{shortened(name, _NAME_LIMIT)}: {judged}")


def _best(diagnosis: Diagnosis) -> float | None:
    judged = [loss for loss in diagnosis.val_losses or diagnosis.losses if loss is not None]
    return min(judged) if judged else None
