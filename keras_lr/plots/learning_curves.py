"""The training curves of a search, one panel a learning rate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from keras_lr.plots.findings import mark_findings
from keras_lr.plots.losses import LossLines, Scale, draw_losses, name_lines
from keras_lr.plots.panels import checked_panels, label_panel
from keras_lr.plots.sensitivity import main_batch_size
from keras_lr.plots.thinning import evenly_chosen
from keras_lr.records.diagnosis import Finding
from keras_lr.records.rate_words import format_rate
from keras_lr.records.sensitivity import SensitivityResult

MAX_PANELS = 12
MAX_REPEATS = 5


def plot_learning_curves(
    result: SensitivityResult,
    *,
    findings: Mapping[float, Sequence[Finding]] | None = None,
    axes: Sequence[Axes] | None = None,
) -> list[Axes]:
    """Draws loss and validation loss against the epoch: a panel a learning rate, a line a repeat, one scale for all.

    Args:
        result: What a search measured; of several batch sizes the best one's runs are drawn, of many repeats some.
        findings: What to hatch in the panel of a learning rate.
        axes: As many Axes as `shown_rates(result)`; those of a new figure where None.

    Returns:
        The axes drawn on.

    Raises:
        InvalidArgumentError: `axes` are more or fewer than the rates shown.
    """
    panels = learning_curve_panels(result, findings=findings)
    drawn = checked_panels(axes, len(panels))
    for ax, draw in zip(drawn, panels.values(), strict=True):
        draw(ax)
    if drawn:
        name_lines(drawn[0])
    return drawn


def learning_curve_panels(
    result: SensitivityResult, *, findings: Mapping[float, Sequence[Finding]] | None = None
) -> dict[float, Callable[[Axes], None]]:
    """What draws each panel of `plot_learning_curves`, all to one scale, by the learning rate."""
    kept = {rate: [_lines(run) for run in runs_of(result, rate)] for rate in shown_rates(result)}
    runs = {rate: [lines[i] for i in evenly_chosen(len(lines), MAX_REPEATS)] for rate, lines in kept.items()}
    scale = Scale.of([lines for of_rate in runs.values() for lines in of_rate])

    def drawn(rate: float) -> Callable[[Axes], None]:
        def draw(ax: Axes) -> None:
            draw_losses(ax, runs[rate], scale)
            mark_findings(ax, (findings or {}).get(rate, ()))
            label_panel(ax, title=format_rate(rate), x="Epoch", y="Loss")

        return draw

    return {rate: drawn(rate) for rate in runs}


def shown_rates(result: SensitivityResult) -> list[float]:
    """The learning rates that have a panel: all of a short grid, else some evenly chosen ones and the best."""
    rates = np.unique(_of_main_batch_size(result)["learning_rate"].to_numpy(dtype=np.float64))
    best = None
    if result.best_learning_rate is not None:
        best = int(np.argmin(np.abs(rates - result.best_learning_rate)))
    return [float(rates[index]) for index in evenly_chosen(len(rates), MAX_PANELS, always=best)]


def runs_of(result: SensitivityResult, learning_rate: float) -> list[pd.DataFrame]:
    """The epochs of each repeat at a learning rate and the best batch size, in order."""
    frame = _of_main_batch_size(result)
    runs = frame[frame["learning_rate"] == learning_rate].groupby("repeat")
    return [run.sort_values("epoch") for _, run in runs]


def _of_main_batch_size(result: SensitivityResult) -> pd.DataFrame:
    return result.frame[result.frame["batch_size"] == main_batch_size(result)]


def _lines(run: pd.DataFrame) -> LossLines:
    return LossLines.of(run["epoch"].to_numpy(), run["loss"].to_numpy(), run["val_loss"].to_numpy())
