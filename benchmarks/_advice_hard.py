"""Tasks whose good rates lie far apart: wide, deep, generative and unscaled ones, which no usual rate suits.

They are trained with one or two seeds and short runs of 75 steps, all that the refinement of a sweep of 300 steps uses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import _advice_data as data
import keras
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


def block(tokens: Any, width: int) -> Any:
    """Causal attention and two dense layers, each with layer normalisation before it and a residual around it."""
    normed = layers.LayerNormalization()(tokens)
    tokens = tokens + layers.MultiHeadAttention(4, width // 4)(normed, normed, use_causal_mask=True)
    hidden = layers.Dense(2 * width, activation="gelu")(layers.LayerNormalization()(tokens))
    return tokens + layers.Dense(width)(hidden)


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


def digits_itself() -> Data:
    """Digits as their own targets."""
    return data.digits(itself=True)


def raw_diabetes() -> Data:
    """Diabetes with its target from 25 to 346."""
    return data.diabetes(scaled_target=False)


def _mirror(*widths: int) -> Builder:
    return lambda: keras.Sequential([*(layers.Dense(width, activation="relu") for width in widths), layers.Dense(64)])


def _dense_encoder() -> keras.Model:
    return keras.Sequential([layers.Dense(256, activation="relu"), layers.Dense(128, activation="relu")])


ADAM, ADAMW, NADAM = optimizers.Adam, optimizers.AdamW, optimizers.Nadam
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
}
