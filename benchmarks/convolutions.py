"""Whether the convolutions of several runs are faster as one batched product than as a convolution per run.

    python benchmarks/convolutions.py [--copies 5] [--steps 20]

Takes the gradients of a convolution with filters of its own for each run: as a plain convolution per run in one
compiled function, and as patches times filters, in one batched product. Writes `benchmarks/results/convolutions.md`.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf

RESULTS = Path(__file__).parent / "results" / "convolutions.md"
BATCH_SIZE, ROUNDS = 32, 5


class Size(NamedTuple):
    """Side of the images, their channels, and the number of filters, which are 3x3."""

    side: int
    channels: int
    filters: int


SIZES = [Size(24, 3, 16), Size(12, 16, 32), Size(6, 32, 64)]


def each(x: Any, filters: Any) -> Any:
    """A plain convolution per run."""
    pairs = zip(tf.unstack(x), tf.unstack(filters), strict=True)
    return tf.stack([tf.nn.conv2d(images, kernel, 1, "SAME") for images, kernel in pairs])


def batched(x: Any, filters: Any) -> Any:
    """Patches times filters, for all runs at once."""
    copies, size, side, _, channels = x.shape
    flat = tf.reshape(x, (copies * size, side, side, channels))
    # Slices instead of `tf.image.extract_patches`, whose gradient is slow.
    padded = tf.pad(flat, [[0, 0], [1, 1], [1, 1], [0, 0]])
    patches = tf.concat([padded[:, i : i + side, j : j + side] for i in range(3) for j in range(3)], axis=-1)
    rows = tf.reshape(patches, (copies, size * side * side, 9 * channels))
    product = tf.matmul(rows, tf.reshape(filters, (copies, 9 * channels, -1)))
    return tf.reshape(product, (copies, size, side, side, -1))


def step_of(convolve: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """A compiled function of images and filters: the outputs' squares and their gradients."""

    @tf.function(autograph=False)
    def step(x: Any, filters: Any) -> Any:
        with tf.GradientTape() as tape:
            tape.watch((x, filters))
            loss = tf.reduce_sum(convolve(x, filters) ** 2)
        return loss, tape.gradient(loss, (x, filters))

    return step


def seconds(step: Callable[..., Any], given: tuple[Any, Any], steps: int) -> np.ndarray:
    """Elapsed and processor seconds per step."""
    began = np.array([time.perf_counter(), time.process_time()])
    for _ in range(steps):
        step(*given)[0].numpy()
    return (np.array([time.perf_counter(), time.process_time()]) - began) / steps


def main() -> None:
    """Measures, prints and writes the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--copies", type=int, default=5, help="number of runs (%(default)d)")
    parser.add_argument("--steps", type=int, default=20, help="steps per round (%(default)d)")
    arguments = parser.parse_args()
    lines = [
        f"{arguments.copies} runs, batches of {BATCH_SIZE}, filters of 3x3, forward and both gradients; medians of "
        f"{ROUNDS} rounds in turn; TensorFlow {tf.__version__}, {os.cpu_count()} CPU cores.",
        "",
        "| images, channels, filters | ms per step, a convolution per run | ratio to one batched product | the same in "
        "processor time |",
        "|---|---:|---:|---:|",
    ]
    for size in SIZES:
        shapes = (
            (arguments.copies, BATCH_SIZE, size.side, size.side, size.channels),
            (arguments.copies, 3, 3, *size[1:]),
        )
        rng = np.random.default_rng(0)
        given = tuple(tf.constant(rng.normal(size=shape), tf.float32) for shape in shapes)
        steps = [step_of(each), step_of(batched)]
        for found, wanted in zip(steps[1](*given)[1], steps[0](*given)[1], strict=True):
            np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-2)
        rounds = [[seconds(step, given, arguments.steps) for step in steps] for _ in range(ROUNDS)]
        plain, product = np.median(rounds, axis=0)
        ratios = plain / product
        lines.append(
            f"| {size.side}x{size.side}, {size.channels}, {size.filters} | {plain[0] * 1000:.1f} | {ratios[0]:.2f} | "
            f"{ratios[1]:.2f} |"
        )
    text = "\n".join(lines)
    print(text)
    RESULTS.write_text(f"{text}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
