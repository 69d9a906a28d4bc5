"""The plots of a range test: the losses with their regions and the suggestion, and the slope."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from keras_lr._utils.downsampling import spike_keeping_indices
from keras_lr._utils.formatting import format_rate
from keras_lr.analysis._suggestion.curve import Region, SmoothCurve, regions, smooth_curve
from keras_lr.plots._style import (
    BLUE,
    GREY,
    ORANGE,
    REGION_COLORS,
    draw_line,
    learning_rate_axis,
    limit_rates,
    mark_rate,
    new_axes,
    new_figure,
    plain_text,
    style_axes,
    width_inches,
)
from keras_lr.results._range_test import RangeTestResult, Suggestion

_MAX_POINTS = 2000
_MAX_SLOPE_POINTS = 1000
_MIN_POINTS_PER_REPEAT = 100
# Of the region labels, in points: the mean width of a character and the height of a row.
_CHARACTER_WIDTH = 4.8
_ROW_HEIGHT = 12


def plot_range_test(result: RangeTestResult, *, ax: Axes | None = None) -> Axes:
    """Draws loss against learning rate.

    The losses of each repeat are drawn faint, their smoothed median bold. If the curve gave a suggestion, a strip above
    the plot names the regions, the usable range is shaded and the suggested learning rate is marked.

    Args:
        result: What the range test measured.
        ax: Axes to draw on; None makes a new figure of pyplot, which notebooks show.

    Returns:
        The axes drawn on.

    Example:
        >>> ax = keras_lr.plots.plot_range_test(result)
        >>> ax.figure.savefig("range_test.png")
    """
    ax = new_axes() if ax is None else ax
    curve = smooth_curve(result)
    learning_rate_axis(ax, log=result.sweep == "exponential")
    limit_rates(ax, curve.learning_rates)
    _draw_losses(ax, result, curve)
    style_axes(ax)
    _limit_losses(ax, result, curve)
    _mark_regions(ax, regions(result))
    _mark_suggestion(ax, result, curve)
    scored = "validation batch's" if result.scored_on == "validation" else "each batch's"
    ax.set_ylabel(f"{scored} {plain_text(result.monitor, limit=32)}".capitalize(), parse_math=False)
    return ax


def plot_slope(result: RangeTestResult, *, ax: Axes | None = None) -> Axes:
    """Draws how fast the smoothed loss changes with the learning rate, and marks where it falls fastest.

    Args:
        result: What the range test measured.
        ax: Axes to draw on; None makes a new figure of pyplot, which notebooks show.

    Returns:
        The axes drawn on.

    Example:
        >>> keras_lr.plots.plot_slope(result)
    """
    ax = new_axes() if ax is None else ax
    curve = smooth_curve(result)
    learning_rate_axis(ax, log=result.sweep == "exponential")
    limit_rates(ax, curve.learning_rates)
    style_axes(ax)
    ax.set_ylabel("Loss change per decade" if result.sweep == "exponential" else "Loss change per unit")
    if len(curve.slopes) < 2:
        return ax
    kept = spike_keeping_indices(curve.slopes, _MAX_SLOPE_POINTS)
    draw_line(ax, curve.learning_rates[kept], curve.slopes[kept], name="slope", width=2.0, color=BLUE)
    ax.axhline(0, color=ax.xaxis.label.get_color(), linewidth=0.8, alpha=0.6)
    _mark_steepest(ax, curve)
    return ax


def draw_suggestion(suggestion: Suggestion, *, ax: Axes | None = None) -> Axes:
    """Draws a rate in its usable range on `ax`, or on a new figure of pyplot; nothing if there is no rate."""
    ax = new_figure(7.6, 1.4).subplots() if ax is None else ax
    style_axes(ax)
    ax.spines["left"].set_visible(False)
    ax.set_yticks([])
    learning_rate_axis(ax)
    if suggestion.learning_rate is not None and suggestion.low is not None and suggestion.high is not None:
        limit_rates(ax, np.array([suggestion.low / 10, suggestion.high * 10]))
        ax.axvspan(suggestion.low, suggestion.high, color=REGION_COLORS["good"], alpha=0.2, linewidth=0)
        mark_rate(ax, suggestion.learning_rate, "suggested", color=BLUE)
    return ax


def _draw_losses(ax: Axes, result: RangeTestResult, curve: SmoothCurve) -> None:
    frame = _drawn_losses(result)
    if len(frame):
        rates, losses = frame["learning_rate"], frame["loss"]
        draw_line(ax, rates, losses, name="one step", width=0.8, units=frame["repeat"], color=GREY)
        # After divergence the loss may fall back by chance; a bold line there would look like a second valley.
        drawn = slice(curve.divergence + 1)
        x, y = curve.learning_rates[drawn], curve.losses[drawn]
        kept = spike_keeping_indices(y, _MAX_POINTS)
        draw_line(ax, x[kept], y[kept], name="smoothed", width=2.4, color=BLUE)


def _drawn_losses(result: RangeTestResult) -> pd.DataFrame:
    """The finite losses of each repeat, thinned without losing spikes if the sweep is long."""
    repeats = [run[np.isfinite(run["loss"])] for _, run in result.to_frame().groupby("repeat")]
    limit = max(_MIN_POINTS_PER_REPEAT, _MAX_POINTS // max(1, len(repeats)))
    kept = [run.iloc[spike_keeping_indices(run["loss"], limit)] for run in repeats]
    return pd.concat(kept) if kept else pd.DataFrame()


def _limit_losses(ax: Axes, result: RangeTestResult, curve: SmoothCurve) -> None:
    """Limits y so that a diverging tail does not flatten everything else."""
    if not len(curve.losses):
        ax.text(0.5, 0.5, "No finite loss", transform=ax.transAxes, ha="center", va="center")
        return
    drawn = np.concatenate([curve.losses, np.where(np.isfinite(result.losses), result.losses, np.inf)])
    lowest, top = float(np.min(drawn)), min(float(np.max(drawn)), curve.ceiling)
    pad = 0.06 * (top - lowest) or 0.05 * abs(top) or 1.0
    ax.set_ylim(lowest - pad, top + pad)


def _mark_regions(ax: Axes, found: tuple[Region, ...]) -> None:
    for region in found:
        color = REGION_COLORS[region.name]
        if region.name == "good":
            ax.axvspan(region.low, region.high, color=color, alpha=0.14, linewidth=0)
        ax.plot(
            [region.low, region.high],
            [1.02, 1.02],
            color=color,
            linewidth=5,
            transform=ax.get_xaxis_transform(),
            clip_on=False,
            solid_capstyle="butt",
        )
    _name_regions(ax, found)


def _name_regions(ax: Axes, found: tuple[Region, ...]) -> None:
    """Writes each region's name above it; a name that would cover its neighbour goes to the second row."""
    taken = [0.0, 0.0]
    for region in found:
        middle, half = _label_place(ax, region)
        row = 0 if middle - half >= taken[0] else 1
        if middle - half < taken[row]:
            middle = taken[row] + half
        taken[row] = middle + half
        height = 1.045 + row * _ROW_HEIGHT / (ax.get_window_extent().height / ax.figure.dpi * 72)
        ax.text(middle, height, region.name, transform=ax.transAxes, ha="center", va="bottom", fontsize="small")


def _label_place(ax: Axes, region: Region) -> tuple[float, float]:
    """Centre and half-width of the region's label, as fractions of the axes' width, with the label inside the axes."""
    to_axes = ax.transData + ax.transAxes.inverted()
    left, right = (to_axes.transform((rate, 1))[0] for rate in (region.low, region.high))
    half = _CHARACTER_WIDTH * len(region.name) / (width_inches(ax) * 72) / 2
    return float(np.clip((left + right) / 2, half, 1 - half)), half


def _mark_suggestion(ax: Axes, result: RangeTestResult, curve: SmoothCurve) -> None:
    rate = result.suggestion.learning_rate
    if rate is None or not len(curve.losses):
        return
    loss = float(np.interp(np.log(rate), np.log(curve.learning_rates), curve.losses))
    mark_rate(ax, rate, "suggested", color=BLUE)
    ax.plot([rate], [loss], marker="D", markersize=8, color=BLUE, markeredgewidth=0, linestyle="none")


def _mark_steepest(ax: Axes, curve: SmoothCurve) -> None:
    if (at := curve.steepest) is None:
        return
    deepest = float(curve.slopes[at])
    ax.plot([curve.learning_rates[at]], [deepest], marker="v", markersize=8, color=ORANGE, linestyle="none")
    ax.annotate(
        f"steepest at {format_rate(curve.learning_rates[at])}",
        (curve.learning_rates[at], deepest),
        xytext=(-9, 2),
        textcoords="offset points",
        ha="right",
        va="center",
    )
    ax.set_ylim(1.25 * deepest, -0.8 * deepest)
