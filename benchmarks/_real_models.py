"""Models that people train, with synthetic data, for the comparison of searches and of range tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

RATES = [1e-4, 3e-4, 1e-3, 3e-3, 1e-2]
EPOCHS = 3
layers = keras.layers


class Task(NamedTuple):
    """A model and the arguments of `search`, without `epochs`."""

    build: Callable[[Any], keras.Model]
    data: Callable[[], dict[str, Any]]


def compiled(model: keras.Model, hp: Any, loss: Any = "sparse_categorical_crossentropy") -> keras.Model:
    """The model with Adam at the searched rate."""
    rate = hp.Choice("learning_rate", RATES)
    model.compile(keras.optimizers.Adam(rate), loss, metrics=["accuracy"] if loss != "mse" else [])
    return model


def convolutional(hp: Any, *, augmented: bool = False) -> keras.Model:
    """Three convolutions with batch normalization, for images of 24x24x3."""
    x = inputs = keras.Input((24, 24, 3))
    if augmented:
        x = layers.RandomTranslation(0.1, 0.1)(layers.RandomFlip("horizontal")(x))
    for width in (16, 32, 64):
        x = layers.ReLU()(layers.BatchNormalization()(layers.Conv2D(width, 3, padding="same", use_bias=False)(x)))
        x = layers.MaxPooling2D()(x)
    return compiled(keras.Model(inputs, layers.Dense(10, "softmax")(layers.GlobalAveragePooling2D()(x))), hp)


def tabular(hp: Any) -> keras.Model:
    """Two hidden layers with batch normalization, for 20 columns."""
    x = inputs = keras.Input((20,))
    for _ in range(2):
        x = layers.Dropout(0.2)(layers.ReLU()(layers.BatchNormalization()(layers.Dense(64)(x))))
    return compiled(keras.Model(inputs, layers.Dense(1, "sigmoid")(x)), hp, "binary_crossentropy")


def transformer(hp: Any) -> keras.Model:
    """One block over 40 tokens."""
    inputs = keras.Input((40,), dtype="int32")
    x = layers.Embedding(2000, 32)(inputs)
    x = layers.LayerNormalization()(x + layers.MultiHeadAttention(2, 16, dropout=0.1)(x, x))
    x = layers.LayerNormalization()(x + layers.Dense(32)(layers.Dense(64, "relu")(x)))
    return compiled(keras.Model(inputs, layers.Dense(2, "softmax")(layers.GlobalAveragePooling1D()(x))), hp)


def recurrent(hp: Any) -> keras.Model:
    """A GRU over 30 steps."""
    inputs = keras.Input((30, 8))
    return compiled(keras.Model(inputs, layers.Dense(1)(layers.GRU(32)(inputs))), hp, "mse")


def u_net(hp: Any) -> keras.Model:
    """Two levels, for masks of 32x32."""
    x = inputs = keras.Input((32, 32, 1))
    skipped = []
    for width in (8, 16):
        x = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
        skipped.append(x)
        x = layers.MaxPooling2D()(x)
    x = layers.Conv2D(32, 3, padding="same", activation="relu")(x)
    for width, skip in zip((16, 8), reversed(skipped), strict=True):
        x = layers.Concatenate()([layers.UpSampling2D()(x), skip])
        x = layers.Conv2D(width, 3, padding="same", activation="relu")(x)
    return compiled(keras.Model(inputs, layers.Conv2D(1, 1, activation="sigmoid")(x)), hp, "binary_crossentropy")


def mobile_net(hp: Any) -> keras.Model:
    """A new layer on MobileNetV2, whose weights are frozen, for images of 96x96."""
    inputs = keras.Input((96, 96, 3))
    base = keras.applications.MobileNetV2((96, 96, 3), include_top=False, weights=None, pooling="avg")
    base.trainable = False
    return compiled(keras.Model(inputs, layers.Dense(5, "softmax")(base(inputs, training=False))), hp)


def arrays(shape: tuple[int, ...], classes: int, *, size: int = 1536, tokens: int = 0) -> dict[str, Any]:
    """Inputs and targets, a quarter of them for validation; a target depends on the first entries of its input."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, tokens, (size, *shape)).astype("int32") if tokens else rng.normal(size=(size, *shape))
    score = x.reshape(size, -1)[:, :4].sum(axis=1)
    y = np.argsort(np.argsort(score)) * classes // size if classes > 1 else score
    x = x if tokens else x.astype("float32")
    y = y.astype("int32" if classes > 1 else "float32")
    cut = size * 3 // 4
    return {"x": x[:cut], "y": y[:cut], "validation_data": (x[cut:], y[cut:]), "batch_size": 32}


def masks() -> dict[str, Any]:
    """Noisy images and where they are bright."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(512, 32, 32, 1)).astype("float32")
    y = (x > 0.5).astype("float32")
    return {"x": x[:384], "y": y[:384], "validation_data": (x[384:], y[384:]), "batch_size": 32}


def pipeline() -> dict[str, Any]:
    """The images as datasets, shuffled and flipped."""
    given = arrays((24, 24, 3), 10)
    train = tf.data.Dataset.from_tensor_slices((given["x"], given["y"])).shuffle(1024)
    train = train.map(lambda x, y: (tf.image.random_flip_left_right(x, seed=1), y), num_parallel_calls=2)
    validation = tf.data.Dataset.from_tensor_slices(given["validation_data"]).batch(32)
    return {"x": train.batch(32).prefetch(2), "validation_data": validation}


TASKS = {
    "CNN with BatchNorm, arrays": Task(convolutional, lambda: arrays((24, 24, 3), 10)),
    "CNN, augmentation layers": Task(lambda hp: convolutional(hp, augmented=True), lambda: arrays((24, 24, 3), 10)),
    "CNN with BatchNorm, tf.data": Task(convolutional, pipeline),
    "tabular MLP with BatchNorm": Task(tabular, lambda: arrays((20,), 2, size=8192)),
    "text transformer": Task(transformer, lambda: arrays((40,), 2, size=2048, tokens=2000)),
    "GRU": Task(recurrent, lambda: arrays((30, 8), 1, size=2048)),
    "U-Net": Task(u_net, masks),
    "MobileNetV2, frozen": Task(mobile_net, lambda: arrays((96, 96, 3), 5, size=256)),
}
