"""Speed of the range test, compared with the limit, with other finders and with plain training.

    python benchmarks/range_test.py [--repeats 7] [--steps 300]

All ways run in turn in one process, and each figure is the median over the turns. A first call, which includes tracing,
is the median over three new models. Ratios carry over to other machines, times do not. The ratio of processor time
shows whether a busy machine distorted the ratio of elapsed time. Writes `benchmarks/results/range_test.md`.
"""

from __future__ import annotations

import argparse
import functools
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

import keras_lr
from keras_lr._keras.snapshot import StateSnapshot

BATCH_SIZE = 32
FIRST_CALLS = 3
RATES = {"min_lr": 1e-6, "max_lr": 1e-2}
RESULTS = Path(__file__).parent / "results" / "range_test.md"


class PerBatchFinder(keras.callbacks.Callback):
    """Does what other Keras finders do: sets the rate before each batch and reads the logged loss after it."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.rates = np.geomspace(RATES["min_lr"], RATES["max_lr"], steps)
        self.losses: list[float] = []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self.model.optimizer.learning_rate = self.rates[min(len(self.losses), len(self.rates) - 1)]

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self.losses.append(float(logs["loss"]))


def mlp() -> keras.Model:
    """Two hidden layers of 64 units."""
    hidden = [keras.layers.Dense(64, activation="relu") for _ in range(2)]
    return compiled(keras.Sequential([keras.Input((64,)), *hidden, keras.layers.Dense(10)]))


def cnn() -> keras.Model:
    """Two convolutions on the 8x8 images, enlarged to 24x24."""
    layers = keras.layers
    stack = [
        keras.Input((64,)),
        layers.Reshape((8, 8, 1)),
        layers.UpSampling2D(3),
        layers.Conv2D(16, 3, activation="relu"),
        layers.Conv2D(32, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(10),
    ]
    return compiled(keras.Sequential(stack))


def compiled(model: keras.Model) -> keras.Model:
    """The model with Adam and cross-entropy, without XLA, as in plain `fit` on a CPU."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-6), loss, jit_compile=False)
    return model


def repeated_set(x: np.ndarray, y: np.ndarray) -> tf.data.Dataset:
    """An endless shuffled pipeline."""
    return tf.data.Dataset.from_tensor_slices((x, y)).shuffle(1024).repeat().batch(BATCH_SIZE).prefetch(4)


def bare_loop(model: keras.Model, data: tf.data.Dataset, steps: int) -> Callable[[], None]:
    """The limit: the model's own training step in one compiled loop that sets, records and restores nothing."""

    @tf.function(autograph=False)
    def loop(iterator: Any) -> None:
        def body(index: Any) -> tuple[Any]:
            model.train_step(iterator.get_next())
            return (index + 1,)

        tf.while_loop(lambda index: index < steps, body, [tf.constant(0)], parallel_iterations=1)

    return lambda: loop(iter(data))


@dataclass(frozen=True)
class Way:
    """A way to run training steps, and the number of steps per call."""

    call: Callable[[], Any]
    steps: int


def ways(build: Callable[[], keras.Model], x: Any, y: Any, steps: int, *, arrays: bool) -> dict[str, Way]:
    """The ways to run `steps` training steps, by name, each with a new model; on arrays `fit` runs whole epochs."""
    data = repeated_set(x, y)
    feed: dict[str, Any] = {"x": x, "y": y, "batch_size": BATCH_SIZE} if arrays else {"x": data}
    epoch = -(-len(x) // BATCH_SIZE)
    span = {"epochs": -(-steps // epoch)} if arrays else {"steps_per_epoch": steps}
    fitted = span["epochs"] * epoch if arrays else steps
    models = [build() for _ in range(5)]

    def fit(model: keras.Model, *callbacks: Any) -> Any:
        return model.fit(**feed, **span, verbose=0, callbacks=list(callbacks))

    return {
        "plain `fit`": Way(lambda: fit(models[4]), fitted),
        "bare in-graph loop": Way(bare_loop(models[0], data, steps), steps),
        "`LRRangeTest` in `fit`": Way(lambda: fit(models[1], finder(steps)), steps),
        "`find_lr`": Way(lambda: keras_lr.find_lr(models[2], **feed, **options(steps)), steps),
        "per-batch callback": Way(lambda: fit(models[3], PerBatchFinder(steps)), fitted),
    }


def finder(steps: int) -> keras_lr.LRRangeTest:
    """The range test as a callback."""
    return keras_lr.LRRangeTest(**options(steps))


def options(steps: int) -> dict[str, Any]:
    """Arguments with which no sweep ends early."""
    return {**RATES, "num_steps": steps, "stop_on_divergence": False, "verbose": False}


def timed(way: Way) -> np.ndarray:
    """Elapsed and processor seconds per step."""
    began = np.array([time.perf_counter(), time.process_time()])
    way.call()
    return (np.array([time.perf_counter(), time.process_time()]) - began) / way.steps


def measure(make: Callable[[], dict[str, Way]], repeats: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Median seconds per step of each way's first call, and of `repeats` later ones taken in turn."""
    first: dict[str, list[np.ndarray]] = {}
    later: dict[str, list[np.ndarray]] = {}
    for _ in range(FIRST_CALLS):
        calls = make()
        for name, way in calls.items():
            first.setdefault(name, []).append(timed(way))
    for _ in range(repeats):
        for name, way in calls.items():
            later.setdefault(name, []).append(timed(way))
    return median(first), median(later)


def median(samples: dict[str, list[np.ndarray]]) -> dict[str, Any]:
    """The median of each way's samples."""
    return {name: np.median(values, axis=0) for name, values in samples.items()}


def table(title: str, first: dict[str, Any], later: dict[str, Any]) -> str:
    """A Markdown table of the figures and their ratios."""
    bare, fit, per_batch = (later[name] for name in ("bare in-graph loop", "plain `fit`", "per-batch callback"))
    lines = [
        f"**{title}**",
        "",
        "| way | µs per step | relative to the bare loop | the same in processor time | times faster than the "
        "per-batch callback | relative to plain `fit` | first call relative to the first `fit` |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, seconds in later.items():
        lines.append(
            f"| {name} | {seconds[0] * 1e6:.0f} | {seconds[0] / bare[0]:.2f} | {seconds[1] / bare[1]:.2f} | "
            f"{per_batch[0] / seconds[0]:.1f} | {seconds[0] / fit[0]:.2f} | "
            f"{first[name][0] / first['plain `fit`'][0]:.2f} |"
        )
    return "\n".join(lines)


def extra_memory(model: keras.Model) -> str:
    """The size of the snapshot, relative to the state of the model, its optimizer and its metrics."""
    variables = {id(variable): variable for variable in [*model.variables, *model.metrics_variables]}
    variables.update({id(variable): variable for variable in model.optimizer.variables})
    state = sum(np.asarray(variable).nbytes for variable in variables.values())
    held = sum(np.asarray(value).nbytes for value in StateSnapshot(model)._values)
    return f"Memory: the snapshot holds {held:,} bytes, {held / state:.2f} times the {state:,} bytes of state."


def main() -> None:
    """Measures, prints and writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7, help="timed runs of each way after the first (%(default)d)")
    parser.add_argument("--steps", type=int, default=300, help="training steps per run (%(default)d)")
    arguments = parser.parse_args()
    x, y = load_digits(return_X_y=True)
    x, y = (x / 16).astype("float32"), y.astype("int32")
    keras.utils.set_random_seed(0)
    # What a process does only once, such as starting its threads, must not count for any way.
    mlp().fit(x, y, verbose=0)
    parts = [
        f"{arguments.steps} steps, batch size {BATCH_SIZE}, scikit-learn's digits, medians of {arguments.repeats} "
        f"interleaved runs; TensorFlow {tf.__version__}, Keras {keras.__version__}, {os.cpu_count()} CPU cores."
    ]
    cases = [
        ("MLP 2x64, a repeated tf.data set", mlp, False),
        ("MLP 2x64, numpy arrays (several epochs)", mlp, True),
        ("small CNN, a repeated tf.data set", cnn, False),
    ]
    for title, build, arrays in cases:
        keras.backend.clear_session()
        make = functools.partial(ways, build, x, y, arguments.steps, arrays=arrays)
        first, later = measure(make, arguments.repeats)
        parts.append(table(title, first, later))
        print(parts[-1], flush=True)
    model = mlp()
    keras_lr.find_lr(model, x, y, **options(10))
    parts.append(extra_memory(model))
    print(parts[-1])
    RESULTS.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
