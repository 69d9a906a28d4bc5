"""Speed and memory of a search over learning rates, compared with `keras_tuner.GridSearch`.

    python benchmarks/search.py [--rounds 3]

Each figure is the median over fresh processes, which run in turn, one at a time. Times are those of the search alone,
including all building and tracing. Ratios carry over to other machines, times do not. Writes
`benchmarks/results/search.md`. `benchmarks/real_models.py` compares searches on the models that people train.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import keras_tuner
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

import keras_lr

RATES = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
RESULTS = Path(__file__).parent / "results"


def mlp(hp: Any) -> keras.Model:
    """Two hidden layers of 64 units, for the 8x8 digits."""
    hidden = [keras.layers.Dense(64, activation="relu") for _ in range(2)]
    return compiled(keras.Sequential([keras.Input((64,)), *hidden, keras.layers.Dense(10)]), hp)


def cnn(hp: Any) -> keras.Model:
    """Two convolutions, for images of 28x28."""
    layers = keras.layers
    stack = [
        keras.Input((28, 28, 1)),
        layers.Conv2D(16, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(10),
    ]
    return compiled(keras.Sequential(stack), hp)


def compiled(model: keras.Model, hp: Any) -> keras.Model:
    """The model with Adam at the searched rate."""
    rate = hp.Choice("learning_rate", RATES)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"])
    return model


def digits() -> dict[str, Any]:
    """Arguments of `search` for the MLP: 1437 training and 360 validation images, 10 epochs."""
    x, y = load_digits(return_X_y=True)
    x, y = (x / 16).astype("float32"), y.astype("int32")
    return {"x": x[:1437], "y": y[:1437], "validation_data": (x[1437:], y[1437:]), "epochs": 10, "batch_size": 32}


def images() -> dict[str, Any]:
    """Arguments of `search` for the CNN: 2048 training and 512 validation images, digits enlarged, 3 epochs."""
    x, y = load_digits(return_X_y=True)
    x = np.kron(x.reshape(-1, 8, 8) / 16, np.ones((3, 3)))
    x = np.pad(x, ((0, 0), (2, 2), (2, 2)))[..., None].astype("float32")
    chosen = np.random.default_rng(0).integers(0, len(x), 2048 + 512)
    x, y = x[chosen], y[chosen].astype("int32")
    return {"x": x[:2048], "y": y[:2048], "validation_data": (x[2048:], y[2048:]), "epochs": 3, "batch_size": 32}


def grid_search(build: Callable[[Any], keras.Model], data: dict[str, Any], repeats: int) -> None:
    """KerasTuner's grid."""
    with tempfile.TemporaryDirectory() as directory:
        tuner = keras_tuner.GridSearch(build, "val_loss", executions_per_trial=repeats, directory=directory)
        tuner.search(**data, verbose=0)


def our_search(
    build: Callable[[Any], keras.Model],
    data: dict[str, Any],
    repeats: int,
    engine: Any = "auto",
    rates: list[float] = RATES,
) -> None:
    """The same grid, data, epochs and repeats."""
    with tempfile.TemporaryDirectory() as directory:
        tuner = keras_lr.LogGridSearch(
            build, learning_rates=rates, repeats=repeats, engine=engine, extend=False, directory=directory
        )
        tuner.search(**data, verbose=0)
        expected = {"auto": {"stacked", "function"}}.get(engine, {engine})
        if tuner.sensitivity().engine not in expected:
            raise SystemExit(f"expected {expected}: {tuner.sensitivity().engine_reason}")


def growth(engine: str, *, pipeline: bool = False) -> float:
    """Megabytes by which 50 trials grow the process after a first search."""
    data = {**digits(), "epochs": 2}
    if pipeline:
        train = tf.data.Dataset.from_tensor_slices((data.pop("x"), data.pop("y"))).shuffle(1024)
        validation = tf.data.Dataset.from_tensor_slices(data["validation_data"])
        size = data.pop("batch_size")
        data.update(x=train.batch(size).prefetch(2), validation_data=validation.batch(size))
    rates = [float(f"{rate:.6g}") for rate in np.geomspace(1e-5, 1e-1, 50)]
    our_search(mlp, data, 1, engine, rates[:2])
    held: list[float] = []

    class Watched(keras_lr.LogGridSearch):
        """Reads the memory of the process after each trial."""

        def on_trial_end(self, trial: Any) -> None:
            super().on_trial_end(trial)
            held.append(resident_megabytes())

    with tempfile.TemporaryDirectory() as directory:
        tuner = Watched(mlp, learning_rates=rates, repeats=1, engine=engine, extend=False, directory=directory)
        tuner.search(**data, verbose=0)
    return held[-1] - held[0]


def resident_megabytes() -> float:
    """Memory that the process holds."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


WAYS: dict[str, Callable[[], float | None]] = {
    "MLP: keras_tuner.GridSearch": lambda: grid_search(mlp, digits(), 3),
    "MLP: LogGridSearch, stacked": lambda: our_search(mlp, digits(), 3),
    "MLP: LogGridSearch, function": lambda: our_search(mlp, digits(), 3, "function"),
    "MLP: LogGridSearch, reuse": lambda: our_search(mlp, digits(), 3, "reuse"),
    "MLP: LogGridSearch, stacked, 1 repeat": lambda: our_search(mlp, digits(), 1),
    "MLP: LogGridSearch, stacked, 4 repeats": lambda: our_search(mlp, digits(), 4),
    "CNN: keras_tuner.GridSearch": lambda: grid_search(cnn, images(), 1),
    "CNN: LogGridSearch, function": lambda: our_search(cnn, images(), 1),
    "memory: stacked": lambda: growth("stacked"),
    "memory: function": lambda: growth("function"),
    "memory: reuse": lambda: growth("reuse"),
    "memory: function, tf.data": lambda: growth("function", pipeline=True),
}


def child(name: str) -> None:
    """Runs one way in this process and prints its figure."""
    began = time.perf_counter()
    megabytes = WAYS[name]()
    print(json.dumps(time.perf_counter() - began if megabytes is None else megabytes))


def measured(rounds: int, names: list[str]) -> dict[str, float]:
    """The median figure of each way over fresh processes, run in turn."""
    found: dict[str, list[float]] = {name: [] for name in names}
    for _ in range(rounds):
        for name in names:
            command = [sys.executable, __file__, "--way", name]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            found[name].append(json.loads(done.stdout.splitlines()[-1]))
            print(f"{name}: {found[name][-1]:.2f}", flush=True)
    return {name: statistics.median(values) for name, values in found.items()}


def heading(rounds: int) -> str:
    """What was measured, where."""
    return (
        f"Medians of {rounds} fresh processes run in turn; TensorFlow {tf.__version__}, Keras {keras.__version__}, "
        f"keras-tuner {keras_tuner.__version__}, {os.cpu_count()} CPU cores."
    )


def report(figures: dict[str, float], rounds: int) -> str:
    """The tables as Markdown."""
    lines = [
        heading(rounds),
        "",
        "| search | seconds | times faster than `keras_tuner.GridSearch` |",
        "|---|---:|---:|",
    ]
    for name, seconds in figures.items():
        if not name.startswith("memory") and "repeat" not in name:
            base = figures[f"{name[:3]}: keras_tuner.GridSearch"]
            lines.append(f"| {name} | {seconds:.2f} | {base / seconds:.1f} |")
    one, four = (figures[f"MLP: LogGridSearch, stacked, {repeats}"] for repeats in ("1 repeat", "4 repeats"))
    lines += [
        "",
        f"In a stacked search, three further repeats take {(four - one) / 3 / one:.2f} of the time of the first, each.",
        "",
        "| 50 trials | growth of memory, MB |",
        "|---|---:|",
        *(f"| {name.split(': ')[1]} | {value:.1f} |" for name, value in figures.items() if name.startswith("memory")),
    ]
    return "\n".join(lines)


def main() -> None:
    """Measures, prints and writes the tables; or runs one way."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="processes per figure (%(default)d)")
    parser.add_argument("--way", choices=WAYS, help="run only one way, and print its figure")
    arguments = parser.parse_args()
    if arguments.way:
        child(arguments.way)
        return
    text = report(measured(arguments.rounds, list(WAYS)), arguments.rounds)
    print(text)
    (RESULTS / "search.md").write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
