"""A plot drawn twice, for a wide and for a narrow page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from keras_lr.plots.losses import name_lines
from keras_lr.plots.svg import figure_svg

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HALF_INCHES, BROAD_INCHES, NARROW_INCHES = 7.0, 10.5, 4.1
_PANEL_INCHES = (3.5, 2.3)


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
    return {"title": title, "description": description, "wide": wide, "narrow": narrow, "panels": [], "broad": broad}


def panel_figure(
    panels: Mapping[str, Callable[[Axes], object]],
    *,
    title: str,
    description: str,
    descriptions: Sequence[str],
    prefix: str,
) -> dict[str, Any]:
    """Small multiples: a little figure a panel, which the page sets out in as many columns as it has room for.

    Args:
        panels: What draws each panel, by its name.
        title: Short name of the figure.
        description: The finding of all panels together, in words.
        descriptions: The finding of each panel.
        prefix: Starts every id in the figure; unique on the page.
    """

    def drawn(draw: Callable[[Axes], object], first: bool) -> Callable[[Figure], None]:
        def on_figure(figure: Figure) -> None:
            ax = figure.subplots()
            draw(ax)
            if first:
                name_lines(ax)

        return on_figure

    svgs = [
        figure_svg(
            drawn(draw, place == 0),
            title=f"{title}: {name}",
            description=told,
            prefix=f"{prefix}-{place}",
            width=_PANEL_INCHES[0],
            height=_PANEL_INCHES[1],
        )
        for place, ((name, draw), told) in enumerate(zip(panels.items(), descriptions, strict=True))
    ]
    return {"title": title, "description": description, "panels": svgs, "broad": True}
