"""The picture of a search over learning rates and batch sizes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap, to_rgb
from matplotlib.patches import Rectangle
from scipy.stats import rankdata

from keras_lr.analysis.run_scores import run_scores
from keras_lr.plots.numbers import format_number
from keras_lr.plots.sensitivity import main_batch_size
from keras_lr.plots.theme import BLUE, ORANGE, new_axes, plain_text, width_inches
from keras_lr.plots.thinning import evenly_chosen
from keras_lr.records.rate_words import format_rate
from keras_lr.records.sensitivity import SensitivityResult

MAX_RATES = 24
MAX_SIZES = 16
_CELL_INCHES = 0.42
# Steps of opacity over the page's own colour, so that letters stay readable on a light and on a dark one.
_SHADES = ListedColormap([(*to_rgb(BLUE), alpha) for alpha in np.linspace(0.42, 0.0, 64)])


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
        len(rates), MAX_RATES, always=None if best is None else int(np.argmin(np.abs(rates - best)))
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
