"""Does the basin of a search with three repeats contain the true best learning rate, and is it narrow?

`python benchmarks/sensitivity.py` prints the tables and writes `benchmarks/results/sensitivity.md`, without TensorFlow.
`python benchmarks/sensitivity.py --train TASK` retrains the fifteen seeds of a task with Keras, which takes minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from _advice_score import DATA, GOOD_REGRET, Truth

from keras_lr.analysis._sensitivity import find_basin

RESULT = Path(__file__).parent / "results" / "sensitivity.md"
SEARCHES = 200
REPEATS = 3
MEASURES = "contains the best of the other 12 | contains the corpus's best | median decades | fraction of good points"
Places = tuple[int, int]
Rule = Callable[[np.ndarray, np.ndarray, float], Places]


def keras_lr(rates: np.ndarray, scores: np.ndarray, gain: float) -> Places:
    """The basin of the library."""
    basin = find_basin(rates, scores, gain=gain)
    assert basin is not None
    return basin.low, basin.high


def best_alone(_rates: np.ndarray, scores: np.ndarray, _gain: float) -> Places:
    """The best rate alone, as of a search that keeps only means."""
    return _around(scores, np.zeros(len(scores), dtype=bool))


def bootstrap_band(_rates: np.ndarray, scores: np.ndarray, _gain: float) -> Places:
    """Rates whose 95% percentile bootstrap band of the mean overlaps the best's."""
    picks = np.random.default_rng(0).integers(0, scores.shape[1], (500, scores.shape[1]))
    means = np.where(np.isfinite(scores), scores, 1e9)[:, picks].mean(axis=-1)
    lower, upper = np.quantile(means, [0.025, 0.975], axis=1)
    return _around(scores, lower <= upper[_best(scores)])


def ranges_overlap(_rates: np.ndarray, scores: np.ndarray, _gain: float) -> Places:
    """Rates whose best repeat beats the worst repeat of the best rate."""
    return _around(scores, scores.min(axis=1) <= scores[_best(scores)].max())


RULES: dict[str, Rule] = {
    "keras_lr": keras_lr,
    "min-max ranges overlap": ranges_overlap,
    "bootstrap 95% bands overlap": bootstrap_band,
    "the best alone": best_alone,
}


def _best(scores: np.ndarray) -> int:
    return int(np.argmin(np.median(scores, axis=1)))


def _around(scores: np.ndarray, within: np.ndarray) -> Places:
    best = _best(scores)
    outside = np.flatnonzero(~within)
    below, above = outside[outside < best], outside[outside > best]
    return (
        int(below[-1]) + 1 if len(below) else 0,
        int(above[0]) - 1 if len(above) else len(within) - 1,
    )


def seeds(task: str) -> tuple[np.ndarray, np.ndarray]:
    """Rates, and the best validation loss per seed, shape `(n_rates, n_seeds)`, infinite if the run diverged."""
    table = pd.read_csv(DATA / f"{task}.seeds.csv.gz").pivot(index="lr", columns="seed", values="val_loss")
    return table.index.to_numpy(), table.fillna(np.inf).to_numpy()


def corpus_scores(task: str) -> tuple[np.ndarray, np.ndarray]:
    """The same for the corpus's own three seeds over its whole grid."""
    grid = pd.read_csv(DATA / f"{task}.grid.csv.gz")
    runs = grid["val_loss"].where(np.isfinite(grid["val_loss"])).groupby([grid["lr"], grid["seed"]])
    table = runs.agg(lambda losses: losses.min(skipna=False)).unstack()
    return table.index.to_numpy(), table.fillna(np.inf).to_numpy()


def place_of(rate: float, rates: np.ndarray) -> int:
    """Index of the nearest rate."""
    return int(np.argmin(np.abs(np.log10(rates / rate))))


def searches(task: str) -> pd.DataFrame:
    """One row per search and rule: three seeds give the basin, the other twelve the truth."""
    rates, scores = seeds(task)
    truth = Truth.load(task)
    gain = truth.untrained - scores.min()
    corpus_best = place_of(10 ** truth.decades[truth.scores.argmin()], rates)
    generator, rows = np.random.default_rng(0), []
    for _ in range(SEARCHES):
        order = generator.permutation(scores.shape[1])
        held_out = np.median(scores[:, order[REPEATS:]], axis=1)
        regret = (held_out - held_out.min()) / (truth.untrained - held_out.min())
        for name, rule in RULES.items():
            low, high = rule(rates, scores[:, order[:REPEATS]], gain)
            rows.append(
                {
                    "task": task,
                    "rule": name,
                    "covers": low <= int(np.argmin(held_out)) <= high,
                    "covers_corpus": low <= corpus_best <= high,
                    "width": np.log10(rates[high] / rates[low]),
                    "good": float((regret[low : high + 1] <= GOOD_REGRET).mean()),
                }
            )
    return pd.DataFrame(rows)


def corpus_table(tasks: list[str]) -> tuple[str, int]:
    """The basin of the corpus's three seeds, the best of fifteen fresh ones, and how many basins contain it."""
    lines = ["| task | basin of the corpus's 3 seeds | best of 15 other seeds | contained | decades |", "|-|-|-|-|-|"]
    held = 0
    for task in tasks:
        rates, scores = corpus_scores(task)
        low, high = keras_lr(rates, scores, Truth.load(task).untrained - scores.min())
        fresh_rates, fresh = seeds(task)
        best = fresh_rates[np.argmin(np.median(fresh, axis=1))]
        inside = low <= place_of(best, rates) <= high
        held += inside
        width = np.log10(rates[high] / rates[low])
        lines.append(
            f"| {task} | {rates[low]:.2g} to {rates[high]:.2g} | {best:.2g} | {'yes' if inside else 'no'} "
            f"| {width:.2f} |"
        )
    return "\n".join(lines) + "\n", held


def task_table(table: pd.DataFrame) -> str:
    """One row per task."""
    lines = [f"| task | {MEASURES} |", "|-|-|-|-|-|"]
    for task, part in table.groupby("task"):
        lines.append(f"| {task} | {_cells(part)} |")
    return "\n".join(lines) + "\n"


def rule_table(table: pd.DataFrame) -> str:
    """One row per rule, over all tasks."""
    lines = [f"| rule | {MEASURES} |", "|-|-|-|-|-|"]
    lines += [f"| {rule} | {_cells(table[table['rule'] == rule])} |" for rule in RULES]
    return "\n".join(lines) + "\n"


def _cells(part: pd.DataFrame) -> str:
    numbers = part["covers"].mean(), part["covers_corpus"].mean(), part["width"].median(), part["good"].mean()
    return " | ".join(f"{number:.2f}" if place == 2 else f"{number:.3f}" for place, number in enumerate(numbers))


def report(tasks: list[str]) -> str:
    """The whole result in Markdown."""
    table = pd.concat([searches(task) for task in tasks])
    corpus, held = corpus_table(tasks)
    return (
        "# Does the basin contain the true best learning rate?\n\n"
        f"{len(tasks)} tasks of the corpus, three rates per decade, {REPEATS} repeats per search. Fifteen fresh seeds "
        f"were trained at the eleven rates around each task's best. {SEARCHES} times per task, {REPEATS} of them "
        "formed a search and the other 12 the truth (the median over seeds of the best validation loss). A point is "
        f"good if it loses at most {GOOD_REGRET:.0%} of the possible gain according to the truth. The corpus's own "
        "best comes from 3 seeds and another split of the data, so it is a noisier truth.\n\n"
        f"## By rule\n\n{rule_table(table)}\n## By task, keras_lr\n\n{task_table(table[table['rule'] == 'keras_lr'])}\n"
        f"## The corpus's own search\n\nThe basin contains the best rate of fifteen other seeds in {held} of "
        f"{len(tasks)} tasks.\n\n{corpus}"
    )


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", metavar="TASK", action="append", help="retrain the seeds of TASK and exit")
    options = parser.parse_args()
    if options.train:
        from _sensitivity_train import make

        for name in options.train:
            make(name, DATA)
        return
    text = report(sorted(path.name.split(".")[0] for path in DATA.glob("*.seeds.csv.gz")))
    print(text)
    RESULT.write_text(text)


if __name__ == "__main__":
    main()
