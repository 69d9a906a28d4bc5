"""The slope of a range test's curve."""

from __future__ import annotations

import seaborn as sns
from matplotlib.axes import Axes

from keras_lr.plots.curve import SmoothCurve, smooth_curve
from keras_lr.plots.theme import BLUE, ORANGE, dress, learning_rate_axis, limit_rates, new_axes
from keras_lr.plots.thinning import spike_keeping_indices
from keras_lr.records.range_test import RangeTestResult
from keras_lr.records.rate_words import format_rate

MAX_POINTS = 1000


def plot_slope(result: RangeTestResult, *, ax: Axes | None = None) -> Axes:
    """Draws how fast the smoothed loss changes with the learning rate, and marks where it falls fastest.

    Args:
        result: What the range test measured.
        ax: Axes to draw on; those of a new figure where None.

    Returns:
        The axes drawn on.
    """
    ax = new_axes() if ax is None else ax
    curve = smooth_curve(result)
    learning_rate_axis(ax, log=result.sweep == "exponential")
    limit_rates(ax, curve.learning_rates)
    dress(ax)
    ax.set_ylabel("Loss change per decade" if result.sweep == "exponential" else "Loss change per unit")
    if len(curve.slopes) < 2:
        return ax
    kept = spike_keeping_indices(curve.slopes, MAX_POINTS)
    sns.lineplot(
        x=curve.learning_rates[kept],
        y=curve.slopes[kept],
        color=BLUE,
        linewidth=2.0,
        estimator=None,
        sort=False,
        legend=False,
        ax=ax,
    )
    ax.axhline(0, color=ax.xaxis.label.get_color(), linewidth=0.8, alpha=0.6)
    _mark_steepest(ax, curve)
    return ax


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
