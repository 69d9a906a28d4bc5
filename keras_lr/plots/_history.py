"""Plots of training histories with their findings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from matplotlib.axes import Axes

from keras_lr.plots._losses import (
    LossLines,
    Scale,
    add_line_legend,
    checked_panels,
    draw_losses,
    label_panel,
    mark_findings,
)
from keras_lr.plots._style import new_axes, plain_text
from keras_lr.results._diagnosis import Diagnosis, Direction


def plot_history(diagnosis: Diagnosis, *, ax: Axes | None = None) -> Axes:
    """Draws loss and validation loss against the epoch, and fills the epochs of each finding with a pattern.

    A loss that is far worse than the rest, or not finite, is drawn as a cross at the edge.

    Args:
        diagnosis: What `analyze_history` returned.
        ax: Axes to draw on; None makes a new figure.

    Returns:
        The axes drawn on.
    """
    ax = new_axes() if ax is None else ax
    lines = _lines(diagnosis)
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
        axes: One Axes per run; None makes a new figure.

    Returns:
        The axes drawn on, one per run.

    Raises:
        InvalidArgumentError: The number of `axes` is not that of the runs.
    """
    drawn = checked_panels(axes, len(diagnoses))
    for ax, draw in zip(drawn, history_panels(diagnoses).values(), strict=True):
        draw(ax)
    if drawn:
        add_line_legend(drawn[0])
    return drawn


def history_panels(diagnoses: Mapping[str, Diagnosis]) -> dict[str, Callable[[Axes], None]]:
    """By the run's name, a function that draws its panel of `plot_histories`."""
    direction: Direction = "min" if any(run.direction == "min" for run in diagnoses.values()) else "max"
    scale = Scale.of([_lines(diagnosis) for diagnosis in diagnoses.values()], direction=direction)
    monitors = {diagnosis.monitor for diagnosis in diagnoses.values()}
    label = plain_text(monitors.pop(), limit=32).capitalize() if len(monitors) == 1 else "Loss"

    def drawn(name: str, diagnosis: Diagnosis) -> Callable[[Axes], None]:
        def draw(ax: Axes) -> None:
            draw_losses(ax, [_lines(diagnosis)], scale)
            mark_findings(ax, diagnosis.findings)
            label_panel(ax, title=name, x=diagnosis.unit.capitalize(), y=label)

        return draw

    return {name: drawn(name, diagnosis) for name, diagnosis in diagnoses.items()}


def _lines(diagnosis: Diagnosis) -> LossLines:
    return LossLines.of(diagnosis.epochs, diagnosis.losses, diagnosis.val_losses)
