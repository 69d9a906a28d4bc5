"""Short trainings and small epochs with and without `AutoLR`, from several compiled rates.

`python benchmarks/autolr_short.py` trains every setting twice, with and without `AutoLR`, prints the tables and writes
`benchmarks/results/autolr_short.md`. A setting is a task, the steps per epoch, whether an epoch covers all data or
draws a few batches from more, dropout, the number of epochs, an optimizer and the rate it was compiled with. The share
that `AutoLR` lost is the difference of the two final training losses as a share of the gain: the untrained loss minus
the lowest final loss of that setting at any compiled rate. `--runs FILE` appends each run to a CSV file and skips runs
that it already holds; the other options select a part. Needs scikit-learn (the `examples` extra).
"""

from __future__ import annotations

import argparse
import csv
import os
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from itertools import product
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from sklearn.datasets import make_friedman1, make_moons

import keras_lr

RESULT = Path(__file__).parent / "results" / "autolr_short.md"
BATCH_SIZE = 32
ROWS = 2048
MAX_LOST = 0.05
SETTING = ["task", "steps", "covers", "dropout", "epochs", "optimizer"]
COLUMNS = [*SETTING, "start", "seed", "way", "untrained", "loss", "actions", "why"]

OPTIMIZERS: dict[str, tuple[Callable[[float], keras.Optimizer], tuple[float, ...]]] = {
    "Adam": (keras.optimizers.Adam, (1e-4, 1e-2, 0.3)),
    "SGD": (keras.optimizers.SGD, (1e-3, 0.1, 2.0)),
    "SGD, momentum 0.9": (lambda rate: keras.optimizers.SGD(rate, momentum=0.9), (1e-3, 0.03)),
}


def moons() -> tuple[np.ndarray, np.ndarray, str, str]:
    """Two classes in the plane, for a cross-entropy."""
    x, y = make_moons(ROWS, noise=0.15, random_state=0)
    return x.astype("float32"), y[:, np.newaxis].astype("float32"), "sigmoid", "binary_crossentropy"


def friedman() -> tuple[np.ndarray, np.ndarray, str, str]:
    """A regression on ten features, with a standardised target."""
    x, y = make_friedman1(ROWS, noise=1.0, random_state=0)
    return x.astype("float32"), ((y - y.mean()) / y.std())[:, np.newaxis].astype("float32"), "linear", "mse"


TASKS = {"moons": moons, "friedman": friedman}


class Bench:
    """One compiled model, reset to the initial state of a seed before each run."""

    def __init__(self, task: str, steps: int, covers: str, dropout: str, optimizer: str) -> None:
        x, y, activation, loss = _data(task)
        self.steps = steps
        self.rows = steps * BATCH_SIZE if covers == "all" else len(x)
        self.x, self.y = x[: self.rows], y[: self.rows]
        self.covers = covers
        self.build = lambda: _network(x.shape[1:], activation, dropout=dropout == "yes")
        self.model = self.build()
        self.model.compile(OPTIMIZERS[optimizer][0](0.1), loss)

    def run(self, start: float, epochs: int, seed: int, way: str) -> dict[str, object]:
        """Trains once and returns what came out."""
        self._reset(start, seed)
        untrained = self.model.evaluate(self.x, self.y, batch_size=ROWS, verbose=0)
        auto = keras_lr.AutoLR(verbose=0) if way == "AutoLR" else None
        options = {"batch_size": BATCH_SIZE, "epochs": epochs, "verbose": 0, "callbacks": [auto] if auto else []}
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            if self.covers == "all":
                self.model.fit(self.x, self.y, **options)
            else:
                del options["batch_size"]
                data = tf.data.Dataset.from_tensor_slices((self.x, self.y)).shuffle(ROWS, seed=seed).repeat()
                self.model.fit(data.batch(BATCH_SIZE), steps_per_epoch=self.steps, **options)
        loss = self.model.evaluate(self.x, self.y, batch_size=ROWS, verbose=0)
        why = [str(one.message) for one in caught if "AutoLR" in str(one.message)]
        return {"untrained": untrained, "loss": loss, "actions": _actions(auto), "why": " ".join(why)}

    def _reset(self, start: float, seed: int) -> None:
        keras.utils.set_random_seed(seed)
        for variable, value in zip(self.model.variables, self.build().variables, strict=True):
            variable.assign(value)
        optimizer = self.model.optimizer
        optimizer.build(self.model.trainable_variables)
        for variable in optimizer.variables:
            variable.assign(keras.ops.zeros_like(variable))
        optimizer.learning_rate = start


@cache
def _data(task: str) -> tuple[np.ndarray, np.ndarray, str, str]:
    return TASKS[task]()


def _network(shape: tuple[int, ...], activation: str, *, dropout: bool) -> keras.Model:
    layers = keras.layers
    hidden = [layers.Dense(32, "relu"), *([layers.Dropout(0.1)] if dropout else []), layers.Dense(16, "relu")]
    return keras.Sequential([keras.Input(shape), *hidden, layers.Dense(1, activation)])


def _actions(auto: keras_lr.AutoLR | None) -> str:
    log = None if auto is None else auto.log
    return (
        "" if log is None else " ".join(f"{one.kind}@{one.epoch}:{one.learning_rate_after:.2g}" for one in log.actions)
    )


def train(options: argparse.Namespace, known: set[tuple[object, ...]]) -> Iterator[dict[str, object]]:
    """Trains every run that is not known yet; one row per run."""
    names = product(options.tasks, options.steps, options.covers, options.dropout, options.optimizers)
    for task, steps, covers, dropout, optimizer in names:
        starts = OPTIMIZERS[optimizer][1]
        runs = [
            (task, steps, covers, dropout, epochs, optimizer, start, seed, way)
            for epochs, start, seed, way in product(options.epochs, starts, range(options.seeds), options.ways)
            if steps * epochs <= options.max_steps
        ]
        wanted = [run for run in runs if run not in known]
        if not wanted:
            continue
        keras.utils.clear_session()
        bench = Bench(task, steps, covers, dropout, optimizer)
        for run in wanted:
            *_, epochs, _, start, seed, way = run
            yield dict(zip(COLUMNS, run, strict=False)) | bench.run(start, epochs, seed, way)


def with_lost_shares(runs: pd.DataFrame) -> pd.DataFrame:
    """One row per pair of runs: the share of the gain that `AutoLR` lost, negative if it won."""
    loss = runs["loss"].where(np.isfinite(runs["loss"]), np.inf)
    runs = runs.assign(loss=np.minimum(loss, 10 * runs["untrained"]), why=runs["why"].fillna(""))
    keys = [*SETTING, "start", "seed"]
    plain, auto = (runs[runs["way"] == way].set_index(keys) for way in ("fit", "AutoLR"))
    pairs = auto.join(plain["loss"].rename("plain"), how="inner").reset_index()
    best = pairs.groupby(SETTING)[["loss", "plain"]].transform("min").min(axis=1)
    gain = np.maximum(pairs["untrained"] - best, 1e-12)
    return pairs.assign(best=best, lost=(pairs["loss"] - pairs["plain"]) / gain, regret=(pairs["loss"] - best) / gain)


def summary(pairs: pd.DataFrame) -> str:
    """Tables by steps per epoch, by epochs and by compiled rate, and the pairs in which `AutoLR` lost most."""
    lines = [
        "# Short trainings and small epochs under AutoLR",
        "",
        f"{len(pairs)} pairs of trainings. Lost: the final training loss with `AutoLR` minus that without, as a share "
        "of the gain. Regret: the same against the best run of the setting, capped at 1.",
    ]
    for title, keys in (
        ("Steps per epoch", ["steps", "covers", "dropout"]),
        ("Epochs", ["epochs"]),
        ("Compiled rate", ["optimizer", "start"]),
    ):
        lines += [
            "",
            f"| {title} | pairs | lost more than 5% | of these, unexplained | most lost | regret | regret without |",
        ]
        lines.append("|-|-|-|-|-|-|-|")
        for name, part in [*pairs.groupby(keys), ("all", pairs)]:
            label = ", ".join(map(str, name)) if isinstance(name, tuple) else str(name)
            worse = part[part["lost"] > MAX_LOST]
            without = np.minimum(part["regret"] - part["lost"], 1).mean()
            lines.append(
                f"| {label} | {len(part)} | {len(worse)} | {(worse['why'] == '').sum()} | {part['lost'].max():.2f} | "
                f"{np.minimum(part['regret'], 1).mean():.3f} | {without:.3f} |"
            )
    worst = pairs.sort_values("lost", ascending=False)
    worst = worst[worst["lost"] > MAX_LOST].head(20)
    lines += ["", "| lost most | lost | untrained | fit | AutoLR | actions |", "|-|-|-|-|-|-|"]
    for row in worst.itertuples():
        name = ", ".join(str(getattr(row, key)) for key in [*SETTING, "start", "seed"])
        lines.append(
            f"| {name} | {row.lost:.2f} | {row.untrained:.4g} | {row.plain:.4g} | {row.loss:.4g} | {row.actions} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Trains, prints and writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=Path, help="CSV file of known runs, to which new ones are appended")
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--steps", nargs="+", type=int, default=[1, 2, 4, 32])
    parser.add_argument("--covers", nargs="+", choices=["all", "part"], default=["all", "part"])
    parser.add_argument("--dropout", nargs="+", choices=["no", "yes"], default=["no", "yes"])
    parser.add_argument("--epochs", nargs="+", type=int, default=[5, 20, 60, 300])
    parser.add_argument("--optimizers", nargs="+", choices=list(OPTIMIZERS), default=list(OPTIMIZERS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--ways", nargs="+", choices=["fit", "AutoLR"], default=["fit", "AutoLR"])
    parser.add_argument("--max-steps", type=int, default=2000, help="leave out longer trainings")
    parser.add_argument("--no-write", action="store_true", help="only print the tables")
    options = parser.parse_args()
    rows: list[dict[str, object]] = []
    if options.runs and options.runs.exists():
        rows = pd.read_csv(options.runs).to_dict("records")
    known = {tuple(row[name] for name in COLUMNS[:9]) for row in rows}
    for row in train(options, known):
        rows.append(row)
        if options.runs:
            _append(options.runs, row)
    text = summary(with_lost_shares(pd.DataFrame(rows, columns=COLUMNS)))
    print(text)
    if not options.no_write:
        RESULT.write_text(text)


def _append(path: Path, row: dict[str, object]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if new:
            writer.writeheader()
        writer.writerow(row)


if __name__ == "__main__":
    main()
