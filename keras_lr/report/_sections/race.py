"""What the section of a search shows if the search was a race: its figure, its table, its method and its script."""

from __future__ import annotations

import json
from typing import Any

from keras_lr._utils.downsampling import evenly_chosen
from keras_lr._utils.formatting import counted, format_rate
from keras_lr.analysis._sensitivity import main_batch_size, run_scores
from keras_lr.plots._history import shown_rates
from keras_lr.plots._sensitivity import RACE_ENDS, plot_race
from keras_lr.report._components import as_sentence, figure_view, number_cell, number_column, short_name, table_view
from keras_lr.results._sensitivity import RaceSummary, SensitivityResult

_MAX_TABLE_ROWS = 60


def race_view(result: SensitivityResult, race: RaceSummary, prefix: str) -> dict[str, Any]:
    """The arguments of `section_view` in which a race differs from other searches.

    Args:
        result: What the race measured.
        race: Its `race`.
        prefix: Starts every id.
    """
    return {
        "heading": "Race",
        "note": "Runs that train side by side: the worst are dropped at each comparison, and the winner trains to the "
        "end.",
        "figure": _figure(result, race, prefix),
        "tables": [_table(result, race)],
        "method": _method(result, race),
        "script": _script(result, race),
    }


def listed(rates: list[float]) -> str:
    """The rates, or how many there are and the lowest one if they are more than four."""
    written = [format_rate(rate, digits=3) for rate in rates]
    return ", ".join(written) if len(written) <= 4 else f"{len(written)} learning rates, the lowest {written[0]}"


def _figure(result: SensitivityResult, race: RaceSummary, prefix: str) -> dict[str, Any]:
    """Each rate's curve up to where it was dropped."""
    drawn, tried = len(shown_rates(result)), len(result.learning_rates)
    return figure_view(
        lambda figure: plot_race(result, ax=figure.subplots()),
        title=f"{short_name(result.objective)} of each learning rate in the race",
        description=_describe(result, race) + (f" {drawn} of them are drawn." if drawn < tried else ""),
        prefix=f"{prefix}-race",
    )


def _describe(result: SensitivityResult, race: RaceSummary) -> str:
    """Which rates left the race in which way."""
    ways = {
        text: [drop["learning_rate"] for drop in race["dropped"] if drop["why"] == why]
        for why, (*_, text) in RACE_ENDS.items()
    }
    ends = "; ".join(f"{text}: {listed(rates)}" for text, rates in ways.items() if rates)
    took_part = f"{counted(len(result.learning_rates), 'learning rate')} took part."
    return f"{took_part} {as_sentence(ends[:1].upper() + ends[1:])}".strip()


def _table(result: SensitivityResult, race: RaceSummary) -> dict[str, Any]:
    """Where each rate left the race, and why."""
    outcomes: dict[float | None, str] = {drop["learning_rate"]: drop["reason"] for drop in race["dropped"]}
    outcomes[result.best_learning_rate] = "won" if race["finished"] else "leads"
    runs = run_scores(result.frame.assign(status="ok"), objective=result.objective, direction=result.direction)
    shown = runs.iloc[evenly_chosen(len(runs), _MAX_TABLE_ROWS)]
    columns = {
        "Learning rate": [number_cell(format_rate(rate, digits=3)) for rate in shown["learning_rate"]],
        "Epochs": [number_cell(str(epochs)) for epochs in shown["epochs"]],
        f"Best {short_name(result.objective)}": number_column(shown["score"].tolist()),
        "Outcome": [outcomes.get(rate, "still in the race") for rate in shown["learning_rate"]],
    }
    caption = "Each learning rate of the race: how long it was trained, and why it was dropped"
    return table_view(caption, list(columns), zip(*columns.values(), strict=True))


def _method(result: SensitivityResult, race: RaceSummary) -> list[str]:
    after = ", ".join(str(comparison["epoch"]) for comparison in race["comparisons"]) or "none yet"
    better = "lowest" if result.direction == "min" else "highest"
    seeds = ", ".join(str(int(seed)) for seed in result.frame["seed"].unique())
    return [
        f"One run per learning rate, all with seed {seeds or 'none'}, compared by their {better} "
        f"`{short_name(result.objective)}` so far, after these numbers of epochs: {after}. A complete run has "
        f"{race['epochs']}.",
        "A rate can no longer win if it would end behind the best, even if it kept the mean pace of the second half of "
        "its epochs to the last one. A rate that was merely behind might have won; the budget went to better ones.",
        "The gain is the difference between the worst value after the first epoch and the best value. The loss of a "
        "dropped rate is measured at the last epoch at which it was compared with the best.",
    ]


def _script(result: SensitivityResult, race: RaceSummary) -> str:
    return f"""import keras_lr

from my_project import build_model, load_data  # a compiled model; training and validation data

x, y, x_val, y_val = load_data()
tuner = keras_lr.RaceSearch(
    build_model,
    objective={json.dumps(result.objective[:80])},
    budget={race["budget"]:g},
    directory="runs",
    project_name="race",
)
tuner.search(x, y, validation_data=(x_val, y_val), epochs={race["epochs"]}, batch_size={main_batch_size(result)})
model = tuner.get_best_models()[0]
result = tuner.sensitivity()
print(result)
result.to_html("race.html")
"""
