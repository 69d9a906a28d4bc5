"""Hatches over the epochs in which something was found, so that it can be told without colour."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes

from keras_lr.plots.theme import GREY
from keras_lr.records.diagnosis import Finding

HATCHES = {"oscillation": "////", "divergence": "xxx", "overfitting": "\\\\\\\\"}
DOTTED = ("stagnation", "early_plateau")
_DOT_ROWS = 9
_HALF_EPOCH = 0.4


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
