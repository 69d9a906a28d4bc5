"""The plots of a search over learning rates: U-curve, heatmap over batch sizes, and race."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator
from matplotlib.transforms import Transform
from scipy.stats import rankdata

from keras_lr._utils.downsampling import evenly_chosen, nearest
from keras_lr._utils.formatting import format_number, format_rate
from keras_lr.analysis._batch_size import measured_ridge, rule_ridge, scaling_exponent
from keras_lr.analysis._sensitivity import main_batch_size, median_scores, run_scores, runs_at, trained_runs
from keras_lr.plots._history import shown_rates
from keras_lr.plots._style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PINK,
    curve_id,
    draw_line,
    learning_rate_axis,
    legend_above,
    limit_rates,
    mark_rate,
    new_axes,
    part_id,
    plain_text,
    style_axes,
    width_inches,
)
from keras_lr.results._sensitivity import BASIN_NAMES, RUN_STATUS_NAMES, RaceSummary, RunStatus, SensitivityResult

MAX_RATES = 120
MAX_HEATMAP_SIZES = 16
_MAX_OTHER_SIZES = 4
_MAX_HEATMAP_RATES = 24

# Objectives that differ by more than this factor are drawn on a log axis.
_LOG_RATIO = 20
_OTHER_SIZE_DASHES = ((0, (5, 2)), (0, (1.5, 1.5)), (0, (6, 2, 1, 2)), (0, (2, 3)))
_FAILURE_MARKS: dict[RunStatus, tuple[str, str]] = {
    "diverged": ("x", ORANGE),
    "failed": ("+", PINK),
    "pruned": ("1", PINK),
}
_FAILURE_HEIGHT = 0.97
# Of the height of the values, so that the label of the best rate stands below the curve.
_ROOM_BELOW = 0.15
_RULES: dict[float | None, str] = {1.0: "linear rule", 0.5: "square-root rule"}
"""How the rate grows with the batch size, by the exponent."""
RACE_ENDS = {
    "beaten": ("s", PINK, "can no longer win"),
    "behind": ("v", ORANGE, "behind, to save budget"),
    "diverged": ("x", ORANGE, "diverged"),
}
"""Mark, colour and name of each way in which a rate leaves a race."""
_WORST_RATIO = 30.0
_LABEL_WIDTH = 46.0
_LABEL_HEIGHT = 10.0
_BAR_POINTS = 7.0
# The longest names that fit into the legend of a narrow drawing.
_LABELS = {name: text.replace("at most", "≤") for name, text in BASIN_NAMES.items()}
# A narrower cell has no room for its number.
_CELL_INCHES = 0.42
# Degrees of opacity over the page's own colour, so that text stays readable on a light and on a dark page.
_SHADES = ListedColormap([(*to_rgb(BLUE), alpha) for alpha in np.linspace(0.42, 0.0, 64)])


def plot_sensitivity(result: SensitivityResult, *, ax: Axes | None = None) -> Axes:
    """Draws the best objective of each run against its learning rate.

    Each repeat is a point, the line is their median, and the band spans the lowest to the highest repeat; it is not a
    confidence band. Runs that diverged, failed or were stopped early are marked at the upper edge. The shaded range of
    learning rates is as good as the best within noise, and the one with a bar at its foot loses at most 5% of the gain.
    If the noise is unknown, the latter is shaded. With several batch sizes, the best one is drawn this way and the
    others as medians only.

    Args:
        result: What a search measured.
        ax: Axes to draw on; None makes a new figure of pyplot, which notebooks show.

    Returns:
        The axes drawn on.

    Example:
        >>> keras_lr.plots.plot_sensitivity(tuner.sensitivity())
    """
    ax = new_axes() if ax is None else ax
    runs = _drawn_runs(result)
    size = main_batch_size(result)
    own = runs[runs["batch_size"] == size]
    learning_rate_axis(ax)
    limit_rates(ax, result.learning_rates, margin=0.04)
    style_axes(ax)
    _draw_other_sizes(ax, runs[runs["batch_size"] != size])
    _draw_repeats(ax, own, run=f"batch {size}" if len(result.batch_sizes) > 1 else "")
    _limit_objective(ax, runs, result)
    _mark_failed_runs(ax, own)
    _mark_best_range(ax, result)
    objective = plain_text(result.objective, limit=32)
    better = "lowest" if result.direction == "min" else "highest"
    ax.set_ylabel(f"{better.capitalize()} {objective} per run", parse_math=False)
    legend_above(ax)
    return ax


def plot_heatmap(result: SensitivityResult, *, ax: Axes | None = None) -> Axes:
    """Draws the median objective per learning rate (across) and batch size (up).

    The stronger the colour of a cell, the better its rank. A cell in which most runs diverged holds a cross. The best
    cell has a frame. A dot marks the best rate of each batch size, and a diamond where the rule of
    `keras_lr.optimizers.scale_learning_rate` puts it, from the best cell on.

    Args:
        result: What a search measured.
        ax: Axes to draw on; None makes a new figure of pyplot, which notebooks show.

    Returns:
        The axes drawn on.

    Example:
        >>> keras_lr.plots.plot_heatmap(tuner.sensitivity())
    """
    ax = new_axes() if ax is None else ax
    table = _heatmap_table(result)
    scores = table.where(np.isfinite(table))
    roomy = width_inches(ax) / max(1, table.shape[1]) >= _CELL_INCHES
    numbers = scores.map(lambda value: "" if np.isnan(value) else format_number(value, digits=3))
    if scores.notna().any(axis=None):
        sns.heatmap(
            _ranks(scores, lowest_first=result.direction == "min"),
            annot=numbers if roomy else False,
            fmt="",
            annot_kws={"fontsize": "small", "color": ax.xaxis.label.get_color()},
            cmap=_SHADES,
            cbar=False,
            ax=ax,
        )
    else:
        ax.set(xlim=(0, table.shape[1]), ylim=(0, table.shape[0]))
    _mark_cells(ax, table, result)
    _label_cells(ax, table, result)
    _draw_ridges(ax, table, result)
    return ax


def plot_race(result: SensitivityResult, *, ax: Axes | None = None) -> Axes:
    """Draws the objective against the epoch, one line per learning rate of a race, each up to where it was dropped.

    The best rate has the thick line. The mark at the end of another one says why it was dropped; each diverged run is
    marked at the upper edge. Vertical lines show the comparisons.

    Args:
        result: What a race measured.
        ax: Axes to draw on; None makes a new figure.

    Returns:
        The axes drawn on.
    """
    ax = new_axes() if ax is None else ax
    style_axes(ax)
    race = result.race
    whys = {} if race is None else {drop["learning_rate"]: drop["why"] for drop in race["dropped"]}
    curves = {rate: _judged_curve(result, rate) for rate in shown_rates(result)}
    values = np.array([value for curve in curves.values() for value in curve])
    worst = _worst_drawn(result, curves)
    _limit_objective(ax, pd.DataFrame({"score": values[values <= worst], "status": "ok"}), result)
    _mark_epochs(ax, race)
    for rate, curve in curves.items():
        if len(curve):
            name, epochs = _race_name(rate), np.arange(1, len(curve) + 1)
            color, width, zorder = (BLUE, 2.4, 4) if rate == result.best_learning_rate else (GREY, 1.3, 3)
            draw_line(ax, epochs, curve, name=name, run=name, width=width, color=color, zorder=zorder)
    ends = [_end(ax, rate, curve, worst, diverged=whys.get(rate) == "diverged") for rate, curve in curves.items()]
    for end in ends:
        if end.rate in whys:
            _mark_end(ax, end, whys[end.rate])
    _label_ends(ax, ends, best=result.best_learning_rate)
    ax.set_xlabel("Epochs trained")
    ax.set_ylabel(plain_text(result.objective, limit=32), parse_math=False)
    for why in dict.fromkeys(whys.values()):
        marker, color, text = RACE_ENDS[why]
        ax.plot([], [], marker=marker, color=color, linestyle="none", markeredgewidth=1.8, label=text)
    legend_above(ax)
    return ax


def _mark_epochs(ax: Axes, race: RaceSummary | None) -> None:
    """Makes x the epochs, with room for a label at the right end, and marks the comparisons."""
    epochs = 1 if race is None else race["epochs"]
    ax.set_xlim(0.5, 1 + (epochs - 0.5) * 1.12)
    ticks = MaxNLocator(integer=True, nbins=max(3, int(width_inches(ax) * 1.6))).tick_values(1, epochs)
    ax.set_xticks([tick for tick in ticks if 1 <= tick <= epochs])
    for comparison in [] if race is None else race["comparisons"][:-1]:
        ax.axvline(comparison["epoch"], color=GREY, linewidth=0.6, alpha=0.4, zorder=0)


def _worst_drawn(result: SensitivityResult, curves: Mapping[float, np.ndarray]) -> float:
    """The value above which a line leaves the picture, so that one bad rate does not make all others look alike."""
    firsts = [float(curve[0]) for curve in curves.values() if len(curve)]
    if result.direction == "max" or not firsts or min(firsts) <= 0:
        return np.inf
    return _WORST_RATIO * float(np.median(firsts))


def _judged_curve(result: SensitivityResult, rate: float) -> np.ndarray:
    """The objective by epoch, as far as it is finite."""
    run = runs_at(result, rate)[0][result.objective].to_numpy(dtype=np.float64)
    broken = np.flatnonzero(~np.isfinite(run))
    return run[: broken[0]] if len(broken) else run


@dataclass(frozen=True)
class _End:
    """Where the line of a rate ends: at an epoch, in data coordinates or at a height of the axes."""

    rate: float
    epoch: float
    height: float
    transform: Transform

    def place(self, ax: Axes) -> tuple[float, float]:
        """The place on the figure, in points."""
        x, y = self.transform.transform((self.epoch, self.height)) * 72 / ax.figure.dpi
        return float(x), float(y)


def _end(ax: Axes, rate: float, curve: np.ndarray, worst: float, *, diverged: bool) -> _End:
    if diverged or not len(curve):
        return _End(rate, len(curve) + 1, _FAILURE_HEIGHT, ax.get_xaxis_transform())
    if curve[-1] > worst:
        return _End(rate, len(curve), _FAILURE_HEIGHT, ax.get_xaxis_transform())
    return _End(rate, len(curve), float(curve[-1]), ax.transData)


def _mark_end(ax: Axes, end: _End, why: str) -> None:
    marker, color, _ = RACE_ENDS[why]
    ax.plot(
        [end.epoch],
        [end.height],
        marker=marker,
        color=color,
        markersize=6,
        markeredgewidth=1.8,
        linestyle="none",
        transform=end.transform,
        clip_on=False,
        zorder=5,
        gid=part_id(_race_name(end.rate)),
    )


def _label_ends(ax: Axes, ends: Iterable[_End], *, best: float | None) -> None:
    """Writes each rate beside the end of its line; labels that would overlap are moved apart."""
    placed: list[tuple[float, float]] = []
    for end in sorted(ends, key=lambda end: end.place(ax)[1]):
        x, y = end.place(ax)
        height, step = y, _LABEL_HEIGHT if end.transform is ax.transData else -_LABEL_HEIGHT
        while clash := [
            other for at, other in placed if abs(at - x) < _LABEL_WIDTH and abs(other - height) < _LABEL_HEIGHT
        ]:
            height = (max(clash) if step > 0 else min(clash)) + step
        placed.append((x, height))
        ax.annotate(
            _race_name(end.rate),
            (end.epoch, end.height),
            xycoords=end.transform,
            xytext=(7, height - y),
            textcoords="offset points",
            va="center",
            fontsize="small",
            fontweight="bold" if end.rate == best else "normal",
            annotation_clip=False,
            gid=part_id(_race_name(end.rate)),
        )


def _race_name(rate: float) -> str:
    return format_rate(rate, digits=3)


def _drawn_runs(result: SensitivityResult) -> pd.DataFrame:
    """The rows of `run_scores` for at most `MAX_RATES` learning rates."""
    if not len(result.frame):
        return pd.DataFrame(columns=["batch_size", "learning_rate", "repeat", "status", "epochs", "score"])
    runs = run_scores(result.frame, objective=result.objective, direction=result.direction)
    rates = result.learning_rates
    chosen = evenly_chosen(len(rates), MAX_RATES, always=nearest(rates, result.best_learning_rate))
    return runs[runs["learning_rate"].isin(rates[chosen])]


def _draw_repeats(ax: Axes, runs: pd.DataFrame, *, run: str) -> None:
    """Draws median, band and points; `run` names them if there is something to tell them from."""
    trained = trained_runs(runs)
    if not len(trained):
        ax.text(0.5, 0.5, "No run trained", transform=ax.transAxes, ha="center", va="center")
        return
    medians = median_scores(runs)
    label = f"median, {run}" if run else "median"
    draw_line(ax, medians.index, medians.to_numpy(), name="median", run=run, width=2.2, label=label, color=BLUE)
    if trained["repeat"].nunique() > 1:
        spread = trained[trained["learning_rate"].isin(medians.index)].groupby("learning_rate")["score"]
        ax.fill_between(
            medians.index,
            spread.min(),
            spread.max(),
            color=BLUE,
            alpha=0.16,
            linewidth=0,
            label="lowest to highest repeat",
            gid=part_id(run) if run else None,
        )
    sns.scatterplot(
        trained,
        x="learning_rate",
        y="score",
        color=BLUE,
        s=22,
        linewidth=0,
        label="one repeat",
        legend=False,
        gid=curve_id("one repeat", run=run),
        ax=ax,
    )


def _draw_other_sizes(ax: Axes, runs: pd.DataFrame) -> None:
    medians = {size: median_scores(own) for size, own in runs.groupby("batch_size")}
    sizes = [size for size, scores in medians.items() if len(scores)]
    chosen = [sizes[i] for i in evenly_chosen(len(sizes), _MAX_OTHER_SIZES)]
    for size, dashes in zip(chosen, _OTHER_SIZE_DASHES, strict=False):
        draw_line(
            ax,
            medians[size].index,
            medians[size].to_numpy(),
            name="median",
            run=f"batch {size}",
            width=1.4,
            label=f"median, batch {size}",
            color=GREY,
            linestyle=dashes,
        )


def _limit_objective(ax: Axes, runs: pd.DataFrame, result: SensitivityResult) -> None:
    scores = trained_runs(runs)["score"].to_numpy(dtype=np.float64)
    formatter = FuncFormatter(lambda value, _: format_number(value, digits=3))
    ax.yaxis.set_major_formatter(formatter)
    if not len(scores):
        return
    low, high = float(scores.min()), float(scores.max())
    if result.direction == "min" and low > 0 and high > _LOG_RATIO * low:
        ax.set_yscale("log")
        ax.yaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 3.0), numticks=7))
        ax.yaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_major_formatter(formatter)
        ax.set_ylim(low / (high / low) ** _ROOM_BELOW, high * (high / low) ** 0.1)
        return
    spread = (high - low) or 0.1 * abs(high) or 1.0
    ax.set_ylim(low - _ROOM_BELOW * spread, high + 0.14 * spread)


def _mark_failed_runs(ax: Axes, runs: pd.DataFrame) -> None:
    """Marks at the upper edge where runs diverged, failed or were stopped early: one mark per learning rate and way."""
    for status, (marker, color) in _FAILURE_MARKS.items():
        rates = sorted(runs.loc[runs["status"] == status, "learning_rate"].unique())
        if rates:
            ax.plot(
                rates,
                [_FAILURE_HEIGHT] * len(rates),
                marker=marker,
                markersize=8,
                markeredgewidth=2,
                linestyle="none",
                color=color,
                label=RUN_STATUS_NAMES[status],
                transform=ax.get_xaxis_transform(),
                clip_on=False,
                zorder=5,
            )


def _mark_best_range(ax: Axes, result: SensitivityResult) -> None:
    best, low, high = result.best_learning_rate, result.low, result.high
    if best is None or low is None or high is None:
        return
    if low < high:
        ax.axvspan(low, high, color=GREEN, alpha=0.14, linewidth=0, zorder=0, label=_LABELS[result.basin_by])
    low, high = result.usable_low, result.usable_high
    if result.basin_by == "noise" and low is not None and high is not None and low < high:
        ax.plot(
            [low, high],
            [0, 0],
            color=GREEN,
            linewidth=_BAR_POINTS,
            solid_capstyle="butt",
            label=_LABELS["gain"],
            transform=ax.get_xaxis_transform(),
            zorder=3,
        )
    mark_rate(ax, best, "best", color=GREEN)


def _heatmap_table(result: SensitivityResult) -> pd.DataFrame:
    """Median objective by batch size (rows, falling) and learning rate (columns); infinite where most runs diverged."""
    if not len(result.frame):
        return pd.DataFrame()
    runs = run_scores(result.frame, objective=result.objective, direction=result.direction)
    with np.errstate(invalid="ignore"):
        table = runs.pivot_table(index="batch_size", columns="learning_rate", values="score", aggfunc="median")
    sizes, rates = table.index.to_numpy(), table.columns.to_numpy()
    rows = evenly_chosen(len(sizes), MAX_HEATMAP_SIZES, always=nearest(sizes, main_batch_size(result)))
    columns = evenly_chosen(len(rates), _MAX_HEATMAP_RATES, always=nearest(rates, result.best_learning_rate))
    return table.iloc[rows[::-1], columns]


def _ranks(scores: pd.DataFrame, *, lowest_first: bool) -> pd.DataFrame:
    """1 for the best cell. Ranks, because on a scale of values one very bad cell would make all others look alike."""
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


def _label_cells(ax: Axes, table: pd.DataFrame, result: SensitivityResult) -> None:
    every = max(1, round(0.5 * table.shape[1] / max(width_inches(ax), 0.1)))
    shown = range(0, table.shape[1], every)
    names = [format_rate(float(table.columns[i]), digits=3) for i in shown]
    ax.set_xticks([column + 0.5 for column in shown], names, rotation=0)
    ax.set_yticks([row + 0.5 for row in range(table.shape[0])], [str(size) for size in table.index], rotation=0)
    ax.tick_params(length=0)
    ax.set(xlabel="Learning rate", ylabel="Batch size")
    ax.set_title(f"Median {plain_text(result.objective, limit=32)}", fontsize="medium", loc="left", parse_math=False)


def _draw_ridges(ax: Axes, table: pd.DataFrame, result: SensitivityResult) -> None:
    """The best rate of each batch size, as measured and by rule, at the foot of the cells."""
    if min(table.shape) < 2:
        return
    rates, columns = np.log10(table.columns.to_numpy(dtype=np.float64)), np.arange(table.shape[1]) + 0.5
    rule = _RULES.get(scaling_exponent(str(result.environment.get("optimizer", ""))), "")
    for label, ridge, marker in (("best rate", measured_ridge(result), "o"), (rule, rule_ridge(result), "d")):
        drawn = [(np.log10(ridge[size]), row + 0.88) for row, size in enumerate(table.index) if size in ridge]
        inside = [(np.interp(rate, rates, columns), row) for rate, row in drawn if rates[0] <= rate <= rates[-1]]
        if len(inside) > 1:
            face = "none" if marker == "d" else ORANGE
            ax.plot(*zip(*inside, strict=True), marker, color=ORANGE, markerfacecolor=face, markersize=5, label=label)
    legend_above(ax)
    if ax.get_legend() is not None:
        ax.set_title(ax.get_title(loc="left"), fontsize="medium", loc="left", pad=22, parse_math=False)
