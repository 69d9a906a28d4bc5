"""Small Keras models of the advice benchmark. Each function returns a builder, so listing a task builds nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import layers, ops

Builder = Callable[[], keras.Model]


def mlp(
    *units: int,
    outputs: int,
    activation: str = "relu",
    dropout: float = 0.0,
    batch_norm: bool = False,
    layer_norm: bool = False,
    init_stddev: float | None = None,
) -> Builder:
    """Dense layers; `init_stddev` replaces Glorot's initialisation with a normal one of that standard deviation."""

    def build() -> keras.Model:
        init = "glorot_uniform" if init_stddev is None else keras.initializers.RandomNormal(stddev=init_stddev)
        stack: list[Any] = []
        for width in units:
            stack.append(layers.Dense(width, kernel_initializer=init))
            stack += [layers.BatchNormalization()] if batch_norm else []
            stack += [layers.LayerNormalization()] if layer_norm else []
            stack.append(layers.Activation(activation))
            stack += [layers.Dropout(dropout)] if dropout else []
        return keras.Sequential([*stack, layers.Dense(outputs, kernel_initializer=init)])

    return build


def convnet(first: int, second: int) -> Builder:
    """Two convolutions over 8x8 images and a global average."""
    return lambda: keras.Sequential(
        [
            layers.Reshape((8, 8, 1)),
            layers.Conv2D(first, 3, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(second, 3, padding="same", activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(10),
        ]
    )


def autoencoder(width: int, code: int) -> Builder:
    """Dense `width`-`code`-`width` autoencoder of 64 pixels in [0, 1]."""
    return lambda: keras.Sequential(
        [
            layers.Dense(width, activation="relu"),
            layers.Dense(code, activation="relu"),
            layers.Dense(width, activation="relu"),
            layers.Dense(64, activation="sigmoid"),
        ]
    )


def strided_convnet(filters: int) -> Builder:
    """Two strided convolutions over 8x8 images and a dense layer."""
    return lambda: keras.Sequential(
        [
            layers.Reshape((8, 8, 1)),
            layers.Conv2D(filters, 3, strides=2, activation="relu"),
            layers.Conv2D(2 * filters, 3, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dense(10),
        ]
    )


def residual_mlp(width: int, blocks: int, *, outputs: int) -> Builder:
    """Residual blocks of two dense layers each, without normalisation."""

    def build() -> keras.Model:
        stack: list[Any] = [layers.Dense(width)]
        for _ in range(blocks):
            stack.append(_Residual(width))
        return keras.Sequential([*stack, layers.Dense(outputs)])

    return build


class _Residual(layers.Layer):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner, self.outer = layers.Dense(width, activation="relu"), layers.Dense(width)

    def build(self, input_shape: Any) -> None:
        self.inner.build(input_shape)
        self.outer.build(input_shape)
        super().build(input_shape)

    def call(self, inputs: Any) -> Any:
        return inputs + self.outer(self.inner(inputs))


def factorisation(width: int) -> Builder:
    """The product of a user's and an item's embedding."""

    def build() -> keras.Model:
        inputs = keras.Input((2,), dtype="int64")
        users, items = layers.Embedding(80, width)(inputs[:, 0]), layers.Embedding(60, width)(inputs[:, 1])
        return keras.Model(inputs, layers.Dense(1)(users * items))

    return build


def sequence_convnet(filters: int) -> Builder:
    """Two one-dimensional convolutions, their mean, and two logits."""
    return lambda: keras.Sequential(
        [
            layers.Conv1D(filters, 5, activation="relu"),
            layers.Conv1D(filters, 5, activation="relu"),
            layers.GlobalAveragePooling1D(),
            layers.Dense(2),
        ]
    )


def next_symbol(symbols: int, width: int) -> Builder:
    """Flattened embeddings and one hidden layer."""
    return lambda: keras.Sequential(
        [
            layers.Embedding(symbols, width),
            layers.Flatten(),
            layers.Dense(4 * width, activation="relu"),
            layers.Dense(symbols),
        ]
    )


def recurrent(cell: str, units: int) -> Builder:
    """One recurrent layer and two logits."""
    return lambda: keras.Sequential([getattr(layers, cell)(units), layers.Dense(2)])


def row_reader(units: int) -> Builder:
    """A GRU that reads a digit row by row, and ten logits."""
    return lambda: keras.Sequential([layers.Reshape((8, 8)), layers.GRU(units), layers.Dense(10)])


def separable_convnet(filters: int) -> Builder:
    """Two separable convolutions over 8x8 images with batch normalisation, and ten logits."""
    return lambda: keras.Sequential(
        [
            layers.Reshape((8, 8, 1)),
            layers.SeparableConv2D(filters, 3, activation="relu"),
            layers.BatchNormalization(),
            layers.SeparableConv2D(2 * filters, 3, activation="relu"),
            layers.GlobalMaxPooling2D(),
            layers.Dense(10),
        ]
    )


def conv_denoiser(filters: int) -> Builder:
    """Two convolutions over 8x8 images and a third back to one channel."""
    return lambda: keras.Sequential(
        [
            layers.Reshape((8, 8, 1)),
            layers.Conv2D(filters, 3, padding="same", activation="relu"),
            layers.Conv2D(filters, 3, padding="same", activation="relu"),
            layers.Conv2D(1, 3, padding="same"),
            layers.Flatten(),
        ]
    )


def token_bag(width: int) -> Builder:
    """The mean of 500 words' embeddings and five logits."""
    return lambda: keras.Sequential([layers.Embedding(500, width), layers.GlobalAveragePooling1D(), layers.Dense(5)])


def transformer(*, width: int, blocks: int) -> Builder:
    """Pre-norm transformer over the eight rows of a digit."""

    def build() -> keras.Model:
        inputs = keras.Input((64,))
        tokens = layers.Dense(width)(layers.Reshape((8, 8))(inputs))
        tokens = tokens + layers.Embedding(8, width)(ops.arange(8))
        for _ in range(blocks):
            normed = layers.LayerNormalization()(tokens)
            tokens = tokens + layers.MultiHeadAttention(4, width // 4)(normed, normed)
            hidden = layers.Dense(2 * width, activation="gelu")(layers.LayerNormalization()(tokens))
            tokens = tokens + layers.Dense(width)(hidden)
        return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling1D()(tokens)))

    return build


def gaussian_head(units: int) -> Builder:
    """Mean and log standard deviation from one hidden layer."""
    return mlp(units, units, outputs=2, activation="tanh")


def gaussian_nll(target: Any, output: Any) -> Any:
    """Gaussian negative log-likelihood without its constant; it is negative once the fit is good."""
    mean, log_spread = output[:, :1], output[:, 1:]
    return ops.mean(log_spread + 0.5 * ops.square((target - mean) * ops.exp(-log_spread)))
