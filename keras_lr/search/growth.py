"""Which points a finished grid should be continued by: beyond an edge, and around the basin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import pandas as pd

from keras_lr.analysis.sensitivity import summarize
from keras_lr.search.grid import extend_grid, refine_grid

MAX_EXTENSIONS = 2
"""Decades that a search may add beyond each end of the grid it was given."""


def next_growth(
    frame: pd.DataFrame,
    grown: Sequence[Mapping[str, Any]],
    *,
    objective: str,
    direction: Literal["min", "max"],
    extend: bool,
    refine: bool,
) -> dict[str, Any] | None:
    """What to add to a grid whose points are all done, as an event for the records; None where it is enough.

    Args:
        frame: Every row of the search.
        grown: The events of before.
        objective: Column that is judged.
        direction: "min" or "max".
        extend: Whether to go on beyond an edge where the best stands.
        refine: Whether to add points around the basin, once.
    """
    summary = summarize(frame, objective=objective, direction=direction)
    rates = sorted(float(rate) for rate in frame["learning_rate"].unique())
    if summary.best_learning_rate is None or len(rates) < 2:
        return None
    if extend and summary.at_edge:
        edge: Literal["low", "high"] = "low" if summary.best_learning_rate == rates[0] else "high"
        if sum(event["why"] == f"{edge} edge" for event in grown) < MAX_EXTENSIONS:
            return _event(f"{edge} edge", extend_grid(rates, edge=edge))
    if refine and not any(event["why"] == "basin" for event in grown):
        return _event("basin", refine_grid(rates, low=summary.low or rates[0], high=summary.high or rates[-1]))
    return None


def grown_rates(grown: Iterable[Mapping[str, Any]]) -> list[float]:
    """The rates that earlier growth added."""
    return [float(rate) for event in grown for rate in event["learning_rates"]]


def _event(why: str, rates: Sequence[float]) -> dict[str, Any] | None:
    return {"event": "grown", "why": why, "learning_rates": list(rates)} if rates else None
