"""The result of training with `AutoLR` from four initial rates, and that of what people use instead of it.

A constant rate, `ReduceLROnPlateau` and `ScheduleFreeAdamW` start from the same rates. AdamW and Nadam at 1e-3 and 3e-3
with a warmup of 5% and a cosine to 0, Keras's `ScheduleFreeAdamW` at its default, Prodigy and Mechanic have a rate of
their own, and their optimizer replaces that of the task.

`AutoLR` sets nearly the same rate whatever it starts from, so the initial rates take turns with the seeds: four runs
of a task are not one run four times. A constant rate was trained for the advice benchmark: its runs are read from
there, and only those that are not there are trained. `--train-corpus` trains the grids of the first ten tasks, whose
runs of the advice benchmark have other splits of the data.

`python benchmarks/autolr.py` trains everything with `fit`, prints the tables and writes `benchmarks/results/autolr.md`.
The runs of the tables are in `benchmarks/data/autolr.csv`. Each new run is appended there, or to the file that `--runs`
names, and runs that it already holds are skipped; `--known` trains none. `--tasks`, `--ways`, `--starts` and `--seeds`
select a part; any task of the advice benchmark can be named. Needs scikit-learn (the `examples` extra).
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import cycle, product
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from _advice_hard import HARD_TASKS
from _advice_sampled import draw
from _advice_score import DATA, GOOD_REGRET, HARD, SAMPLED, TUNE, Truth, path_of
from _advice_table import lost_cells
from _advice_tasks import CORPUS, TASKS, Task
from _advice_train import make_grid
from _advice_tune import TUNE_TASKS
from _autolr_rivals import Mechanic, Prodigy

import keras_lr
from keras_lr.range_test._sweep import Curve, Sweep

RESULT = Path(__file__).parent / "results" / "autolr.md"
RUNS = DATA / "autolr.csv"
STARTS = (1e-6, 1e-4, 1e-2, 1.0)
COLUMNS = ["task", "way", "start", "seed", "best_val_loss", "actions", "val_losses", "searched"]
NEAR_BEST, ALLOWED = 1.01, 1.3
"""A run is there once its validation loss is within 1% of the grid's best run; it may take 1.3 times as long, the steps
of its search included (the measure of AutoLRS, Jin et al., ICLR 2021)."""

OTHERS = (
    "digits-transformer-adam",
    "digits-logistic-adagrad",
    "wine-mlp-sgdm",
    "friedman-huber-adam-b256",
    "noise-nll-adam",
    "synthcls-mlp-sgdm-b16",
    "spirals-tanh-adam",
    "synthcls-bn-sgd-b128",
    "hard-deep8-adam",
    "hard-epochs80-adamw",
    "tune-deep-all-adamw",
    "tune-pixels-all-adam",
    "tune-zero-all-adamw",
    "tune-mlp-all-adam",
    "tune-mlp-all-sgdm",
    "tune-encoder-all-adam",
)
UNSEEN = (
    "sampled-000-adam",
    "sampled-004-adamw",
    "sampled-008-adamw",
    "sampled-013-rmsprop",
    "sampled-017-adagrad",
    "sampled-021-sgd",
    "sampled-025-adam",
    "sampled-031-sgd",
    "sampled-035-sgdm",
    "sampled-039-adamax",
    "sampled-043-adamw",
    "sampled-047-adam",
)
"""Every fourth of the tasks drawn at random, up to twelve. None was trained with `AutoLR` while it was built."""

CONSTANT = "a constant rate"
RESTATED = DATA / "restated"
"""Grids of the corpus, whose runs of the advice benchmark came with the project and were trained on other splits of the
data; written by `--train-corpus`."""


def _plateau() -> keras.callbacks.Callback:
    return keras.callbacks.ReduceLROnPlateau(factor=0.3, patience=2)


def _cosine(peak: float, steps: int, warmup: float = 0.05) -> keras.optimizers.schedules.CosineDecay:
    rise = round(warmup * steps)
    return keras.optimizers.schedules.CosineDecay(
        0.0 if rise else peak, steps - rise, warmup_target=peak if rise else None, warmup_steps=rise
    )


@dataclass(frozen=True)
class Way:
    """A way to train.

    Attributes:
        callback: Makes the callback.
        optimizer: Makes the optimizer for a number of steps; None for that of the task.
        own_rate: Whether the rate is the optimizer's own, not one of the initial rates.
        tried: Whether this was only tried, so that its runs can only be shown.
    """

    callback: Callable[[], keras.callbacks.Callback | None] = lambda: None
    optimizer: Callable[[int], keras.optimizers.Optimizer] | None = None
    own_rate: bool = False
    tried: bool = False


WAYS = {
    "AutoLR": Way(keras_lr.AutoLR),
    "AutoLR, race from short runs": Way(tried=True),
    'AutoLR(start="range_test")': Way(lambda: keras_lr.AutoLR(start="range_test")),
    CONSTANT: Way(),
    "ReduceLROnPlateau(factor=0.3, patience=2)": Way(_plateau),
    "ScheduleFreeAdamW": Way(optimizer=lambda steps: keras.optimizers.ScheduleFreeAdamW()),
    "AdamW 1e-3, warmup, cosine": Way(
        optimizer=lambda steps: keras.optimizers.AdamW(_cosine(1e-3, steps)), own_rate=True
    ),
    "AdamW 3e-3, warmup, cosine": Way(
        optimizer=lambda steps: keras.optimizers.AdamW(_cosine(3e-3, steps)), own_rate=True
    ),
    "Nadam 1e-3, warmup, cosine": Way(
        optimizer=lambda steps: keras.optimizers.Nadam(_cosine(1e-3, steps)), own_rate=True
    ),
    "Nadam 3e-3, warmup, cosine": Way(
        optimizer=lambda steps: keras.optimizers.Nadam(_cosine(3e-3, steps)), own_rate=True
    ),
    "ScheduleFreeAdamW at its default": Way(
        optimizer=lambda steps: keras.optimizers.ScheduleFreeAdamW(warmup_steps=round(0.05 * steps)), own_rate=True
    ),
    "Prodigy, cosine": Way(optimizer=lambda steps: Prodigy(_cosine(1.0, steps, warmup=0.0)), own_rate=True),
    "Mechanic on AdamW, warmup, cosine": Way(optimizer=lambda steps: Mechanic(_cosine(1.0, steps)), own_rate=True),
}
ORIGINAL_RUN = Sweep.run
INTRODUCTION = """# The result of training, by initial rate

Regret is the share of the possible gain in validation loss that a run loses against the best constant rate of a grid,
whose loss is a median over seeds: even a run at that rate has some. `AutoLR` chooses its rate by the validation loss in
these trainings, as the grid does. The runs at a constant rate are those of the grid. Ways without a row were not
trained; a way with a rate of its own has between one and three seeds per task. All others are trained by `fit`, which
shuffles again in each epoch as the grid's loop does, and unlike it trains on the last, smaller batch of an epoch too.

"AutoLR, race from short runs" was tried on a few tasks and not kept: for an adaptive optimizer the race started from
the suggestion that 300 further steps had refined, and a model that was trained before was first compared after two
epochs, as in `RaceSearch`. On the three tasks that it was finished on, it lost .017 where `AutoLR` loses .008, which is
within noise, and searched for a fifth more steps. It was not tried on a model that was trained before.

`AutoLR` was built with the results of 26 tasks in view. The twelve of the last part, every fourth of those drawn at
random, were trained once, after that.

"""
OWN_RATE = 0.0
"""The initial rate of a way that has its own, in the table of runs."""


def task_named(name: str) -> Task:
    """A task of the advice benchmark."""
    kind, *rest = name.split("-")
    known = TASKS | HARD_TASKS | TUNE_TASKS
    if name not in known and kind == SAMPLED.name and rest[0].isdigit():
        known = dict([draw(int(rest[0]))])
    if name not in known:
        raise SystemExit(f"Unknown task {name!r}. `python benchmarks/advice.py --list` lists them.")
    return known[name]


class Bench:
    """One compiled model of a task, reset to the initial state of a seed before each run."""

    def __init__(self, task: Task, way: str) -> None:
        self.task, self.way = task, WAYS[way]
        self._starts: dict[int, list[np.ndarray]] = {}
        self.x, self.y, self.x_val, self.y_val = task.data()
        self.model = task.model()
        steps = -(-len(self.x) // task.batch_size)
        make = self.way.optimizer
        optimizer = task.optimizer() if make is None else make(steps * task.epochs)
        self.model.compile(optimizer, task.loss, steps_per_execution=steps)
        self.model(self.x[:2])

    def run(self, start: float, seed: int) -> tuple[float, str, str, float]:
        """The values of the last four columns.

        These are the lowest finite validation loss, infinite if there is none, AutoLR's actions, the validation loss of
        each epoch, and the length of AutoLR's range test and rehearsals, in epochs.
        """
        self._reset(start, seed)
        callback = self.way.callback()
        searched = _counted_steps()
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
        best = float(np.min(losses[np.isfinite(losses)], initial=np.inf))
        epochs = sum(searched) / -(-len(self.x) // self.task.batch_size)
        return best, _actions(callback), _series(losses), epochs

    def _reset(self, start: float, seed: int) -> None:
        if seed not in self._starts:
            keras.utils.set_random_seed(seed)
            fresh = self.task.model()
            fresh(self.x[:2])
            self._starts[seed] = [variable.numpy() for variable in fresh.variables]
        keras.utils.set_random_seed(seed)
        # With a seed, Keras shuffles arrays alike in every epoch, which the runs of the grids do not.
        tf.random.set_seed(None)
        for variable, value in zip(self.model.variables, self._starts[seed], strict=True):
            variable.assign(value)
        # The slots come from a new optimizer built on the new weights, which Schedule-Free copies into its slots.
        optimizer = self.model.optimizer
        blank = type(optimizer).from_config(optimizer.get_config())
        blank.build(self.model.trainable_variables)
        optimizer.build(self.model.trainable_variables)
        for variable, value in zip(optimizer.variables, blank.variables, strict=True):
            variable.assign(value)
        if not self.way.own_rate:
            optimizer.learning_rate = start


def _counted_steps() -> list[int]:
    """A list that receives the number of steps of each sweep and rehearsal from now on."""
    counts: list[int] = []

    def run(self: Sweep, learning_rates: np.ndarray, **kwargs: object) -> Curve:
        curve = ORIGINAL_RUN(self, learning_rates, **kwargs)
        counts.append(len(curve.losses))
        return curve

    Sweep.run = run
    return counts


def _actions(callback: keras.callbacks.Callback | None) -> str:
    if not isinstance(callback, keras_lr.AutoLR) or callback.log is None:
        return ""
    return " ".join(f"{action.kind}@{action.epoch}:{action.learning_rate_after:.2g}" for action in callback.log.actions)


def train(options: argparse.Namespace, known: set[tuple[str, str, float, int]]) -> Iterator[dict]:
    """Trains every run that is not known yet; one row per run."""
    for name, way in product(options.tasks, (way for way in options.ways if not WAYS[way].tried)):
        wanted = [key for key in planned(name, way, options.starts, options.seeds) if key not in known]
        if way == CONSTANT:
            stored = {key: row for key in wanted if (row := stored_run(*key)) is not None}
            yield from stored.values()
            wanted = [key for key in wanted if key not in stored]
        if not wanted:
            continue
        keras.utils.clear_session()
        bench = Bench(task_named(name), way)
        for _, _, start, seed in wanted:
            yield dict(zip(COLUMNS, (name, way, start, seed, *bench.run(start, seed)), strict=True))


def planned(name: str, way: str, starts: Sequence[float], seeds: int) -> list[tuple[str, str, float, int]]:
    """The runs of a way: each initial rate with one of the seeds, or each seed if the rate is the way's own.

    A task has no more seeds than the grid of constant rates that it is judged by.
    """
    most = min(seeds, task_named(name).seeds)
    if WAYS[way].own_rate:
        return [(name, way, OWN_RATE, seed) for seed in range(most)]
    return [(name, way, start, seed) for start, seed in zip(starts, cycle(range(most)))]


@cache
def _grid(name: str) -> pd.DataFrame:
    return pd.read_csv(path_of(name, "grid", _folder(name)))


def _folder(name: str) -> Path:
    return RESTATED if name in CORPUS else DATA


def _truth(name: str) -> Truth:
    return Truth.load(name, _folder(name))


def stored_run(name: str, way: str, start: float, seed: int) -> dict[str, object] | None:
    """A run at a constant rate that was trained for the advice benchmark; None if there is none."""
    grid = _grid(name)
    run = grid[np.isclose(np.log10(grid["lr"]), np.log10(start), atol=1e-3) & (grid["seed"] == seed)]
    if run.empty:
        return None
    losses = run.sort_values("epoch")["val_loss"].to_numpy()
    best = float(np.min(losses[np.isfinite(losses)], initial=np.inf))
    return dict(zip(COLUMNS, (name, way, start, seed, best, "", _series(losses), 0.0), strict=True))


def _series(losses: np.ndarray) -> str:
    return " ".join(f"{loss:.6g}" for loss in losses)


def with_regrets(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with regret and time lost; a run that was never finite counts as ten times the untrained loss."""
    truths = {task: _truth(task) for task in runs["task"].unique()}

    def judge(row: pd.Series) -> pd.Series:
        truth = truths[row["task"]]
        score = min(row["best_val_loss"], truth.untrained + 9 * abs(truth.untrained))
        return pd.Series({"regret": float(truth.regret_of(score)), "lost": truth.time_lost(score)})

    return runs.join(runs.apply(judge, axis=1))


def summary(title: str, runs: pd.DataFrame) -> str:
    """A table of the ways, and one of the mean regret of each task."""
    fixed = runs[runs["way"] == CONSTANT].groupby(["task", "start"])["regret"].median()
    good = fixed.index[fixed <= GOOD_REGRET]
    starts = sorted(set(runs["start"]) - {OWN_RATE})
    span = f", from {starts[0]:g} to {starts[-1]:g}" if starts else ""
    lines = [
        f"## {title}",
        "",
        f"Tasks: {runs['task'].nunique()}; initial rates: {len(starts)}{span}, which take turns with the seeds, "
        f"{runs['seed'].nunique()} at most. An initial rate is good if training at it has a regret of at most "
        f"{GOOD_REGRET}: {len(good)} of {len(fixed)}.",
        "",
        "| way | mean regret | fraction at 0.05 or less | worst task | time lost | median lost | lost at most 0.2 "
        "| mean regret from a good rate | tasks | runs |",
        "|-|-|-|-|-|-|-|-|-|-|",
    ]
    for way in WAYS:
        part = runs[runs["way"] == way]
        if len(part):
            well = part[part.set_index(["task", "start"]).index.isin(good)]["regret"].mean()
            share = (part["regret"] <= GOOD_REGRET).mean()
            worst = part.groupby("task")["regret"].mean().max()
            shown = _cell(well)
            lost = " | ".join(f"{cell:.3f}" for cell in lost_cells(part))
            lines.append(
                f"| {way} | {part['regret'].mean():.3f} | {share:.3f} | {worst:.3f} | {lost} | {shown} "
                f"| {part['task'].nunique()} | {len(part)} |"
            )
    table = runs.pivot_table(index="task", columns="way", values="regret", sort=False)
    ways = [way for way in WAYS if way in table]
    lines += ["", "| mean regret | " + " | ".join(ways) + " |", "|-|" + "-|" * len(ways)]
    lines += [f"| {task} | " + " | ".join(_cell(row[way]) for way in ways) + " |" for task, row in table.iterrows()]
    return "\n".join(lines) + "\n"


def _cell(regret: float) -> str:
    """The number, or a dash for a way that was not trained on the task."""
    return f"{regret:.3f}" if np.isfinite(regret) else "–"


def time_to_best(runs: pd.DataFrame) -> pd.DataFrame:
    """The runs with `ratio`: their epochs and those of the search until near the best, over the best run's own.

    The best run is that of the grid's best constant rate; its epochs are the median over its seeds, for their own best
    loss plus 1%. A run that never comes near the median of these losses has an infinite ratio. `alone` is the same
    without the search.
    """
    targets = {task: _best_run(task) for task in runs["task"].unique()}

    def ratios(row: pd.Series) -> pd.Series:
        loss, own = targets[row["task"]]
        reached = _first_within(np.array(str(row["val_losses"]).split(), dtype=float), loss)
        return pd.Series({"ratio": (reached + float(row["searched"])) / own, "alone": reached / own})

    return runs.join(runs.apply(ratios, axis=1))


def _best_run(task: str) -> tuple[float, float]:
    """The best loss at the grid's best rate, and how many epochs its runs take to come near it."""
    grid = _grid(task)
    truth = _truth(task)
    best = grid[np.isclose(np.log10(grid["lr"]), truth.decades[truth.scores.argmin()])]
    curves = [run["val_loss"].to_numpy() for _, run in best.groupby("seed")]
    return float(np.median([curve.min() for curve in curves])), float(
        np.median([_first_within(curve, curve.min()) for curve in curves])
    )


def _first_within(losses: np.ndarray, best: float) -> float:
    """Number of epochs until the loss is near `best`; infinite if it never is."""
    near = np.flatnonzero(losses <= best + (NEAR_BEST - 1) * abs(best))
    return float(near[0] + 1) if len(near) else np.inf


def speed(title: str, runs: pd.DataFrame) -> str:
    """A table of how long the ways take to come near the best run."""
    lines = [
        f"## {title}: epochs until within 1% of the grid's best run, the search included, over that run's own",
        "",
        f"| way | median | fraction at {ALLOWED} or less | median without the search | at {ALLOWED} or less without it "
        "| fraction that get there | the search alone, epochs | runs |",
        "|-|-|-|-|-|-|-|-|",
    ]
    timed = time_to_best(runs)
    for way in WAYS:
        part = timed[timed["way"] == way]
        if len(part):
            cells = " | ".join(
                f"{_shown(np.median(part[name]))} | {(part[name] <= ALLOWED).mean():.2f}" for name in ("ratio", "alone")
            )
            there = np.isfinite(part["ratio"]).mean()
            lines.append(f"| {way} | {cells} | {there:.2f} | {part['searched'].median():.1f} | {len(part)} |")
    return "\n".join(lines) + "\n"


def _shown(ratio: float) -> str:
    return f"{ratio:.2f}" if np.isfinite(ratio) else "never"


def main() -> None:
    """Trains, prints and writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--runs", type=Path, default=RUNS, help="CSV file of known runs, to which new ones are appended"
    )
    parser.add_argument("--known", action="store_true", help="train nothing, only print the runs of the CSV file")
    parser.add_argument("--tasks", nargs="+", default=[*CORPUS, *OTHERS, *UNSEEN], metavar="TASK")
    parser.add_argument("--ways", nargs="+", choices=list(WAYS), default=list(WAYS), metavar="WAY")
    parser.add_argument("--starts", nargs="+", type=float, default=list(STARTS), metavar="RATE")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--train-corpus", action="store_true", help="train the grids of the corpus and exit")
    parser.add_argument("--write", type=Path, default=RESULT, help="file for the tables")
    options = parser.parse_args()
    if options.train_corpus:
        for name, task in CORPUS.items():
            make_grid(name, task, RESTATED)
        return
    rows = pd.read_csv(options.runs).to_dict("records") if options.runs.exists() else []
    known = {(row["task"], row["way"], row["start"], row["seed"]) for row in rows}
    for row in () if options.known else train(options, known):
        rows.append(row)
        _append(options.runs, row)
    runs = with_regrets(pd.DataFrame(rows, columns=COLUMNS))
    pairs = list(product(options.tasks, options.ways))
    wanted = {key for name, way in pairs for key in planned(name, way, options.starts, options.seeds)}
    runs = runs[[key in wanted for key in zip(*(runs[column] for column in COLUMNS[:4]), strict=True)]]
    text = INTRODUCTION + "\n".join(
        f"{summary(title, part)}\n{speed(title, part)}" for title, part in _parts(runs) if len(part)
    )
    print(text)
    options.write.write_text(text)


def _parts(runs: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Parts of the runs, each with its title."""
    kind, corpus = runs["task"].str.split("-").str[0], runs["task"].isin(list(CORPUS))
    drawn = kind == SAMPLED.name
    added = drawn | kind.isin([HARD.name, TUNE.name])
    return [
        ("All tasks but those drawn at random", runs[~drawn]),
        ("The ten tasks of the corpus", runs[corpus]),
        ("Further tasks", runs[~corpus & ~added]),
        ("Deep, long and unscaled tasks", runs[kind == HARD.name]),
        ("Fine-tuning", runs[kind == TUNE.name]),
        ("Tasks drawn at random, not used to build it", runs[drawn]),
    ]


def _append(path: Path, row: dict) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        if new:
            writer.writeheader()
        writer.writerow(row)


if __name__ == "__main__":
    main()
