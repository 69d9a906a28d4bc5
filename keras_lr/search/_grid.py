"""Grids of learning rates, exact to the digit that a person would write: 0.1, never 0.09999999999999999."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from keras_lr._utils.validation import is_number
from keras_lr.analysis._sensitivity.summary import summarize
from keras_lr.errors import InvalidArgumentError, InvalidRangeError

MAX_POINTS = 1000
_SMALLEST, _LARGEST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
_GIVEN_DIGITS, _MADE_DIGITS = 12, 6
_SNAP = 1e-4
"""A step this near to a whole number of steps a decade, or of decades a step, is that one: six digits blur it."""

MAX_EXTENSIONS = 2
"""Decades that a search may add beyond each end of the grid it was given."""


def log_grid(min_lr: float, max_lr: float, *, points_per_decade: float = 1) -> tuple[float, ...]:
    """Evenly log-spaced learning rates from `min_lr` to `max_lr`, both included.

    Args:
        min_lr: Lowest rate, dimensionless, positive.
        max_lr: Highest rate, above `min_lr`.
        points_per_decade: Least number of points a decade, positive; where it does not divide the range, the points lie
            closer.

    Returns:
        Increasing rates of six significant digits; the ends as given.

    Raises:
        InvalidRangeError: The ends are no range.
        InvalidArgumentError: `points_per_decade` is not positive, or the grid would have more than `MAX_POINTS` points.
    """
    low, high = _rate(min_lr, "min_lr"), _rate(max_lr, "max_lr")
    if low >= high:
        raise InvalidRangeError(
            f"`max_lr` must be greater than `min_lr`. Received: min_lr={min_lr!r}, max_lr={max_lr!r}. Swap them."
        )
    if not is_number(points_per_decade) or not (math.isfinite(points_per_decade) and points_per_decade > 0):
        raise InvalidArgumentError(
            f"`points_per_decade` must be a positive number. Received: {points_per_decade!r}. Give for example 3."
        )
    gaps = math.log10(high / low) * points_per_decade
    if gaps > MAX_POINTS - 1:
        raise InvalidArgumentError(
            f"`points_per_decade` must give at most {MAX_POINTS} learning rates. Received: {points_per_decade!r}, "
            f"which gives {gaps + 1:.0f}. Lower it."
        )
    count = math.ceil(gaps - _SNAP)
    inner = (low * 10 ** (math.log10(high / low) * i / count) for i in range(1, count))
    return tuple(sorted({low, high, *map(_made, inner)}))


def given_grid(learning_rates: Any) -> tuple[float, ...]:
    """The learning rates a user lists, increasing and each once.

    Args:
        learning_rates: Positive numbers, in any order. What is lost and doubled by floating point beyond the twelfth
            digit is mended.

    Raises:
        InvalidArgumentError: `learning_rates` is no list, is empty or holds more than `MAX_POINTS` rates.
        InvalidRangeError: One of them is not a positive, finite number.
    """
    if isinstance(learning_rates, (str, bytes, dict)) or not isinstance(learning_rates, Iterable):
        raise InvalidArgumentError(
            f"`learning_rates` must be a list of numbers. Received: {learning_rates!r}. Give for example [1e-3, 1e-2]."
        )
    rates = tuple(sorted({_rate(rate, "learning_rates") for rate in learning_rates}))
    if not 1 <= len(rates) <= MAX_POINTS:
        raise InvalidArgumentError(
            f"`learning_rates` must hold 1 to {MAX_POINTS} rates. Received: {len(rates)}. Give for example [1e-3, 0.1]."
        )
    return rates


def extend_grid(grid: Iterable[float], *, edge: Literal["low", "high"], decades: float = 1.0) -> tuple[float, ...]:
    """The rates that continue a grid beyond one of its ends, in the step it has there.

    Args:
        grid: Positive rates, at least one; a single rate continues by decades.
        edge: The end to go beyond.
        decades: How far to go, positive. At least one rate is added where floating point has room.

    Returns:
        The new rates alone, increasing.
    """
    rates = sorted(grid)
    end, neighbour = (rates[0], rates[1:2]) if edge == "low" else (rates[-1], rates[-2:-1])
    step = _snapped(abs(math.log10(end / neighbour[0]))) if neighbour else 1.0
    sign = -1 if edge == "low" else 1
    count = max(1, math.floor(decades / step + _SNAP))
    added = (math.log10(end) + sign * step * i for i in range(1, count + 1))
    return tuple(sorted(_made(10**decade) for decade in added if _SMALLEST < 10**decade < _LARGEST))


def refine_grid(grid: Iterable[float], *, low: float, high: float, factor: int = 2) -> tuple[float, ...]:
    """The rates that make a grid `factor` times finer in `[low, high]` and up to the next rate on either side.

    Args:
        grid: Positive rates.
        low: Lower end of the part to refine; a rate of the grid, or between two.
        high: Upper end, at least `low`.
        factor: Number of parts into which each gap is divided, at least 2.

    Returns:
        The new rates alone, increasing; empty where the grid has a single rate.
    """
    rates = sorted(grid)
    gaps = [(start, stop) for start, stop in itertools.pairwise(rates) if stop >= low and start <= high]
    added = (_made(start * (stop / start) ** (i / factor)) for start, stop in gaps for i in range(1, factor))
    return tuple(sorted(set(added) - set(rates)))


def _rate(value: Any, argument: str) -> float:
    number = float(f"{value:.{_GIVEN_DIGITS}g}") if is_number(value) else math.nan
    if not _SMALLEST <= number <= _LARGEST:
        raise InvalidRangeError(
            f"`{argument}` must be a positive number that float32 can hold. Received: {value!r}. Give for example 1e-3."
        )
    return number


def _made(value: float) -> float:
    return float(f"{value:.{_MADE_DIGITS}g}")


def _snapped(step: float) -> float:
    if step >= 1:
        return float(round(step)) if abs(step - round(step)) < _SNAP else step
    points = 1 / step
    return 1 / round(points) if abs(points - round(points)) < _SNAP * points else step


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
