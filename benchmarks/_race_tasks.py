"""Stored sweeps to replay a race on: the curve of every rate, and what each choice of a rate costs."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from _advice_cases import OPTIMIZERS, read_cases
from _advice_judge import refined
from _advice_score import CORPUS, DATA, GOOD_REGRET, HARD, SAMPLED, TUNE, Truth, curves, path_of, tasks

from keras_lr.analysis import suggest
from keras_lr.analysis._race import first_comparison, starts_refined
from keras_lr.analysis._suggestion.calibration import CALIBRATION
from keras_lr.analysis._suggestion.suggest import suggest_from_landmarks
from keras_lr.results import Suggestion

SWEEP_STEPS = 100


@dataclass(frozen=True, eq=False)
class Replay:
    """One seed of a task, as a race would meet it.

    Attributes:
        task: Name of the task.
        seed: Seed of the initial weights and the batches.
        decades: Log10 of the rates, increasing, shape `(n_rates,)`.
        curves: Objective after each epoch, shape `(n_rates, n_epochs)`; NaN from where a run diverged.
        truth: The outcome of training at every rate.
        sweep: Suggestion of a sweep of 100 steps with the same seed; None if there is no sweep.
        refined: The same after short runs; None if there are none.
        adaptive: Whether the optimizer is adaptive.
        compare_from: Number of epochs after which the rates are first compared.
    """

    task: str
    seed: int
    decades: np.ndarray
    curves: np.ndarray
    truth: Truth
    sweep: Suggestion | None = None
    refined: Suggestion | None = None
    adaptive: bool = False
    compare_from: int = 1

    def start(self, budget: float) -> Suggestion | None:
        """Where `RaceSearch` would start the race; None if there is no sweep."""
        after_runs = starts_refined(budget, adaptive=self.adaptive)
        return (self.refined if after_runs else None) or self.sweep

    @property
    def epochs(self) -> int:
        """Length of a complete run."""
        return self.curves.shape[1]

    @property
    def rates(self) -> list[float]:
        """The learning rates, increasing."""
        return [float(f"{rate:.6g}") for rate in 10**self.decades]

    def place(self, rate: float) -> int:
        """Place of the stored rate nearest to `rate`."""
        return int(np.abs(self.decades - math.log10(rate)).argmin())

    def curve(self, place: int, epochs: int) -> np.ndarray:
        """The first epochs of a run; it ends at the first value that is not finite."""
        values = self.curves[place, :epochs]
        broken = np.flatnonzero(~np.isfinite(values))
        return values[: broken[0] + 1] if len(broken) else values

    def judge(self, rate: float | None) -> dict[str, Any]:
        """Regret of a rate and the time it loses; a refusal costs as much as not to train."""
        found = self.truth.judge(rate)
        return found | {"good": float(found["regret"] <= GOOD_REGRET)}


def read_sets() -> dict[str, list[Replay]]:
    """Every stored task with each of its seeds, by set."""
    corpus = list(CORPUS)
    names = {"corpus": corpus, "further": sorted(set(tasks()) - set(corpus)), "drawn": tasks(SAMPLED)}
    names |= {"wide, deep, generative and unscaled": tasks(HARD), "fine-tuning": tasks(TUNE)}
    return {title: [one for name in part for one in read_task(name)] for title, part in names.items()}


def read_folder(folder: Path) -> list[Replay]:
    """Every task of a folder of `TASK.grid.csv.gz`, with the sweeps of `TASK.range.csv.gz` if there are any."""
    names = sorted(path.name.removesuffix(".grid.csv.gz") for path in folder.glob("*.grid.csv.gz"))
    if not names:
        raise SystemExit(f"{folder} holds no file TASK.grid.csv.gz.")
    return [one for name in names for one in read_task(name, folder)]


def read_task(name: str, folder: Path = DATA) -> list[Replay]:
    """Each seed of a task that was trained at every rate."""
    grid = pd.read_csv(path_of(name, "grid", folder))
    truth = _truth(name, grid, folder)
    runs = grid.pivot_table(index=["lr", "seed"], columns="epoch", values="val_loss", dropna=False)
    runs = runs[runs.index.isin(pd.MultiIndex.from_frame(grid[["lr", "seed"]]))]
    measured = _measured(name, folder)
    return [
        Replay(name, int(seed), truth.decades, part.to_numpy(), truth, **measured.get(seed, {}))
        for seed, part in runs.groupby("seed")
        if len(part) == len(truth.decades)
    ]


def _truth(name: str, grid: pd.DataFrame, folder: Path) -> Truth:
    truth = Truth.load(name, folder)
    if "untrained_val_loss" not in grid:
        return truth
    return replace(truth, untrained=float(grid["untrained_val_loss"].median()))


def _measured(name: str, folder: Path) -> dict[int, dict[str, Any]]:
    """What the sweep of each seed says about where to race."""
    if not path_of(name, "range", folder).exists():
        return {}
    if folder != DATA:
        optimizer = next((part for part in name.split("-") if part in OPTIMIZERS), None)
        return {
            seed: {"sweep": suggest(rates, losses, optimizer=optimizer)}
            for (steps, seed), (rates, losses) in curves(name, folder).items()
            if steps == SWEEP_STEPS
        }
    found = {}
    for case in read_cases([name]):
        if case.num_steps == SWEEP_STEPS:
            sweep = suggest_from_landmarks([case.marks], kind=case.kind)
            found[case.seed] = {
                "sweep": case.allowed(sweep),
                "refined": case.allowed(refined(case, sweep, CALIBRATION, constants=True)),
                "adaptive": case.kind.adaptive,
                "compare_from": first_comparison(case.curve.losses, case.constant),
            }
    return found
