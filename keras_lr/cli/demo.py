"""`keras-lr demo`: the whole tour on real data, offline."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from keras_lr.cli.console import print_suggestion, standard_output
from keras_lr.cli.tensorflow import start_tensorflow
from keras_lr.errors import KerasLRError

_BATCH_SIZE = 32
_NUM_STEPS = 200
_REPEATS = 3
_EPOCHS = 20
_DEFAULT_LEARNING_RATE = 1e-3
_SCRIPT = """import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_lr

keras.utils.set_random_seed(0)
x, y = load_digits(return_X_y=True)
x, _, y, _ = train_test_split(x / 16, y, test_size=0.25, random_state=0, stratify=y)
model = keras.Sequential(
    [
        keras.Input((64,)),
        keras.layers.Dense(64, activation="relu"),
        keras.layers.Dense(64, activation="relu"),
        keras.layers.Dense(10),
    ]
)
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.Adam(), loss, metrics=["accuracy"])
result = keras_lr.find_lr(model, x, y, batch_size=32, num_steps=200, repeats=3)
print(result.suggestion)
result.to_html("report.html")
"""


class MissingExampleDataError(KerasLRError, ImportError):
    """The demo's data comes with an extra that is not installed."""


def add_parser(commands: Any) -> None:
    """Adds the command to the parser."""
    parser = commands.add_parser(
        "demo",
        help="the whole tour on scikit-learn's digits, offline",
        description="Runs a range test on scikit-learn's digits, trains with the suggestion, and writes a report.",
    )
    parser.add_argument(
        "--report", type=Path, default=Path("report.html"), metavar="F", help="the page to write (%(default)s)"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Measures, prints, trains, and writes the report."""
    start_tensorflow()
    train, test = _digits()
    console = standard_output()
    import keras

    from keras_lr.callbacks.find_lr import find_lr
    from keras_lr.report import Report

    console.print(f"Data: scikit-learn's digits, {len(train[0])} images to train, {len(test[0])} to test")
    keras.utils.set_random_seed(0)
    model = _model(_DEFAULT_LEARNING_RATE)
    result = find_lr(model, *train, batch_size=_BATCH_SIZE, num_steps=_NUM_STEPS, repeats=_REPEATS)
    result = dataclasses.replace(result, environment={**result.environment, "batch_size": _BATCH_SIZE, "seed": 0})
    print_suggestion(console, result.suggestion)
    if result.stop_reason != "interrupted" and result.suggestion.learning_rate is not None:
        accuracy = _train(result.suggestion.learning_rate, train, test)
        console.print(f"Trained {_EPOCHS} epochs with it: {accuracy:.1%} of the test images recognised")
    page = Report("Handwritten digits, two layers of 64", script=_SCRIPT).add(result).save(options.report)
    console.print(f"Report: {page}", markup=False)
    return 130 if result.stop_reason == "interrupted" else 0


def _digits() -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    try:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split
    except ImportError as err:
        raise MissingExampleDataError(
            "The demo must have scikit-learn, for its data. Received: no such package. "
            'Install it with: pip install "keras-lr[examples]"'
        ) from err
    x, y = load_digits(return_X_y=True)
    x, x_test, y, y_test = train_test_split(x / 16, y, test_size=0.25, random_state=0, stratify=y)
    return (x, y), (x_test, y_test)


def _model(learning_rate: float) -> Any:
    import keras

    hidden = [keras.layers.Dense(64, activation="relu") for _ in range(2)]
    model = keras.Sequential([keras.Input((64,)), *hidden, keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(learning_rate), loss, metrics=["accuracy"])
    return model


def _train(learning_rate: float, train: tuple[Any, Any], test: tuple[Any, Any]) -> float:
    """Trains a fresh model and returns its accuracy on the test images, in [0, 1]."""
    import keras

    from keras_lr.callbacks.progress import progress_line

    keras.utils.set_random_seed(0)
    model = _model(learning_rate)
    with progress_line("Training", _EPOCHS, show="auto") as progress:
        shown = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, _: progress(epoch + 1))
        model.fit(*train, batch_size=_BATCH_SIZE, epochs=_EPOCHS, verbose=0, callbacks=[shown])
    return float(model.evaluate(*test, verbose=0, return_dict=True)["accuracy"])
