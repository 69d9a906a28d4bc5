"""Marks on a rail at the upper edge, for runs that came to no number."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from keras_lr.plots.theme import ORANGE, PINK

RAIL_HEIGHT = 0.97
_MARKS = {"diverged": ("x", ORANGE), "failed": ("+", PINK), "pruned": ("1", PINK)}


def draw_rail(ax: Axes, runs: pd.DataFrame) -> None:
    """Marks each run that diverged, failed or was stopped early at its learning rate, one mark a rate and kind.

    Args:
        ax: Axes whose x axis is the learning rate.
        runs: Rows with `learning_rate` and `status`.
    """
    for status, (marker, color) in _MARKS.items():
        rates = sorted(runs.loc[runs["status"] == status, "learning_rate"].unique())
        if rates:
            ax.plot(
                rates,
                [RAIL_HEIGHT] * len(rates),
                marker=marker,
                markersize=8,
                markeredgewidth=2,
                linestyle="none",
                color=color,
                label=status if status != "pruned" else "stopped early",
                transform=ax.get_xaxis_transform(),
                clip_on=False,
                zorder=5,
            )
