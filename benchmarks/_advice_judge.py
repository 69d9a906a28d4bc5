"""Scores rules on tasks: ours with constants fitted without the judged task, the published ones as they are."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd
from _advice_cases import Case
from _advice_fit import fit
from _advice_refine import planned_runs
from _advice_rules import PUBLIC
from _advice_score import Truth, curves, path_of

from keras_lr.analysis._suggestion.calibration import CALIBRATION, Calibration
from keras_lr.analysis._suggestion.refine import refine_suggestion
from keras_lr.analysis._suggestion.suggest import suggest_from_landmarks
from keras_lr.results._range_test import Suggestion

SWEEP_LENGTHS = (100, 300)
MOST_SEEDS = 3

FRESH = (
    "circles-gelu-sgd-b16",
    "digits-denoiser-adamax",
    "digits-rows-nadam",
    "digits-separable-rmsprop",
    "digits-wide-adam-b96",
    "iris-tanh-rmsprop-b10",
    "lowrank-huber-adamw",
    "quantiles-elu-adamw-b48",
    "sparse-swish-nesterov",
    "tune-autoencoder-on-rmsprop",
    "tune-bits-head-adam",
    "tune-deep8-on-nadam",
    "tune-post6-then-adamw",
    "tune-residual8-on-adamw",
    "tune-rows4-on-adamw",
    "tune-smooth-on-adam",
    "tune-smooth-on-adamw",
    "tune-speaker-on-adam",
    "tune-wide2048-then-adamw",
)
"""Tasks on which nothing is fitted, among them the fine-tuning tasks that were added for their low rates."""


def judge_ours(cases: list[Case], *, pool: Collection[str] | None = None, name: str = "keras_lr") -> pd.DataFrame:
    """The default rule on each sweep, with constants fitted on all other tasks.

    Args:
        cases: Every sweep of every task; those of fresh tasks are left out.
        pool: Tasks to fit and to judge on; None for all.
        name: Name of the rule in the table.
    """
    pool = {case.task for case in cases} - set(FRESH) if pool is None else set(pool)
    parts = []
    for task in sorted(pool):
        calibration = fit([case for case in cases if case.task in pool - {task}], CALIBRATION)
        parts.append(judge_with(calibration, [case for case in cases if case.task == task], name=name, constants=True))
    return pd.concat(parts, ignore_index=True)


def judge_with(
    calibration: Calibration, cases: list[Case], *, name: str = "keras_lr", constants: bool = False
) -> pd.DataFrame:
    """The rule with the given constants, on each sweep and on the sweeps of all three seeds of a task.

    On each sweep it judges the curve alone, then the curve and the optimizer, then also short runs. With `constants`
    the last two also know the loss of the best constant output, as `find_lr` does.
    """
    rows = []
    for case in cases:
        alone = suggest_from_landmarks([case.marks], calibration=calibration)
        known = suggest_from_landmarks([case.marks], kind=case.kind, calibration=calibration)
        after_runs = refined(case, known, calibration, constants=constants)
        known, after_runs = (case.allowed(one) if constants else one for one in (known, after_runs))
        rows.append({"rule": name} | case.where | _judge(case.truth, alone))
        rows.append({"rule": f"{name}, optimizer known"} | case.where | _judge(case.truth, known))
        rows.append({"rule": f"{name}, refined"} | case.where | _judge(case.truth, after_runs))
    for task, steps in sorted({(case.task, case.num_steps) for case in cases}):
        seeds = [case for case in cases if (case.task, case.num_steps) == (task, steps)]
        if len(seeds) < MOST_SEEDS:
            continue
        advice = suggest_from_landmarks([case.marks for case in seeds], calibration=calibration)
        where = {"task": task, "num_steps": steps, "seed": -1}
        rows.append({"rule": f"{name}, {len(seeds)} repeats"} | where | _judge(seeds[0].truth, advice))
    return pd.DataFrame(rows)


def refined(case: Case, advice: Suggestion, calibration: Calibration, *, constants: bool = False) -> Suggestion:
    """The suggestion after short runs with as many steps as the sweep."""
    runs = planned_runs(case.task, case.seed, advice, case.num_steps)
    if runs is None:
        return advice
    return refine_suggestion(
        advice,
        runs.learning_rates,
        runs.losses,
        landmarks=[case.marks],
        kind=case.kind,
        calibration=calibration,
        constant=case.constant if constants else None,
    )


def judge_public(names: list[str]) -> pd.DataFrame:
    """One row per sweep and published rule."""
    rows = []
    for name in names:
        truth = Truth.load(name)
        for (steps, seed), (rates, losses) in curves(name).items():
            finite = np.isfinite(losses)
            where = {"task": name, "num_steps": steps, "seed": seed}
            for rule, read in PUBLIC.items():
                rows.append({"rule": rule} | where | truth.judge(read(rates[finite], losses[finite])))
    return pd.DataFrame(rows)


def judge_constants(rates: Mapping[str, float], name: str) -> pd.DataFrame:
    """One row per task and length of sweep, neither of which counts: a rate that is fixed before anything is seen."""
    rows = [
        {"rule": name, "task": task, "num_steps": steps, "seed": -1} | Truth.load(task).judge(rate)
        for task, rate in rates.items()
        for steps in SWEEP_LENGTHS
    ]
    return pd.DataFrame(rows)


def judge_grids(names: list[str], lengths: tuple[int, ...]) -> pd.DataFrame:
    """The rate with the lowest validation loss, if one seed trains all rates of the grid for each number of epochs."""
    rows = []
    for name in names:
        truth = Truth.load(name)
        grid = pd.read_csv(path_of(name, "grid"))
        grid = grid[np.isfinite(grid["val_loss"])]
        for epochs in lengths:
            for seed, part in grid[grid["epoch"] < epochs].groupby("seed"):
                best = float(part.loc[part["val_loss"].idxmin(), "lr"])
                rows.append({"task": name, "seed": seed, "epochs": epochs} | truth.judge(best))
    return pd.DataFrame(rows)


def _judge(truth: Truth, advice: Suggestion) -> dict[str, object]:
    rate, low, high = advice.learning_rate, advice.low, advice.high
    overlap = 0.0 if low is None or high is None else truth.overlap(low, high)
    return truth.judge(rate) | {"overlap": overlap, "confidence": advice.confidence}
