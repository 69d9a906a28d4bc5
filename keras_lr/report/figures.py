"""A plot drawn twice, for a wide and for a narrow page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from matplotlib.axes import Axes

from keras_lr.plots.svg import figure_svg

_WIDE = {"width": 7.0, "height": 4.4}
_NARROW = {"width": 4.1, "height": 3.6}


def figure(draw: Callable[[Axes], object], *, title: str, description: str, prefix: str) -> dict[str, Any]:
    """What a template needs to show a figure.

    Scaled down to a telephone, the labels of a wide figure are too small to read; so the page holds a narrow one too.

    Args:
        draw: Draws on the axes it is given.
        title: Short name of the figure.
        description: The finding in words, for those who cannot see it.
        prefix: Starts every id in the figure; unique on the page.
    """
    return {
        "title": title,
        "description": description,
        "wide": figure_svg(draw, title=title, description=description, prefix=prefix, **_WIDE),
        "narrow": figure_svg(draw, title=title, description=description, prefix=f"{prefix}-n", **_NARROW),
    }
