"""A plot drawn twice, for a wide and for a narrow page."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from keras_lr.plots.panels import columns_of
from keras_lr.plots.svg import figure_svg

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HALF_INCHES, BROAD_INCHES, NARROW_INCHES = 7.0, 10.5, 4.1
_PANEL_INCHES = 1.9
_HEAD_INCHES = 0.4


def figure(
    draw: Callable[[Figure], object],
    *,
    title: str,
    description: str,
    prefix: str,
    broad: bool = False,
    heights: tuple[float, float] = (4.4, 3.6),
) -> dict[str, Any]:
    """What a template needs to show a figure.

    Scaled down to a telephone, the labels of a wide figure are too small to read; so the page holds a narrow one too.

    Args:
        draw: Draws on the empty figure it is given.
        title: Short name of the figure.
        description: The finding in words, for those who cannot see it.
        prefix: Starts every id in the figure; unique on the page.
        broad: Whether it takes the page's whole width, rather than standing beside text.
        heights: In inches, on a wide page and on a narrow one.
    """
    widths = (BROAD_INCHES if broad else HALF_INCHES, NARROW_INCHES)
    wide, narrow = (
        figure_svg(draw, title=title, description=description, prefix=ids, width=width, height=height)
        for width, height, ids in zip(widths, heights, (prefix, f"{prefix}-n"), strict=True)
    )
    return {"title": title, "description": description, "wide": wide, "narrow": narrow, "broad": broad}


def panel_figure(draw: Callable[[Figure], object], *, count: int, **described: Any) -> dict[str, Any]:
    """A broad `figure` of small multiples, high enough for `count` panels."""
    rows = [-(-count // columns_of(width, count)) for width in (BROAD_INCHES, NARROW_INCHES)]
    wide, narrow = (_HEAD_INCHES + _PANEL_INCHES * count_of_rows for count_of_rows in rows)
    return figure(draw, broad=True, heights=(wide, narrow), **described)
