"""Small Keras programs with one fault each, after faults that are common in public questions and bug collections.

In most of them the learning rate is innocent: the labels, the loss, an activation, the data or the architecture is at
fault. In the others only the rate is. A verdict should blame the rate in these alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from _advice_data import breast_cancer, diabetes, digits, friedman, iris, moons, swiss_roll, wine
from keras import layers, optimizers

Data = tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Program:
    """One program.

    Attributes:
        fault: What is wrong with it.
        guilty: Whether that is the learning rate.
        data: Returns `(x_train, y_train, x_val, y_val)`.
        layers: The layers after the input.
        loss: As given to `compile`.
        optimizer: Builds the optimizer.
        epochs: Number of epochs.
        batch_size: Samples per step.
        metric: Metric in `compile`.
    """

    fault: str
    guilty: bool
    data: Callable[[], Data]
    layers: Callable[[], list[layers.Layer]]
    loss: str
    optimizer: Callable[[], optimizers.Optimizer]
    epochs: int = 10
    batch_size: int = 32
    metric: str = "accuracy"


def _dense(*units: int, last: str | None, activation: str | None = "relu", **options: Any) -> Callable[[], list[Any]]:
    hidden, outputs = units[:-1], units[-1]
    return lambda: [
        *(layers.Dense(width, activation=activation, **options) for width in hidden),
        layers.Dense(outputs, activation=last, **options),
    ]


def _one_hot(data: Callable[[], Data], classes: int) -> Callable[[], Data]:
    def load() -> Data:
        x, y, x_val, y_val = data()
        return x, np.eye(classes, dtype="float32")[y], x_val, np.eye(classes, dtype="float32")[y_val]

    return load


def _mapped(data: Callable[[], Data], x: Callable[..., Any] = np.asarray, y: Callable[..., Any] = np.asarray) -> Any:
    def load() -> Data:
        x_train, y_train, x_val, y_val = data()
        return x(x_train), y(y_train), x(x_val), y(y_val)

    return load


def _shuffled(values: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).permutation(values)


def _xor() -> Data:
    x = np.array([[0, 0], [0, 1], [1, 0], [1, 1]], "float32")
    y = np.array([0, 1, 1, 0], "float32")
    return x, y, x, y


def _sine() -> Data:
    x = np.random.default_rng(0).uniform(-3, 3, (800, 1)).astype("float32")
    return x[:600], np.sin(x[:600, 0]), x[600:], np.sin(x[600:, 0])


def _squares() -> Data:
    x = np.tile(np.arange(0, 5, 0.1, dtype="float32").reshape(-1, 1), (20, 1))
    y = 5 * x[:, 0] ** 2 + np.random.default_rng(7).normal(size=len(x)).astype("float32") ** 3
    return x, y, x, y


def _text() -> Data:
    generator = np.random.default_rng(0)
    x, y = generator.integers(1, 50, (800, 12)), generator.integers(0, 2, 800)
    x[y == 1, :3] += 40
    return x[:600], y[:600], x[600:], y[600:]


def _parity() -> Data:
    x = ((np.arange(256)[:, None] >> np.arange(8)) & 1).astype("float32")
    order = np.random.default_rng(0).permutation(256)
    x, y = x[order], x[order].sum(axis=1) % 2
    return x[:200], y[:200], x[200:], y[200:]


def _several_labels() -> Data:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(800, 16)).astype("float32")
    noise = generator.normal(size=(800, 6))
    y = (x @ generator.normal(size=(16, 6)) + noise > 2).astype("float32")
    return x[:640], y[:640], x[640:], y[640:]


def _images() -> Data:
    x, _, x_val, _ = digits()
    return x, x, x_val, x_val


def _unlike_validation() -> Data:
    x, y, x_val, y_val = digits()
    return x, y, x_val * 7 + 40, y_val


adam, sgd, rmsprop = optimizers.Adam, optimizers.SGD, optimizers.RMSprop

INNOCENT = [
    Program(
        "mean squared error on a softmax of many classes",
        False,
        _one_hot(digits, 10),
        _dense(32, 10, last="softmax"),
        "mse",
        sgd,
        15,
    ),
    Program(
        "no activation before a binary cross-entropy",
        False,
        breast_cancer,
        _dense(32, 1, last=None),
        "binary_crossentropy",
        adam,
    ),
    Program(
        "rectified output before a binary cross-entropy",
        False,
        moons,
        _dense(16, 1, last="relu"),
        "binary_crossentropy",
        adam,
        20,
    ),
    Program("softmax over one unit", False, breast_cancer, _dense(32, 1, last="softmax"), "binary_crossentropy", adam),
    Program(
        "labels 0, 1, 2 for one sigmoid",
        False,
        iris,
        _dense(16, 1, last="sigmoid"),
        "binary_crossentropy",
        rmsprop,
        30,
        16,
    ),
    Program(
        "labels that do not belong to the inputs",
        False,
        _mapped(digits, y=_shuffled),
        _dense(64, 10, last="softmax"),
        "sparse_categorical_crossentropy",
        adam,
        15,
    ),
    Program(
        "inputs of 0 to 255",
        False,
        _mapped(digits, x=lambda x: x * 255),
        _dense(64, 10, last="softmax"),
        "sparse_categorical_crossentropy",
        adam,
        10,
    ),
    Program(
        "inputs of very different scales",
        False,
        lambda: wine(scaled=False),
        _dense(32, 3, last="softmax"),
        "sparse_categorical_crossentropy",
        adam,
        20,
        16,
    ),
    Program(
        "constant initial weights",
        False,
        moons,
        _dense(16, 16, 1, last="sigmoid", kernel_initializer="zeros"),
        "binary_crossentropy",
        adam,
        15,
    ),
    Program(
        "a sigmoid output for unbounded targets",
        False,
        _mapped(friedman, y=lambda y: 5 * y + 14),
        _dense(32, 1, last="sigmoid"),
        "mse",
        adam,
        15,
        metric="mae",
    ),
    Program(
        "many sigmoid layers",
        False,
        digits,
        _dense(*[32] * 7, 10, last="softmax", activation="sigmoid"),
        "sparse_categorical_crossentropy",
        sgd,
        15,
    ),
    Program(
        "no hidden nonlinearity on xor",
        False,
        _xor,
        _dense(8, 1, last="sigmoid", activation=None),
        "binary_crossentropy",
        adam,
        60,
        4,
    ),
    Program(
        "a rectified output for targets below 0",
        False,
        swiss_roll,
        _dense(32, 1, last="relu"),
        "mse",
        adam,
        15,
        metric="mae",
    ),
    Program(
        "binary cross-entropy and its accuracy for many classes",
        False,
        _one_hot(digits, 10),
        _dense(16, 10, last="softmax"),
        "binary_crossentropy",
        sgd,
        10,
    ),
    Program(
        "hinge loss with labels of 0 and 1", False, breast_cancer, _dense(16, 1, last="sigmoid"), "hinge", adam, 15
    ),
    Program("accuracy of a regression", False, diabetes, _dense(32, 1, last=None), "mse", adam, 15),
    Program("too few epochs", False, friedman, _dense(16, 1, last=None), "mse", sgd, 3, 128, "mae"),
    Program(
        "dropout of nearly everything",
        False,
        digits,
        lambda: [layers.Dense(32, "relu"), layers.Dropout(0.95), layers.Dense(10, "softmax")],
        "sparse_categorical_crossentropy",
        adam,
        12,
    ),
    Program(
        "NaN among the inputs",
        False,
        _mapped(breast_cancer, x=lambda x: np.where(np.arange(x.size).reshape(x.shape) % 997 == 0, np.nan, x)),
        _dense(32, 1, last="sigmoid"),
        "binary_crossentropy",
        adam,
        5,
    ),
    Program(
        "tokens as numbers",
        False,
        _mapped(_text, x=lambda x: x.astype("float32")),
        _dense(16, 1, last="sigmoid"),
        "binary_crossentropy",
        adam,
        10,
    ),
    Program(
        "softmax for several labels",
        False,
        _several_labels,
        _dense(32, 6, last="softmax"),
        "categorical_crossentropy",
        adam,
        20,
    ),
    Program(
        "no hidden layer for the parity of bits",
        False,
        _parity,
        _dense(1, last="sigmoid"),
        "binary_crossentropy",
        lambda: adam(1e-2),
        40,
        16,
    ),
    Program(
        "twelve sigmoid layers",
        False,
        digits,
        _dense(*[24] * 12, 10, last="softmax", activation="sigmoid"),
        "sparse_categorical_crossentropy",
        adam,
        12,
    ),
    Program("one hidden unit", False, diabetes, _dense(1, 1, last=None), "mse", lambda: adam(5e-3), 25, 16, "mae"),
    Program(
        "no softmax before a cross-entropy",
        False,
        digits,
        _dense(64, 10, last=None),
        "sparse_categorical_crossentropy",
        adam,
        12,
    ),
    Program(
        "a penalty that outweighs the loss",
        False,
        breast_cancer,
        _dense(32, 1, last="sigmoid", kernel_regularizer=keras.regularizers.L2(1.0)),
        "binary_crossentropy",
        adam,
        25,
    ),
    Program(
        "validation data on another scale",
        False,
        _unlike_validation,
        _dense(64, 10, last="softmax"),
        "sparse_categorical_crossentropy",
        adam,
        12,
    ),
]
GUILTY = [
    Program(
        "SGD at 0.1 on large targets",
        True,
        _squares,
        _dense(50, 30, 1, last=None),
        "mse",
        lambda: sgd(0.1),
        15,
        metric="mae",
    ),
    Program(
        "Adam at 0.25",
        True,
        digits,
        _dense(64, 64, 10, last="softmax"),
        "sparse_categorical_crossentropy",
        lambda: adam(0.25),
        15,
    ),
    Program("Adam at 1", True, breast_cancer, _dense(32, 1, last="sigmoid"), "binary_crossentropy", lambda: adam(1.0)),
    Program(
        "Adam at 1e-6",
        True,
        digits,
        _dense(64, 10, last="softmax"),
        "sparse_categorical_crossentropy",
        lambda: adam(1e-6),
        15,
    ),
    Program(
        "SGD at 1e-6",
        True,
        digits,
        _dense(64, 10, last="softmax"),
        "sparse_categorical_crossentropy",
        lambda: sgd(1e-6),
        15,
    ),
    Program("SGD at 1e-4", True, moons, _dense(16, 1, last="sigmoid"), "binary_crossentropy", lambda: sgd(1e-4), 20),
    Program(
        "SGD at 10",
        True,
        digits,
        _dense(64, 64, 10, last="softmax"),
        "sparse_categorical_crossentropy",
        lambda: sgd(10.0),
        15,
    ),
    Program(
        "RMSprop at 0.1",
        True,
        iris,
        _dense(16, 16, 3, last="softmax"),
        "sparse_categorical_crossentropy",
        lambda: rmsprop(0.1),
        30,
        16,
    ),
    Program(
        "momentum at 1",
        True,
        breast_cancer,
        _dense(32, 32, 1, last="sigmoid"),
        "binary_crossentropy",
        lambda: sgd(1.0, momentum=0.9),
        15,
    ),
    Program(
        "SGD at 1e-4 on a sine",
        True,
        _sine,
        _dense(32, 1, last=None, activation="tanh"),
        "mse",
        lambda: sgd(1e-4),
        20,
        metric="mae",
    ),
    Program(
        "Adam at 1e-5 on few data",
        True,
        wine,
        _dense(32, 3, last="softmax"),
        "sparse_categorical_crossentropy",
        lambda: adam(1e-5),
        20,
        16,
    ),
    Program(
        "Adam at 0.3 on a regression",
        True,
        friedman,
        _dense(64, 64, 64, 1, last=None),
        "mse",
        lambda: adam(0.3),
        15,
        metric="mae",
    ),
    Program(
        "SGD at 5", True, breast_cancer, _dense(32, 32, 1, last="sigmoid"), "binary_crossentropy", lambda: sgd(5.0), 20
    ),
    Program(
        "Adam at 0.3 on an autoencoder",
        True,
        _images,
        _dense(32, 16, 32, 64, last="sigmoid"),
        "mse",
        lambda: adam(0.3),
        15,
        metric="mae",
    ),
    Program(
        "SGD at 1e-3 on an autoencoder",
        True,
        _images,
        _dense(16, 64, last="sigmoid"),
        "mse",
        lambda: sgd(1e-3),
        20,
        metric="mae",
    ),
    Program(
        "RMSprop at 0.3", True, diabetes, _dense(32, 32, 1, last=None), "mse", lambda: rmsprop(0.3), 20, metric="mae"
    ),
    Program(
        "SGD at 1e-4 on three classes",
        True,
        iris,
        _dense(16, 3, last="softmax"),
        "sparse_categorical_crossentropy",
        lambda: sgd(1e-4),
        40,
        8,
    ),
]


def histories() -> Iterator[tuple[Program, dict[str, list[float]], dict[str, Any]]]:
    """Each program with its history and what is known of it, as keyword arguments of `analyze_history`."""
    for program in (*INNOCENT, *GUILTY):
        keras.utils.set_random_seed(0)
        x, y, x_val, y_val = program.data()
        model = keras.Sequential([keras.Input(x.shape[1:]), *program.layers()])
        optimizer = program.optimizer()
        model.compile(optimizer, program.loss, metrics=[program.metric])
        untrained = float(model.evaluate(x[: program.batch_size], y[: program.batch_size], verbose=0)[0])
        rate = float(optimizer.learning_rate)
        history = model.fit(
            x, y, epochs=program.epochs, batch_size=program.batch_size, validation_data=(x_val, y_val), verbose=0
        )
        known = {"optimizer": optimizer, "learning_rate": rate, "loss": program.loss}
        yield program, history.history, known | ({"untrained_loss": untrained} if np.isfinite(untrained) else {})
