"""Plots of training histories, of single runs and of a search, and loss against epoch as all of them draw it.

Such a plot builds `LossLines` per run and one `Scale` for all, then calls `draw_losses`, `mark_findings` and
`add_line_legend` on each panel.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from keras_lr._utils.downsampling import evenly_chosen, nearest
from keras_lr._utils.formatting import format_rate
from keras_lr.analysis._sensitivity import main_batch_size, runs_at
from keras_lr.errors import InvalidArgumentError
from keras_lr.plots._style import (
    BLUE,
    GREY,
    ORANGE,
    draw_line,
    new_axes,
    new_figure,
    outline_swatches,
    plain_text,
    style_axes,
)
from keras_lr.results._diagnosis import FINDING_KINDS, Diagnosis, Direction, Finding
from keras_lr.results._sensitivity import SensitivityResult

MAX_REPEATS = 5
_MAX_RATES = 12

_LOOKS: dict[str, dict[str, Any]] = {
    "validation": {"color": ORANGE, "linestyle": (0, (4, 2))},
    "training": {"color": BLUE, "linestyle": "solid"},
}
_MAX_CROSSES = 100
_CROSS_MARGIN = 0.015

_HATCHES = {"hatched": "////", "hatched backwards": "\\\\\\\\", "cross-hatched": "xxx"}
_DOT_ROWS = 9
# A finding's last epoch belongs to it, and one of a single epoch must be visible.
_EPOCH_MARGIN = 0.4

_FIGURE_INCHES = 7.6
_PANEL_INCHES = 2.2
_MAX_COLUMNS = 4


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
        """Builds the lines from sequences in which None is a missing number; an empty one is missing throughout."""
        return cls(np.array(epochs), _finite_or_nan(training, len(epochs)), _finite_or_nan(validation, len(epochs)))

    def finite(self) -> np.ndarray:
        """All finite losses, shape `(k,)`."""
        losses = np.concatenate([self.training, self.validation])
        finite: np.ndarray = losses[np.isfinite(losses)]
        return finite


@dataclass(frozen=True)
class Scale:
    """The limits shared by all panels of a plot.

    Attributes:
        low: Lowest loss.
        high: Highest loss.
        first: First epoch.
        last: Last epoch.
        direction: "min" if lower is better, so that worse values lie above `high`; "max" if they lie below `low`.
    """

    low: float
    high: float
    first: float
    last: float
    direction: Direction = "min"

    @classmethod
    def of(cls, runs: Sequence[LossLines], *, direction: Direction = "min") -> Self:
        """Chooses limits that one diverged run cannot stretch until the others look flat."""
        losses = [finite for finite in (run.finite() for run in runs) if finite.size]
        if direction == "min":
            low, high = _loss_limits(losses)
        else:
            high, low = (-limit for limit in _loss_limits([-values for values in losses]))
        epochs = [epoch for run in runs if len(run.epochs) for epoch in (run.epochs[0], run.epochs[-1])]
        first, last = (float(min(epochs)), float(max(epochs))) if epochs else (0.0, 1.0)
        pad = 0.045 * (last - first) or 0.5
        return cls(low, high, first - pad, last + pad, direction)

    @classmethod
    def shared_by(cls, diagnoses: Collection[Diagnosis]) -> Self:
        """The limits for several runs; lower is better if it is for one of them."""
        direction: Direction = "min" if any(run.direction == "min" for run in diagnoses) else "max"
        return cls.of([lines_of(diagnosis) for diagnosis in diagnoses], direction=direction)

    def holds(self, losses: np.ndarray) -> np.ndarray:
        """Whether each loss is finite and not worse than the scale shows."""
        shown = losses <= self.high if self.direction == "min" else losses >= self.low
        inside: np.ndarray = shown & np.isfinite(losses)
        return inside

    def crosses(self, losses: np.ndarray, series: str) -> np.ndarray:
        """Whether each loss of the series, "training" or "validation", is drawn as a cross at the edge.

        A missing validation loss is not: usually nobody asked for it.
        """
        outside: np.ndarray = ~self.holds(losses)
        return outside & ~np.isnan(losses) if series == "validation" else outside

    def crosses_note(self, runs: Iterable[LossLines]) -> str:
        """What the crosses in a plot of `runs` mean; empty if there are none."""
        if not any(self.crosses(getattr(run, series), series).any() for run in runs for series in _LOOKS):
            return ""
        edge, worse = ("upper", "losses above") if self.direction == "min" else ("lower", "values below")
        return f"Crosses at the {edge} edge: {worse} the scale, or not finite."


def plot_history(diagnosis: Diagnosis, *, ax: Axes | None = None) -> Axes:
    """Draws loss and validation loss against the epoch, and fills the epochs of each finding with a pattern.

    A loss that is far worse than the rest, or not finite, is drawn as a cross at the edge.

    Args:
        diagnosis: What `analyze_history` returned.
        ax: Axes to draw on; None makes a new figure of pyplot, which notebooks show.

    Returns:
        The axes drawn on.

    Example:
        >>> keras_lr.plots.plot_history(diagnosis)
    """
    ax = new_axes() if ax is None else ax
    lines = lines_of(diagnosis)
    draw_losses(ax, [lines], Scale.of([lines], direction=diagnosis.direction))
    mark_findings(ax, diagnosis.findings)
    ax.set_xlabel(diagnosis.unit.capitalize())
    ax.set_ylabel(plain_text(diagnosis.monitor, limit=32).capitalize(), parse_math=False)
    add_line_legend(ax)
    return ax


def plot_histories(diagnoses: Mapping[str, Diagnosis], *, axes: Sequence[Axes] | None = None) -> list[Axes]:
    """Draws several runs side by side, all on the same scale.

    Args:
        diagnoses: What `analyze_history` returned, by the run's name.
        axes: One Axes per run; None makes a new figure of pyplot, which notebooks show.

    Returns:
        The axes drawn on, one per run.

    Raises:
        InvalidArgumentError: The number of `axes` is not that of the runs.

    Example:
        >>> keras_lr.plots.plot_histories({"first": diagnosis, "second": diagnosis})
    """
    drawn = checked_panels(axes, len(diagnoses))
    for ax, draw in zip(drawn, history_panels(diagnoses).values(), strict=True):
        draw(ax)
    if drawn:
        add_line_legend(*drawn)
    return drawn


def history_panels(diagnoses: Mapping[str, Diagnosis]) -> dict[str, Callable[[Axes], None]]:
    """By the run's name, a function that draws its panel of `plot_histories`."""
    scale = Scale.shared_by(diagnoses.values())
    monitors = {diagnosis.monitor for diagnosis in diagnoses.values()}
    label = plain_text(monitors.pop(), limit=32).capitalize() if len(monitors) == 1 else "Loss"

    def draw(name: str, diagnosis: Diagnosis, ax: Axes) -> None:
        draw_losses(ax, [lines_of(diagnosis)], scale)
        mark_findings(ax, diagnosis.findings)
        label_panel(ax, title=name, x=diagnosis.unit.capitalize(), y=label)

    return {name: functools.partial(draw, name, diagnosis) for name, diagnosis in diagnoses.items()}


def plot_learning_curves(
    result: SensitivityResult,
    *,
    findings: Mapping[float, Sequence[Finding]] | None = None,
    axes: Sequence[Axes] | None = None,
) -> list[Axes]:
    """Draws loss and validation loss against the epoch: one panel per learning rate, one line per repeat, one scale.

    Args:
        result: What a search measured. With several batch sizes, the runs of the best one are drawn; of more than 12
            learning rates or 5 repeats, some evenly spaced ones and the best.
        findings: By learning rate, the findings to mark in its panel.
        axes: One Axes per panel; None makes a new figure of pyplot, which notebooks show.

    Returns:
        The axes drawn on, one per panel, by increasing learning rate.

    Raises:
        InvalidArgumentError: The number of `axes` is not that of the panels.

    Example:
        >>> keras_lr.plots.plot_learning_curves(tuner.sensitivity())
    """
    panels = LearningCurves.of(result).panels(findings)
    drawn = checked_panels(axes, len(panels))
    for ax, draw in zip(drawn, panels.values(), strict=True):
        draw(ax)
    if drawn:
        add_line_legend(*drawn)
    return drawn


@dataclass(frozen=True)
class LearningCurves:
    """The runs of each panel of `plot_learning_curves`, by learning rate, and the scale of all panels."""

    runs: dict[float, list[LossLines]]
    scale: Scale

    @classmethod
    def of(cls, result: SensitivityResult) -> Self:
        """Reads the runs of the rates that get a panel."""
        kept = {
            rate: [LossLines.of(run["epoch"], run["loss"], run["val_loss"]) for run in runs_at(result, rate)]
            for rate in shown_rates(result)
        }
        runs = {rate: [lines[i] for i in evenly_chosen(len(lines), MAX_REPEATS)] for rate, lines in kept.items()}
        return cls(runs, Scale.of([lines for at_rate in runs.values() for lines in at_rate]))

    def panels(self, findings: Mapping[float, Sequence[Finding]] | None = None) -> dict[float, Callable[[Axes], None]]:
        """By learning rate, a function that draws its panel."""

        def draw(rate: float, ax: Axes) -> None:
            draw_losses(ax, self.runs[rate], self.scale)
            mark_findings(ax, (findings or {}).get(rate, ()))
            label_panel(ax, title=format_rate(rate, digits=3), x="Epoch", y="Loss")

        return {rate: functools.partial(draw, rate) for rate in self.runs}

    def crosses_note(self) -> str:
        """What the crosses in the panels mean; empty if there are none."""
        return self.scale.crosses_note(lines for at_rate in self.runs.values() for lines in at_rate)


def shown_rates(result: SensitivityResult) -> list[float]:
    """The learning rates that get a panel: all of a short grid, else evenly spaced ones and the best."""
    own = result.frame[result.frame["batch_size"] == main_batch_size(result)]
    rates = np.unique(own["learning_rate"].to_numpy(dtype=np.float64))
    chosen = evenly_chosen(len(rates), _MAX_RATES, always=nearest(rates, result.best_learning_rate))
    return [float(rates[index]) for index in chosen]


def draw_losses(ax: Axes, runs: Sequence[LossLines], scale: Scale) -> None:
    """Draws the training and the validation loss of each run.

    A loss worse than the scale shows, or a training loss that is not finite, becomes a cross at the edge.
    """
    epochs = np.concatenate([run.epochs for run in runs])
    units = np.repeat(np.arange(len(runs)), [len(run.epochs) for run in runs])
    for name, look in _LOOKS.items():
        losses = np.concatenate([getattr(run, name) for run in runs])
        inside = scale.holds(losses)
        if inside.any():
            # A line needs two points, so runs with only one become dots.
            marker = "o" if np.max(np.bincount(units[inside])) == 1 else None
            draw_line(ax, epochs, losses, name=name, label=name, units=units, marker=marker, **look)
        outside = np.unique(epochs[scale.crosses(losses, name)])
        _draw_crosses(ax, outside, direction=scale.direction, color=look["color"])
    style_axes(ax)
    ax.set(xlim=(scale.first, scale.last), ylim=(scale.low, scale.high))
    ax.xaxis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=True, min_n_ticks=2))
    ax.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 5, 10]))


def mark_findings(ax: Axes, findings: Iterable[Finding]) -> None:
    """Fills the epochs of each finding with the pattern of its kind, if it has one."""
    for finding in findings:
        start, end = finding.start_epoch - _EPOCH_MARGIN, finding.end_epoch + _EPOCH_MARGIN
        words = FINDING_KINDS[finding.kind]
        pattern = words.pattern
        if hatch := _HATCHES.get(pattern):
            ax.axvspan(
                start,
                end,
                facecolor="none",
                edgecolor=GREY,
                hatch=hatch,
                linewidth=0,
                alpha=0.55,
                zorder=0,
                label=words.name,
            )
        elif pattern == "dotted":
            # Dotted lines, because matplotlib's own dotted hatch takes 40 KB of SVG.
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
                label=words.name,
            )


def add_line_legend(ax: Axes, *others: Axes) -> None:
    """Adds a legend that names each kind of line and pattern on `ax` and `others` once; none if there is none."""
    named: dict[str, Any] = {}
    for panel in (ax, *others):
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            named.setdefault(label, handle)
    if named:
        # The legend may lie on the same pattern, from which only an outline tells it.
        outline_swatches(ax.legend(list(named.values()), list(named), frameon=False, fontsize="small", loc="best"))


def checked_panels(axes: Sequence[Axes] | None, count: int) -> list[Axes]:
    """The given axes, or the panels of a new figure.

    Raises:
        InvalidArgumentError: The number of axes is not `count`.
    """
    if axes is None:
        return _new_panels(count) if count else []
    given = list(axes)
    if len(given) != count:
        raise InvalidArgumentError(
            f"`axes` must hold one Axes per panel, {count} in all. Received: {len(given)}. Omit it for a new figure."
        )
    return given


def label_panel(ax: Axes, *, title: str, x: str, y: str) -> None:
    """Titles a panel, and labels its axes if it stands at the left or the lower edge of the figure."""
    ax.set_title(plain_text(title, limit=30), fontsize="medium", parse_math=False)
    place = ax.get_subplotspec()
    if place is None or place.is_first_col():
        ax.set_ylabel(y)
    if place is None or ax.xaxis.get_tick_params().get("labelbottom", True):
        ax.set_xlabel(x)


def _finite_or_nan(values: Any, size: int) -> np.ndarray:
    numbers: np.ndarray = np.array(values if len(values) else [None] * size, dtype=np.float64)
    numbers[~np.isfinite(numbers)] = np.nan
    return numbers


def _loss_limits(losses: Sequence[np.ndarray]) -> tuple[float, float]:
    """Lowest and highest loss to show, from the finite losses of each run; lower is better."""
    if not losses:
        return 0.0, 1.0
    lowest = min(float(run.min()) for run in losses)
    middle = float(np.median([_robust_max(run) for run in losses]))
    highest = min(lowest + 1.2 * (middle - lowest), max(float(run.max()) for run in losses))
    pad = 0.06 * (highest - lowest) or 0.05 * abs(highest) or 1.0
    return lowest - pad, highest + pad


def _robust_max(losses: np.ndarray) -> float:
    """The run's highest loss, or less if a spike stands far above most of the run."""
    low = float(losses.min())
    usual = max(float(losses[0]), float(np.quantile(losses, 0.75)))
    return min(float(losses.max()), low + 2 * (usual - low)) if usual > low else float(losses.max())


def _draw_crosses(ax: Axes, epochs: np.ndarray, *, direction: Direction, color: str) -> None:
    if epochs.size:
        shown = epochs[evenly_chosen(epochs.size, _MAX_CROSSES)]
        heights = np.full(shown.size, 1 - _CROSS_MARGIN if direction == "min" else _CROSS_MARGIN)
        ax.plot(shown, heights, "x", color=color, transform=ax.get_xaxis_transform(), clip_on=False)


def _new_panels(count: int) -> list[Axes]:
    """`count` axes of a new figure that share both scales, row by row, in rows of nearly equal length."""
    rows = -(-count // _MAX_COLUMNS)
    columns = -(-count // rows)
    figure = new_figure(_FIGURE_INCHES, _PANEL_INCHES * rows + 0.3)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for spare in grid[count:]:
        spare.set_axis_off()
    # If the last row is short, the panels above its gap are the lowest of their columns.
    for axes in grid[max(0, count - columns) : count]:
        axes.xaxis.set_tick_params(labelbottom=True)
    return list(grid[:count])


def lines_of(diagnosis: Diagnosis) -> LossLines:
    """The series of the run that was diagnosed."""
    return LossLines.of(diagnosis.epochs, diagnosis.losses, diagnosis.val_losses)
