"""The picture of a search over learning rates: the U-curve."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from keras_lr.analysis.run_scores import run_scores
from keras_lr.plots.numbers import format_number
from keras_lr.plots.rail import draw_rail
from keras_lr.plots.theme import (
    BLUE,
    GREEN,
    GREY,
    dress,
    learning_rate_axis,
    legend_above,
    limit_rates,
    mark_rate,
    new_axes,
    plain_text,
)
from keras_lr.plots.thinning import evenly_chosen
from keras_lr.records.sensitivity import SensitivityResult

MAX_RATES = 120
MAX_OTHER_SIZES = 4
_LOG_RATIO = 20
_DASHES = ((0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1, 2)), (0, (2, 3)))


def plot_sensitivity(result: SensitivityResult, *, ax: Axes | None = None) -> Axes:
    """Draws each run's best objective against its learning rate.

    Every seed is a point, the line is their median and the band goes from their lowest to their highest: it is no
    confidence band. Runs that diverged or failed are marks on a rail at the upper edge. The rates that cannot be told
    from the best are shaded. Of several batch sizes the best one is drawn so, of the others the medians.

    Args:
        result: What a search measured.
        ax: Axes to draw on; those of a new figure where None.

    Returns:
        The axes drawn on.
    """
    ax = new_axes() if ax is None else ax
    runs = drawn_runs(result)
    size = main_batch_size(result)
    own = runs[runs["batch_size"] == size]
    learning_rate_axis(ax)
    limit_rates(ax, result.learning_rates, margin=0.04)
    dress(ax)
    _draw_others(ax, runs[runs["batch_size"] != size])
    _draw_own(ax, own, name="median" if len(result.batch_sizes) < 2 else f"median, batch {size}")
    _scale(ax, runs, result)
    draw_rail(ax, own)
    _mark_range(ax, result)
    objective = plain_text(result.objective, limit=32)
    better = "lowest" if result.direction == "min" else "highest"
    ax.set_ylabel(f"{better.capitalize()} {objective} of a run", parse_math=False)
    legend_above(ax)
    return ax


def drawn_runs(result: SensitivityResult) -> pd.DataFrame:
    """One row a run, as `run_scores` gives it, of at most `MAX_RATES` learning rates."""
    if not len(result.frame):
        return pd.DataFrame(columns=["batch_size", "learning_rate", "repeat", "status", "epochs", "score"])
    runs = run_scores(result.frame, objective=result.objective, direction=result.direction)
    rates = result.learning_rates
    best = None if result.best_learning_rate is None else int(np.argmin(np.abs(rates - result.best_learning_rate)))
    return runs[runs["learning_rate"].isin(rates[evenly_chosen(len(rates), MAX_RATES, always=best)])]


def main_batch_size(result: SensitivityResult) -> int | None:
    """The batch size of the best run, or the smallest where no run was best; None where there is no run."""
    sizes = result.batch_sizes
    return result.best_batch_size if result.best_batch_size in sizes else next(iter(sizes), None)


def trained(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs that came to a number."""
    finite = np.isfinite(runs["score"].to_numpy(dtype=np.float64))
    came_to: pd.DataFrame = runs[finite & (runs["status"] == "ok").to_numpy()]
    return came_to


def _draw_own(ax: Axes, runs: pd.DataFrame, *, name: str) -> None:
    shown = trained(runs)
    if not len(shown):
        ax.text(0.5, 0.5, "No run trained", transform=ax.transAxes, ha="center", va="center")
        return
    marker = "o" if shown["learning_rate"].nunique() == 1 else None
    # Where most runs diverged, the median of the others would look better than it is.
    medians = runs.groupby("learning_rate")["score"].median()
    usable = medians.index[np.isfinite(medians.to_numpy(dtype=np.float64))]
    sns.lineplot(
        shown[shown["learning_rate"].isin(usable)],
        x="learning_rate",
        y="score",
        estimator="median",
        errorbar=("pi", 100),
        color=BLUE,
        linewidth=2.2,
        marker=marker,
        label=name,
        err_kws={"alpha": 0.16, "linewidth": 0, "label": "lowest to highest seed"},
        ax=ax,
    )
    sns.scatterplot(
        shown, x="learning_rate", y="score", color=BLUE, s=22, linewidth=0, label="one seed", legend=False, ax=ax
    )


def _draw_others(ax: Axes, runs: pd.DataFrame) -> None:
    shown = trained(runs)
    sizes = sorted(shown["batch_size"].unique())
    for size, dashes in zip([sizes[i] for i in evenly_chosen(len(sizes), MAX_OTHER_SIZES)], _DASHES, strict=False):
        sns.lineplot(
            shown[shown["batch_size"] == size],
            x="learning_rate",
            y="score",
            estimator="median",
            errorbar=None,
            color=GREY,
            linewidth=1.4,
            linestyle=dashes,
            label=f"median, batch {size}",
            ax=ax,
        )


def _scale(ax: Axes, runs: pd.DataFrame, result: SensitivityResult) -> None:
    scores = trained(runs)["score"].to_numpy(dtype=np.float64)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_number(value, digits=3)))
    if not len(scores):
        return
    low, high = float(scores.min()), float(scores.max())
    if result.direction == "min" and low > 0 and high > _LOG_RATIO * low:
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 3.0), numticks=7))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_number(value, digits=3)))
        ax.set_ylim(low / (high / low) ** 0.06, high * (high / low) ** 0.1)
        return
    spread = (high - low) or 0.1 * abs(high) or 1.0
    ax.set_ylim(low - 0.08 * spread, high + 0.14 * spread)


def _mark_range(ax: Axes, result: SensitivityResult) -> None:
    best, low, high = result.best_learning_rate, result.low, result.high
    if best is None or low is None or high is None:
        return
    ax.axvspan(low, high, color=GREEN, alpha=0.14, linewidth=0, zorder=0, label="within noise of the best")
    mark_rate(ax, best, "best", color=GREEN)
