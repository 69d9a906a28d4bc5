"""Which points of a search may stop early: successive halving that spares whatever could still win."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import pandas as pd

from keras_lr.errors import InvalidArgumentError

MIN_EPOCHS = 2
"""A guess at the coming epochs needs two finished ones."""


def rungs(epochs: int, *, factor: float = 2) -> tuple[int, ...]:
    """Numbers of finished epochs after which a search decides: `epochs` divided by `factor` again and again.

    Args:
        epochs: Length of a whole run, in epochs.
        factor: Ratio of neighbouring rungs, above 1.

    Returns:
        Increasing, each at least 2 and below `epochs`; empty where a run is too short to stop early.

    Raises:
        InvalidArgumentError: `factor` is not above 1.

    Source:
        Jamieson & Talwalkar 2016, arXiv:1502.07943.
    """
    _check_factor(factor)
    count = math.floor(math.log(epochs / MIN_EPOCHS, factor) + 1e-9) if epochs > MIN_EPOCHS else 0
    return tuple(sorted({int(epochs / factor**power) for power in range(1, count + 1)} - {epochs}))


def prunable_points(
    frame: pd.DataFrame,
    *,
    epoch: int,
    epochs: int,
    objective: str = "val_loss",
    direction: Literal["min", "max"] = "min",
    factor: float = 2,
) -> frozenset[tuple[float, int]]:
    """The points of the grid that need not go on after `epoch`.

    Of the points of a batch size that have reached `epoch`, the best `1 / factor` go on in any case. Another stops
    where it cannot win: were each coming epoch to gain as much as the mean of the second half of the finished ones, it
    would still end behind where the best stands now. A learning curve flattens, so that this is a generous guess. A
    point also stops where half of its repeats or more have diverged.

    Args:
        frame: Rows as a `SensitivityResult` holds them. Those beyond `epoch` are not looked at, and neither is a point
            that has yet to reach it.
        epoch: The epoch just finished, from 0.
        epochs: Length of a whole run, in epochs.
        objective: Column that is judged.
        direction: "min" where lower is better, else "max".
        factor: As in `rungs`.

    Returns:
        Pairs of learning rate and batch size; empty where `epoch` is no rung. The best of a batch size never is among
        them.

    Raises:
        InvalidArgumentError: `factor` is not above 1.
    """
    if epoch + 1 not in rungs(epochs, factor=factor):
        return frozenset()
    lost = set()
    seen = frame[frame["epoch"] <= epoch]
    for batch_size in seen["batch_size"].unique():
        part = seen[seen["batch_size"] == batch_size]
        curves = _curves(part, epoch, objective, direction)
        now, before = _standing(curves, epoch), _standing(curves, epoch - (epoch + 1) // 2)
        at_best = now - (before - now) / ((epoch + 1) // 2) * (epochs - epoch - 1)
        spared = now.index.isin(now.nsmallest(math.ceil(len(now) / factor)).index) & np.isfinite(now)
        stopped = now[~spared & ~(at_best <= now.min()) & (now > now.min())]
        lost |= {(float(rate), int(batch_size)) for rate in stopped.index}
    return frozenset(lost)


def _curves(part: pd.DataFrame, epoch: int, objective: str, direction: str) -> pd.DataFrame:
    """Best so far, lower is better, by (rate, repeat) and epoch, of the rates whose every repeat came to `epoch`.

    A diverged run is infinite from its last epoch on, and one that failed is left out.
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


def _standing(curves: pd.DataFrame, epoch: int) -> pd.Series:
    return curves[epoch].groupby("learning_rate").median()


def _check_factor(factor: float) -> None:
    if not factor > 1:
        raise InvalidArgumentError(f"`factor` must be greater than 1. Received: {factor!r}. Leave it at 2.")
