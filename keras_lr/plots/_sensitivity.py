"""The picture of a search over learning rates: the U-curve."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from scipy.stats import rankdata

from keras_lr._utils.downsampling import evenly_chosen
from keras_lr._utils.formatting import format_number, format_rate
from keras_lr.analysis._sensitivity.summary import run_scores
from keras_lr.plots._losses import LossLines, Scale, checked_panels, draw_losses, label_panel, mark_findings, name_lines
from keras_lr.plots._style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PINK,
    learning_rate_axis,
    legend_above,
    limit_rates,
    mark_rate,
    new_axes,
    plain_text,
    style_axes,
    width_inches,
)
from keras_lr.results._diagnosis import Finding
from keras_lr.results._sensitivity import SensitivityResult

RAIL_HEIGHT = 0.97
_MARKS = {"diverged": ("x", ORANGE), "failed": ("+", PINK), "pruned": ("1", PINK)}

MAX_RATES = 120
MAX_OTHER_SIZES = 4
_LOG_RATIO = 20
_DASHES = ((0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1, 2)), (0, (2, 3)))

MAX_HEATMAP_RATES = 24
MAX_SIZES = 16
_CELL_INCHES = 0.42
# Steps of opacity over the page's own colour, so that letters stay readable on a light and on a dark one.
_SHADES = ListedColormap([(*to_rgb(BLUE), alpha) for alpha in np.linspace(0.42, 0.0, 64)])

MAX_PANELS = 12
MAX_REPEATS = 5


def draw_rail(ax: Axes, runs: pd.DataFrame) -> None:
    """Marks each run that diverged, failed or was stopped early at its learning rate, one mark a rate and kind.

    Args:
        ax: Axes whose x axis is the learning rate.
        runs: Rows with `learning_rate` and `status`.
    """
    for status, (marker, color) in _MARKS.items():
        rates = sorted(runs.loc[runs["status"] == status, "learning_rate"].unique())
        if rates:
            ax.plot(
                rates,
                [RAIL_HEIGHT] * len(rates),
                marker=marker,
                markersize=8,
                markeredgewidth=2,
                linestyle="none",
                color=color,
                label=status if status != "pruned" else "stopped early",
                transform=ax.get_xaxis_transform(),
                clip_on=False,
                zorder=5,
            )


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
    style_axes(ax)
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


def plot_heatmap(result: SensitivityResult, *, ax: Axes | None = None) -> Axes:
    """Draws the median objective of each learning rate (across) and batch size (up); the fuller, the better.

    A cell in which most runs diverged holds a cross. The best cell has a frame.

    Args:
        result: What a search measured.
        ax: Axes to draw on; those of a new figure where None.

    Returns:
        The axes drawn on.
    """
    ax = new_axes() if ax is None else ax
    table = heatmap_table(result)
    scores = table.where(np.isfinite(table))
    roomy = width_inches(ax) / max(1, table.shape[1]) >= _CELL_INCHES
    letters = scores.map(lambda value: "" if np.isnan(value) else format_number(value, digits=3))
    if scores.notna().any(axis=None):
        sns.heatmap(
            _ranks(scores, lowest_first=result.direction == "min"),
            annot=letters if roomy else False,
            fmt="",
            annot_kws={"fontsize": "small", "color": ax.xaxis.label.get_color()},
            cmap=_SHADES,
            cbar=False,
            ax=ax,
        )
    else:
        ax.set(xlim=(0, table.shape[1]), ylim=(0, table.shape[0]))
    _mark_cells(ax, table, result)
    _name_axes(ax, table, result)
    return ax


def heatmap_table(result: SensitivityResult) -> pd.DataFrame:
    """Median objective by batch size (rows, falling) and learning rate (columns); infinite where most diverged."""
    if not len(result.frame):
        return pd.DataFrame()
    runs = run_scores(result.frame, objective=result.objective, direction=result.direction)
    with np.errstate(invalid="ignore"):
        table = runs.pivot_table(index="batch_size", columns="learning_rate", values="score", aggfunc="median")
    sizes, rates = table.index.to_numpy(), table.columns.to_numpy()
    size, best = main_batch_size(result), result.best_learning_rate
    rows = evenly_chosen(len(sizes), MAX_SIZES, always=None if size is None else int(np.argmin(np.abs(sizes - size))))
    columns = evenly_chosen(
        len(rates), MAX_HEATMAP_RATES, always=None if best is None else int(np.argmin(np.abs(rates - best)))
    )
    return table.iloc[rows[::-1], columns]


def _ranks(scores: pd.DataFrame, *, lowest_first: bool) -> pd.DataFrame:
    """1 for the best; by rank, so that one run that blew up does not make all others look the same."""
    ranks = rankdata(scores if lowest_first else -scores, nan_policy="omit").reshape(scores.shape)
    return pd.DataFrame(ranks, index=scores.index, columns=scores.columns)


def _mark_cells(ax: Axes, table: pd.DataFrame, result: SensitivityResult) -> None:
    for row, column in np.argwhere(np.isinf(table.to_numpy(dtype=np.float64))):
        ax.plot([column + 0.5], [row + 0.5], marker="x", markersize=7, markeredgewidth=2, color=ORANGE)
    best = (table.index.to_numpy() == result.best_batch_size)[:, np.newaxis] & (
        table.columns.to_numpy() == result.best_learning_rate
    )
    for row, column in np.argwhere(best):
        ax.add_patch(Rectangle((column, row), 1, 1, fill=False, edgecolor=BLUE, linewidth=2.4, clip_on=False))


def _name_axes(ax: Axes, table: pd.DataFrame, result: SensitivityResult) -> None:
    every = max(1, round(0.5 * table.shape[1] / max(width_inches(ax), 0.1)))
    shown = range(0, table.shape[1], every)
    ax.set_xticks([column + 0.5 for column in shown], [format_rate(float(table.columns[i])) for i in shown], rotation=0)
    ax.set_yticks([row + 0.5 for row in range(table.shape[0])], [str(size) for size in table.index], rotation=0)
    ax.tick_params(length=0)
    ax.set(xlabel="Learning rate", ylabel="Batch size")
    ax.set_title(f"Median {plain_text(result.objective, limit=32)}", fontsize="medium", loc="left", parse_math=False)


def plot_learning_curves(
    result: SensitivityResult,
    *,
    findings: Mapping[float, Sequence[Finding]] | None = None,
    axes: Sequence[Axes] | None = None,
) -> list[Axes]:
    """Draws loss and validation loss against the epoch: a panel a learning rate, a line a repeat, one scale for all.

    Args:
        result: What a search measured; of several batch sizes the best one's runs are drawn, of many repeats some.
        findings: What to hatch in the panel of a learning rate.
        axes: As many Axes as `shown_rates(result)`; those of a new figure where None.

    Returns:
        The axes drawn on.

    Raises:
        InvalidArgumentError: `axes` are more or fewer than the rates shown.
    """
    panels = learning_curve_panels(result, findings=findings)
    drawn = checked_panels(axes, len(panels))
    for ax, draw in zip(drawn, panels.values(), strict=True):
        draw(ax)
    if drawn:
        name_lines(drawn[0])
    return drawn


def learning_curve_panels(
    result: SensitivityResult, *, findings: Mapping[float, Sequence[Finding]] | None = None
) -> dict[float, Callable[[Axes], None]]:
    """What draws each panel of `plot_learning_curves`, all to one scale, by the learning rate."""
    kept = {rate: [_lines(run) for run in runs_of(result, rate)] for rate in shown_rates(result)}
    runs = {rate: [lines[i] for i in evenly_chosen(len(lines), MAX_REPEATS)] for rate, lines in kept.items()}
    scale = Scale.of([lines for of_rate in runs.values() for lines in of_rate])

    def drawn(rate: float) -> Callable[[Axes], None]:
        def draw(ax: Axes) -> None:
            draw_losses(ax, runs[rate], scale)
            mark_findings(ax, (findings or {}).get(rate, ()))
            label_panel(ax, title=format_rate(rate), x="Epoch", y="Loss")

        return draw

    return {rate: drawn(rate) for rate in runs}


def shown_rates(result: SensitivityResult) -> list[float]:
    """The learning rates that have a panel: all of a short grid, else some evenly chosen ones and the best."""
    rates = np.unique(_of_main_batch_size(result)["learning_rate"].to_numpy(dtype=np.float64))
    best = None
    if result.best_learning_rate is not None:
        best = int(np.argmin(np.abs(rates - result.best_learning_rate)))
    return [float(rates[index]) for index in evenly_chosen(len(rates), MAX_PANELS, always=best)]


def runs_of(result: SensitivityResult, learning_rate: float) -> list[pd.DataFrame]:
    """The epochs of each repeat at a learning rate and the best batch size, in order."""
    frame = _of_main_batch_size(result)
    runs = frame[frame["learning_rate"] == learning_rate].groupby("repeat")
    return [run.sort_values("epoch") for _, run in runs]


def _of_main_batch_size(result: SensitivityResult) -> pd.DataFrame:
    return result.frame[result.frame["batch_size"] == main_batch_size(result)]


def _lines(run: pd.DataFrame) -> LossLines:
    return LossLines.of(run["epoch"].to_numpy(), run["loss"].to_numpy(), run["val_loss"].to_numpy())
