"""Loss and validation loss against the epoch, as they are drawn wherever a run is shown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from keras_lr._utils.downsampling import evenly_chosen
from keras_lr.errors import InvalidArgumentError
from keras_lr.plots._style import BLUE, GREY, ORANGE, plain_text, style_axes
from keras_lr.results._diagnosis import Finding

_PANEL_INCHES = 2.2

HATCHES = {"oscillation": "////", "divergence": "xxx", "overfitting": "\\\\\\\\"}
DOTTED = ("stagnation", "early_plateau")
_DOT_ROWS = 9
_HALF_EPOCH = 0.4

_RAIL = 0.985
_MOST_CROSSES = 100
_DASHED = (0, (4, 2))


def columns_of(width_inches: float, count: int) -> int:
    """Number of panels beside each other: as many as the width has room for, with rows of nearly one length."""
    most = max(1, min(count, int(width_inches / 1.9), 4))
    return -(-count // -(-count // most)) if count else 1


def panels(figure: Figure, count: int) -> list[Axes]:
    """`count` axes that share both scales, row by row, as many in a row as the figure has room for."""
    columns = columns_of(float(figure.get_figwidth()), count)
    rows = -(-count // columns)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for spare in grid[count:]:
        spare.set_axis_off()
    # With a short last row, the panels above its gap are the lowest of their column.
    for axes in grid[max(0, count - columns) : count]:
        axes.xaxis.set_tick_params(labelbottom=True)
    return list(grid[:count])


def new_panels(count: int) -> list[Axes]:
    """The same on a figure of their own."""
    columns = columns_of(7.6, count)
    return panels(Figure(figsize=(7.6, _PANEL_INCHES * -(-count // columns) + 0.3), layout="constrained"), count)


def checked_panels(axes: Sequence[Axes] | None, count: int) -> list[Axes]:
    """The axes given, or new ones; none for no panel.

    Raises:
        InvalidArgumentError: There are not as many axes as panels.
    """
    if axes is None:
        return new_panels(count) if count else []
    given = list(axes)
    if len(given) != count:
        raise InvalidArgumentError(
            f"`axes` must hold one Axes a panel, {count}. Received: {len(given)}. Leave it out for a new figure."
        )
    return given


def label_panel(ax: Axes, *, title: str, x: str, y: str) -> None:
    """Titles a panel, and labels its axes where it stands at the left or the lower edge of its figure."""
    ax.set_title(plain_text(title, limit=30), fontsize="medium", parse_math=False)
    place = ax.get_subplotspec()
    if place is None or place.is_first_col():
        ax.set_ylabel(y)
    if place is None or ax.xaxis.get_tick_params().get("labelbottom", True):
        ax.set_xlabel(x)


def mark_findings(ax: Axes, findings: Iterable[Finding]) -> None:
    """Hatches oscillation, divergence and overfitting, and dots stagnation and plateaus, each over its own epochs."""
    for finding in findings:
        start, end = finding.start_epoch - _HALF_EPOCH, finding.end_epoch + _HALF_EPOCH
        if hatch := HATCHES.get(finding.kind):
            ax.axvspan(start, end, facecolor="none", edgecolor=GREY, hatch=hatch, linewidth=0, alpha=0.55, zorder=0)
        elif finding.kind in DOTTED:
            # Dotted lines: matplotlib's own dot hatch takes 40 KB of SVG.
            ax.hlines(
                (np.arange(_DOT_ROWS) + 0.5) / _DOT_ROWS,
                start,
                end,
                transform=ax.get_xaxis_transform(),
                colors=GREY,
                linewidths=1.6,
                linestyles=[(0, (0.05, 4))],
                capstyle="round",
                zorder=0,
            )


@dataclass(frozen=True, eq=False)
class LossLines:
    """The series of one run.

    Attributes:
        epochs: Shape `(n,)`.
        training: Training loss in its own unit, shape `(n,)`, NaN where not finite.
        validation: Validation loss, shape `(n,)`, NaN where not evaluated.
    """

    epochs: np.ndarray
    training: np.ndarray
    validation: np.ndarray

    @classmethod
    def of(cls, epochs: Any, training: Any, validation: Any = ()) -> Self:
        """The lines from sequences in which None stands for a missing number; an empty one is missing throughout."""
        return cls(np.array(epochs), _finite_or_nan(training, len(epochs)), _finite_or_nan(validation, len(epochs)))

    def finite(self) -> np.ndarray:
        """All losses there are, shape `(k,)`."""
        losses = np.concatenate([self.training, self.validation])
        finite: np.ndarray = losses[np.isfinite(losses)]
        return finite


@dataclass(frozen=True)
class Scale:
    """The part of the plane that every panel beside each other shows.

    Attributes:
        low: Lowest loss.
        high: Highest loss; a loss above it is a cross.
        first: First epoch.
        last: Last epoch.
    """

    low: float
    high: float
    first: float
    last: float

    @classmethod
    def of(cls, runs: Sequence[LossLines]) -> Self:
        """The scale on which one diverged run does not flatten the others."""
        low, high = _loss_limits(runs)
        epochs = [epoch for run in runs if len(run.epochs) for epoch in (run.epochs[0], run.epochs[-1])]
        first, last = (float(min(epochs)), float(max(epochs))) if epochs else (0.0, 1.0)
        pad = 0.045 * (last - first) or 0.5
        return cls(low, high, first - pad, last + pad)


def draw_losses(ax: Axes, runs: Sequence[LossLines], scale: Scale) -> None:
    """Draws both lines of each run; a loss above the scale, or a training loss that is not finite, is a cross on top.

    A missing validation loss is no cross: mostly nobody asked for it.
    """
    epochs = np.concatenate([run.epochs for run in runs])
    units = np.repeat(np.arange(len(runs)), [len(run.epochs) for run in runs])
    looks: dict[str, dict[str, Any]] = {
        "validation": {"color": ORANGE, "linestyle": _DASHED},
        "training": {"color": BLUE, "linestyle": "solid"},
    }
    for name, look in looks.items():
        losses = np.concatenate([getattr(run, name) for run in runs])
        _draw_lines(ax, epochs, losses, units, scale.high, label=name, **look)
        above = losses > scale.high if name == "validation" else ~(losses <= scale.high)
        _draw_crosses(ax, np.unique(epochs[above]), color=look["color"])
    style_axes(ax)
    ax.set(xlim=(scale.first, scale.last), ylim=(scale.low, scale.high))
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5, integer=True, min_n_ticks=2))
    ax.yaxis.set_major_locator(MaxNLocator(nbins=5))


def name_lines(ax: Axes) -> None:
    """A legend that names each kind of line once, where there is one."""
    handles, labels = ax.get_legend_handles_labels()
    if named := dict(zip(labels, handles, strict=True)):
        ax.legend(named.values(), named.keys(), frameon=False, fontsize="small", loc="best")


def _loss_limits(runs: Iterable[LossLines]) -> tuple[float, float]:
    losses = [finite for finite in (run.finite() for run in runs) if finite.size]
    if not losses:
        return 0.0, 1.0
    lowest = min(float(run.min()) for run in losses)
    middle = float(np.median([_robust_max(run) for run in losses]))
    highest = min(lowest + 1.2 * (middle - lowest), max(float(run.max()) for run in losses))
    pad = 0.06 * (highest - lowest) or 0.05 * abs(highest) or 1.0
    return lowest - pad, highest + pad


def _finite_or_nan(values: Any, size: int) -> np.ndarray:
    numbers: np.ndarray = np.array(values if len(values) else [None] * size, dtype=np.float64)
    numbers[~np.isfinite(numbers)] = np.nan
    return numbers


def _draw_lines(
    ax: Axes, epochs: np.ndarray, losses: np.ndarray, units: np.ndarray, highest: float, *, label: str, **look: Any
) -> None:
    inside = np.isfinite(losses) & (losses <= highest)
    if not inside.any():
        return
    # A line needs two points; a run with one shows as a dot.
    marker = "o" if np.max(np.bincount(units[inside])) == 1 else None
    sns.lineplot(
        x=epochs,
        y=losses,
        units=units,
        marker=marker,
        linewidth=1.8,
        estimator=None,
        sort=False,
        legend=False,
        label=label,
        ax=ax,
        **look,
    )


def _draw_crosses(ax: Axes, epochs: np.ndarray, *, color: str) -> None:
    if epochs.size:
        shown = epochs[evenly_chosen(epochs.size, _MOST_CROSSES)]
        rail = ax.get_xaxis_transform()
        ax.plot(shown, np.full(shown.size, _RAIL), "x", color=color, transform=rail, clip_on=False)


def _robust_max(losses: np.ndarray) -> float:
    """The run's highest loss, or less where it is far above most of the run."""
    low = float(losses.min())
    usual = max(float(losses[0]), float(np.quantile(losses, 0.75)))
    return min(float(losses.max()), low + 2 * (usual - low)) if usual > low else float(losses.max())
