"""What `find_lr` suggests for every optimizer of Keras, against a grid of real trainings.

`python benchmarks/optimizers.py` sweeps three small tasks with each optimizer class of the installed Keras, trains each
by `LogGridSearch` at every rate of a grid and at the suggestion, prints the table and writes
`benchmarks/results/optimizers.md`. The regret of a rate is the share of the gain that training at it loses: its final
training loss minus the lowest of the grid, divided by the untrained loss minus that lowest one. `--optimizers` and
`--tasks` select a part and write nothing. Needs scikit-learn (the `examples` extra).
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pandas as pd
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.preprocessing import StandardScaler

import keras_lr
from keras_lr._utils.formatting import format_rate

RESULT = Path(__file__).parent / "results" / "optimizers.md"
BATCH_SIZE = 32
GRID = np.round(10 ** np.arange(-6, 1.75, 0.5), 12)
GOOD_REGRET = 0.05

ABSTRACT = {"Optimizer", "MultiOptimizer"}
MADE = {
    "LossScaleOptimizer": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam()),
    "Muon": lambda: keras.optimizers.Muon(exclude_layers=["output"]),
    "SGD, momentum 0.9": lambda: keras.optimizers.SGD(momentum=0.9),
}
"""Optimizers that need an argument, and a setting that differs from the default in kind."""


def digits() -> tuple[np.ndarray, np.ndarray, list[int], str, Any, int]:
    x, y = load_digits(return_X_y=True)
    return x / 16, y, [64, 64, 10], "relu", keras.losses.SparseCategoricalCrossentropy(from_logits=True), 10


def breast_cancer() -> tuple[np.ndarray, np.ndarray, list[int], str, Any, int]:
    x, y = load_breast_cancer(return_X_y=True)
    scaled = StandardScaler().fit_transform(x)
    return scaled, y[:, np.newaxis], [1], "relu", keras.losses.BinaryCrossentropy(from_logits=True), 20


def diabetes() -> tuple[np.ndarray, np.ndarray, list[int], str, Any, int]:
    x, y = load_diabetes(return_X_y=True)
    target = (y - y.mean()) / y.std()
    return StandardScaler().fit_transform(x), target[:, np.newaxis], [32, 1], "tanh", "mse", 30


TASKS: dict[str, Callable[[], tuple[np.ndarray, np.ndarray, list[int], str, Any, int]]] = {
    "digits, MLP": digits,
    "breast cancer, logistic": breast_cancer,
    "diabetes, MLP": diabetes,
}


def optimizers() -> dict[str, Callable[[], keras.Optimizer]]:
    """How to make each optimizer, by its name in the table."""
    classes = {
        name: value
        for name, value in vars(keras.optimizers).items()
        if isinstance(value, type) and issubclass(value, keras.Optimizer) and name not in ABSTRACT
    }
    return dict(
        sorted({**classes, **{name: make for name, make in MADE.items() if name.split(",")[0] in classes}}.items())
    )


def measure(task: str, make: Callable[[], keras.Optimizer], seeds: Sequence[int]) -> pd.DataFrame:
    """One row per seed: the suggestion, its regret, and the range of good rates of the grid."""
    x, y, units, activation, loss, epochs = TASKS[task]()
    x, y = x.astype("float32"), y.astype("float32" if y.ndim == 2 else "int32")

    def build() -> keras.Model:
        hidden = [keras.layers.Dense(size, activation) for size in units[:-1]]
        layers = [keras.Input((x.shape[1],)), *hidden, keras.layers.Dense(units[-1], name="output")]
        model = keras.Sequential(layers)
        model.compile(make(), loss)
        return model

    rows = []
    for seed in seeds:
        keras.utils.set_random_seed(seed)
        model = build()
        untrained = float(model.evaluate(x, y, verbose=0, batch_size=512))
        suggestion = keras_lr.find_lr(model, x, y, batch_size=BATCH_SIZE, verbose=0).suggestion
        rate = suggestion.learning_rate
        rates = sorted({*GRID, *([] if rate is None else [float(f"{rate:.6g}")])})
        losses = final_losses(build, x, y, rates, epochs, seed)
        on_grid = losses.reindex(GRID)
        gain = untrained - on_grid.min()
        own = np.nan if rate is None else (losses[float(f"{rate:.6g}")] - on_grid.min()) / gain
        good = on_grid.index[(on_grid - on_grid.min()) / gain <= GOOD_REGRET]
        rows.append(
            {
                "confidence": suggestion.confidence,
                "rate": np.nan if rate is None else rate,
                "regret": own,
                "low": good.min(),
                "high": good.max(),
                "gain": gain / abs(untrained),
                "reason": suggestion.reason,
            }
        )
        keras.utils.clear_session()
    return pd.DataFrame(rows)


def final_losses(
    build: Callable[[], keras.Model], x: np.ndarray, y: np.ndarray, rates: Sequence[float], epochs: int, seed: int
) -> pd.Series:
    """The loss over all samples after training at each rate; infinite where it is not finite."""
    with tempfile.TemporaryDirectory() as folder:
        tuner = keras_lr.LogGridSearch(
            build, "val_loss", learning_rates=rates, repeats=1, seed=seed, extend=False, directory=folder
        )
        tuner.search(x, y, validation_data=(x, y), batch_size=BATCH_SIZE, epochs=epochs, verbose=0)
        frame = tuner.sensitivity().frame
    losses = frame.sort_values("epoch").groupby("learning_rate")["val_loss"].last()
    return losses.where(np.isfinite(losses), np.inf)


def line(name: str, task: str, rows: pd.DataFrame) -> str:
    """A row of the table."""
    rates = ", ".join("none" if np.isnan(rate) else format_rate(rate) for rate in rows["rate"])
    regrets = ", ".join("" if np.isnan(one) else f"{min(one, 9.99):.2f}" for one in rows["regret"])
    good = f"{format_rate(rows['low'].median())} to {format_rate(rows['high'].median())}"
    words = ", ".join(rows["confidence"])
    if not np.isfinite(rows["gain"]).all():
        return f"| {name} | {task} | none: every rate diverges | | {rates} | | {words} |"
    return f"| {name} | {task} | {rows['gain'].median():.0%} | {good} | {rates} | {regrets} | {words} |"


def summary(table: pd.DataFrame) -> str:
    """How the suggestions of each confidence turned out."""
    lines = ["| confidence | suggestions | median regret | at most 0.05 | above 0.5 |", "|-|-|-|-|-|"]
    for confidence, rows in table.groupby("confidence"):
        regret = rows["regret"]
        shares = (
            ["", "", ""]
            if confidence == "none"
            else [
                f"{regret.median():.3f}",
                f"{(regret <= GOOD_REGRET).mean():.0%}",
                f"{(regret > 0.5).mean():.0%}",
            ]
        )
        lines.append(f"| {confidence} | {len(rows)} | {' | '.join(shares)} |")
    return "\n".join(lines)


def main() -> None:
    """Measures, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--optimizers", nargs="*", metavar="NAME")
    parser.add_argument("--tasks", nargs="*", metavar="NAME")
    parser.add_argument("--seeds", type=int, default=3, help="seeds per task and optimizer")
    chosen = parser.parse_args()
    lines = [
        "| optimizer | task | largest gain | good rates | suggestions | their regrets | confidence |",
        "|-|-|-|-|-|-|-|",
    ]
    print("\n".join(lines), flush=True)
    parts, reasons = [], []
    for name, make in optimizers().items():
        for task in TASKS:
            if name not in (chosen.optimizers or [name]) or not any(one in task for one in chosen.tasks or [task]):
                continue
            rows = measure(task, make, range(chosen.seeds))
            parts.append(rows)
            lines.append(line(name, task, rows))
            doubtful = rows[rows["confidence"] != "clear"]
            reasons += [f"- {name}, {task}: {reason}" for reason in dict.fromkeys(doubtful["reason"])]
            print(lines[-1], flush=True)
    text = "\n".join(
        [
            "# Suggestions for every optimizer of Keras",
            "",
            f"Keras {keras.__version__}; seeds per row: {chosen.seeds}; trainings by `LogGridSearch` at "
            f"{len(GRID)} rates, from {format_rate(GRID[0])} to "
            f"{format_rate(GRID[-1])}. Good rates have a regret of at most {GOOD_REGRET}. "
            "The gain is that of the best rate, as a share of the untrained loss.",
            "",
            summary(pd.concat(parts, ignore_index=True)),
            "",
            *lines,
            "",
            "Why a suggestion is not clear:",
            "",
            *reasons,
            "",
        ]
    )
    print(f"\n{summary(pd.concat(parts, ignore_index=True))}\n\n" + "\n".join(reasons))
    if chosen.optimizers is None and chosen.tasks is None:
        RESULT.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
