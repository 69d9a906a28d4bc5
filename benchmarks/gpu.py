"""Whether a range test stays on the GPU and is right there, and its speed compared with `fit`.

    python benchmarks/gpu.py [--quick] [--repeats 5] [--steps 200]

Checks that weights, optimizer slots and losses stay on the GPU during a sweep, and that sweeps on CPU and GPU agree.
Then times plain `fit`, a per-batch callback, the range test and a search at several model sizes, in turn, as medians.
Without a GPU it says why and does the same on the CPU. Writes `benchmarks/results/gpu.md`; exits with 1 if a check
fails.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import range_test
import tensorflow as tf
from sklearn.datasets import load_digits

import keras_lr
from keras_lr.devices import inspect_devices
from keras_lr.range_test._loop import StepLoop

RESULTS = Path(__file__).parent / "results" / "gpu.md"
AGREEMENT_STEPS = 50
TOLERANCE = 1e-3
LEFT_OUT = "bare in-graph loop"


@dataclass(frozen=True)
class Case:
    """A model size, and the size of a search of it."""

    title: str
    build: Callable[[], keras.Model]
    rates: int
    epochs: int


def mlp(width: int) -> keras.Model:
    """Two hidden layers of `width` units."""
    hidden = [keras.layers.Dense(width, activation="relu") for _ in range(2)]
    return compiled(keras.Sequential([keras.Input((64,)), *hidden, keras.layers.Dense(10)]))


def cnn() -> keras.Model:
    """The convolutional model of `benchmarks/range_test.py`."""
    return compiled(range_test.cnn())


def compiled(model: keras.Model) -> keras.Model:
    """The model as a user compiles it, so that Keras decides whether to use XLA."""
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-6), loss, metrics=["accuracy"])
    return model


def cases(*, quick: bool) -> list[Case]:
    """The sizes to time."""
    widths = (64, 512) if quick else (64, 512, 2048)
    rates, epochs = (3, 2) if quick else (6, 10)
    perceptrons = [
        Case(f"MLP 2x{width}", functools.partial(mlp, width), rates, epochs if width < 2048 else 2) for width in widths
    ]
    return [*perceptrons, Case("small CNN", cnn, rates, 2)]


@contextlib.contextmanager
def noted_devices() -> Iterator[dict[str, tuple[str, bool]]]:
    """The device of every variable that sweeps within the block use, and whether it is a float, by name."""
    prepare = StepLoop.prepare
    found: dict[str, tuple[str, bool]] = {}

    def noting(loop: StepLoop, *described: Any) -> list[Any]:
        touched = prepare(loop, *described)
        for variable in [*touched, loop._rows]:
            device = tf.DeviceSpec.from_string(variable.device)
            name = f"{device.device_type}:{device.device_index}"
            found[f"{len(found)} {variable.name}"] = (name, variable.dtype.is_floating)
        return touched

    StepLoop.prepare = noting  # type: ignore[method-assign]
    try:
        yield found
    finally:
        StepLoop.prepare = prepare  # type: ignore[method-assign]


def placement(device: str, x: np.ndarray, y: np.ndarray) -> tuple[bool, str]:
    """Whether everything that a sweep computes with is on `device`, and a sentence about it."""
    with noted_devices() as found:
        keras_lr.find_lr(mlp(64), x, y, **range_test.options(20))
    astray = {name: place for name, (place, floating) in found.items() if floating and place != device}
    counters = sorted({place for place, floating in found.values() if not floating})
    numbers = sum(floating for _, floating in found.values())
    text = f"{numbers - len(astray)} of {numbers} weights, slots, metrics and losses are on {device} during a sweep"
    text += f" (integer counters: {', '.join(counters)})"
    return not astray, f"{text}{'; elsewhere: ' + str(astray) if astray else ''}."


def agreement(device: str, x: np.ndarray, y: np.ndarray) -> tuple[bool, str]:
    """Whether sweeps on the CPU and on `device` agree in full float32, and a sentence about it."""
    tf.config.experimental.enable_tensor_float_32_execution(False)
    worst = {}
    for title, build in {"MLP 2x64": functools.partial(mlp, 64), "small CNN": cnn}.items():
        losses = [
            swept(build, tf.distribute.OneDeviceStrategy("CPU:0").scope(), x, y),
            swept(build, tf.distribute.OneDeviceStrategy(device).scope(), x, y),
            swept(build, tf.device(device), x, y),
        ]
        worst[title] = max(float(np.max(np.abs(other / losses[0] - 1))) for other in losses[1:])
    tf.config.experimental.enable_tensor_float_32_execution(True)
    figures = ", ".join(f"{title} {value:.1e}" for title, value in worst.items())
    text = (
        f"Over {AGREEMENT_STEPS} steps, the losses on {device}, selected by a strategy and by `tf.device`, differ from "
        f"those on CPU:0 by a relative error of at most {figures}; {TOLERANCE:g} is allowed."
    )
    return max(worst.values()) <= TOLERANCE, text


def swept(build: Callable[[], keras.Model], scope: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Losses of a sweep of a model built within `scope`, always with the same weights and batches."""
    keras.utils.set_random_seed(0)
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(range_test.BATCH_SIZE, drop_remainder=True)
    with scope:
        return keras_lr.find_lr(build(), data, **range_test.options(AGREEMENT_STEPS)).losses


def ways(case: Case, x: np.ndarray, y: np.ndarray, steps: int) -> dict[str, range_test.Way]:
    """The calls to time, by name; for the search, the steps of all its runs are counted."""
    found = range_test.ways(case.build, x, y, steps, arrays=False)
    del found[LEFT_OUT]
    total = case.rates * case.epochs * -(-len(x) // range_test.BATCH_SIZE)
    return {**found, "`LogGridSearch`, all runs": range_test.Way(lambda: search(case, x, y), total)}


def search(case: Case, x: np.ndarray, y: np.ndarray) -> None:
    """Trains the case's rates, including all building and tracing."""
    rates = [float(f"{rate:.3g}") for rate in np.geomspace(1e-5, 1e-2, case.rates)]
    with tempfile.TemporaryDirectory() as directory:
        tuner = keras_lr.LogGridSearch(
            case.build, "loss", learning_rates=rates, repeats=1, extend=False, directory=directory
        )
        tuner.search(x, y, epochs=case.epochs, batch_size=range_test.BATCH_SIZE, verbose=0)
        ENGINES[case.title] = tuner.sensitivity().engine


ENGINES: dict[str, str] = {}


def table(title: str, first: dict[str, Any], later: dict[str, Any]) -> str:
    """A Markdown table of the figures and their ratios."""
    fit, per_batch = later["plain `fit`"][0], later["per-batch callback"][0]
    lines = [
        f"**{title}** (engine of the search: `{ENGINES[title]}`)",
        "",
        "| way | µs per step | relative to plain `fit` | times faster than the per-batch callback | first call, per "
        "step, relative to `fit` |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, (seconds, _) in later.items():
        begun = first[name][0] / first["plain `fit`"][0]
        lines.append(
            f"| {name} | {seconds * 1e6:.0f} | {seconds / fit:.2f} | {per_batch / seconds:.1f} | {begun:.2f} |"
        )
    return "\n".join(lines)


def machine() -> tuple[str, str]:
    """TensorFlow's name of the device to run on, and a description of the machine."""
    devices = inspect_devices()
    versions = f"TensorFlow {devices['tensorflow']}, Keras {devices['keras']}"
    if not devices["gpus"]:
        return "CPU:0", f"No GPU: {devices['why_no_gpu']} The results below are from the CPU. {versions}."
    names = "; ".join(
        f"{gpu['name']} (compute capability {gpu['compute_capability']}, {gpu.get('memory', 'memory unknown')})"
        for gpu in devices["gpus"]
    )
    return "GPU:0", f"GPU: {names}. Driver {devices['driver']}, CUDA {devices['cuda']}. {versions}."


def main() -> int:
    """Checks, measures, prints and writes the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer sizes and short searches")
    parser.add_argument("--repeats", type=int, default=5, help="timed runs of each way after the first (%(default)d)")
    parser.add_argument("--steps", type=int, default=200, help="training steps per run (%(default)d)")
    arguments = parser.parse_args()
    images, labels = load_digits(return_X_y=True)
    x, y = (images / 16).astype("float32"), labels.astype("int32")
    device, words = machine()
    checks = [placement(device, x, y), agreement(device, x, y)]
    parts = [words, *(f"- {'passed' if passed else 'FAILED'}: {text}" for passed, text in checks)]
    parts.append(
        f"{arguments.steps} steps, batch size {range_test.BATCH_SIZE}, scikit-learn's digits, medians of "
        f"{arguments.repeats} interleaved runs. The time of a search includes all its building and tracing."
    )
    print("\n\n".join(parts), flush=True)
    for case in cases(quick=arguments.quick):
        keras.backend.clear_session()
        timed = range_test.measure(functools.partial(ways, case, x, y, arguments.steps), arguments.repeats)
        parts.append(table(case.title, *timed))
        print(f"\n{parts[-1]}", flush=True)
    RESULTS.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return 0 if all(passed for passed, _ in checks) else 1


if __name__ == "__main__":
    sys.exit(main())
