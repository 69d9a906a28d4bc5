"""Refinement with stored short runs: the runs that the rule would make, their losses, and the fit of its constants."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from _advice_cases import Case, look_up
from _advice_score import DATA, path_of

from keras_lr.analysis._suggestion.calibration import Calibration, RefinementCalibration
from keras_lr.analysis._suggestion.refine import middle_of_runs, plan_runs
from keras_lr.analysis._suggestion.suggest import suggest_from_landmarks
from keras_lr.results._range_test import Suggestion

OFFSETS = (-0.6, -0.5, -0.4, -0.3, -0.2, -0.1, 0.0)
SLOPES = (0.0, 0.25, 0.5, 0.75, 1.0)
TRUSTS = (0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, eq=False)
class Runs:
    """Short runs at constant rates: `learning_rates` of shape `(n_runs,)`, `losses` of shape `(n_runs, n_steps)`."""

    learning_rates: np.ndarray
    losses: np.ndarray


@cache
def stored_runs(task: str, folder: Path = DATA) -> dict[int, Runs]:
    """The stored short runs of a task, by seed; runs of a seed have the same initial weights and batches."""
    frame = pd.read_csv(path_of(task, "short", folder))
    runs = {}
    for seed, part in frame.groupby("seed"):
        wide = part.set_index(["lr", "step"])["loss"].unstack()
        runs[int(seed)] = Runs(wide.index.to_numpy(), wide.to_numpy())
    return runs


def planned_runs(task: str, seed: int, suggestion: Suggestion, num_steps: int) -> Runs | None:
    """The stored runs closest to those that the rule would make with a budget of `num_steps`."""
    plan = plan_runs(suggestion, num_steps=num_steps)
    if plan is None:
        return None
    stored = stored_runs(task)[seed]
    gaps = np.abs(np.log10(stored.learning_rates) - np.log10(plan.learning_rates)[:, None])
    chosen = np.unique(gaps.argmin(axis=1))
    return Runs(stored.learning_rates[chosen], stored.losses[chosen, : plan.num_steps])


def fit_refinement(cases: list[Case], calibration: Calibration) -> RefinementCalibration:
    """The constants with the lowest mean cost, on the runs that the rule would make around its own suggestions.

    Adaptive optimizers are excluded, because their runs only choose between the sweep and the usual rate.
    """
    sweeps, costs = [], []
    for case in cases:
        advice = suggest_from_landmarks([case.marks], kind=case.kind, calibration=calibration)
        runs = planned_runs(case.task, case.seed, advice, case.num_steps)
        if runs is None or advice.learning_rate is None:
            continue
        middle = middle_of_runs(runs.learning_rates, runs.losses, [case.marks])
        if middle is not None and not case.kind.adaptive:
            sweeps.append((float(np.log10(advice.learning_rate)), middle, runs.losses.shape[1]))
            costs.append(case.cost)
    rows = np.stack(costs)
    swept, middles, steps = np.array(sweeps).T

    def cost(choice: RefinementCalibration) -> float:
        runs = middles + np.array([choice.offset(int(length)) for length in steps])
        return float(look_up(rows, swept + choice.trust * (runs - swept)).mean())

    return min((RefinementCalibration(*choice) for choice in product(OFFSETS, SLOPES, TRUSTS)), key=cost)
