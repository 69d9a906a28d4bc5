"""How much `HistoryMonitor` slows a fit.

    python benchmarks/history_monitor.py [--repeats 15] [--epochs 20]

Fits with the callback and without it take turns in one process, in alternating order, so that both see the same load.
The figures are medians of the ratios per turn, of elapsed time and of processor time. A third fit, also without the
callback, shows the noise. Writes `benchmarks/results/history_monitor.md`.
"""

from __future__ import annotations

import argparse
import os
import time
import warnings
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np

import keras_lr

RESULTS = Path(__file__).parent / "results" / "history_monitor.md"
SIZES = {"2,000 samples, 63 steps per epoch": (2000, 32), "64,000 samples, 1,000 steps per epoch": (64_000, 64)}
WIDTH = 64
SIDES = ("monitor", "plain", "plain again")


def build() -> keras.Model:
    """Two hidden layers of 64 units with Adam. The smaller the model, the larger the share of a callback."""
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(WIDTH, activation="relu") for _ in range(2)]
    model = keras.Sequential([keras.Input((WIDTH,)), *hidden, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(1e-3), "mse")
    return model


def turns_of(samples: int, batch_size: int, epochs: int, repeats: int) -> np.ndarray:
    """Seconds of each fit, shape `(repeats, 3, 2)`: the three sides, elapsed and processor time."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(samples, WIDTH)).astype("float32")
    y = np.sin(x[:, :4].sum(axis=1, keepdims=True))
    models = {side: build() for side in SIDES}
    turns = np.empty((repeats, len(SIDES), 2))
    # Turn -1 warms up; its figures go to the last row, which the last turn overwrites.
    for turn in range(-1, repeats):
        for place in np.roll(range(len(SIDES)), turn):
            side = SIDES[place]
            callbacks = [keras_lr.HistoryMonitor()] if side == "monitor" else []
            began = np.array([time.perf_counter(), time.process_time()])
            models[side].fit(x, y, batch_size=batch_size, epochs=epochs, verbose=0, callbacks=callbacks)
            turns[turn, place] = np.array([time.perf_counter(), time.process_time()]) - began
    return turns


def row(name: str, turns: np.ndarray) -> str:
    """One row of the table: the median ratios with the callback and, for the noise, without it."""
    ratios = np.median(turns[:, [0, 2]] / turns[:, [1]], axis=0)
    seconds = np.median(turns[:, 1, 0])
    return f"| {name} | {seconds:.2f} s | {ratios[0, 0]:.3f} | {ratios[0, 1]:.3f} | {ratios[1, 0]:.3f} |"


def main() -> None:
    """Fits in turns, prints and writes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15, help="turns (default 15)")
    parser.add_argument("--epochs", type=int, default=20, help="epochs of the smaller fit (default 20)")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", UserWarning)
    rows = []
    for name, (samples, batch_size) in SIZES.items():
        epochs = arguments.epochs if samples < 10_000 else max(1, arguments.epochs // 10)
        turns = turns_of(samples, batch_size, epochs, arguments.repeats)
        rows.append(row(f"{name}, {epochs} epochs", turns))
    text = "\n".join(
        [
            "# A fit with `HistoryMonitor`, relative to a plain one\n",
            f"Medians of the ratios of {arguments.repeats} turns.\n",
            "| fit | plain | elapsed time with it | processor time with it | another plain fit (noise) |",
            "|-|-|-|-|-|",
            *rows,
            "",
        ]
    )
    print(text)
    RESULTS.write_text(text)


if __name__ == "__main__":
    main()
