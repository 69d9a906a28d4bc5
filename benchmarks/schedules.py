"""How much a schedule slows a training step, compared with a constant rate.

    python benchmarks/schedules.py [--repeats 400] [--steps 25]

For each schedule, a model with it and a model with a constant rate take short turns in one process, in alternating
order, so that both see the same load. The figures are medians of the ratios per turn, of elapsed time and of processor
time. `fit` adds the same time to both. Ratios carry over to other machines, times do not. Writes
`benchmarks/results/schedules.md`.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

from keras_lr import schedules

BATCH_SIZE = 32
RESULTS = Path(__file__).parent / "results" / "schedules.md"
LONG = 10**6
RATE = 1e-3

SCHEDULES: dict[str, Callable[[], Any]] = {
    "another constant (noise)": lambda: RATE,
    "`keras…CosineDecay`": lambda: keras.optimizers.schedules.CosineDecay(RATE, LONG),
    "`OneCycle`": lambda: schedules.OneCycle(RATE, LONG),
    "`OneCycle`, three phases": lambda: schedules.OneCycle(RATE, LONG, three_phase=True),
    "`Cyclical`, triangular2": lambda: schedules.Cyclical(RATE / 10, RATE, 1000, mode="triangular2"),
    "`Warmup`": lambda: schedules.Warmup(RATE, 1000),
    "`WarmupStableDecay`": lambda: schedules.WarmupStableDecay(RATE, 1000, warmup_steps=1000, stable_steps=1000),
    "`InverseSqrt`": lambda: schedules.InverseSqrt(RATE, 1000),
    "`Polynomial`": lambda: schedules.Polynomial(RATE, LONG, power=2.0, warmup_steps=1000),
    "`FlatCosine`": lambda: schedules.FlatCosine(RATE, LONG),
    "`CosineRestarts`": lambda: schedules.CosineRestarts(RATE, 1000, t_mul=2.0, m_mul=0.9),
    "`Sequential` of three": lambda: schedules.Sequential(
        [schedules.Warmup(RATE, 1000), RATE, schedules.FlatCosine(RATE, LONG)], [1000, 2000]
    ),
    "`Scaled` `OneCycle`": lambda: schedules.Scaled(schedules.OneCycle(RATE, LONG), 0.5),
}


def build(rate: Any) -> keras.Model:
    """Two hidden layers of 64 units with Adam. The smaller the model, the larger the share of a schedule."""
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(64, activation="relu") for _ in range(2)]
    model = keras.Sequential([keras.Input((64,)), *hidden, keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, jit_compile=False)
    return model


def turns_of(model: keras.Model, constant: keras.Model, data: tf.data.Dataset, steps: int, repeats: int) -> np.ndarray:
    """Seconds of each turn, shape `(repeats, 2, 2)`: with the schedule and without, elapsed and processor time."""
    sides = []
    for one in (model, constant):
        one.make_train_function()
        sides.append((one.train_function, iter(data)))
    turns = np.empty((repeats, 2, 2))
    # Turns -3 to -1 warm up; their figures go to the last rows, which the last turns overwrite.
    for turn in range(-3, repeats):
        for place in (0, 1) if turn % 2 else (1, 0):
            step, iterator = sides[place]
            began = np.array([time.perf_counter(), time.process_time()])
            for _ in range(steps):
                step(iterator)
            turns[turn, place] = np.array([time.perf_counter(), time.process_time()]) - began
    return turns


def row(name: str, turns: np.ndarray, steps: int) -> str:
    """One row of the table, with the quartiles of the turns."""
    ratios = turns[:, 0] / turns[:, 1]
    low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75], axis=0)
    spread = [f"{middle[clock]:.3f} | {low[clock]:.3f} to {high[clock]:.3f}" for clock in (0, 1)]
    return f"| {name} | {spread[0]} | {spread[1]} | {np.median(turns[:, 1, 0]) / steps * 1e6:.0f} |"


def main() -> None:
    """Measures, prints and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=400, help="turns of each schedule (%(default)d)")
    parser.add_argument("--steps", type=int, default=25, help="training steps per turn (%(default)d)")
    arguments = parser.parse_args()
    x, y = load_digits(return_X_y=True)
    pairs = tf.data.Dataset.from_tensor_slices(((x / 16).astype("float32"), y.astype("int32")))
    data = pairs.cache().repeat().batch(BATCH_SIZE).prefetch(4)
    lines = [
        "A training step with a schedule, relative to one with a constant rate: MLP 2x64 with Adam, batch size "
        f"{BATCH_SIZE}, {arguments.steps} calls of the model's `train_function` per turn, medians and quartiles of "
        f"{arguments.repeats} interleaved turns; TensorFlow {tf.__version__}, Keras {keras.__version__}, "
        f"{os.cpu_count()} CPU cores.",
        "",
        "| schedule | ratio | quartiles | ratio of processor time | quartiles | µs per step at the constant rate |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, make in SCHEDULES.items():
        keras.backend.clear_session()
        turns = turns_of(build(make()), build(RATE), data, arguments.steps, arguments.repeats)
        lines.append(row(name, turns, arguments.steps))
        print(lines[-1], flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
