"""Speed of the range test beside the limit, what other finders do, and plain training.

    python benchmarks/range_test.py [--repeats 7] [--steps 300]

Every way runs in turn within one process, and each figure is the median over the turns. Ratios carry over to other
machines, times do not. Writes `benchmarks/results/range_test.md`.
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

import keras_lr
from keras_lr.training.state import StateSnapshot

BATCH_SIZE = 32
RATES = {"min_lr": 1e-6, "max_lr": 1e-2}
RESULTS = Path(__file__).parent / "results" / "range_test.md"


class PerBatchFinder(keras.callbacks.Callback):
    """What every Keras finder does: sets the rate before each batch and reads the logged loss after it."""

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
    """The model with Adam and cross-entropy, left to run without XLA as plain `fit` does on a CPU."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-6), loss, jit_compile=False)
    return model


def repeated_set(x: np.ndarray, y: np.ndarray) -> tf.data.Dataset:
    """An endless shuffled pipeline."""
    return tf.data.Dataset.from_tensor_slices((x, y)).cache().shuffle(1024).repeat().batch(BATCH_SIZE).prefetch(4)


def bare_loop(model: keras.Model, data: tf.data.Dataset, steps: int) -> Callable[[], None]:
    """The limit: the model's own training step in one compiled loop, with nothing set, kept or restored."""

    @tf.function(autograph=False)
    def loop(iterator: Any) -> None:
        def body(index: Any) -> tuple[Any]:
            model.train_step(iterator.get_next())
            return (index + 1,)

        tf.while_loop(lambda index: index < steps, body, [tf.constant(0)], parallel_iterations=1)

    return lambda: loop(iter(data))


def ways(build: Callable[[], keras.Model], x: Any, y: Any, steps: int, *, arrays: bool) -> dict[str, Callable[[], Any]]:
    """The ways to run `steps` training steps, by name."""
    data = repeated_set(x, y)
    feed: dict[str, Any] = {"x": x, "y": y, "batch_size": BATCH_SIZE} if arrays else {"x": data}
    span = {"epochs": -(-steps // -(-len(x) // BATCH_SIZE))} if arrays else {"steps_per_epoch": steps}
    models = [build() for _ in range(5)]

    def fit(model: keras.Model, *callbacks: Any) -> Any:
        return model.fit(**feed, **span, verbose=0, callbacks=list(callbacks))

    return {
        "bare in-graph loop": bare_loop(models[0], data, steps),
        "`LRRangeTest` in `fit`": lambda: fit(models[1], finder(steps)),
        "`find_lr`": lambda: keras_lr.find_lr(models[2], **feed, **options(steps)),
        "per-batch callback": lambda: fit(models[3], PerBatchFinder(steps)),
        "plain `fit`": lambda: fit(models[4]),
    }


def finder(steps: int) -> keras_lr.LRRangeTest:
    """The range test as a callback."""
    return keras_lr.LRRangeTest(**options(steps))


def options(steps: int) -> dict[str, Any]:
    """Arguments under which no sweep ends early."""
    return {**RATES, "num_steps": steps, "stop_on_divergence": False, "verbose": False}


def timed(call: Callable[[], Any]) -> float:
    """Seconds that `call` takes."""
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def measure(calls: dict[str, Callable[[], Any]], repeats: int) -> tuple[dict[str, float], dict[str, float]]:
    """Seconds of each way's first call, with its tracing, and the median of `repeats` later ones, taken in turn."""
    first = {name: timed(call) for name, call in calls.items()}
    later: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            later[name].append(timed(call))
    return first, {name: statistics.median(seconds) for name, seconds in later.items()}


def table(title: str, first: dict[str, float], later: dict[str, float], steps: int) -> str:
    """A Markdown table of the figures and their ratios."""
    bare, fit, per_batch = (later[name] for name in ("bare in-graph loop", "plain `fit`", "per-batch callback"))
    lines = [
        f"**{title}**",
        "",
        "| way | µs a step | against the bare loop | faster than the per-batch callback | against plain `fit` | "
        "first call against the first `fit` |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, seconds in later.items():
        lines.append(
            f"| {name} | {seconds / steps * 1e6:.0f} | {seconds / bare:.2f} | {per_batch / seconds:.1f} | "
            f"{seconds / fit:.2f} | {first[name] / first['plain `fit`']:.2f} |"
        )
    return "\n".join(lines)


def extra_memory(model: keras.Model) -> str:
    """What the snapshot holds, against the state of the model, its optimizer and its metrics."""
    variables = {id(variable): variable for variable in [*model.variables, *model.metrics_variables]}
    variables.update({id(variable): variable for variable in model.optimizer.variables})
    state = sum(np.asarray(variable).nbytes for variable in variables.values())
    held = sum(np.asarray(value).nbytes for value in StateSnapshot(model)._values)
    return f"Memory: the snapshot holds {held:,} bytes, {held / state:.2f} of the {state:,} bytes of state."


def main() -> None:
    """Measures, prints and writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7, help="runs of each way after its first (%(default)d)")
    parser.add_argument("--steps", type=int, default=300, help="training steps a run (%(default)d)")
    arguments = parser.parse_args()
    x, y = load_digits(return_X_y=True)
    x, y = (x / 16).astype("float32"), y.astype("int32")
    keras.utils.set_random_seed(0)
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
        first, later = measure(ways(build, x, y, arguments.steps, arrays=arrays), arguments.repeats)
        parts.append(table(title, first, later, arguments.steps))
        print(parts[-1], flush=True)
    model = mlp()
    keras_lr.find_lr(model, x, y, **options(10))
    parts.append(extra_memory(model))
    print(parts[-1])
    RESULTS.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
