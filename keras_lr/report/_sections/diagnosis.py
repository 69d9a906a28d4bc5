"""The sections of diagnosed runs: on their own, and compared."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

import numpy as np

from keras_lr._utils.downsampling import evenly_chosen, spike_keeping_indices
from keras_lr._utils.formatting import counted, format_number, format_rate, shortened
from keras_lr.plots._history import Scale, history_panels, lines_of, plot_history
from keras_lr.report._components import (
    TABLE_ROWS,
    Section,
    as_sentence,
    badge_cell,
    code_to_paste,
    data_view,
    fact_views,
    figure_view,
    number_cell,
    panels_view,
    section_view,
    short_name,
    table_view,
    thinning_note,
    verdict_view,
    warning_view,
)
from keras_lr.results._diagnosis import (
    FINDING_KINDS,
    VERDICTS,
    Diagnosis,
    HistoryComparison,
    Severity,
    rate_span,
    span_in_words,
    verdict_badge,
    verdict_sentence,
)

_MAX_RUNS = 12
_CSV_ROWS = 1200
_MIN_ROWS_PER_RUN = 20
_RUN_COLUMNS = ["Run", "Learning rate was", "Best value", "Try next", "Why"]
_SEVERITY_RANK = {severity: rank for rank, severity in enumerate(get_args(Severity))}


def runs_view(diagnoses: Mapping[str, Diagnosis], prefix: str) -> dict[str, Any]:
    """The arguments of `section_view` that describe the runs: all but heading, verdict, warnings and records.

    Args:
        diagnoses: The runs by name.
        prefix: Starts every id.
    """
    drawn = dict(list(diagnoses.items())[:_MAX_RUNS])
    rows = [_run_row(*item) for item in diagnoses.items()]
    # The verdict on a single run already stands above.
    tables = [table_view("Verdict per run", _RUN_COLUMNS, rows)] if len(diagnoses) > 1 else []
    return {
        "facts": _facts(*diagnoses.values()) if len(diagnoses) == 1 else [],
        "tables": [*tables, *finding_tables(diagnoses, caption="Findings in the runs", name_column="Run")],
        "figure": _figure(drawn, len(diagnoses), prefix),
        "method": _method(diagnoses),
        "script": _script(len(diagnoses)),
        "data": _data(diagnoses),
    }


def thinned(diagnosis: Diagnosis, limit: int) -> Diagnosis:
    """The diagnosis with at most `limit` points of its series, without losing the extremes of any stretch."""
    kept = spike_keeping_indices([np.nan if loss is None else loss for loss in diagnosis.losses], limit)
    series = ("epochs", "losses", "val_losses", "learning_rates")
    chosen: dict[str, Any] = {
        name: tuple(values[i] for i in kept) for name in series if (values := getattr(diagnosis, name))
    }
    return dataclasses.replace(diagnosis, **chosen)


def rows_per_run(runs: int) -> int:
    """How many points the page holds of each of `runs` series."""
    return max(_MIN_ROWS_PER_RUN, _CSV_ROWS // max(1, runs))


def run_names(diagnoses: Sequence[Diagnosis], given: Sequence[str]) -> list[str]:
    """A name per run: the given one or its learning rate, if that is known and unique, else its position."""
    rates = [
        "" if run.learning_rate is None else f"learning_rate={format_rate(run.learning_rate)}" for run in diagnoses
    ]
    known = [name or rate for name, rate in zip(given, rates, strict=True)]
    return [
        name if name and known.count(name) == 1 else f"run {place}" + (f", {name}" if name else "")
        for place, name in enumerate(known, 1)
    ]


def finding_tables(diagnoses: Mapping[str, Diagnosis], *, caption: str, name_column: str) -> list[dict[str, Any]]:
    """A table with one row per finding; no table if there are no findings.

    Args:
        diagnoses: The runs by name.
        caption: What the table holds.
        name_column: What the names are.
    """
    rows = [
        [
            FINDING_KINDS[finding.kind].name,
            short_name(name),
            number_cell(span_in_words(finding, diagnosis.unit)),
            finding.evidence,
            finding.advice,
        ]
        for name, diagnosis in diagnoses.items()
        for finding in diagnosis.findings
    ]
    return [table_view(caption, ["Finding", name_column, "Where", "Evidence", "Advice"], rows)] if rows else []


def findings_in_words(diagnosis: Diagnosis) -> str:
    """`oscillation in epochs 12 to 19, stagnation in epochs 20 to 30`."""
    return ", ".join(
        f"{FINDING_KINDS[finding.kind].name} in {span_in_words(finding, diagnosis.unit)}"
        for finding in diagnosis.findings
    )


def finding_warnings(name: str, diagnosis: Diagnosis) -> list[dict[str, str]]:
    """The findings that call for action, the most severe first; `name` is empty if there is only one run."""
    urgent = [finding for finding in diagnosis.findings if finding.severity != "info"]
    urgent.sort(key=lambda finding: -_SEVERITY_RANK[finding.severity])
    place = f" of {short_name(name)}" if name else ""
    return [
        warning_view(
            f"{FINDING_KINDS[finding.kind].name.capitalize()}, {span_in_words(finding, diagnosis.unit)}{place}.",
            finding.advice,
        )
        for finding in urgent
    ]


def pattern_key(diagnoses: Iterable[Diagnosis]) -> str:
    """What the patterns over the epochs of findings mean; empty if there is none."""
    found = {finding.kind for diagnosis in diagnoses for finding in diagnosis.findings}
    patterns: dict[str, list[str]] = {}
    for kind, words in FINDING_KINDS.items():
        if kind in found and words.pattern:
            patterns.setdefault(words.pattern, []).append(words.name)
    legend = "; ".join(f"{pattern}: {' or '.join(names)}" for pattern, names in patterns.items())
    return as_sentence(legend.capitalize())


def _figure_key(drawn: Mapping[str, Diagnosis], count: int) -> str:
    """How to read the figure of the runs that are `drawn`, out of `count`."""
    runs = drawn.values()
    crosses = Scale.shared_by(runs).crosses_note(map(lines_of, runs))
    omitted = f"Only the first {len(drawn)} of {counted(count, 'run')} are drawn." if len(drawn) < count else ""
    return " ".join(filter(None, (pattern_key(runs), crosses, omitted)))


def compared_series(comparison: HistoryComparison) -> str:
    """Name of the series by which the runs were compared."""
    runs = list(comparison.diagnoses.values())
    return short_name(f"val_{runs[0].monitor}" if all(run.val_losses for run in runs) else runs[0].monitor)


def lead_in_words(comparison: HistoryComparison, name: str) -> str:
    """Since when the best run, `name`, is ahead: `ahead from epoch 3 on`; empty if it never stays so."""
    first, unit = comparison.part_epoch, comparison.diagnoses[name].unit
    return "" if first is None else f"ahead from {unit} {first} on" if first else f"ahead in every {unit}"


def _facts(run: Diagnosis) -> list[dict[str, str]]:
    facts = [
        (f"Best {short_name(f'val_{run.monitor}' if run.val_losses else run.monitor)}", format_number(_best(run))),
        (f"{run.unit.capitalize()}s", f"{run.n_epochs:,}"),
        ("Learning rate", "" if run.learning_rate is None else format_rate(run.learning_rate)),
        ("Range to try", rate_span(run.suggested_low, run.suggested_high)),
    ]
    return fact_views((label, value) for label, value in facts if value)


def _run_row(name: str, diagnosis: Diagnosis) -> list[Any]:
    words = VERDICTS[diagnosis.verdict]
    return [
        short_name(name),
        badge_cell(verdict_badge(diagnosis.verdict, diagnosis.share), words.level),
        number_cell(format_number(_best(diagnosis))),
        number_cell(rate_span(diagnosis.suggested_low, diagnosis.suggested_high) or "–"),
        " ".join(diagnosis.reasons),
    ]


def _best(diagnosis: Diagnosis) -> float | None:
    judged = [loss for loss in diagnosis.val_losses or diagnosis.losses if loss is not None]
    if not judged:
        return None
    return min(judged) if diagnosis.direction == "min" else max(judged)


def _figure(drawn: dict[str, Diagnosis], count: int, prefix: str) -> dict[str, Any]:
    """The runs that are `drawn`, out of `count`."""
    descriptions = [_describe_run(name if count > 1 else "", diagnosis) for name, diagnosis in drawn.items()]
    shared: dict[str, Any] = {
        "title": "Training histories",
        "description": " ".join(descriptions),
        "prefix": f"{prefix}-runs",
        "key": _figure_key(drawn, count),
    }
    if len(drawn) == 1:
        (diagnosis,) = drawn.values()
        return figure_view(lambda figure: plot_history(diagnosis, ax=figure.subplots()), heights=(3.8, 3.4), **shared)
    return panels_view(history_panels(drawn), descriptions=descriptions, **shared)


def _describe_run(name: str, diagnosis: Diagnosis) -> str:
    losses = [loss for loss in diagnosis.losses if loss is not None]
    what = "the loss" if diagnosis.direction == "min" else short_name(diagnosis.monitor)
    course = (
        f"{what} went from {format_number(losses[0], digits=3)} to {format_number(losses[-1], digits=3)} in "
        f"{counted(diagnosis.n_epochs, diagnosis.unit)}"
        if losses
        else "no loss was finite"
    )
    found = findings_in_words(diagnosis)
    badge = verdict_badge(diagnosis.verdict, diagnosis.share)
    judged = f"{short_name(name)}: {badge.lower()}" if name else badge
    return as_sentence(f"{judged}, {course}" + (f"; {found}" if found else ""))


def _method(diagnoses: Mapping[str, Diagnosis]) -> list[str]:
    monitors = sorted({short_name(diagnosis.monitor) for diagnosis in diagnoses.values()})
    points = sum(diagnosis.n_epochs for diagnosis in diagnoses.values())
    return [
        f"Judged by {' and '.join(f'`{name}`' for name in monitors)}, {counted(points, 'point')} of "
        f"{counted(len(diagnoses), 'run')}. Every threshold is a multiple of the series' own noise; none is a value of "
        "the loss.",
        "First come the facts that settle a verdict, or show that the learning rate is not the cause. Otherwise the "
        "verdict is too low, good or too high, whichever the features of the series support most; it is unclear if "
        "none of them stands out.",
        "Not looked at: gradients, weights, and anything else that the history does not hold.",
    ]


def _script(runs: int) -> str:
    if runs == 1:
        return """import keras_lr

diagnosis = keras_lr.analyze_history("history.csv")  # written by keras.callbacks.CSVLogger
print(diagnosis.verdict, diagnosis.reasons)
keras_lr.Report("One run").add(diagnosis).save("report.html")
"""
    return """import keras_lr

# One file per run, written by keras.callbacks.CSVLogger.
comparison = keras_lr.analyze_histories({"first": "first.csv", "second": "second.csv"})
print(comparison.reason)
keras_lr.Report("Runs compared").add(comparison).save("report.html")
"""


def _data(diagnoses: Mapping[str, Diagnosis]) -> dict[str, Any]:
    limit = rows_per_run(len(diagnoses))
    rows = [row for name, diagnosis in diagnoses.items() for row in _data_rows(name, thinned(diagnosis, limit))]
    shown = [rows[place] for place in evenly_chosen(len(rows), TABLE_ROWS)]
    units = {diagnosis.unit for diagnosis in diagnoses.values()}
    unit = units.pop() if len(units) == 1 else "point"
    measured = sum(diagnosis.n_epochs for diagnosis in diagnoses.values())
    monitors = {diagnosis.monitor for diagnosis in diagnoses.values()}
    monitor = monitors.pop() if len(monitors) == 1 else "value"
    return data_view(
        caption=f"Training histories, {len(shown)} of {counted(measured, unit)}",
        columns=["run", unit, monitor, f"val_{monitor}", "learning_rate"],
        rows=[
            [
                shortened(name, 60),
                str(epoch),
                format_number(loss),
                format_number(val_loss),
                "–" if rate is None else format_rate(rate, digits=4),
            ]
            for name, epoch, loss, val_loss, rate in shown
        ],
        csv_name="histories.csv",
        csv_rows=rows,
        note=thinning_note(measured, len(rows), unit),
    )


def _data_rows(name: str, diagnosis: Diagnosis) -> list[list[Any]]:
    missing = (None,) * len(diagnosis.epochs)
    series = (diagnosis.losses, diagnosis.val_losses or missing, diagnosis.learning_rates or missing)
    return [[name, *row] for row in zip(diagnosis.epochs, *series, strict=True)]


def diagnosis_section(diagnoses: tuple[Diagnosis, ...], prefix: str, names: tuple[str, ...]) -> dict[str, Any]:
    """Everything the page shows of the diagnoses that were added one by one."""
    runs = dict(zip(run_names(diagnoses, names), diagnoses, strict=True))
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
    level = VERDICTS[run.verdict].level
    badge = verdict_badge(run.verdict, run.share)
    lead = f"{verdict_sentence(run.verdict, run.learning_rate, share=run.share)} in this run"
    reason = f"Judged from {counted(run.n_epochs, run.unit)} of `{short_name(run.monitor)}`."
    rest = " ".join(run.reasons)
    if run.suggested_low is None or run.suggested_high is None:
        return verdict_view(level=level, badge=badge, lead=lead, rest=rest, reason=reason)
    rate = format_rate(math.sqrt(run.suggested_low * run.suggested_high))
    return verdict_view(
        level=level,
        badge=badge,
        lead=f"{lead}. Try",
        rate=rate,
        rest=rest,
        reason=f"{reason} Range to try: {rate_span(run.suggested_low, run.suggested_high)}.",
        code=_measure_first(rate, guess="what this run suggests"),
    )


def _verdict_on_several(runs: dict[str, Diagnosis]) -> dict[str, str]:
    judged = {verdict: [name for name, run in runs.items() if run.verdict == verdict] for verdict in VERDICTS}
    counts = [f"{len(names)} {VERDICTS[verdict].badge.lower()}" for verdict, names in judged.items() if names]
    good = judged["good"]
    return verdict_view(
        level="clear" if len(good) == len(runs) else "tentative",
        badge="All good" if len(good) == len(runs) else "Some good" if good else "None good",
        lead=f"{counted(len(runs), 'run')} judged: {', '.join(counts)}",
        rest=f"Judged good: {', '.join(good)}." if good else "No run was judged good.",
        reason="The table says why for each run.",
    )


def _verdict_of_comparison(comparison: HistoryComparison) -> dict[str, str]:
    rest = f"{counted(len(comparison.diagnoses), 'run')} compared."
    name = comparison.best_run
    if name is not None and name in comparison.diagnoses:
        value = format_number(comparison.best_losses.get(name))
        rest = f"The best run, {shortened(name, 60)}, reached `{compared_series(comparison)}` {value}."
        if lead := lead_in_words(comparison, name):
            rest += f" It was {lead}."
    low, high = comparison.suggested_low, comparison.suggested_high
    if low is None or high is None:
        lead = "These runs suggest no learning rate to try next"
        return verdict_view(level="none", lead=lead, rest=rest, reason=comparison.reason)
    rate = format_rate(_rate_to_try(comparison, low, high))
    return verdict_view(
        level="tentative",
        lead="Try",
        rate=rate,
        rest=f"Range to try: {rate_span(low, high)}. {rest}" if low < high else rest,
        reason=comparison.reason,
        code=_measure_first(rate, guess="what these runs suggest"),
    )


def _rate_to_try(comparison: HistoryComparison, low: float, high: float) -> float:
    """The rate of the best run if it was judged good and lies within the range; else the middle, on a log scale."""
    best = comparison.diagnoses.get(comparison.best_run or "")
    own = None if best is None or best.verdict != "good" else best.learning_rate
    return own if own is not None and low <= own <= high else math.sqrt(low * high)


def _measure_first(rate: str, *, guess: str) -> str:
    """A range test measures what a history only lets one guess."""
    return (
        "# Measure a learning rate for your model and data:\n"
        "result = keras_lr.find_lr(model, x, y)\n"
        f"# Or try {guess}:\n"
        f"{code_to_paste({}, rate)}"
    )


DIAGNOSIS = Section("diagnosis", Diagnosis, diagnosis_section, rank=30, together=True)
COMPARISON = Section("history_comparison", HistoryComparison, comparison_section, rank=40)
