"""Every sweep of the tasks, with its landmarks and the cost of each possible suggestion."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from _advice_score import GOOD_REGRET, ROUNDING, Truth, curves
from scipy.ndimage import gaussian_filter1d

from keras_lr.analysis._suggestion.calibration import UNKNOWN, OptimizerKind, kind_of
from keras_lr.analysis._suggestion.curve import Landmarks, read_curves, read_landmarks

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
        marks: Landmarks of the sweep.
        truth: The outcome of training at every rate.
        cost: Blurred regret plus 0.05 outside the good range, over `GRID`.
    """

    task: str
    num_steps: int
    seed: int
    kind: OptimizerKind
    marks: Landmarks
    truth: Truth
    cost: np.ndarray

    @property
    def where(self) -> dict[str, object]:
        """The columns that identify the sweep in a table."""
        return {"task": self.task, "num_steps": self.num_steps, "seed": self.seed}


def read_cases(names: Iterable[str]) -> list[Case]:
    """Every sweep of the tasks."""
    cases = []
    for name in names:
        truth = Truth.load(name)
        outside = (truth.good[0] - ROUNDING > GRID) | (truth.good[1] + ROUNDING < GRID)
        cost = truth.regret(10**GRID) + GOOD_REGRET * outside
        blurred = gaussian_filter1d(cost, BLUR_DECADES / (GRID[1] - GRID[0]), mode="nearest")
        for (steps, seed), (rates, losses) in curves(name).items():
            marks = read_landmarks(read_curves(rates, losses)[0])
            cases.append(Case(name, steps, seed, optimizer_of(name), marks, truth, blurred))
    return cases


def optimizer_of(task: str) -> OptimizerKind:
    """The kind of a task's optimizer, read from the task's name."""
    return next(OPTIMIZERS[part] for part in task.split("-") if part in OPTIMIZERS)


def look_up(costs: np.ndarray, decades: np.ndarray) -> np.ndarray:
    """The cost of each case at its own decade; `costs` has one row per case, over `GRID`."""
    places = np.clip(np.round((decades - GRID[0]) / (GRID[1] - GRID[0])).astype(int), 0, len(GRID) - 1)
    return np.asarray(costs[np.arange(len(costs)), places])
