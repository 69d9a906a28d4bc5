"""Grids of learning rates, rounded to what a person would write (0.1, not 0.0999), and how they grow and shrink."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from keras_lr._utils.validation import is_number
from keras_lr.analysis._race import forecast
from keras_lr.analysis._sensitivity import analyze_sensitivity
from keras_lr.errors import InvalidArgumentError, InvalidRangeError

MAX_POINTS = 1000
_SMALLEST, _LARGEST = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)
_GIVEN_DIGITS, _COMPUTED_DIGITS = 12, 6
_SNAP = 1e-4
"""Tolerance when snapping a step to a whole number per decade, or of decades (rates are rounded to 6 digits)."""

MAX_EXTENSIONS = 2
"""Most decades that a search adds beyond each end of its grid."""

MIN_EPOCHS = 2
"""Extrapolating a curve takes two finished epochs."""


def log_grid(min_lr: float, max_lr: float, *, points_per_decade: float = 1) -> tuple[float, ...]:
    """Evenly log-spaced learning rates from `min_lr` to `max_lr`, both included.

    Args:
        min_lr: Lowest rate, dimensionless, positive.
        max_lr: Highest rate, above `min_lr`.
        points_per_decade: Minimum number of points per decade, positive; if it does not divide the range evenly, the
            points lie closer together.

    Returns:
        Increasing rates, rounded to six significant digits except for the ends.

    Raises:
        InvalidRangeError: `min_lr` or `max_lr` is not a positive number, or `min_lr` is not the lower one.
        InvalidArgumentError: `points_per_decade` is not positive, or the grid would have more than `MAX_POINTS` points.
    """
    low, high = _rate(min_lr, "min_lr"), _rate(max_lr, "max_lr")
    if low >= high:
        raise InvalidRangeError(
            f"`max_lr` must be greater than `min_lr`. Received: min_lr={min_lr!r}, max_lr={max_lr!r}. Swap them."
        )
    if not is_number(points_per_decade) or not (math.isfinite(points_per_decade) and points_per_decade > 0):
        raise InvalidArgumentError(
            f"`points_per_decade` must be a positive number. Received: {points_per_decade!r}. Pass for example 3."
        )
    gaps = math.log10(high / low) * points_per_decade
    if gaps > MAX_POINTS - 1:
        raise InvalidArgumentError(
            f"`points_per_decade` must give at most {MAX_POINTS} learning rates. Received: {points_per_decade!r}, "
            f"which gives {gaps + 1:.0f}. Lower it."
        )
    count = math.ceil(gaps - _SNAP)
    inner = (low * 10 ** (math.log10(high / low) * i / count) for i in range(1, count))
    return tuple(sorted({low, high, *map(_rounded, inner)}))


def given_grid(learning_rates: Any) -> tuple[float, ...]:
    """A user's list of learning rates, sorted.

    Args:
        learning_rates: Positive numbers, in any order. Rates are rounded to 12 digits and deduplicated.

    Raises:
        InvalidArgumentError: `learning_rates` is not a list, is empty or holds more than `MAX_POINTS` rates.
        InvalidRangeError: One of them is not a positive, finite number.
    """
    if isinstance(learning_rates, (str, bytes, dict)) or not isinstance(learning_rates, Iterable):
        raise InvalidArgumentError(
            f"`learning_rates` must be a list of numbers. Received: {learning_rates!r}. Pass for example [1e-3, 1e-2]."
        )
    rates = tuple(sorted({_rate(rate, "learning_rates") for rate in learning_rates}))
    if not 1 <= len(rates) <= MAX_POINTS:
        raise InvalidArgumentError(
            f"`learning_rates` must hold 1 to {MAX_POINTS} rates. Received: {len(rates)}. Pass for example "
            "[1e-3, 1e-2]."
        )
    return rates


def extend_grid(grid: Iterable[float], *, edge: Literal["low", "high"]) -> tuple[float, ...]:
    """The rates that continue a grid by a decade beyond one of its ends, at the spacing it has there.

    At least one rate is added unless it would exceed float32. A single rate is continued in steps of a decade.
    """
    rates = sorted(grid)
    end, neighbour = (rates[0], rates[1:2]) if edge == "low" else (rates[-1], rates[-2:-1])
    step = _snapped(abs(math.log10(end / neighbour[0]))) if neighbour else 1.0
    sign = -1 if edge == "low" else 1
    count = max(1, math.floor(1 / step + _SNAP))
    added = (math.log10(end) + sign * step * i for i in range(1, count + 1))
    return tuple(sorted(_rounded(10**decade) for decade in added if _SMALLEST < 10**decade < _LARGEST))


def refine_grid(grid: Iterable[float], *, low: float, high: float) -> tuple[float, ...]:
    """The rates that halve the gaps of a grid in `[low, high]` and up to the next rate on either side.

    Only the new rates, increasing; none if the grid has a single rate.
    """
    rates = sorted(grid)
    gaps = [(start, stop) for start, stop in itertools.pairwise(rates) if stop >= low and start <= high]
    return tuple(sorted({_rounded(math.sqrt(start * stop)) for start, stop in gaps} - set(rates)))


def next_growth(
    frame: pd.DataFrame,
    grown: Sequence[Mapping[str, Any]],
    *,
    objective: str,
    direction: Literal["min", "max"],
    extend: bool,
    refine: bool,
) -> dict[str, Any] | None:
    """The rates to add to a finished grid, as the details of an event; None if it need not grow.

    With `extend` it grows at an edge that has the best rate, and with `refine` once around the basin. `grown` are the
    earlier events.
    """
    found = analyze_sensitivity(frame, objective=objective, direction=direction)
    rates = sorted(float(rate) for rate in frame["learning_rate"].unique())
    if found.best_learning_rate is None or len(rates) < 2:
        return None
    if extend and found.at_edge:
        edge: Literal["low", "high"] = "low" if found.best_learning_rate == rates[0] else "high"
        if sum(event["why"] == f"{edge} edge" for event in grown) < MAX_EXTENSIONS:
            return _growth(f"{edge} edge", extend_grid(rates, edge=edge))
    if refine and not any(event["why"] == "basin" for event in grown):
        return _growth("basin", refine_grid(rates, low=found.low or rates[0], high=found.high or rates[-1]))
    return None


def grown_rates(grown: Iterable[Mapping[str, Any]]) -> list[float]:
    """The rates that were added by earlier events."""
    return [float(rate) for event in grown for rate in event["learning_rates"]]


def rungs(epochs: int) -> tuple[int, ...]:
    """Numbers of finished epochs after which a search of runs of `epochs` epochs prunes: a half, a quarter, ...

    Source:
        Jamieson & Talwalkar 2016, arXiv:1502.07943.
    """
    marks = []
    while (epochs := epochs // 2) >= MIN_EPOCHS:
        marks.append(epochs)
    return tuple(sorted(marks))


def prunable_points(
    frame: pd.DataFrame,
    *,
    epoch: int,
    epochs: int,
    objective: str = "val_loss",
    direction: Literal["min", "max"] = "min",
) -> frozenset[tuple[float, int]]:
    """The points of the grid to stop after `epoch`, as pairs of learning rate and batch size.

    Among the points of one batch size that have reached `epoch`, the better half continues in any case. Another
    point is stopped if it cannot win: its loss is extrapolated at the mean gain per epoch over the second half of the
    finished epochs, and the result is still worse than what the best point has reached now. Since learning curves
    flatten, this is an optimistic forecast. A point is also stopped if at least half of its repeats have diverged.

    Args:
        frame: Rows as a `SensitivityResult` holds them. Epochs after `epoch` and points that have not reached it are
            ignored.
        epoch: The epoch just finished, from 0; nothing is stopped unless it is one of the `rungs`.
        epochs: Length of a complete run, in epochs.
        objective: Column to judge by.
        direction: "min" if lower is better, else "max".
    """
    if epoch + 1 not in rungs(epochs):
        return frozenset()
    pruned = set()
    seen = frame[frame["epoch"] <= epoch]
    for batch_size in seen["batch_size"].unique():
        part = seen[seen["batch_size"] == batch_size]
        curves = _curves(part, epoch, objective, direction)
        medians = curves.groupby("learning_rate").median()
        now, ends = medians[epoch], medians.apply(lambda best: forecast(best.to_numpy(), epochs), axis=1)
        spared = now.index.isin(now.nsmallest(math.ceil(len(now) / 2)).index) & np.isfinite(now)
        stopped = now[~spared & ~(ends <= now.min()) & (now > now.min())]
        pruned |= {(float(rate), int(batch_size)) for rate in stopped.index}
    return frozenset(pruned)


def _growth(why: str, rates: Sequence[float]) -> dict[str, Any] | None:
    return {"why": why, "learning_rates": list(rates)} if rates else None


def _rate(value: Any, argument: str) -> float:
    number = float(f"{value:.{_GIVEN_DIGITS}g}") if is_number(value) else math.nan
    if not _SMALLEST <= number <= _LARGEST:
        raise InvalidRangeError(
            f"`{argument}` must be a positive number that float32 can hold. Received: {value!r}. Pass for example 1e-3."
        )
    return number


def _rounded(value: float) -> float:
    return float(f"{value:.{_COMPUTED_DIGITS}g}")


def _snapped(step: float) -> float:
    if step >= 1:
        return float(round(step)) if abs(step - round(step)) < _SNAP else step
    points = 1 / step
    return 1 / round(points) if abs(points - round(points)) < _SNAP * points else step


def _curves(part: pd.DataFrame, epoch: int, objective: str, direction: str) -> pd.DataFrame:
    """Best value so far (lower is better) by (rate, repeat) and epoch, for rates with every repeat at `epoch`.

    A diverged run is infinite from its last epoch on. Failed runs are left out.
    """
    last = part.sort_values("epoch", kind="stable").groupby(["learning_rate", "repeat"])[["epoch", "status"]].last()
    pending = last[(last["epoch"] < epoch) & (last["status"] == "ok")].index.get_level_values("learning_rate")
    stopped = (last["status"] == "failed") | ((last["status"] == "pruned") & (last["epoch"] < epoch))
    gone = last.index[stopped | last.index.isin(pending, level="learning_rate")]
    judged = part.assign(value=part[objective] if direction == "min" else -part[objective])
    curves = judged.pivot_table(index=["learning_rate", "repeat"], columns="epoch", values="value", dropna=False)
    curves = curves[curves.index.isin(last.index)].reindex(columns=range(epoch + 1)).cummin(axis=1).ffill(axis=1)
    curves.loc[last.index[last["status"] == "diverged"], epoch] = math.inf
    return curves.drop(index=gone).fillna(math.inf)
