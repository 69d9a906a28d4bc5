"""Every sweep of the tasks, with its landmarks and the cost of each possible suggestion."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np
import pandas as pd
from _advice_score import DATA, GOOD_REGRET, ROUNDING, Truth, curves
from scipy.ndimage import gaussian_filter1d

from keras_lr.analysis._suggestion.calibration import UNKNOWN, OptimizerKind, kind_of
from keras_lr.analysis._suggestion.curve import Landmarks, LossCurve, read_curves, read_landmarks
from keras_lr.analysis._suggestion.suggest import allow_for_constant
from keras_lr.results import Suggestion

CONSTANT_LOSSES = DATA / "constant_loss.csv"
"""Written by `python benchmarks/advice.py --constants`."""

GRID = np.round(np.arange(-7.0, 1.001, 0.02), 2)
BLUR_DECADES = 0.3
"""The regret is blurred by this much before it is minimised, which keeps votes away from cliffs."""

OPTIMIZERS = {name: kind_of(name) for name in ("sgd", "rmsprop", "adagrad", "adam", "adamw", "adamax", "nadam")}
OPTIMIZERS |= dict.fromkeys(("sgdm", "sgdm95", "nesterov", "lion", "adadelta"), UNKNOWN)
"""The optimizer's kind, by its part of a task's name."""


@dataclass(frozen=True, eq=False)
class Case:
    """One sweep of a task with known truth.

    Attributes:
        task: Name of the task.
        num_steps: Length of the sweep.
        seed: Seed of the initial weights and the batches.
        kind: Kind of the task's optimizer.
        curve: The sweep itself.
        constant: Loss of the best constant output; None if it is unknown.
        marks: Landmarks of the sweep.
        truth: The outcome of training at every rate.
        cost: Blurred regret plus 0.05 outside the good range, over `GRID`.
    """

    task: str
    num_steps: int
    seed: int
    kind: OptimizerKind
    curve: LossCurve
    constant: float | None
    marks: Landmarks
    truth: Truth
    cost: np.ndarray

    @property
    def where(self) -> dict[str, object]:
        """The columns that identify the sweep in a table."""
        return {"task": self.task, "num_steps": self.num_steps, "seed": self.seed}

    def allowed(self, advice: Suggestion) -> Suggestion:
        """What `find_lr` makes of a suggestion, since it knows the loss of the best constant output."""
        return allow_for_constant(advice, 10**self.curve.decades, self.curve.losses, self.constant, kind=self.kind)


def read_cases(names: Iterable[str]) -> list[Case]:
    """Every sweep of the tasks."""
    cases, constants = [], constant_losses()
    for name in names:
        truth = Truth.load(name)
        outside = (truth.good[0] - ROUNDING > GRID) | (truth.good[1] + ROUNDING < GRID)
        cost = truth.regret(10**GRID) + GOOD_REGRET * outside
        blurred = gaussian_filter1d(cost, BLUR_DECADES / (GRID[1] - GRID[0]), mode="nearest")
        for (steps, seed), (rates, losses) in curves(name).items():
            (curve,) = read_curves(rates, losses)
            known = (optimizer_of(name), curve, constants.get(name))
            cases.append(Case(name, steps, seed, *known, read_landmarks(curve), truth, blurred))
    return cases


@cache
def constant_losses() -> dict[str, float]:
    """The loss of the best constant output of each task, where it is known."""
    frame = pd.read_csv(CONSTANT_LOSSES).dropna()
    return dict(zip(frame["task"], frame["loss"], strict=True))


def optimizer_of(task: str) -> OptimizerKind:
    """The kind of a task's optimizer, read from the task's name."""
    return next(OPTIMIZERS[part] for part in task.split("-") if part in OPTIMIZERS)


def look_up(costs: np.ndarray, decades: np.ndarray) -> np.ndarray:
    """The cost of each case at its own decade; `costs` has one row per case, over `GRID`."""
    places = np.clip(np.round((decades - GRID[0]) / (GRID[1] - GRID[0])).astype(int), 0, len(GRID) - 1)
    return np.asarray(costs[np.arange(len(costs)), places])
