"""What a schedule costs a training step, beside a constant rate.

    python benchmarks/schedules.py [--repeats 20] [--steps 400]

For each schedule one model with it and one with a constant rate train in turn within one process, the first of the two
alternating; the figure is the median of the turns' ratios. Ratios carry over to other machines, times do not. Writes
`benchmarks/results/schedules.md`.
"""

from __future__ import annotations

import argparse
import os
import statistics
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
    """Two hidden layers of 64 units under Adam: the smaller the model, the dearer a schedule."""
    keras.utils.set_random_seed(0)
    hidden = [keras.layers.Dense(64, activation="relu") for _ in range(2)]
    model = keras.Sequential([keras.Input((64,)), *hidden, keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(rate), loss, jit_compile=False)
    return model


def seconds_to_fit(model: keras.Model, data: tf.data.Dataset, steps: int) -> float:
    """Seconds that `steps` training steps of `fit` take."""
    began = time.perf_counter()
    model.fit(data, steps_per_epoch=steps, verbose=0)
    return time.perf_counter() - began


def ratios(model: keras.Model, constant: keras.Model, data: Any, steps: int, repeats: int) -> tuple[list[float], float]:
    """The ratio of each turn, and the median microseconds of a step at the constant rate."""
    for warm in (model, constant):
        seconds_to_fit(warm, data, 20)
    turns, plain = [], []
    for turn in range(repeats):
        order = (model, constant) if turn % 2 else (constant, model)
        seconds = {id(one): seconds_to_fit(one, data, steps) for one in order}
        turns.append(seconds[id(model)] / seconds[id(constant)])
        plain.append(seconds[id(constant)] / steps * 1e6)
    return turns, statistics.median(plain)


def row(name: str, turns: list[float], plain: float) -> str:
    """One line of the table, with the quartiles of the turns."""
    low, middle, high = np.quantile(turns, [0.25, 0.5, 0.75])
    return f"| {name} | {middle:.3f} | {low:.3f} to {high:.3f} | {plain:.0f} |"


def main() -> None:
    """Measures, prints and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=20, help="turns of each schedule (%(default)d)")
    parser.add_argument("--steps", type=int, default=400, help="training steps a turn (%(default)d)")
    arguments = parser.parse_args()
    x, y = load_digits(return_X_y=True)
    pairs = tf.data.Dataset.from_tensor_slices(((x / 16).astype("float32"), y.astype("int32")))
    data = pairs.cache().repeat().batch(BATCH_SIZE).prefetch(4)
    lines = [
        f"A training step with a schedule over one with a constant rate: MLP 2x64 under Adam, batch size {BATCH_SIZE}, "
        f"{arguments.steps} steps of `fit` a turn, median of {arguments.repeats} interleaved turns and quartiles; "
        f"TensorFlow {tf.__version__}, Keras {keras.__version__}, {os.cpu_count()} CPU cores.",
        "",
        "| schedule | ratio | quartiles | µs a step at the constant rate |",
        "|---|---:|---:|---:|",
    ]
    for name, make in SCHEDULES.items():
        keras.backend.clear_session()
        turns, plain = ratios(build(make()), build(RATE), data, arguments.steps, arguments.repeats)
        lines.append(row(name, turns, plain))
        print(lines[-1], flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
