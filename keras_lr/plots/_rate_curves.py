"""Plots of the learning rate during training: as a schedule plans it, and as `AutoLR` changes it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from keras_lr._utils.formatting import format_rate
from keras_lr.plots._history import LossLines, Scale, add_line_legend, checked_panels, draw_losses
from keras_lr.plots._style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PINK,
    draw_line,
    new_axes,
    new_figure,
    plain_text,
    style_axes,
    width_inches,
)
from keras_lr.results._auto_lr import AutoLRLog
from keras_lr.results._schedule import SchedulePreview

# A label this near to the one before stands in the second row.
_LABEL_INCHES, _ROW_POINTS = 0.9, 11

ACTION_MARKS = {
    "probe": ("o", GREEN),
    "raise": ("^", GREEN),
    "lower": ("v", ORANGE),
    "rollback": ("X", PINK),
    "anneal": ("s", GREY),
}


def plot_schedule(schedule: SchedulePreview, *, ax: Axes | None = None) -> Axes:
    """Draws the learning rate against the step, and the momentum on a second y axis.

    Args:
        schedule: What `keras_lr.schedules.preview` returned.
        ax: Axes to draw on; None makes a new figure of pyplot, which notebooks show.

    Returns:
        The axes drawn on; the momentum has axes of its own at the same place in the figure.

    Example:
        >>> keras_lr.plots.plot_schedule(keras_lr.schedules.preview(schedule, 1000))
    """
    axes = new_axes() if ax is None else ax
    draw_line(axes, schedule.steps, schedule.learning_rates, name="learning rate", color=BLUE)
    style_axes(axes)
    axes.set(xlabel="Step", ylabel="Learning rate")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_rate(value)))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    row, place = 0, -np.inf
    for step, label in sorted(schedule.annotations):
        left, place = place, (step - schedule.steps[0]) / max(1, np.ptp(schedule.steps)) * width_inches(axes)
        row = 1 - row if place - left < _LABEL_INCHES else 0
        axes.axvline(step, color=GREY, linewidth=0.8, linestyle=":")
        axes.annotate(
            plain_text(label, limit=24),
            (step, 1),
            xycoords=("data", "axes fraction"),
            xytext=(3, -2 - _ROW_POINTS * row),
            textcoords="offset points",
            va="top",
            fontsize="small",
            parse_math=False,
        )
    if schedule.momentums is not None:
        beside = axes.twinx()
        draw_line(beside, schedule.steps, schedule.momentums, name="momentum", color=ORANGE, linestyle="--")
        beside.spines[["top", "left"]].set_visible(False)
        beside.set_ylabel("Momentum (dashed)")
    return axes


def plot_auto_lr(log: AutoLRLog, *, axes: Sequence[Axes] | None = None) -> list[Axes]:
    """Draws the learning rate per epoch with every change marked, and the losses below it.

    Args:
        log: The `log` of an `AutoLR` callback.
        axes: Two Axes, for the learning rate and for the losses; None makes a new figure of pyplot, which notebooks
            show.

    Returns:
        The two axes drawn on.

    Raises:
        InvalidArgumentError: The number of `axes` is not two.

    Example:
        >>> keras_lr.plots.plot_auto_lr(log)
    """
    stack = stacked_axes(new_figure(7.6, 5.0)) if axes is None else axes
    above, below = checked_panels(stack, 2)
    _draw_rates(above, log)
    lines = loss_lines(log)
    draw_losses(below, [lines], Scale.of([lines]))
    below.set(xlabel="Epoch", ylabel="Loss")
    add_line_legend(below)
    return [above, below]


def loss_lines(log: AutoLRLog) -> LossLines:
    """The losses that `plot_auto_lr` draws."""
    return LossLines.of(log.epochs, log.losses, log.val_losses)


def stacked_axes(figure: Figure) -> list[Axes]:
    """Two axes that share the epochs: the learning rate's above the losses'."""
    return list(figure.subplots(2, 1, sharex=True))


def _draw_rates(ax: Axes, log: AutoLRLog) -> None:
    known = np.isfinite(log.learning_rates) & (log.learning_rates > 0)
    if known.any():
        epochs, rates = log.epochs[known], log.learning_rates[known]
        draw_line(ax, epochs, rates, name="learning rate", color=BLUE, drawstyle="steps-post")
    # Marks stand on the curve, because the new rate itself may come later (anneal) or never (dry run).
    rate_at = dict(zip(log.epochs[known].tolist(), log.learning_rates[known].tolist(), strict=True))
    for kind, (marker, color) in ACTION_MARKS.items():
        marked = [action for action in log.actions if action.kind == kind]
        if marked:
            ax.plot(
                [action.epoch for action in marked],
                [rate_at.get(action.epoch, action.learning_rate_after) for action in marked],
                marker=marker,
                markersize=7,
                linestyle="none",
                color=color,
                label=kind,
                zorder=4,
            )
    style_axes(ax)
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(LogLocator(base=10, numticks=6))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_rate(value)))
    ax.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    ax.set_ylabel("Learning rate")
    if log.actions:
        ax.legend(frameon=False, fontsize="small", loc="best")
