"""What the report says of a search over learning rates, in words."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pandas as pd

from keras_lr._utils.downsampling import evenly_chosen
from keras_lr._utils.formatting import format_number, format_rate, shortened
from keras_lr.analysis._sensitivity.summary import run_scores
from keras_lr.plots._sensitivity import MAX_RATES, MAX_SIZES, main_batch_size, plot_heatmap, plot_sensitivity, trained
from keras_lr.report._components import (
    NO_RATE,
    aligned,
    count,
    environment_rows,
    figure,
    known,
    number,
    optimizer_call,
    table,
    verdict,
)
from keras_lr.report._sections.base import Section, part_view, section_view
from keras_lr.report._sections.histories import warnings as history_warnings
from keras_lr.report._sections.sensitivity_runs import (
    embedded_frame,
    representative_diagnoses,
    search_data,
    search_histories,
)
from keras_lr.results._diagnosis import Diagnosis
from keras_lr.results._sensitivity import SensitivityResult

MAX_ROWS = 60

_NAME_LIMIT = 48
_ENGINES = {
    "stacked": "all runs of the grid in one compiled program",
    "function": "one traced training step for all runs",
    "reuse": "one built model, reset for each run",
    "rebuild": "a model built anew for each run",
}


def summarize(results: tuple[SensitivityResult], prefix: str) -> dict[str, Any]:
    """Everything the page says of a search."""
    (result,) = results
    runs = run_scores(result.frame, objective=result.objective, direction=result.direction)
    kept = embedded_frame(result)
    diagnoses = representative_diagnoses(result, runs)
    return section_view(
        heading="Sensitivity",
        verdict=verdict_of(result),
        warnings=warnings(result, runs, diagnoses.get(result.best_learning_rate or 0.0)),
        note="What each learning rate came to when trained in full: the answer to go by.",
        facts=facts(result, runs),
        figure=figure(
            lambda fig: plot_sensitivity(result, ax=fig.subplots()),
            title=f"{objective_of(result)} against learning rate",
            description=describe(result, runs, drawn=min(MAX_RATES, len(result.learning_rates))),
            prefix=f"{prefix}-u",
        ),
        tables=[rate_table(result, runs)],
        parts=[*_heatmap(result, prefix), *search_histories(result, diagnoses, prefix)],
        method=method(result),
        environment=environment_rows(result.environment),
        script=script(result),
        data=search_data(result, kept),
        records=[dataclasses.replace(result, frame=kept).to_dict()],
    )


def _heatmap(result: SensitivityResult, prefix: str) -> list[dict[str, Any]]:
    sizes = len(result.batch_sizes)
    if sizes < 2:
        return []
    height = 1.0 + 0.45 * min(sizes, MAX_SIZES)
    picture = figure(
        lambda fig: plot_heatmap(result, ax=fig.subplots()),
        title=f"Median {objective_of(result)} by learning rate and batch size",
        description=describe_heatmap(result),
        prefix=f"{prefix}-batch",
        broad=True,
        heights=(height, height),
    )
    note = "The fuller a cell, the better its rank. A cross: most runs diverged. The frame: the best."
    return [part_view(name="batch", heading="Learning rate and batch size", figure=picture, note=note)]


SECTION = Section("sensitivity", SensitivityResult, summarize, rank=60)


def rate_table(result: SensitivityResult, runs: pd.DataFrame) -> dict[str, Any]:
    """Median, lowest and highest outcome of each learning rate, and how its runs ended.

    Args:
        result: What the search measured.
        runs: What `run_scores` made of it.
    """
    several = len(result.batch_sizes) > 1
    groups = [group for _, group in runs.groupby(["batch_size", "learning_rate"])]
    best = next((place for place, group in enumerate(groups) if _standing(result, group) == "best"), None)
    shown = evenly_chosen(len(groups), MAX_ROWS, always=best)
    caption = f"Best {objective_of(result)} of each run, by learning rate"
    if len(shown) < len(groups):
        caption += f"; {len(shown)} of {len(groups):,} lines"
    chosen = [groups[place] for place in shown]
    rates = [number(format_rate(float(group["learning_rate"].iloc[0]))) for group in chosen]
    sizes = [number(str(int(group["batch_size"].iloc[0]))) for group in chosen]
    outcomes = [aligned(values) for values in zip(*map(_outcomes, chosen), strict=True)]
    columns = {
        "Learning rate": rates,
        **({"Batch size": sizes} if several else {}),
        **dict(zip(("Median", "Lowest", "Highest"), outcomes, strict=False)),
        "Runs": [_endings(group) for group in chosen],
        "Standing": [_standing(result, group) for group in chosen],
    }
    return table(caption, list(columns), zip(*columns.values(), strict=True))


def _outcomes(group: pd.DataFrame) -> tuple[float | None, float | None, float | None]:
    """Median, lowest and highest; a diverged run counts as the worst there is, so a median may be infinite."""
    scores = group["score"].to_numpy(dtype=np.float64)
    trained, ended = scores[np.isfinite(scores)], scores[~np.isnan(scores)]
    low, high = (float(trained.min()), float(trained.max())) if trained.size else (None, None)
    return float(np.median(ended)) if ended.size else None, low, high


def _endings(group: pd.DataFrame) -> str:
    counts = group["status"].value_counts()
    names = {"ok": "trained", "diverged": "diverged", "pruned": "stopped early", "failed": "failed"}
    return ", ".join(f"{counts[status]} {name}" for status, name in names.items() if counts.get(status))


def _standing(result: SensitivityResult, group: pd.DataFrame) -> str:
    rate, size = float(group["learning_rate"].iloc[0]), int(group["batch_size"].iloc[0])
    if result.best_learning_rate is None or result.low is None or result.high is None:
        return ""
    if result.best_batch_size not in (None, size):
        return ""
    if rate == result.best_learning_rate:
        return "best"
    return "within noise" if result.low <= rate <= result.high else ""


def objective_of(result: SensitivityResult) -> str:
    """The name of what was judged, as far as it can be shown."""
    return shortened(result.objective, _NAME_LIMIT)


def verdict_of(result: SensitivityResult) -> dict[str, str]:
    """The first screen: a badge, one sentence, one reason, and code to paste."""
    if result.best_learning_rate is None or result.low is None or result.high is None:
        return verdict(level=result.confidence, lead=NO_RATE, rest=f"Searched: {_setup(result)}.", reason=result.reason)
    rate = format_rate(result.best_learning_rate)
    span = (
        f"Anything from {format_rate(result.low)} to {format_rate(result.high)} was within noise"
        if result.low < result.high
        else "No other learning rate of the grid was within its noise"
    )
    return verdict(
        level=result.confidence,
        lead="Use" if result.confidence == "clear" else "Try",
        rate=rate,
        rest=f"{span} ({_setup(result)}).",
        reason=result.reason,
        code=optimizer_call(result.environment, rate),
    )


def warnings(result: SensitivityResult, runs: pd.DataFrame, best: Diagnosis | None) -> list[dict[str, str]]:
    """What the reader should do something about.

    Args:
        result: What the search measured.
        runs: What `run_scores` made of it.
        best: The diagnosis of the best rate's middle run.
    """
    return [
        *_grid_warnings(result),
        *_run_warnings(result, runs),
        *(history_warnings("the best learning rate", best) if best is not None else []),
    ]


def facts(result: SensitivityResult, runs: pd.DataFrame) -> list[dict[str, str]]:
    """The few numbers a reader asks for first."""
    rates = result.learning_rates
    rows = []
    if result.low is not None and result.high is not None:
        rows.append(("Within noise", f"{format_rate(result.low)} to {format_rate(result.high)}"))
    if len(rates):
        rows.append(("Searched", f"{format_rate(rates[0])} to {format_rate(rates[-1])}"))
    rows.append(("Learning rates", str(len(rates))))
    rows.append(("Seeds", str(result.repeats)))
    if len(result.batch_sizes) > 1:
        rows.append(("Batch sizes", ", ".join(map(str, result.batch_sizes[:8]))))
    lost = int((runs["status"] == "diverged").sum())
    rows.append(("Runs", f"{len(runs)}" + (f", {lost} diverged" if lost else "")))
    return [{"label": label, "value": value} for label, value in rows]


def describe(result: SensitivityResult, runs: pd.DataFrame, *, drawn: int) -> str:
    """The finding of the U-curve, for those who cannot see it."""
    own = runs[runs["batch_size"] == main_batch_size(result)]
    shown = trained(own)
    if not len(shown):
        return "No run trained to a finite number."
    medians = shown.groupby("learning_rate")["score"].median()
    parts = []
    if result.best_learning_rate is not None and result.best_learning_rate in medians.index:
        best, first, last = (
            f"{format_number(float(medians[rate]), digits=3)} at {format_rate(rate)}"
            for rate in (result.best_learning_rate, float(medians.index[0]), float(medians.index[-1]))
        )
        parts.append(f"The median {objective_of(result)} is best, {best}; it is {first} and {last}.")
    diverged = np.unique(own.loc[own["status"] == "diverged", "learning_rate"].to_numpy(dtype=np.float64))
    if len(diverged):
        parts.append(f"Runs diverged at {_rates(diverged)}.")
    if drawn < len(result.learning_rates):
        parts.append(f"Drawn are {drawn} of {count(len(result.learning_rates), 'learning rate')}.")
    return " ".join(parts) or "No learning rate stands out."


def describe_heatmap(result: SensitivityResult) -> str:
    """The finding of the heatmap."""
    if result.best_learning_rate is None:
        return "No cell stands out."
    return (
        f"The best median {objective_of(result)} is at a learning rate of {format_rate(result.best_learning_rate)} "
        f"with batch size {main_batch_size(result)}."
    )


def method(result: SensitivityResult) -> list[str]:
    """How it was measured and judged, and what was not tried."""
    better = "lowest" if result.direction == "min" else "highest"
    seeds = sorted(int(seed) for seed in result.frame["seed"].unique())
    listed = ", ".join(map(str, seeds[:10])) + (", …" if len(seeds) > 10 else "")
    epochs = 0 if not len(result.frame) else int(result.frame["epoch"].max()) + 1
    lines = [
        f"Every learning rate was trained for up to {count(epochs, 'epoch')} with the same seeds: {listed or 'none'}.",
        f"A run counts by its {better} `{objective_of(result)}`; a learning rate by the median of its runs, where a "
        "diverged run is the worst there is.",
        "Within noise: not told from the best by the spread of the seeds. The band goes from the lowest to the highest "
        "seed; it is no confidence band.",
    ]
    if result.engine in _ENGINES:
        why = f" ({result.engine_reason.rstrip('.')})" if result.engine_reason else ""
        lines.append(f"Trained as {_ENGINES[result.engine]}{why}.")
    tried = "" if len(result.batch_sizes) > 1 else " another batch size,"
    lines.append(f"Not tried: learning rates between the grid's,{tried} another optimizer, a schedule.")
    return lines


def script(result: SensitivityResult) -> str:
    """A script that searches the same again; the reader supplies the model and the data."""
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


def _grid_warnings(result: SensitivityResult) -> list[dict[str, str]]:
    found = []
    rates = result.learning_rates
    if result.at_edge and result.best_learning_rate is not None:
        high = result.best_learning_rate >= rates[-1]
        beyond = format_rate(float(rates[-1] * 10 if high else rates[0] / 10))
        found.append({"problem": "Best value at the grid's edge.", "action": f"Widen the grid to {beyond}."})
    if result.repeats == 1:
        found.append({"problem": "One seed cannot show the noise.", "action": "Search again with `repeats=3`."})
    return found


def _run_warnings(result: SensitivityResult, runs: pd.DataFrame) -> list[dict[str, str]]:
    found = []
    if result.low is not None and result.high is not None:
        inside = runs["learning_rate"].between(result.low, result.high)
        inside &= runs["batch_size"] == main_batch_size(result)
        lost = runs[inside & (runs["status"] == "diverged")]
        if len(lost):
            first = format_rate(float(lost["learning_rate"].min()))
            found.append(
                {"problem": f"{count(len(lost), 'run')} within the range diverged.", "action": f"Stay below {first}."}
            )
    failed = int((runs["status"] == "failed").sum())
    if failed:
        found.append(
            {
                "problem": f"{count(failed, 'run')} failed with an exception.",
                "action": "Read it in the project's folder.",
            }
        )
    return found


def _setup(result: SensitivityResult) -> str:
    parts = [f"{count(len(result.learning_rates), 'learning rate')} x {count(result.repeats, 'seed')}"]
    if len(result.batch_sizes) > 1:
        parts[0] += f" x {len(result.batch_sizes)} batch sizes"
    optimizer, size = known(result.environment, "optimizer", ""), main_batch_size(result)
    return ", ".join(filter(None, [*parts, optimizer, f"batch {size}" if size else ""]))


def _rates(rates: np.ndarray) -> str:
    written = [format_rate(float(rate)) for rate in rates]
    return ", ".join(written) if len(written) <= 4 else f"{len(written)} rates, the lowest {written[0]}"
