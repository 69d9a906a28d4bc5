"""The result of the records of a search or of a race, in training or read from its folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from keras_lr.analysis._race import Race
from keras_lr.analysis._sensitivity import analyze_sensitivity
from keras_lr.errors import ResultFormatError
from keras_lr.results._range_test import Suggestion
from keras_lr.results._record import plain
from keras_lr.results._search_records import SearchFolder, Table, number, with_returned
from keras_lr.results._sensitivity import ENGINES, EngineName, RaceSummary, SensitivityResult

OBJECTIVE_EVENT = "objective"
"""The event of the records that holds what a search judges by."""

RACE_EVENT = "race"
"""The event of the records that holds what a race started from."""

UsedEngine = tuple[EngineName, str, dict[str, Any] | None]
"""An engine that has trained, the reason for it and its environment."""


def read_search(directory: str | Path) -> SensitivityResult:
    """What the search in `directory` has measured so far; it may be running, finished or killed.

    It is judged by the objective of its last call. Records of earlier versions do not hold that of a search, which is
    then judged by `val_loss` if that was measured, else by `loss`.

    Args:
        directory: The folder of a project, or a folder with a single project in it.

    Raises:
        ResultFormatError: The folder holds no search or several, or the records are damaged.
    """
    table = SearchFolder.find(directory).table()
    if not len(table):
        raise ResultFormatError(f"No epochs are recorded in {directory} yet. Run the search first.")
    if last_race(table) is not None:
        return race_result(table)
    if (given := last_objective(table)) is not None:
        return search_result(table, objective=given["objective"], direction=given["direction"])
    validated = bool(np.isfinite(table.frame()["val_loss"]).any())
    return search_result(table, objective="val_loss" if validated else "loss", direction="min")


def search_result(table: Table, *, objective: str, direction: Literal["min", "max"]) -> SensitivityResult:
    """The result of a search whose records hold at least one row."""
    judged, column = with_returned(_with_sizes_of_fit(table), objective)
    if column != objective:
        given = (event["direction"] for event in table.events if event["event"] in ("returned", "trial"))
        direction = next(given, direction)
    result = analyze_sensitivity(judged, objective=column, direction=direction)
    faults = _faults_in(table)
    found = [] if faults and result.best_learning_rate is None else [result.reason]
    reason, doubts = " ".join([*found, *faults]), (*result.doubts, *faults)
    return replace(result, reason=reason, doubts=doubts, **_facts_in(table))


def last_objective(table: Table) -> Mapping[str, Any] | None:
    """The event with the objective of the last search; None if none is recorded."""
    return next((event for event in reversed(table.events) if event["event"] == OBJECTIVE_EVENT), None)


def last_race(table: Table) -> Mapping[str, Any] | None:
    """The event with which the last race started; None if none is recorded."""
    return next((event for event in reversed(table.events) if event["event"] == RACE_EVENT), None)


def race_from(event: Mapping[str, Any]) -> Race:
    """The race that an event of the records describes, before any result is known."""
    start: Any = event["learning_rates"]
    if start is None:
        start = Suggestion.from_dict(event["suggestion"])
    given = {name: event[name] for name in ("epochs", "budget", "direction")}
    return Race(start, **given, compare_from=event.get("compare_from", 1))


def race_result(table: Table) -> SensitivityResult:
    """The result of a race whose records hold at least one row."""
    event, frame = last_race(table), table.frame()
    assert event is not None
    race = race_from(event)
    runs: dict[Any, list[Any]] = {rate: run.to_dict("records") for rate, run in frame.groupby("learning_rate")}
    ended = {line["learning_rate"] for line in table.events if line["event"] == "ended"}
    while asked := race.ask():
        before = sum(map(len, race.values.values()))
        for rate, epochs in asked:
            curve = curve_of(runs.get(rate, []), event["objective"], epochs, complete=rate in ended)
            race.tell(rate, curve)
        if sum(map(len, race.values.values())) == before:
            break
    shown = _marked(frame, race)
    rates = sorted(shown["learning_rate"].unique())
    best, faults = race.best, _faults_in(table)
    return SensitivityResult(
        frame=shown,
        objective=event["objective"],
        direction=race.direction,
        best_learning_rate=best,
        low=race.usable_low,
        high=race.usable_high,
        at_edge=len(rates) > 1 and best in (rates[0], rates[-1]),
        confidence=race.confidence,
        reason=" ".join(faults if faults and best is None else [race.reason, *faults]),
        best_batch_size=None if best is None else int(shown["batch_size"].iloc[0]),
        basin_by="gain",
        usable_low=race.usable_low,
        usable_high=race.usable_high,
        race=_summary(race),
        doubts=(*race.doubts, *faults),
        **_facts_in(table),
    )


def curve_of(rows: Sequence[Mapping[str, Any]], objective: str, epochs: int, *, complete: bool = False) -> list[float]:
    """The objective after each of at most the first `epochs` epochs of a run.

    An epoch without a value keeps the one before. A run that diverged or failed ends with NaN. The last value of a run
    that is `complete` stands for the epochs that it lacks.
    """
    values: list[float] = []
    for row in rows[:epochs]:
        if row["status"] in ("diverged", "failed"):
            return [*values, np.nan]
        value = number(row.get(objective))
        values.append(value if np.isfinite(value) or not values else values[-1])
    return values + values[-1:] * (epochs - len(values)) if complete else values


def _with_sizes_of_fit(table: Table) -> pd.DataFrame:
    """The rows, with the batch size that a hypermodel's own `fit` has used, if it was always the same."""
    frame = table.frame()
    sizes = {int(event["size"]) for event in table.events if event["event"] == "batch_size"}
    always = len(sizes) == 1 and frame["batch_size"].nunique() == 1
    return frame.assign(batch_size=sizes.pop()) if always else frame


def slowest_engine(lines: Iterable[Mapping[str, Any]]) -> UsedEngine | None:
    """The slowest engine that lines of the journals name; None if they name none."""
    # Older records call the engine "tier".
    used = [
        (line.get("engine") or line["tier"], line.get("reason", ""), line.get("environment"))
        for line in lines
        if line.get("event") in ("engine", "tier")
    ]
    return max(used, key=lambda one: ENGINES.index(one[0]), default=None)


def _facts_in(table: Table) -> dict[str, Any]:
    """What a result says of the training: the slowest engine, its environment with the workers, and what is known."""
    engine, reason, environment = slowest_engine(table.events) or ("rebuild", "", None)
    found = dict(environment or {})
    if used := [event for event in table.events if event["event"] == "workers"]:
        found["workers"] = used[-1]["workers"]
        found["shares_trained_again"] = sum(event["shares_trained_again"] for event in used)
    known = next((dict(event["known"]) for event in table.events if event.get("known")), {})
    return {"engine": engine, "engine_reason": reason, "environment": found, "known": known}


def _faults_in(table: Table) -> list[str]:
    """What searches have found wrong with the data."""
    return list(dict.fromkeys(event["message"] for event in table.events if event["event"] == "data"))


def _marked(frame: pd.DataFrame, race: Race) -> pd.DataFrame:
    """The rows of the race, with the status "pruned" where a rate was dropped before its last epoch."""
    asked = frame["learning_rate"].map({rate: len(values) for rate, values in race.values.items()}).fillna(0)
    kept = frame[(frame["epoch"] < asked) | frame["status"].isin(("diverged", "failed"))].reset_index(drop=True)
    dropped = [rate for rate, drop in race.dropped.items() if drop.epoch < race.epochs]
    last = ~kept.duplicated("learning_rate", keep="last") & (kept["status"] == "ok")
    marked: pd.DataFrame = kept.assign(
        status=kept["status"].where(~(last & kept["learning_rate"].isin(dropped)), "pruned")
    )
    return marked


def _summary(race: Race) -> RaceSummary:
    found: RaceSummary = plain(
        {
            "epochs": race.epochs,
            "budget": race.budget,
            "cost": race.cost,
            "finished": race.finished,
            "dropped": [
                {"learning_rate": rate, "epoch": drop.epoch, "why": drop.why, "reason": drop.reason}
                for rate, drop in race.dropped.items()
            ],
            "comparisons": [{"epoch": rung.epoch, "kept": rung.kept, "added": rung.added} for rung in race.history],
        }
    )
    return found
