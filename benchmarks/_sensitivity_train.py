"""Trains a task around its best rate with many more seeds than a search uses: the truth by which basins are judged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from _advice_score import Truth
from _advice_tasks import CORPUS
from _advice_train import GRID, Trainer, write

SEEDS = range(100, 115)
REACH = 5
"""Number of rates to train on each side of the best, at three per decade."""


class FreshTrainer(Trainer):
    """A trainer for any seed, not only for those of the grid."""

    def reset(self, seed: int) -> None:
        """Restores the initial weights, random states and optimizer slots of `seed`."""
        starts = self.__dict__.setdefault("fresh_starts", {})
        if seed not in starts:
            starts[seed] = self._start(seed)
        for variable, value in zip(self.model.variables, starts[seed], strict=True):
            variable.assign(value)
        for variable, value in zip(self.optimizer.variables, self.slots, strict=True):
            variable.assign(value)


def make(name: str, folder: Path) -> None:
    """Writes `NAME.seeds.csv.gz`: the best validation loss of each run, empty if the run diverged."""
    trainer = FreshTrainer(CORPUS[name])
    best = int(Truth.load(name).scores.argmin())
    rows = []
    for rate in GRID[max(best - REACH, 0) : best + REACH + 1]:
        for seed in SEEDS:
            losses = np.array([row["val_loss"] for row in trainer.grid_run(seed, rate)])
            rows.append({"lr": rate, "seed": seed, "val_loss": losses.min()})
    write(pd.DataFrame(rows), folder / f"{name}.seeds.csv.gz")
