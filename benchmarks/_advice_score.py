"""Scores advice against the ground truth of a task: regret, good range, overlap."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

DATA = Path(__file__).parent / "data"
CORPUS = (
    "bcancer-mlp-rmsprop",
    "diabetes-mlp-adam",
    "digits-ae-adam",
    "digits-cnn-sgdm",
    "digits-deepbn-adamw",
    "digits-mlp-adam",
    "digits-mlp-sgd",
    "friedman-mlp-sgdm",
    "synthcls-mlp-nadam",
    "synthseq-gru-adam",
)
"""The first ten tasks, called the corpus."""

SAMPLED = DATA / "sampled"
"""Tasks drawn at random by `_advice_sampled.py`, without those whose best rate gains less than 10%."""

HARD, TUNE = DATA / "hard", DATA / "tune"
"""Tasks of `_advice_hard.py` and `_advice_tune.py`."""

FOLDERS = (SAMPLED.name, HARD.name, TUNE.name)
"""Folders of tasks whose names start with the folder's."""

GOOD_REGRET = 0.05
GOOD_TIME_LOST = 0.2
ROUNDING = 1e-9


@dataclass(frozen=True)
class Truth:
    """The outcome of training a task at every learning rate.

    Attributes:
        decades: Log10 of the grid's rates, shape `(n_rates,)`.
        scores: Median over seeds of the best validation loss within the budget, shape `(n_rates,)`.
        untrained: Validation loss before training.
        reached: Lowest validation loss of the best rate up to each epoch, median over seeds, shape `(n_epochs,)`.
    """

    decades: np.ndarray
    scores: np.ndarray
    untrained: float
    reached: np.ndarray

    @classmethod
    def load(cls, task: str, folder: Path = DATA) -> Truth:
        """Reads `TASK.grid.csv.gz`; a run that never had a finite loss counts as ten times the untrained loss."""
        grid = pd.read_csv(path_of(task, "grid", folder))
        lowest = grid["lr"] <= grid["lr"].min() * 1.01
        untrained = float(grid.loc[lowest & (grid["epoch"] == 0), "val_loss"].median())
        finite = grid["val_loss"].where(np.isfinite(grid["val_loss"]))
        best = finite.groupby([grid["lr"], grid["seed"]]).min().fillna(untrained + 9 * abs(untrained))
        scores = best.groupby("lr").median()
        runs = grid.assign(val_loss=finite)[grid["lr"] == scores.idxmin()]
        reached = (
            runs.pivot_table(index="seed", columns="epoch", values="val_loss", dropna=False).cummin(axis=1).median()
        )
        return cls(np.log10(scores.index.to_numpy()), scores.to_numpy(), untrained, reached.to_numpy())

    def score(self, learning_rate: float | np.ndarray) -> np.ndarray:
        """Lowest validation loss at `learning_rate`, read between the rates of the grid."""
        return np.interp(np.log10(learning_rate), self.decades, self.scores)

    def regret(self, learning_rate: float | np.ndarray) -> np.ndarray:
        """Fraction of the possible gain that is lost at `learning_rate`, in [0, 1]."""
        return self.regret_of(self.score(learning_rate))

    def regret_of(self, score: float | np.ndarray) -> np.ndarray:
        """Fraction of the possible gain that is lost with a lowest validation loss of `score`, in [0, 1]."""
        best = self.scores.min()
        return np.clip((score - best) / (self.untrained - best), 0, 1)

    def time_lost(self, score: float) -> float:
        """Share of the best rate's epochs that it does not need to reach `score`."""
        enough = np.flatnonzero(self.reached <= score + 1e-12)
        return 1 - (enough[0] + 1 if len(enough) else len(self.reached)) / len(self.reached)

    @cached_property
    def good(self) -> tuple[float, float]:
        """Lowest and highest decade of the grid whose regret is at most 0.05."""
        kept = self.decades[self.regret(10**self.decades) <= GOOD_REGRET]
        return float(kept[0]), float(kept[-1])

    def is_good(self, learning_rate: float) -> bool:
        """Whether the rate lies inside the good range."""
        return bool(self.good[0] - ROUNDING <= np.log10(learning_rate) <= self.good[1] + ROUNDING)

    def judge(self, learning_rate: float | None) -> dict[str, object]:
        """Regret of a rate, whether it is good, and the time it loses; a refusal costs as much as no training."""
        if learning_rate is None:
            return {"regret": 1.0, "good": False, "lost": 1.0}
        lost = self.time_lost(float(self.score(learning_rate)))
        return {"regret": float(self.regret(learning_rate)), "good": self.is_good(learning_rate), "lost": lost}

    def overlap(self, low: float, high: float) -> float:
        """Jaccard index of [low, high] with the good range, over log learning rate."""
        start, end = np.log10(low), np.log10(high)
        shared = max(0.0, min(end, self.good[1]) - max(start, self.good[0]))
        union = max(end, self.good[1]) - min(start, self.good[0])
        return float(shared / union) if union > 0 else 0.0


def tasks(folder: Path = DATA) -> list[str]:
    """Names of the tasks with data."""
    return sorted(path.name.split(".")[0] for path in folder.glob("*.range.csv.gz"))


def path_of(task: str, table: str, folder: Path = DATA) -> Path:
    """Path of a task's table under `folder`."""
    kind = task.split("-")[0]
    return folder / (kind if kind in FOLDERS else "") / f"{task}.{table}.csv.gz"


def curves(task: str, folder: Path = DATA) -> dict[tuple[int, int], tuple[np.ndarray, np.ndarray]]:
    """Range tests by `(num_steps, seed)`: learning rates and losses, each of shape `(num_steps,)`."""
    frame = pd.read_csv(path_of(task, "range", folder))
    return {
        (int(steps), int(seed)): (part["lr"].to_numpy(), part["loss"].to_numpy())
        for (steps, seed), part in frame.groupby(["num_steps", "seed"])
    }


def cut_at_divergence(rates: np.ndarray, losses: np.ndarray, *, falls: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """The curve up to where a sweep would stop: once the loss is `falls` times its fall above its start."""
    finite = np.isfinite(losses)
    rates, losses = rates[finite], losses[finite]
    medians = pd.Series(losses).rolling(5, min_periods=1).median()
    start, lowest = medians[: len(losses) // 10].median(), int(medians.argmin())
    noise = np.median(np.abs(np.diff(losses[: lowest + 10])))
    over = np.flatnonzero(losses[lowest:] > start + falls * (start - medians[lowest]) + 5 * noise)
    stop = lowest + over[0] + 1 if len(over) else len(losses)
    return rates[:stop], losses[:stop]
