"""The section of a search over learning rates."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from keras_lr._utils.downsampling import evenly_chosen, nearest, spike_keeping_indices
from keras_lr._utils.formatting import counted, format_number, format_rate
from keras_lr.analysis._batch_size import rule_ridge
from keras_lr.analysis._diagnosis.compare import representative_diagnoses
from keras_lr.analysis._sensitivity import (
    ENOUGH_REPEATS,
    FEW_REPEATS,
    RUN_KEYS,
    at_edge_in_words,
    lost_gain,
    main_batch_size,
    median_scores,
    run_scores,
    runs_at,
    trained_runs,
)
from keras_lr.plots._history import MAX_REPEATS, LearningCurves, shown_rates
from keras_lr.plots._sensitivity import (
    MAX_HEATMAP_SIZES,
    MAX_RATES,
    plot_heatmap,
    plot_sensitivity,
)
from keras_lr.report._components import (
    NO_RATE,
    TABLE_ROWS,
    Section,
    as_sentence,
    code_to_paste,
    code_value,
    data_view,
    environment_rows,
    fact_views,
    figure_view,
    number_cell,
    number_column,
    panels_view,
    part_view,
    section_view,
    short_name,
    table_view,
    verdict_view,
    warning_view,
)
from keras_lr.report._sections.diagnosis import (
    finding_tables,
    finding_warnings,
    findings_in_words,
    pattern_key,
)
from keras_lr.report._sections.race import listed, race_view
from keras_lr.results._diagnosis import Diagnosis
from keras_lr.results._sensitivity import (
    BASIN_NAMES,
    CHAOTIC,
    INTEGER_COLUMNS,
    RUN_STATUS_NAMES,
    SensitivityResult,
    basin_sentences,
    basins,
    chaos_in_words,
)

_MAX_TABLE_ROWS = 60
_ENGINES: dict[str, str] = {
    "stacked": "all runs of the grid in one compiled program",
    "function": "one traced training step for all runs",
    "reuse": "one built model that is reset for each run",
    "rebuild": "a new model for each run",
}

_EMBEDDED_ROWS = 1200
_MIN_ROWS_PER_RUN = 4


def sensitivity_section(results: tuple[SensitivityResult], prefix: str) -> dict[str, Any]:
    """Everything the page shows of a search."""
    (result,) = results
    runs = run_scores(result.frame, objective=result.objective, direction=result.direction)
    kept = embedded_frame(result)
    diagnoses = representative_diagnoses(result, runs, shown_rates(result))
    own = race_view(result, result.race, prefix) if result.race else _grid_view(result, runs, prefix)
    return section_view(
        **own | {"method": [*_engine_method(result), *own["method"]]},
        verdict=_verdict(result),
        warnings=_warnings(result, runs, diagnoses.get(result.best_learning_rate or 0.0)),
        facts=_facts(result, runs),
        parts=[*_heatmap(result, prefix), *search_histories(result, diagnoses, prefix)],
        environment=environment_rows(result.environment),
        data=search_data(result, kept),
        records=[dataclasses.replace(result, frame=kept).to_dict()],
    )


def _grid_view(result: SensitivityResult, runs: pd.DataFrame, prefix: str) -> dict[str, Any]:
    """The arguments of `section_view` in which a search over a grid differs from a race."""
    return {
        "heading": "Sensitivity",
        "note": "The outcome of full training runs at each learning rate: believe this rather than a range test.",
        "figure": figure_view(
            lambda figure: plot_sensitivity(result, ax=figure.subplots()),
            title=f"{short_name(result.objective)} against learning rate",
            description=_describe_curve(result, runs, drawn=min(MAX_RATES, len(result.learning_rates))),
            prefix=f"{prefix}-u",
        ),
        "tables": [_rate_table(result, runs)],
        "method": _method(result),
        "script": _script(result),
    }


def _rate(rate: float) -> str:
    """A rate of the grid. Three digits tell neighbours apart up to ninety rates per decade."""
    return format_rate(rate, digits=3)


def _verdict(result: SensitivityResult) -> dict[str, str]:
    if result.best_learning_rate is None or result.low is None or result.high is None:
        searched = f"{counted(len(result.learning_rates), 'learning rate')} x {counted(result.repeats, 'repeat')}"
        rest = f"Searched: {searched}. {_trained_with(result)}".strip()
        return verdict_view(level=result.confidence, lead=NO_RATE, rest=rest, reason=result.reason)
    rate = _rate(result.best_learning_rate)
    return verdict_view(
        level=result.confidence,
        lead="Use" if result.confidence == "clear" else "Try",
        rate=rate,
        rest=" ".join([*basin_sentences(result), _trained_with(result)]).strip(),
        reason=_reason(result),
        code=code_to_paste(result.environment, rate, batch_size=main_batch_size(result)),
    )


def _trained_with(result: SensitivityResult) -> str:
    """Optimizer and batch size, as far as they are known."""
    optimizer, size = code_value(result.environment, "optimizer", ""), main_batch_size(result)
    how = [f"with {optimizer}" if optimizer else "", f"at batch size {size}" if size else ""]
    return as_sentence(" ".join(filter(None, ["Trained", *how]))) if any(how) else ""


def _warnings(result: SensitivityResult, runs: pd.DataFrame, best: Diagnosis | None) -> list[dict[str, str]]:
    """What calls for action; `best` is the diagnosis of the best rate's middle run."""
    return [
        *_grid_warnings(result),
        *_run_warnings(result, runs),
        *(finding_warnings("the best learning rate", best) if best is not None else []),
    ]


def _reason(result: SensitivityResult) -> str:
    """The reason without the doubts that stand among the warnings."""
    warned = {warning["problem"] for warning in _grid_warnings(result)}
    answer = result.reason.removesuffix(" ".join(result.doubts)).rstrip()
    return " ".join([answer, *(doubt for doubt in result.doubts if doubt not in warned)])


def _grid_warnings(result: SensitivityResult) -> list[dict[str, str]]:
    found: list[dict[str, str]] = []
    rates = result.learning_rates
    if result.race:
        return found
    if result.at_edge and result.best_learning_rate is not None and len(rates) > 1:
        highest = bool(result.best_learning_rate >= rates[-1])
        beyond = format_rate(float(rates[-1] * 10 if highest else rates[0] / 10))
        found.append(warning_view(at_edge_in_words(highest=highest), f"Widen the grid to {beyond}."))
    if result.repeats < ENOUGH_REPEATS:
        found.append(warning_view(FEW_REPEATS, f"Search again with `repeats={ENOUGH_REPEATS}`."))
    return found


def _run_warnings(result: SensitivityResult, runs: pd.DataFrame) -> list[dict[str, str]]:
    found = []
    if result.low is not None and result.high is not None:
        inside = runs["learning_rate"].between(result.low, result.high)
        inside &= runs["batch_size"] == main_batch_size(result)
        lost = runs[inside & (runs["status"] == "diverged")]
        if len(lost):
            first = _rate(float(lost["learning_rate"].min()))
            problem = f"{counted(len(lost), 'run')} within the range diverged."
            found.append(warning_view(problem, f"Stay below {first}."))
    if (chaos := chaos_in_words(result)) is not None:
        found.append(warning_view(*chaos))
    failed = int((runs["status"] == "failed").sum())
    if failed:
        problem = f"{counted(failed, 'run')} failed with an exception."
        found.append(warning_view(problem, "Read the message in the project's `records` folder."))
    return found


def _facts(result: SensitivityResult, runs: pd.DataFrame) -> list[dict[str, str]]:
    rates = result.learning_rates
    facts = [
        (BASIN_NAMES[name].capitalize(), _rate(low) if low == high else f"{_rate(low)} to {_rate(high)}")
        for name, (low, high) in basins(result).items()
    ]
    if result.lr_sensitivity is not None:
        facts.append(("Learning-rate sensitivity", f"{result.lr_sensitivity:.2f}"))
    if len(rates):
        facts.append(("Searched", f"{_rate(rates[0])} to {_rate(rates[-1])}"))
    facts.append(("Learning rates", str(len(rates))))
    if result.race:
        cost, budget = f"{result.race['cost']:.2g}", f"{result.race['budget']:g}"
        facts.append(("Spent on other rates", f"{cost} of {budget} complete run{'' if budget == '1' else 's'}"))
    else:
        facts.append(("Repeats", str(result.repeats)))
    if len(result.batch_sizes) > 1:
        facts.append(("Batch sizes", ", ".join(map(str, result.batch_sizes[:8]))))
    lost = int((runs["status"] == "diverged").sum())
    facts.append(("Runs", f"{len(runs)}" + (f", {lost} diverged" if lost else "")))
    return fact_views(facts)


def _describe_curve(result: SensitivityResult, runs: pd.DataFrame, *, drawn: int) -> str:
    own = runs[runs["batch_size"] == main_batch_size(result)]
    if not len(trained_runs(own)):
        return "No run trained to a finite number."
    medians = median_scores(own)
    parts = []
    best = result.best_learning_rate
    if best is not None and best in medians.index:
        ends = [rate for rate in (float(medians.index[0]), float(medians.index[-1])) if rate != best]
        value, *others = (f"{format_number(float(medians[rate]), digits=3)} at {_rate(rate)}" for rate in (best, *ends))
        against = f", against {' and '.join(others)}" if others else ""
        parts.append(f"The best median {short_name(result.objective)} is {value}{against}.")
    diverged = np.unique(own.loc[own["status"] == "diverged", "learning_rate"].to_numpy(dtype=np.float64))
    if len(diverged):
        parts.append(f"Runs diverged at {listed(diverged.tolist())}.")
    if drawn < len(result.learning_rates):
        parts.append(f"{drawn} of {counted(len(result.learning_rates), 'learning rate')} are drawn.")
    return " ".join(parts) or "No learning rate stands out."


def _rate_table(result: SensitivityResult, runs: pd.DataFrame) -> dict[str, Any]:
    """Median, lowest and highest outcome per learning rate, and how its runs ended."""
    several, lost = len(result.batch_sizes) > 1, lost_gain(result)
    groups = [group for _, group in runs.groupby(["batch_size", "learning_rate"])]
    best = next((place for place, group in enumerate(groups) if _standing(result, group) == "best"), None)
    shown = evenly_chosen(len(groups), _MAX_TABLE_ROWS, always=best)
    caption = f"Best {short_name(result.objective)} of each run, by learning rate"
    if len(shown) < len(groups):
        caption += f"; {len(shown)} of {len(groups):,} rows"
    chosen = [groups[place] for place in shown]
    rates = [number_cell(_rate(float(group["learning_rate"].iloc[0]))) for group in chosen]
    sizes = [number_cell(str(int(group["batch_size"].iloc[0]))) for group in chosen]
    medians, lowest, highest = (number_column(values) for values in zip(*map(_outcomes, chosen), strict=True))
    columns = {
        "Learning rate": rates,
        **({"Batch size": sizes} if several else {}),
        "Median": medians,
        "Gain lost": [number_cell(_lost(result, group, lost)) for group in chosen],
        "Standing": [_standing(result, group) for group in chosen],
        "Lowest": lowest,
        "Highest": highest,
        "Runs": [_endings(group) for group in chosen],
    }
    return table_view(caption, list(columns), zip(*columns.values(), strict=True))


def _outcomes(group: pd.DataFrame) -> tuple[float | None, float | None, float | None]:
    """Median, lowest and highest; a diverged run counts as the worst possible, so the median may be infinite."""
    scores = group["score"].to_numpy(dtype=np.float64)
    trained, ended = scores[np.isfinite(scores)], scores[~np.isnan(scores)]
    low, high = (float(trained.min()), float(trained.max())) if trained.size else (None, None)
    return float(np.median(ended)) if ended.size else None, low, high


def _endings(group: pd.DataFrame) -> str:
    counts = group["status"].value_counts()
    return ", ".join(f"{counts[status]} {name}" for status, name in RUN_STATUS_NAMES.items() if counts.get(status))


def _standing(result: SensitivityResult, group: pd.DataFrame) -> str:
    rate, size = float(group["learning_rate"].iloc[0]), int(group["batch_size"].iloc[0])
    if result.best_learning_rate is None or result.low is None or result.high is None:
        return ""
    if result.best_batch_size not in (None, size):
        return ""
    if rate == result.best_learning_rate:
        return "best"
    if result.low <= rate <= result.high:
        return BASIN_NAMES[result.basin_by]
    low, high = result.usable_low, result.usable_high
    return BASIN_NAMES["gain"] if low is not None and high is not None and low <= rate <= high else ""


def _lost(result: SensitivityResult, group: pd.DataFrame, lost: Mapping[float, float]) -> str:
    """The share of the gain that a rate loses; a dash at other batch sizes than the best."""
    share = lost.get(float(group["learning_rate"].iloc[0]), np.nan)
    own = int(group["batch_size"].iloc[0]) == result.best_batch_size
    return f"{share:.1%}" if own and np.isfinite(share) else "–"


def _heatmap(result: SensitivityResult, prefix: str) -> list[dict[str, Any]]:
    sizes = len(result.batch_sizes)
    if sizes < 2:
        return []
    height = 1.3 + 0.45 * min(sizes, MAX_HEATMAP_SIZES)
    picture = figure_view(
        lambda figure: plot_heatmap(result, ax=figure.subplots()),
        title=f"Median {short_name(result.objective)} by learning rate and batch size",
        description=_describe_heatmap(result),
        prefix=f"{prefix}-batch",
        broad=True,
        heights=(height, height),
    )
    note = "The stronger the colour of a cell, the better its rank. Cross: most runs diverged. Frame: the best."
    note += " Dots: the best rate of each batch size."
    if rule_ridge(result):
        note += " Diamonds: where the optimizer's rule for batch sizes puts it, from the best cell on."
    return [part_view(name="batch", heading="Learning rate and batch size", figure=picture, note=note)]


def _describe_heatmap(result: SensitivityResult) -> str:
    if result.best_learning_rate is None:
        return "No cell stands out."
    return (
        f"The best median {short_name(result.objective)} is at a learning rate of {_rate(result.best_learning_rate)} "
        f"with batch size {main_batch_size(result)}."
    )


def _method(result: SensitivityResult) -> list[str]:
    better = "lowest" if result.direction == "min" else "highest"
    seeds = sorted(int(seed) for seed in result.frame["seed"].unique())
    shown = ", ".join(map(str, seeds[:10])) + (", …" if len(seeds) > 10 else "")
    epochs = 0 if not len(result.frame) else int(result.frame["epoch"].max()) + 1
    lines = [
        f"Each learning rate was trained for up to {counted(epochs, 'epoch')} with the same seeds: {shown or 'none'}.",
        f"A run is scored by its {better} `{short_name(result.objective)}`, a learning rate by the median score of its "
        "runs; a diverged run counts as the worst possible.",
        "As good within noise: repeats indistinguishable from those of the best, given their spread.",
        "The gain is the difference between the median of all runs after the first epoch and the best median. A rate "
        "may lose little of it and still be distinguishable from the best.",
        "The band spans the lowest to the highest repeat; it is not a confidence band.",
    ]
    if result.lr_sensitivity is not None:
        lines.append(
            "Learning-rate sensitivity: the share of the gain that a rate drawn log-uniformly from the searched range "
            "loses on average, 0 if no rate is worse than another, 1 if only the best trains (Wortsman et al. 2023, "
            "arXiv:2309.14322)."
        )
    tried = "" if len(result.batch_sizes) > 1 else " another batch size,"
    lines.append(f"Not tried: learning rates between those of the grid,{tried} another optimizer, a schedule.")
    return lines


def _engine_method(result: SensitivityResult) -> list[str]:
    if result.engine not in _ENGINES:
        return []
    why = f" ({result.engine_reason.rstrip('.')})" if result.engine_reason else ""
    return [f"Engine `{result.engine}`: {_ENGINES[result.engine]}{why}."]


def _script(result: SensitivityResult) -> str:
    rates = ", ".join(format_rate(float(rate), digits=6) for rate in result.learning_rates)
    sizes = f"    batch_sizes={list(result.batch_sizes)},\n" if len(result.batch_sizes) > 1 else ""
    size = "" if sizes else f", batch_size={main_batch_size(result) or 32}"
    epochs = 1 if not len(result.frame) else int(result.frame["epoch"].max()) + 1
    return f"""import keras_lr

from my_project import build_model, load_data  # a compiled model; training and validation data

x, y, x_val, y_val = load_data()
tuner = keras_lr.LogGridSearch(
    build_model,
    objective={json.dumps(result.objective[:80])},
    learning_rates=[{rates}],
{sizes}    repeats={max(1, result.repeats)},
    directory="runs",
    project_name="learning_rate",
)
tuner.search(x, y, validation_data=(x_val, y_val), epochs={epochs}{size})
result = tuner.sensitivity()
print(result)
result.to_html("sensitivity.html")
"""


SECTION = Section("sensitivity", SensitivityResult, sensitivity_section, rank=60)


def search_histories(result: SensitivityResult, diagnoses: Mapping[float, Diagnosis], prefix: str) -> list[Any]:
    """The part with one panel per learning rate; no part if there are no runs.

    Args:
        result: What the search measured.
        diagnoses: By learning rate, the diagnosis of its middle run.
        prefix: Starts every id.
    """
    rates = shown_rates(result)
    if not rates:
        return []
    findings = {rate: diagnosis.findings for rate, diagnosis in diagnoses.items()}
    curves = LearningCurves.of(result)
    descriptions = [_describe_rate(result, rate, diagnoses.get(rate)) for rate in rates]
    named = {_rate(rate): diagnosis for rate, diagnosis in diagnoses.items()}
    caption = "Findings in the middle run of each learning rate"
    return [
        part_view(
            name="histories",
            heading="Training histories",
            note=_note(result, curves),
            figure=panels_view(
                {_rate(rate): draw for rate, draw in curves.panels(findings).items()},
                title="Training histories",
                description=" ".join(descriptions),
                descriptions=descriptions,
                prefix=f"{prefix}-runs",
                key=" ".join(filter(None, (pattern_key(diagnoses.values()), curves.crosses_note()))),
            ),
            tables=finding_tables(named, caption=caption, name_column="Learning rate"),
        )
    ]


def search_data(result: SensitivityResult, kept: pd.DataFrame) -> dict[str, Any]:
    """The table and the CSV of a search."""
    measured = len(result.frame)
    shown = kept.iloc[evenly_chosen(len(kept), TABLE_ROWS)]
    columns = [str(column) for column in kept.columns]
    note = ""
    if len(kept) < measured:
        rates = kept["learning_rate"].nunique()
        note = (
            f"Thinned from {counted(measured, 'row')} to {len(kept):,} on this page, in the CSV and in the JSON, at "
            f"{rates} of {counted(len(result.learning_rates), 'learning rate')}; the best epoch and the spikes of each "
            "run are kept."
        )
    return data_view(
        caption=f"Search, {len(shown)} of {counted(measured, 'row')}: one per learning rate, repeat, batch size, epoch",
        columns=columns,
        rows=[
            [_table_cell(name, value) for name, value in zip(columns, row, strict=True)]
            for row in shown.itertuples(index=False)
        ],
        csv_name="sensitivity.csv",
        csv_rows=kept.itertuples(index=False),
        note=note,
    )


def embedded_frame(result: SensitivityResult) -> pd.DataFrame:
    """About `_EMBEDDED_ROWS` rows of the frame; each run in it keeps its best epoch, and so its score."""
    frame = result.frame
    if len(frame) <= _EMBEDDED_ROWS:
        return frame
    rates = result.learning_rates
    runs_per_rate = max(1, frame[RUN_KEYS].drop_duplicates().shape[0] // len(rates))
    limit = max(3, _EMBEDDED_ROWS // (runs_per_rate * _MIN_ROWS_PER_RUN))
    kept_rates = rates[evenly_chosen(len(rates), limit, always=nearest(rates, result.best_learning_rate))]
    rows_per_run = max(_MIN_ROWS_PER_RUN, _EMBEDDED_ROWS // (runs_per_rate * len(kept_rates)))
    runs = frame[frame["learning_rate"].isin(kept_rates)].groupby(RUN_KEYS, sort=False)
    return pd.concat([_thinned_run(run, result, rows_per_run) for _, run in runs], ignore_index=True)


def _note(result: SensitivityResult, curves: LearningCurves) -> str:
    parts = ["One panel per learning rate, one line per repeat; all panels share a scale."]
    if len(result.batch_sizes) > 1:
        parts.append(f"Only batch size {main_batch_size(result)} is shown.")
    tried = len(result.learning_rates)
    if len(curves.runs) < tried:
        parts.append(f"{len(curves.runs)} of {counted(tried, 'learning rate')} are shown.")
    if result.repeats > MAX_REPEATS:
        parts.append(f"{MAX_REPEATS} of {counted(result.repeats, 'repeat')} are shown.")
    return " ".join(parts)


def _describe_rate(result: SensitivityResult, rate: float, diagnosis: Diagnosis | None) -> str:
    ends = [run["loss"].dropna() for run in runs_at(result, rate)]
    reached = [float(losses.iloc[-1]) for losses in ends if len(losses)]
    description = f"{_rate(rate)}: "
    description += f"final loss {format_number(float(np.median(reached)), digits=3)}" if reached else "no finite loss"
    if diagnosis is not None and diagnosis.findings:
        description += f", {findings_in_words(diagnosis)}"
    return as_sentence(description)


def _table_cell(name: str, value: Any) -> str:
    if name == "learning_rate":
        return format_rate(float(value), digits=4)
    if isinstance(value, str):
        return value
    if name == CHAOTIC:
        return "yes" if value else "no"
    return str(int(value)) if name in INTEGER_COLUMNS else format_number(float(value))


def _thinned_run(run: pd.DataFrame, result: SensitivityResult, limit: int) -> pd.DataFrame:
    if len(run) <= limit:
        return run
    judged = run[result.objective].to_numpy(dtype=np.float64)
    worst = np.inf if result.direction == "min" else -np.inf
    scores = np.where(np.isfinite(judged), judged, worst)
    best = int(np.argmin(scores) if result.direction == "min" else np.argmax(scores))
    kept = {best, *spike_keeping_indices(run["loss"].to_numpy(dtype=np.float64), max(4, limit - 1)).tolist()}
    return run.iloc[sorted(kept)]
