"""The result of training with `AutoLR` from seven initial rates, compared with a constant rate and two alternatives.

`python benchmarks/autolr.py` trains everything with `fit`, prints the tables and writes `benchmarks/results/autolr.md`.
`--runs FILE` appends each run to a CSV file and skips runs that it already holds; `--tasks`, `--ways`, `--starts` and
`--seeds` select a part. Needs scikit-learn (the `examples` extra).
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pandas as pd
from _advice_score import GOOD_REGRET, Truth
from _advice_table import lost_cells
from _advice_tasks import CORPUS, FURTHER, TASKS, Task

import keras_lr

RESULT = Path(__file__).parent / "results" / "autolr.md"
STARTS = tuple(10.0**decade for decade in range(-6, 1))
COLUMNS = ["task", "way", "start", "seed", "best_val_loss", "actions"]
OTHERS = (
    "digits-transformer-adam",
    "digits-logistic-adagrad",
    "wine-mlp-sgdm",
    "friedman-huber-adam-b256",
    "noise-nll-adam",
    "synthcls-mlp-sgdm-b16",
    "spirals-tanh-adam",
    "synthcls-bn-sgd-b128",
)


def _plateau() -> keras.callbacks.Callback:
    return keras.callbacks.ReduceLROnPlateau(factor=0.3, patience=2)


WAYS: dict[str, Callable[[], keras.callbacks.Callback | None]] = {
    "AutoLR": keras_lr.AutoLR,
    "a constant rate": lambda: None,
    "ReduceLROnPlateau(factor=0.3, patience=2)": _plateau,
    "ScheduleFreeAdamW": lambda: None,
}


class Bench:
    """One compiled model of a task, reset to the initial state of a seed before each run."""

    def __init__(self, task: Task, way: str) -> None:
        self.task, self.way = task, way
        self.x, self.y, self.x_val, self.y_val = task.data()
        self.model = task.model()
        optimizer = keras.optimizers.ScheduleFreeAdamW() if way == "ScheduleFreeAdamW" else task.optimizer()
        steps = -(-len(self.x) // task.batch_size)
        self.model.compile(optimizer, task.loss, steps_per_execution=steps)
        self.model(self.x[:2])

    def run(self, start: float, seed: int) -> tuple[float, str]:
        """The lowest finite validation loss, infinite if there is none, and AutoLR's actions."""
        self._reset(start, seed)
        callback = WAYS[self.way]()
        history = self.model.fit(
            self.x,
            self.y,
            batch_size=self.task.batch_size,
            epochs=self.task.epochs,
            validation_data=(self.x_val, self.y_val),
            validation_batch_size=len(self.x_val),
            callbacks=[callback] if callback else [],
            verbose=0,
        )
        losses = np.array(history.history["val_loss"])
        return float(np.min(losses[np.isfinite(losses)], initial=np.inf)), _actions(callback)

    def _reset(self, start: float, seed: int) -> None:
        keras.utils.set_random_seed(seed)
        fresh = self.task.model()
        fresh(self.x[:2])
        for variable, value in zip(self.model.variables, fresh.variables, strict=True):
            variable.assign(value)
        # The slots come from a new optimizer built on the new weights, which Schedule-Free copies into its slots.
        optimizer = self.model.optimizer
        blank = type(optimizer).from_config(optimizer.get_config())
        blank.build(fresh.trainable_variables)
        optimizer.build(self.model.trainable_variables)
        for variable, value in zip(optimizer.variables, blank.variables, strict=True):
            variable.assign(value)
        optimizer.learning_rate = start


def _actions(callback: keras.callbacks.Callback | None) -> str:
    if not isinstance(callback, keras_lr.AutoLR) or callback.log is None:
        return ""
    return " ".join(f"{action.kind}@{action.epoch}:{action.learning_rate_after:.2g}" for action in callback.log.actions)


def train(options: argparse.Namespace, known: set[tuple[str, str, float, int]]) -> Iterator[dict]:
    """Trains every run that is not known yet; one row per run."""
    for name, way in product(options.tasks, options.ways):
        wanted = [key for key in product([name], [way], options.starts, range(options.seeds)) if key not in known]
        if not wanted:
            continue
        keras.utils.clear_session()
        bench = Bench(TASKS[name], way)
        for _, _, start, seed in wanted:
            best, actions = bench.run(start, seed)
            yield dict(zip(COLUMNS, (name, way, start, seed, best, actions), strict=True))


def with_regrets(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with regret and time lost; a run that was never finite counts as ten times the untrained loss."""
    truths = {task: Truth.load(task) for task in runs["task"].unique()}

    def judge(row: pd.Series) -> pd.Series:
        truth = truths[row["task"]]
        score = min(row["best_val_loss"], truth.untrained + 9 * abs(truth.untrained))
        return pd.Series({"regret": float(truth.regret_of(score)), "lost": truth.time_lost(score)})

    return runs.join(runs.apply(judge, axis=1))


def summary(title: str, runs: pd.DataFrame) -> str:
    """A table of the ways, and one of the mean regret of each task."""
    fixed = runs[runs["way"] == "a constant rate"].groupby(["task", "start"])["regret"].median()
    good = fixed.index[fixed <= GOOD_REGRET]
    lines = [
        f"## {title}",
        "",
        f"Tasks: {runs['task'].nunique()}; initial rates: {runs['start'].nunique()}, from {runs['start'].min():g} to "
        f"{runs['start'].max():g}; seeds: {runs['seed'].nunique()}. An initial rate is good if training at it has a "
        f"median regret of at most {GOOD_REGRET}: {len(good)} of {len(fixed)}.",
        "",
        "| way | mean regret | fraction at 0.05 or less | time lost | median lost | lost at most 0.2 "
        "| mean regret from a good rate | runs |",
        "|-|-|-|-|-|-|-|-|",
    ]
    for way in WAYS:
        part = runs[runs["way"] == way]
        if len(part):
            well = part[part.set_index(["task", "start"]).index.isin(good)]["regret"].mean()
            share = (part["regret"] <= GOOD_REGRET).mean()
            lost = " | ".join(f"{cell:.3f}" for cell in lost_cells(part))
            lines.append(f"| {way} | {part['regret'].mean():.3f} | {share:.3f} | {lost} | {well:.3f} | {len(part)} |")
    table = runs.pivot_table(index="task", columns="way", values="regret", sort=False)
    ways = [way for way in WAYS if way in table]
    lines += ["", "| mean regret | " + " | ".join(ways) + " |", "|-|" + "-|" * len(ways)]
    lines += [f"| {task} | " + " | ".join(f"{row[way]:.3f}" for way in ways) + " |" for task, row in table.iterrows()]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Trains, prints and writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, help="CSV file of known runs, to which new ones are appended")
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=[*CORPUS, *OTHERS], metavar="TASK")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS), metavar="WAY")
    parser.add_argument("--starts", nargs="+", type=float, default=list(STARTS), metavar="RATE")
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    rows = []
    if options.runs and options.runs.exists():
        rows = pd.read_csv(options.runs).to_dict("records")
    known = {(row["task"], row["way"], row["start"], row["seed"]) for row in rows}
    for row in train(options, known):
        rows.append(row)
        if options.runs:
            _append(options.runs, row)
    runs = with_regrets(pd.DataFrame(rows, columns=COLUMNS))
    runs = runs[runs["task"].isin(options.tasks) & (runs["seed"] < options.seeds)]
    parts = {"The ten tasks of the corpus": CORPUS, "Further tasks": FURTHER}
    text = "# The result of training, by initial rate\n\n" + "\n".join(
        summary(title, part) for title, names in parts.items() if len(part := runs[runs["task"].isin(list(names))])
    )
    print(text)
    RESULT.write_text(text)


def _append(path: Path, row: dict) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if new:
            writer.writeheader()
        writer.writerow(row)


if __name__ == "__main__":
    main()
