"""Trains a task at many more seeds than a search has, around its best rate: the truth that basins are judged by."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from _advice_score import Truth
from _advice_tasks import CORPUS
from _advice_train import GRID, Trainer, write

SEEDS = range(100, 115)
REACH = 5
"""Rates on either side of the best that are trained, at three a decade."""


class FreshTrainer(Trainer):
    """A trainer for any seed, not only those of the grid."""

    def reset(self, seed: int) -> None:
        """Puts weights, random states and optimizer slots back to the start of `seed`."""
        starts = self.__dict__.setdefault("fresh_starts", {})
        if seed not in starts:
            starts[seed] = self._start(seed)
        for variable, value in zip(self.model.variables, starts[seed], strict=True):
            variable.assign(value)
        for variable, value in zip(self.optimizer.variables, self.slots, strict=True):
            variable.assign(value)


def make(name: str, folder: Path) -> None:
    """Writes `NAME.seeds.csv.gz`: each run's best validation loss, empty where the run diverged."""
    trainer = FreshTrainer(CORPUS[name])
    best = int(Truth.load(name).scores.argmin())
    rows = []
    for rate in GRID[max(best - REACH, 0) : best + REACH + 1]:
        for seed in SEEDS:
            losses = np.array([row["val_loss"] for row in trainer.grid_run(seed, rate)])
            rows.append({"lr": rate, "seed": seed, "val_loss": losses.min()})
    write(pd.DataFrame(rows), folder / f"{name}.seeds.csv.gz")
