"""Small multiples: many little plots that share their axes."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from keras_lr.errors import InvalidArgumentError
from keras_lr.plots.theme import plain_text

_PANEL_INCHES = 2.2


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
