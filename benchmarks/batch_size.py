"""How far are the rules for the learning rate at another batch size off?

`python benchmarks/batch_size.py` prints the tables and writes `benchmarks/results/batch_size.md`, without TensorFlow.
`python benchmarks/batch_size.py --train TASK` trains a task with Keras at six batch sizes and ten learning rates around
the best at each, one run each, and stores the results.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from _advice_score import DATA, Truth, path_of

from keras_lr.analysis._batch_size import scaling_exponent

RESULT = Path(__file__).parent / "results" / "batch_size.md"
TASKS = {
    "digits-mlp-sgd": "SGD",
    "friedman-mlp-sgdm": "SGD",
    "digits-mlp-adam": "Adam",
    "diabetes-mlp-adam": "Adam",
    "bcancer-mlp-rmsprop": "RMSprop",
    "synthcls-mlp-nadam": "Nadam",
}
SIZES = (8, 16, 32, 64, 128, 256)
REFERENCE = 32
"""Batch size whose best rate the rules start from."""

REACH_BELOW, REACH_ABOVE = 4, 5
"""Number of rates on each side of the rule's, at three per decade."""

GOOD = 0.05


def train(name: str) -> None:
    """Writes `TASK.batch.csv.gz`: the best validation loss by batch size and rate, and the untrained loss."""
    from _advice_tasks import TASKS as MODELS
    from _advice_train import GRID, Trainer, write

    task, truth = MODELS[name], Truth.load(name)
    exponent = scaling_exponent(TASKS[name]) or 0.0
    rows = []
    for size in SIZES:
        trainer = Trainer(replace(task, batch_size=size, seeds=1, compiled=True))
        # Around the middle between an unchanged rate and the rule's, so that neither is favoured.
        centre = truth.decades[truth.scores.argmin()] + exponent / 2 * np.log10(size / task.batch_size)
        middle = int(np.abs(np.log10(GRID) - centre).argmin())
        for rate in GRID[max(middle - REACH_BELOW, 0) : middle + REACH_ABOVE + 1]:
            losses = np.array([row["val_loss"] for row in trainer.grid_run(0, rate)])
            best = np.min(losses[np.isfinite(losses)], initial=np.inf)
            rows.append({"batch_size": size, "lr": rate, "val_loss": best, "untrained": truth.untrained})
    write(pd.DataFrame(rows), path_of(name, "batch"))


class Ridge:
    """The outcomes of a task at its batch sizes."""

    def __init__(self, name: str) -> None:
        frame = pd.read_csv(path_of(name, "batch"))
        self.exponent = scaling_exponent(TASKS[name]) or 0.0
        self.outcomes = {
            size: (np.log10(part["lr"].to_numpy()), part["val_loss"].to_numpy())
            for size, part in frame.groupby("batch_size")
        }
        self.untrained = float(frame["untrained"].iloc[0])
        self.start = self.best(REFERENCE)

    def best(self, size: int) -> float:
        """Log10 of the best rate."""
        decades, losses = self.outcomes[size]
        return float(decades[losses.argmin()])

    def at_edge(self, size: int) -> bool:
        """Whether the best rate is the lowest or the highest of those trained."""
        decades, losses = self.outcomes[size]
        return losses.argmin() in (0, len(decades) - 1)

    def by_rule(self, size: int, exponent: float) -> float:
        """Log10 of the rate that a rule makes of the best at the reference size."""
        return self.start + exponent * np.log10(size / REFERENCE)

    def regret(self, size: int, decade: float) -> float:
        """Share of the gain that is lost at a rate."""
        decades, losses = self.outcomes[size]
        finite = np.where(np.isfinite(losses), losses, self.untrained)
        return float(
            np.clip((np.interp(decade, decades, finite) - finite.min()) / (self.untrained - finite.min()), 0, 1)
        )


def tables(names: list[str]) -> str:
    """The Markdown of all tables."""
    ridges = {name: Ridge(name) for name in names}
    lines = [
        "# The learning rate at another batch size",
        "",
        f"Tasks: {len(names)}, each trained once for its own number of epochs at the batch sizes "
        f"{', '.join(map(str, SIZES))}. The rules start from the best rate at {REFERENCE}. A step of the grid is a "
        "third of a decade. A star: the best of the rates that were trained is the lowest or the highest of them.",
        "",
        "## The best rate, measured / by rule",
        "",
        "| task | rule | " + " | ".join(map(str, SIZES)) + " |",
        "|-|-|" + "-|" * len(SIZES),
    ]
    for name, ridge in ridges.items():
        cells = [
            f"{10 ** ridge.best(size):.2g}{'*' if ridge.at_edge(size) else ''} / "
            f"{10 ** ridge.by_rule(size, ridge.exponent):.2g}"
            for size in SIZES
        ]
        lines.append(f"| {name} | {'linear' if ridge.exponent == 1 else 'square root'} | {' | '.join(cells)} |")
    lines += [
        "",
        "## How far the rules are off",
        "",
        "| tasks | rule | median decades off | worst | mean regret | fraction at 0.05 or less |",
        "|-|-|-|-|-|-|",
    ]
    for title, kinds in {"SGD": ("SGD",), "adaptive optimizers": ("Adam", "RMSprop", "Nadam")}.items():
        own = [ridge for name, ridge in ridges.items() if TASKS[name] in kinds]
        for rule, exponent in {"linear": 1.0, "square root": 0.5, "unchanged": 0.0}.items():
            cases = [(ridge, size) for ridge in own for size in SIZES if size != REFERENCE]
            if not cases:
                continue
            off = np.abs([ridge.by_rule(size, exponent) - ridge.best(size) for ridge, size in cases])
            regret = np.array([ridge.regret(size, ridge.by_rule(size, exponent)) for ridge, size in cases])
            lines.append(
                f"| {title} | {rule} | {np.median(off):.2f} | {off.max():.2f} | {regret.mean():.3f} | "
                f"{(regret <= GOOD).mean():.2f} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Trains a task, or prints and writes the tables of those that are stored."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--train", nargs="+", choices=list(TASKS), metavar="TASK", default=[])
    options = parser.parse_args()
    for name in options.train:
        train(name)
    if not options.train:
        text = tables([name for name in TASKS if path_of(name, "batch", DATA).exists()])
        print(text)
        RESULT.write_text(text)


if __name__ == "__main__":
    main()
