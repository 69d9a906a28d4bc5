"""Two workers compared with one on the same grid, with one processor core per worker.

`python benchmarks/scale_out.py` prints the times and writes `benchmarks/results/scale_out.md`. All points of the grid
take the same time: no rate diverges or stops early. Times are those of the whole command, with imports and tracing.
Runs with one and with two workers take turns. Needs two cores.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve()
RESULT = HERE.parent / "results" / "scale_out.md"
RATES = [1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3]
TARGET = 0.65


def build():
    """A compiled classifier of digits, one convolution and two dense layers."""
    import keras

    model = keras.Sequential(
        [
            keras.Input((64,)),
            keras.layers.Reshape((8, 8, 1)),
            keras.layers.Conv2D(16, 3, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(10),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(momentum=0.9), loss, metrics=["accuracy"])
    return model


def train_data():
    """Three quarters of scikit-learn's digits."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return (images[:1347] / 16).astype("float32"), labels[:1347]


def validation_data():
    """The other quarter."""
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    return (images[1347:] / 16).astype("float32"), labels[1347:]


def search(folder: Path, *, workers: int, epochs: int, cores: list[int]):
    """Seconds of one search with `workers` local workers, and its records."""
    import keras_lr

    command = [sys.executable, "-m", "keras_lr", "search", f"{HERE}:build"]
    command += ["--data", f"{HERE}:train_data", "--validation-data", f"{HERE}:validation_data"]
    command += ["--learning-rates", *map(str, RATES), "--no-extend", "--repeats", "3", "--epochs", str(epochs)]
    command += ["--directory", str(folder), "--workers", str(workers), "--json", str(folder / "result.json")]
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    environment = os.environ | {
        "TF_CPP_MIN_LOG_LEVEL": "2",
        "TF_NUM_INTRAOP_THREADS": "1",
        "TF_NUM_INTEROP_THREADS": "1",
    }
    start = time.perf_counter()
    subprocess.run(
        command,
        env=environment,
        check=True,
        stdout=subprocess.DEVNULL,
        preexec_fn=lambda: os.sched_setaffinity(0, set(cores)),
    )
    seconds = time.perf_counter() - start
    return seconds, keras_lr.SensitivityResult.load(folder / "result.json").frame


def report(times: dict[int, list[float]], difference: float, epochs: int) -> str:
    """The result in Markdown."""
    medians = {workers: statistics.median(seconds) for workers, seconds in times.items()}
    ratio = medians[2] / medians[1]
    lines = [
        "# Two workers compared with one\n",
        f"Digits, a small convolutional network, {len(RATES)} learning rates x 3 repeats x {epochs} epochs. Times of "
        "the whole command, with one core per worker.\n",
        "| workers | runs | median seconds | all |",
        "|-|-|-|-|",
    ]
    lines += [
        f"| {workers} | {len(seconds)} | {medians[workers]:.1f} | {', '.join(f'{one:.1f}' for one in seconds)} |"
        for workers, seconds in sorted(times.items())
    ]
    verdict = "met" if ratio <= TARGET else "missed"
    lines += [
        f"\nRatio {ratio:.2f}; target at most {TARGET}: {verdict}. The relative difference of the losses is at most "
        f"{difference:.1g}.\n"
    ]
    return "\n".join(lines)


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="runs per number of workers (%(default)d)")
    parser.add_argument("--epochs", type=int, default=100, help="epochs per run (%(default)d)")
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise SystemExit("This benchmark needs two cores.")
    times: dict[int, list[float]] = {1: [], 2: []}
    frames = {}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(options.runs):
            for workers in times:
                place = Path(folder) / str(workers)
                seconds, frames[workers] = search(place, workers=workers, epochs=options.epochs, cores=cores[:workers])
                times[workers].append(seconds)
                print(f"{workers} workers: {seconds:.1f} s", flush=True)
    columns = ["loss", "val_loss"]
    difference = float(np.max(np.abs(frames[1][columns] / frames[2][columns] - 1)))
    text = report(times, difference, options.epochs)
    print(text)
    RESULT.write_text(text)


if __name__ == "__main__":
    main()
