"""The data, the model and the script of `keras-lr demo`."""

from __future__ import annotations

from typing import Any

from keras_lr.errors import KerasLRError

BATCH_SIZE = 32
TITLE = "Handwritten digits, two layers of 64"
SCRIPT = """import keras
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import keras_lr


def build():
    hidden = [keras.layers.Dense(64, activation="relu") for _ in range(2)]
    model = keras.Sequential([keras.Input((64,)), *hidden, keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(), loss, metrics=["accuracy"])
    return model


x, y = load_digits(return_X_y=True)
x, x_test, y, y_test = train_test_split(x / 16, y, test_size=0.25, random_state=0, stratify=y)

keras.utils.set_random_seed(0)
hint = keras_lr.find_lr(build(), x, y, batch_size=32, num_steps=200, repeats=3)

tuner = keras_lr.LogGridSearch(build, min_lr=1e-5, max_lr=1.0, points_per_decade=1, repeats=3, directory="runs")
tuner.search(x, y, validation_data=(x_test, y_test), epochs=12, batch_size=32)
result = tuner.sensitivity()

report = keras_lr.Report("Handwritten digits").add(hint).add(result)
for factor in (1 / 300, 1, 100):
    keras.utils.set_random_seed(0)
    model = build()
    model.optimizer.learning_rate = result.best_learning_rate * factor
    history = model.fit(
        x, y, validation_data=(x_test, y_test), epochs=20, batch_size=32, callbacks=[keras_lr.LRRecorder()]
    )
    report.add(keras_lr.analyze_history(history))
report.save("report.html")
"""


class MissingExampleDataError(KerasLRError, ImportError):
    """The demo's data comes with an extra that is not installed."""


def load_digits() -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Images scaled to [0, 1], shape `(n, 64)`, and their labels, to train and to test.

    Raises:
        MissingExampleDataError: scikit-learn is not installed.
    """
    try:
        from sklearn import datasets
        from sklearn.model_selection import train_test_split
    except ImportError as err:
        raise MissingExampleDataError(
            "The demo must have scikit-learn, for its data. Received: no such package. "
            'Install it with: pip install "keras-lr[examples]"'
        ) from err
    x, y = datasets.load_digits(return_X_y=True)
    x, x_test, y, y_test = train_test_split(x / 16, y, test_size=0.25, random_state=0, stratify=y)
    return (x, y), (x_test, y_test)


def build() -> Any:
    """The demo's model, compiled with Adam."""
    import keras

    hidden = [keras.layers.Dense(64, activation="relu") for _ in range(2)]
    model = keras.Sequential([keras.Input((64,)), *hidden, keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(), loss, metrics=["accuracy"])
    return model
