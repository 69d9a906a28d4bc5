"""Tasks whose good rates lie far apart: wide, deep, generative and unscaled ones, which no usual rate suits.

They are trained with one or two seeds and short runs of 75 steps, all that the refinement of a sweep of 300 steps uses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import _advice_data as data
import keras
import numpy as np
from _advice_data import Data
from _advice_models import Builder, mlp
from _advice_tasks import CE, MSE, Task, sgd
from keras import layers, ops, optimizers

from keras_lr.analysis._suggestion.calibration import kind_of

SHORT_STEPS = 75
HIGHEST_ADAPTIVE = 0.11


def task(
    load: Callable[[], Data],
    model: Builder,
    loss: Callable[..., object],
    optimizer: Callable[[], optimizers.Optimizer],
    batch_size: int,
    epochs: int,
    *,
    seeds: int = 1,
    classes: bool = True,
    highest: float | None = None,
) -> Task:
    """A compiled task with few seeds, short runs and, for adaptive optimizers, no rates above `HIGHEST_ADAPTIVE`."""
    adaptive = kind_of(optimizer()).adaptive
    highest = highest or (HIGHEST_ADAPTIVE if adaptive else 10.0)
    return Task(
        load,
        model,
        loss,
        optimizer,
        batch_size,
        epochs,
        classes,
        seeds=seeds,
        short_steps=SHORT_STEPS,
        highest=highest,
        compiled=True,
    )


def deep_convnet(filters: int, depth: int, outputs: int = 10) -> Builder:
    """Convolutions over 8x8 images without normalisation, pooled after every second until 2x2 is left."""

    def build() -> keras.Model:
        stack: list[Any] = [layers.Reshape((8, 8, 1))]
        for place in range(depth):
            stack.append(layers.Conv2D(filters, 3, padding="same", activation="relu"))
            stack += [layers.MaxPooling2D()] if place in (1, 3) else []
        return keras.Sequential([*stack, layers.Flatten(), layers.Dense(outputs)])

    return build


def block(tokens: Any, width: int, *, normed_first: bool = True, causal: bool = True) -> Any:
    """Attention and two dense layers, each with a residual and layer normalisation before or after it."""
    first, second = layers.LayerNormalization(), layers.LayerNormalization()
    attention = layers.MultiHeadAttention(4, width // 4)
    hidden, back = layers.Dense(2 * width, activation="gelu"), layers.Dense(width)
    if normed_first:
        normed = first(tokens)
        tokens = tokens + attention(normed, normed, use_causal_mask=causal)
        return tokens + back(hidden(second(tokens)))
    tokens = first(tokens + attention(tokens, tokens, use_causal_mask=causal))
    return second(tokens + back(hidden(tokens)))


def digit_transformer(width: int, blocks: int) -> Builder:
    """Transformer over the eight rows of a digit, with layer normalisation after each residual."""

    def build() -> keras.Model:
        inputs = keras.Input((64,))
        tokens = layers.Dense(width)(layers.Reshape((8, 8))(inputs))
        tokens = tokens + layers.Embedding(8, width)(ops.arange(8))
        for _ in range(blocks):
            tokens = block(tokens, width, normed_first=False, causal=False)
        return keras.Model(inputs, layers.Dense(10)(layers.GlobalAveragePooling1D()(tokens)))

    return build


class Noise(layers.Layer):
    """Draws a code from its mean and log variance."""

    def __init__(self) -> None:
        super().__init__()
        self.seed_generator = keras.random.SeedGenerator(0)

    def call(self, inputs: Any, training: bool = False) -> Any:
        """The mean itself outside training."""
        mean, log_variance = ops.split(inputs, 2, axis=-1)
        if not training:
            return mean
        noise = keras.random.normal(ops.shape(mean), seed=self.seed_generator)
        return mean + ops.exp(0.5 * log_variance) * noise


def vae(code: int, encoder: Builder, decoder: Builder) -> Builder:
    """Logits of 64 pixels, then mean and log variance of the code."""

    def build() -> keras.Model:
        inputs = keras.Input((64,))
        codes = layers.Dense(2 * code)(encoder()(inputs))
        return keras.Model(inputs, layers.Concatenate()([decoder()(Noise()(codes)), codes]))

    return build


def vae_loss(target: Any, output: Any) -> Any:
    """Negative evidence lower bound in nats per image."""
    logits, codes = output[:, :64], output[:, 64:]
    mean, log_variance = ops.split(codes, 2, axis=-1)
    pixels = ops.binary_crossentropy(target, logits, from_logits=True)
    divergence = 0.5 * (ops.square(mean) + ops.exp(log_variance) - 1 - log_variance)
    return ops.mean(ops.sum(pixels, -1) + ops.sum(divergence, -1))


def adding() -> Data:
    """The sum of the two marked numbers of a sequence of 60, one in each half."""
    generator = np.random.default_rng(0)
    x = np.zeros((1600, 60, 2))
    x[:, :, 0] = generator.uniform(0, 1, (1600, 60))
    first, second = generator.integers(0, 30, 1600), generator.integers(30, 60, 1600)
    rows = np.arange(1600)
    x[rows, first, 1] = x[rows, second, 1] = 1
    return data.split(x, (x[rows, first, 0] + x[rows, second, 0])[:, None])


def faint_digits() -> Data:
    """Digits with pixels up to 0.3."""
    return data.digits(scale=16 / 0.3)


def digits_itself() -> Data:
    """Digits as their own targets."""
    return data.digits(itself=True)


def raw_diabetes() -> Data:
    """Diabetes with its target from 25 to 346."""
    return data.diabetes(scaled_target=False)


def _mirror(*widths: int) -> Builder:
    return lambda: keras.Sequential([*(layers.Dense(width, activation="relu") for width in widths), layers.Dense(64)])


def _recurrent(units: int) -> Builder:
    return lambda: keras.Sequential([layers.SimpleRNN(units), layers.Dense(1)])


def _dense_encoder() -> keras.Model:
    return keras.Sequential([layers.Dense(256, activation="relu"), layers.Dense(128, activation="relu")])


ADAM, ADAMW, NADAM, RMSPROP = optimizers.Adam, optimizers.AdamW, optimizers.Nadam, optimizers.RMSprop
DIGITS = data.digits

HARD_TASKS = {
    "hard-wide2048-adam": task(DIGITS, mlp(2048, 1024, outputs=10), CE, ADAM, 64, 3, highest=0.5),
    "hard-deep8-adam": task(DIGITS, mlp(*[128] * 8, outputs=10), CE, ADAM, 64, 15, seeds=2, highest=0.5),
    "hard-deep16-tanh-nadam": task(
        DIGITS, mlp(*[64] * 16, outputs=10, activation="tanh"), CE, NADAM, 64, 10, seeds=2, highest=0.5
    ),
    "hard-vae-dense-adam": task(
        digits_itself, vae(8, _dense_encoder, _mirror(128, 256)), vae_loss, ADAM, 64, 6, classes=False
    ),
    "hard-raw-target-sgd": task(raw_diabetes, mlp(64, 64, outputs=1), MSE, sgd(), 32, 20, classes=False),
    "hard-epochs80-adamw": task(data.diabetes, mlp(256, 256, outputs=1), MSE, ADAMW, 128, 80, classes=False),
    "hard-epochs60-sgd": task(data.informative, mlp(64, 64, outputs=4), CE, sgd(), 512, 60),
    "hard-batch1024-sgd": task(faint_digits, mlp(64, outputs=10), CE, sgd(), 1024, 100),
    "hard-rnn-long-rmsprop": task(adding, _recurrent(48), MSE, RMSPROP, 64, 6, classes=False),
    "hard-cnn6-adam": task(DIGITS, deep_convnet(12, 6), CE, ADAM, 64, 6),
    "hard-batch2-sgdm": task(data.friedman, mlp(64, 64, outputs=1), MSE, sgd(0.9), 2, 1, classes=False),
    "hard-transformer4-post-adam": task(DIGITS, digit_transformer(32, 4), CE, ADAM, 32, 2),
}
