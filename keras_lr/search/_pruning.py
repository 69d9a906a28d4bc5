"""Which points of a search stop early: successive halving that spares every point that could still win."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pandas as pd

from keras_lr.analysis._race import forecast

MIN_EPOCHS = 2
"""Extrapolating a curve takes two finished epochs."""


def rungs(epochs: int) -> tuple[int, ...]:
    """Numbers of finished epochs after which a search of runs of `epochs` epochs prunes: a half, a quarter, ...

    Source:
        Jamieson & Talwalkar 2016, arXiv:1502.07943.
    """
    marks = []
    while (epochs := epochs // 2) >= MIN_EPOCHS:
        marks.append(epochs)
    return tuple(sorted(marks))


def prunable_points(
    frame: pd.DataFrame,
    *,
    epoch: int,
    epochs: int,
    objective: str = "val_loss",
    direction: Literal["min", "max"] = "min",
) -> frozenset[tuple[float, int]]:
    """The points of the grid to stop after `epoch`, as pairs of learning rate and batch size.

    Among the points of one batch size that have reached `epoch`, the better half continues in any case. Another
    point is stopped if it cannot win: its loss is extrapolated at the mean gain per epoch over the second half of the
    finished epochs, and the result is still worse than what the best point has reached now. Since learning curves
    flatten, this is an optimistic forecast. A point is also stopped if at least half of its repeats have diverged.

    Args:
        frame: Rows as a `SensitivityResult` holds them. Epochs after `epoch` and points that have not reached it are
            ignored.
        epoch: The epoch just finished, from 0; nothing is stopped unless it is one of the `rungs`.
        epochs: Length of a complete run, in epochs.
        objective: Column to judge by.
        direction: "min" if lower is better, else "max".
    """
    if epoch + 1 not in rungs(epochs):
        return frozenset()
    pruned = set()
    seen = frame[frame["epoch"] <= epoch]
    for batch_size in seen["batch_size"].unique():
        part = seen[seen["batch_size"] == batch_size]
        curves = _curves(part, epoch, objective, direction)
        medians = curves.groupby("learning_rate").median()
        now, ends = medians[epoch], medians.apply(lambda best: forecast(best.to_numpy(), epochs), axis=1)
        spared = now.index.isin(now.nsmallest(math.ceil(len(now) / 2)).index) & np.isfinite(now)
        stopped = now[~spared & ~(ends <= now.min()) & (now > now.min())]
        pruned |= {(float(rate), int(batch_size)) for rate in stopped.index}
    return frozenset(pruned)


def _curves(part: pd.DataFrame, epoch: int, objective: str, direction: str) -> pd.DataFrame:
    """Best value so far (lower is better) by (rate, repeat) and epoch, for rates with every repeat at `epoch`.

    A diverged run is infinite from its last epoch on. Failed runs are left out.
    """
    last = part.sort_values("epoch", kind="stable").groupby(["learning_rate", "repeat"])[["epoch", "status"]].last()
    pending = last[(last["epoch"] < epoch) & (last["status"] == "ok")].index.get_level_values("learning_rate")
    stopped = (last["status"] == "failed") | ((last["status"] == "pruned") & (last["epoch"] < epoch))
    gone = last.index[stopped | last.index.isin(pending, level="learning_rate")]
    judged = part.assign(value=part[objective] if direction == "min" else -part[objective])
    curves = judged.pivot_table(index=["learning_rate", "repeat"], columns="epoch", values="value", dropna=False)
    curves = curves[curves.index.isin(last.index)].reindex(columns=range(epoch + 1)).cummin(axis=1).ffill(axis=1)
    curves.loc[last.index[last["status"] == "diverged"], epoch] = math.inf
    return curves.drop(index=gone).fillna(math.inf)
