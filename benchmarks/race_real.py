"""The race on real trainings: its wall time beside one plain `fit`, and whether a kill changes its table.

`python benchmarks/race_real.py` races on four models, each in a process of its own, and writes
`benchmarks/results/race_real.md`. `--kills N` kills a race of the first model at N random moments instead, each time
followed by the same call, and replaces the last line of that file.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

RESULT = Path(__file__).parent / "results" / "race_real.md"
EPOCHS = 20
BATCH_SIZE = 32
INTRODUCTION = f"""# The race on real trainings

Each model is raced with a budget of 1 over {EPOCHS} epochs and, in the same process, trained once by plain `fit` for as
long. The race's time holds the sweep, every build and every trace. Made by `python benchmarks/race_real.py`.

| model | engine | rates | cost | winner | best val_loss | plain fit | race | ratio | answer |
|-|-|-|-|-|-|-|-|-|-|
"""


def digits() -> tuple[Any, Any, tuple[Any, Any]]:
    """Handwritten digits of 8 x 8 pixels: 1,200 for training, the rest for validation."""
    import numpy as np
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(x))
    x, y = (x[order] / 16).astype("float32"), y[order].astype("int32")
    return x[:1200], y[:1200], (x[1200:], y[1200:])


def mlp() -> Any:
    """Two hidden layers of 64."""
    import keras

    layers = [keras.layers.Dense(64, activation="relu"), keras.layers.Dense(64, activation="relu")]
    return compiled(keras.Sequential([keras.Input((64,)), *layers, keras.layers.Dense(10)]))


def cnn() -> Any:
    """Two convolutions."""
    import keras

    layers = [
        keras.layers.Reshape((8, 8, 1)),
        keras.layers.Conv2D(16, 3, activation="relu"),
        keras.layers.Conv2D(32, 3, activation="relu"),
        keras.layers.Flatten(),
    ]
    return compiled(keras.Sequential([keras.Input((64,)), *layers, keras.layers.Dense(10)]))


def transformer() -> Any:
    """One block of attention over the eight rows."""
    import keras

    inputs = keras.Input((64,))
    rows = keras.layers.Dense(32)(keras.layers.Reshape((8, 8))(inputs))
    attended = keras.layers.MultiHeadAttention(4, 8)(rows, rows)
    rows = keras.layers.LayerNormalization()(keras.layers.Add()([rows, attended]))
    hidden = keras.layers.Dense(32)(keras.layers.Dense(64, activation="gelu")(rows))
    rows = keras.layers.LayerNormalization()(keras.layers.Add()([rows, hidden]))
    outputs = keras.layers.Dense(10)(keras.layers.GlobalAveragePooling1D()(rows))
    return compiled(keras.Model(inputs, outputs))


def compiled(model: Any) -> Any:
    """Compiled with Adam."""
    import keras

    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"])
    return model


MODELS: dict[str, Callable[[], Any]] = {
    "digits MLP": mlp,
    "digits CNN": cnn,
    "transformer": transformer,
    "tf.data pipeline": mlp,
}


def arguments_of(name: str) -> dict[str, Any]:
    """The arguments of `fit`."""
    import tensorflow as tf

    x, y, validation = digits()
    data = {"x": x, "y": y, "batch_size": BATCH_SIZE}
    if name == "tf.data pipeline":
        noisy = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(1200, seed=0).batch(BATCH_SIZE)
        data = {"x": noisy.prefetch(2)}
    return {**data, "validation_data": validation, "epochs": EPOCHS, "verbose": 0}


def measure(name: str) -> str:
    """The row of a model."""
    import keras

    import keras_lr

    build, given = MODELS[name], arguments_of(name)
    build().fit(**{**given, "epochs": 1})
    started = time.perf_counter()
    keras.utils.set_random_seed(0)
    build().fit(**given)
    plain = time.perf_counter() - started
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        tuner = keras_lr.RaceSearch(build, directory=folder)
        tuner.search(**given)
        raced = time.perf_counter() - started
        result = tuner.sensitivity()
        (model,) = tuner.get_best_models()
        loss = model.evaluate(*given["validation_data"], verbose=0)[0]
    cells = [
        *(name, result.engine, str(len(result.learning_rates)), f"{result.race['cost']:.2f}"),
        *(f"{result.best_learning_rate:.3g}", f"{loss:.3g}", f"{plain:.1f} s", f"{raced:.1f} s"),
        *(f"{raced / plain:.2f}", result.confidence),
    ]
    return f"| {' | '.join(cells)} |"


def race_in(folder: str, limit: float | None = None) -> None:
    """Races on the first model, and writes the table and the processor time; dies after `limit` seconds of that."""
    if limit is not None:
        signal.signal(signal.SIGPROF, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_PROF, limit)
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    started = time.process_time()
    import keras_lr

    tuner = keras_lr.RaceSearch(mlp, directory=folder, engine="function")
    tuner.search(**arguments_of("digits MLP"))
    tuner.sensitivity().frame.to_json(Path(folder) / "table.json")
    Path(folder, "seconds").write_text(str(time.process_time() - started))


def kills(count: int) -> str:
    """Kills races after random shares of their processor time, goes on, and counts those with the same table.

    The kernel ends the process at once, so nothing is flushed or closed, and no load of the machine moves the moment.
    """
    import numpy as np
    import pandas as pd

    draw, same, cut = random.Random(0), 0, 0
    with tempfile.TemporaryDirectory() as whole:
        in_own_process(whole)
        seconds = float(Path(whole, "seconds").read_text())
        expected = pd.read_json(Path(whole) / "table.json")
    for number in range(count):
        with tempfile.TemporaryDirectory() as folder:
            cut += in_own_process(folder, draw.uniform(0.05, 0.95) * seconds) == -signal.SIGPROF
            in_own_process(folder)
            found = pd.read_json(Path(folder) / "table.json")
        keys = ["learning_rate", "epoch", "status"]
        close = found[keys].equals(expected[keys]) and np.allclose(found["val_loss"], expected["val_loss"], rtol=1e-5)
        same += close
        print(f"{number + 1} races, {cut} killed, {same} the same", flush=True)
    return f"\nOf {count} races, {cut} of which were killed before their end, {same} came to the same table.\n"


def in_own_process(*arguments: Any) -> int | None:
    """The exit status of `race_in` in a process that is forked from one with TensorFlow imported."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["keras", "keras_tuner", "pandas", "sklearn.datasets"])
    process = processes.Process(target=race_in, args=arguments)
    process.start()
    process.join()
    return process.exitcode


def main() -> None:
    """Runs the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=0, metavar="N", help="only kill a race at N random moments")
    parser.add_argument("--model", choices=MODELS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.model:
        print(measure(options.model))
        return
    if options.kills:
        text = kills(options.kills)
        print(text)
        RESULT.write_text(RESULT.read_text().split("\nOf ")[0] + text)
        return
    text, (_, *killed) = INTRODUCTION, RESULT.read_text().split("\nOf ")
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    for name in MODELS:
        command = [sys.executable, __file__, "--model", name]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
        text += done.stdout.splitlines()[-1] + "\n"
    print(text)
    RESULT.write_text("\nOf ".join([text, *killed]))


if __name__ == "__main__":
    main()
