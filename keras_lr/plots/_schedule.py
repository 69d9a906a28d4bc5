"""The plot of a learning-rate schedule."""

from __future__ import annotations

import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from keras_lr._utils.formatting import format_rate
from keras_lr.plots._style import BLUE, GREY, ORANGE, curve_id, new_axes, plain_text, style_axes
from keras_lr.results._schedule import SchedulePreview


def plot_schedule(schedule: SchedulePreview, *, ax: Axes | None = None) -> Axes:
    """Draws the learning rate against the step, and the momentum on a second y axis.

    Args:
        schedule: What `keras_lr.schedules.preview` returned.
        ax: Axes to draw on; None makes a new figure of pyplot, which notebooks show.

    Returns:
        The axes drawn on; the momentum has axes of its own at the same place in the figure.
    """
    axes = new_axes() if ax is None else ax
    _draw_line(axes, schedule, schedule.learning_rates, BLUE, "learning rate")
    style_axes(axes)
    axes.set(xlabel="Step", ylabel="Learning rate")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: format_rate(value)))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    for step, label in schedule.annotations:
        axes.axvline(step, color=GREY, linewidth=0.8, linestyle=":")
        axes.annotate(
            plain_text(label, limit=24), (step, 1), xycoords=("data", "axes fraction"), xytext=(3, -2),
            textcoords="offset points", va="top", fontsize="small", parse_math=False,
        )  # fmt: skip
    if schedule.momentums is not None:
        beside = axes.twinx()
        _draw_line(beside, schedule, schedule.momentums, ORANGE, "momentum", linestyle="--")
        beside.spines[["top", "left"]].set_visible(False)
        beside.set_ylabel("Momentum (dashed)")
    return axes


def _draw_line(
    ax: Axes, schedule: SchedulePreview, values: object, color: str, name: str, linestyle: str = "-"
) -> None:
    marker = "o" if len(schedule.steps) == 1 else None
    sns.lineplot(
        x=schedule.steps, y=values, color=color, linestyle=linestyle, linewidth=1.8, marker=marker, estimator=None,
        legend=False, gid=curve_id(name), ax=ax,
    )  # fmt: skip
