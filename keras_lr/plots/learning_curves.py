"""The training curves of a search, one panel a learning rate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from keras_lr.plots.losses import LossLines, draw_losses, loss_limits, name_lines
from keras_lr.plots.numbers import format_rate
from keras_lr.plots.panels import checked_panels, label_panel
from keras_lr.records.sensitivity import SensitivityResult

MAX_PANELS = 12


def plot_learning_curves(result: SensitivityResult, *, axes: Sequence[Axes] | None = None) -> list[Axes]:
    """Draws loss and validation loss against the epoch: a panel a learning rate, a line a repeat, one scale for all.

    Args:
        result: What a search measured; of several batch sizes the best one's runs are drawn.
        axes: As many Axes as `shown_rates(result)`; those of a new figure where None.

    Returns:
        The axes drawn on.

    Raises:
        InvalidArgumentError: `axes` are more or fewer than the rates shown.
    """
    rates = shown_rates(result)
    drawn = checked_panels(axes, len(rates))
    frame = of_one_batch_size(result)
    runs = {rate: [_lines(run) for _, run in frame[frame["learning_rate"] == rate].groupby("repeat")] for rate in rates}
    limits = loss_limits(lines for of_rate in runs.values() for lines in of_rate)
    for ax, rate in zip(drawn, rates, strict=True):
        for lines in runs[rate]:
            draw_losses(ax, lines, limits)
        label_panel(ax, title=format_rate(rate), x="Epoch", y="Loss")
    if drawn:
        name_lines(drawn[0])
    return drawn


def shown_rates(result: SensitivityResult) -> list[float]:
    """The learning rates that have a panel: all of a short grid, else some evenly chosen ones and the best."""
    rates = np.unique(of_one_batch_size(result)["learning_rate"])
    if len(rates) <= MAX_PANELS:
        return [float(rate) for rate in rates]
    chosen = set(np.linspace(0, len(rates) - 1, MAX_PANELS).round().astype(int))
    if result.best_learning_rate is not None:
        best = int(np.argmin(np.abs(rates - result.best_learning_rate)))
        nearest = min(chosen - {0, len(rates) - 1}, key=lambda index: abs(index - best))
        chosen = chosen - {nearest} | {best}
    return [float(rates[index]) for index in sorted(chosen)]


def of_one_batch_size(result: SensitivityResult) -> pd.DataFrame:
    """The rows of the best batch size, or of the smallest where no run was best."""
    if not len(result.frame):
        return result.frame
    size = result.batch_sizes[0] if result.best_batch_size is None else result.best_batch_size
    return result.frame[result.frame["batch_size"] == size]


def _lines(run: pd.DataFrame) -> LossLines:
    ordered = run.sort_values("epoch")
    return LossLines.of(ordered["epoch"].to_numpy(), ordered["loss"].to_numpy(), ordered["val_loss"].to_numpy())
