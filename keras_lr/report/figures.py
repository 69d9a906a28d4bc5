"""A plot drawn twice, for a wide and for a narrow page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from matplotlib.figure import Figure

from keras_lr.plots.svg import figure_svg

WIDE = (7.0, 4.4)
NARROW = (4.1, 3.6)


def figure(
    draw: Callable[[Figure], object],
    *,
    title: str,
    description: str,
    prefix: str,
    wide: tuple[float, float] = WIDE,
    narrow: tuple[float, float] = NARROW,
) -> dict[str, Any]:
    """What a template needs to show a figure.

    Scaled down to a telephone, the labels of a wide figure are too small to read; so the page holds a narrow one too.

    Args:
        draw: Draws on the empty figure it is given.
        title: Short name of the figure.
        description: The finding in words, for those who cannot see it.
        prefix: Starts every id in the figure; unique on the page.
        wide: Width and height in inches on a wide page.
        narrow: The same on a narrow one.
    """
    return {
        "title": title,
        "description": description,
        **{
            name: figure_svg(draw, title=title, description=description, prefix=ids, width=size[0], height=size[1])
            for name, size, ids in (("wide", wide, prefix), ("narrow", narrow, f"{prefix}-n"))
        },
    }
