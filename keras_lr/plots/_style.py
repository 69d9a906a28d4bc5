"""Colours and settings shared by all plots.

The five colours come from seaborn's colorblind palette. Each has a contrast of at least 3:1 both on white and on a dark
page. The report's style sheet takes them from here.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from keras_lr._utils.formatting import format_rate

BLUE = "#0173b2"
GREEN = "#029e73"
ORANGE = "#d55e00"
PINK = "#cc78bc"
GREY = "#949494"
# On a dark page the report draws BLUE brighter, since it carries the main line of every figure.
BLUE_ON_DARK = "#3fa2e3"
REGION_COLORS = {"too low": GREY, "good": GREEN, "unstable": ORANGE, "diverged": PINK}


def new_figure(width: float, height: float) -> Figure:
    """A new figure of pyplot, in inches, which a notebook and `plt.show()` therefore show."""
    import matplotlib.pyplot as plt

    figure: Figure = plt.figure(figsize=(width, height), layout="constrained")
    return figure


def new_axes() -> Axes:
    """Axes on a new figure of pyplot."""
    axes: Axes = new_figure(7.6, 4.0).subplots()
    return axes


def style_axes(ax: Axes) -> None:
    """Removes the upper and right spines and draws a faint grid behind the data."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(True, axis="y", linewidth=0.6, alpha=0.15)
    ax.set_axisbelow(True)


def learning_rate_axis(ax: Axes, *, log: bool = True) -> None:
    """Makes x the learning rate, with tick labels as one would type them."""
    ax.set_xlabel("Learning rate" + (" (log scale)" if log else ""))
    if log:
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(base=10, numticks=max(3, int(width_inches(ax) * 1.8))))
        ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: format_rate(value)))


def limit_rates(ax: Axes, rates: np.ndarray, *, margin: float = 0.0) -> None:
    """Limits the x axis to the rates, which must be increasing.

    Call it before drawing: matplotlib leaves no room around a single point on a log axis.

    Args:
        ax: Axes whose x axis is the learning rate.
        rates: Learning rates, increasing; no limits are set if there are none.
        margin: Extra room on each side of a log axis, as a fraction of its width.
    """
    if not len(rates):
        return
    low, high = float(rates[0]), float(rates[-1])
    if low == high:
        low, high = low / 3, high * 3
    elif ax.get_xscale() == "log":
        factor = (high / low) ** margin
        low, high = low / factor, high * factor
    ax.set_xlim(low, high)


def mark_rate(ax: Axes, rate: float, text: str, *, color: str) -> None:
    """Draws a dashed line at `rate` with a label at its foot, on the side with room; the limits must already be set."""
    ax.axvline(rate, color=color, linewidth=1.2, linestyle=(0, (4, 3)))
    share = float(ax.transAxes.inverted().transform(ax.transData.transform((rate, ax.get_ylim()[0])))[0])
    side, offset = ("right", -7) if share > 0.3 else ("left", 7)
    ax.annotate(
        f"{text} {format_rate(rate)}",
        (rate, 0.04),
        xycoords=ax.get_xaxis_transform(),
        xytext=(offset, 0),
        textcoords="offset points",
        ha=side,
        va="bottom",
        fontweight="bold",
    )


def legend_above(ax: Axes) -> None:
    """Puts a legend between the title and the axes, in as many columns as fit."""
    if ax.get_legend_handles_labels()[0]:
        columns = max(1, int(width_inches(ax) / 1.5))
        legend = ax.legend(
            frameon=False,
            fontsize="small",
            loc="lower left",
            bbox_to_anchor=(-0.01, 1.0),
            ncols=columns,
            borderpad=0.2,
            handlelength=1.8,
            columnspacing=1.4,
        )
        outline_swatches(legend)


def outline_swatches(legend: Legend) -> None:
    """Gives the filled swatches an edge: their faint filling alone would hardly be seen."""
    for swatch in legend.legend_handles:
        if isinstance(swatch, Patch):
            filling, edge = swatch.get_facecolor(), swatch.get_edgecolor()
            swatch.set(alpha=None, linewidth=0.8, facecolor=filling, edgecolor=(filling if filling[3] else edge)[:3])


def draw_line(ax: Axes, x: Any, y: Any, *, name: str, run: str = "", width: float = 1.8, **look: Any) -> None:
    """Draws a curve as it is, without aggregating or sorting its points; a single point becomes a dot.

    Args:
        ax: Axes to draw on.
        x: Shape `(n,)`.
        y: Shape `(n,)`.
        name: As in `curve_id`.
        run: As in `curve_id`.
        width: Of the line, in points.
        **look: Further arguments of `seaborn.lineplot`.
    """
    look = {"marker": "o" if len(x) == 1 else None, "linewidth": width, "gid": curve_id(name, run=run)} | look
    sns.lineplot(x=x, y=y, estimator=None, sort=False, legend=False, markeredgewidth=0, ax=ax, **look)


def curve_id(name: str, *, run: str = "") -> str:
    """The `gid` of a curve, by which the report's page finds its points.

    Args:
        name: What the curve shows, as the page says it beside a value.
        run: What the reader can hide; all artists with the same `run` are hidden together.
    """
    return json.dumps({"curve": plain_text(name), "run": plain_text(run)})


def part_id(run: str) -> str:
    """The `gid` of what belongs to a run without being its curve: marks, bands and labels."""
    return curve_id("", run=run)


def width_inches(ax: Axes) -> float:
    """Width of the axes, in inches."""
    return float(ax.get_window_extent().width / ax.figure.dpi)


def plain_text(text: Any, *, limit: int = 60) -> str:
    """`text` on one line of at most `limit` characters, without the control characters that XML forbids."""
    printable = "".join(char if char.isprintable() else " " for char in str(text))
    line = " ".join(printable.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
