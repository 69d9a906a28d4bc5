"""Fine-tuning tasks: each model was trained on something else before, and only the validation after tuning counts.

`head` tunes a new output layer on a frozen backbone, `all` tunes everything with a new output layer, `then` tunes
everything from an output layer that was first trained on the frozen backbone, and `on` trains a model on, output layer
included, with data that have changed a little. In most of the last the best rate is far below the usual one.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Literal

import keras
import numpy as np
from _advice_data import Data, digits
from _advice_hard import ADAM, ADAMW, NADAM, RMSPROP, digit_transformer, task
from _advice_models import Builder, mlp, residual_mlp
from _advice_pretrained import (
    SPARSE,
    WORDS,
    agreement,
    bent_friedman,
    classifier_of,
    conv_backbone,
    dense_backbone,
    digits_themselves,
    encoder_of,
    language_model,
    model_of,
    next_words,
    noisy_digits,
    some_digits,
    text_backbone,
)
from _advice_tasks import CE, MSE, Task, sgd
from keras import layers, optimizers

How = Literal["head", "all", "then"]
PIXEL, BITS = 255.0, 4095.0


def tuned(
    how: How,
    backbone: Callable[[], keras.Model],
    trained: Callable[[], list[np.ndarray]],
    data: Callable[[], Data],
    outputs: int,
    *,
    zero: bool = False,
) -> Builder:
    """A builder of the model to tune: the trained backbone, the mean over words if there are any, and a new head.

    The head starts at random, or with `zero` at zero, as is usual for features of large scale.
    """
    weights = cache(trained)

    def build() -> keras.Model:
        body = backbone()
        body.set_weights(weights())
        pool = [layers.GlobalAveragePooling1D()] if len(body.output_shape) == 3 else []
        head = layers.Dense(outputs, kernel_initializer="zeros" if zero else "glorot_uniform")
        model = keras.Sequential([body, *pool, head])
        body.trainable = how == "all"
        if how == "then":
            x, y, *_ = data()
            largest = max(float(x.max()), 1.0) if x.dtype.kind == "f" else 1.0
            model.compile(ADAM(3e-3 / largest), SPARSE, jit_compile=False)
            model.fit(x, y, batch_size=32, epochs=15, verbose=0)
            body.trainable = True
        return model

    return build


def _tuning(
    how: How,
    backbone: Callable[[], keras.Model],
    trained: Callable[[], list[np.ndarray]],
    data: Callable[[], Data],
    outputs: int,
    optimizer: Callable[[], optimizers.Optimizer],
    epochs: int,
    *,
    batch_size: int = 16,
    seeds: int = 1,
    highest: float | None = None,
    zero: bool = False,
) -> Task:
    return task(
        data,
        tuned(how, backbone, trained, data, outputs, zero=zero),
        CE,
        optimizer,
        batch_size,
        epochs,
        seeds=seeds,
        highest=highest,
    )


def _on(
    build: Builder,
    trained: Callable[[], list[np.ndarray]],
    data: Callable[[], Data],
    optimizer: Callable[[], optimizers.Optimizer],
    epochs: int,
    *,
    batch_size: int = 16,
    classes: bool = True,
) -> Task:
    def model() -> keras.Model:
        again = build()
        again(data()[0][:1])
        again.set_weights(trained())
        return again

    return task(data, model, CE if classes else MSE, optimizer, batch_size, epochs, classes=classes)


def _dense() -> keras.Model:
    return dense_backbone(512, 512)


def _deep() -> keras.Model:
    return dense_backbone(*[256] * 6)


def _conv() -> keras.Model:
    return conv_backbone(16, 4)


def _text() -> keras.Model:
    return text_backbone(32, 4)


def _encoder() -> keras.Model:
    return dense_backbone(256, 256, 128, 128, 32)


def _pixels() -> keras.Model:
    return dense_backbone(*[128] * 4)


def _wide_pixels() -> keras.Model:
    return dense_backbone(2048)


def _deep12() -> keras.Model:
    return dense_backbone(*[256] * 12)


@cache
def _dense_weights() -> list[np.ndarray]:
    return classifier_of(_dense, lambda: some_digits(0, 4), 30)


@cache
def _deep_weights() -> list[np.ndarray]:
    return classifier_of(_deep, lambda: some_digits(0, 9), 30)


@cache
def _pixel_weights() -> list[np.ndarray]:
    return classifier_of(_pixels, lambda: some_digits(0, 9, largest=PIXEL), 30)


@cache
def _conv_pixel_weights() -> list[np.ndarray]:
    return classifier_of(_conv, lambda: some_digits(0, 5, largest=PIXEL), 30)


@cache
def _wide_pixel_weights() -> list[np.ndarray]:
    return classifier_of(_wide_pixels, lambda: some_digits(0, 5, largest=PIXEL), 20)


@cache
def _deep12_weights() -> list[np.ndarray]:
    return classifier_of(_deep12, lambda: some_digits(0, 9), 20)


@cache
def _text_weights() -> list[np.ndarray]:
    return language_model(_text, 1024, 16)


@cache
def _encoder_weights() -> list[np.ndarray]:
    return encoder_of(_encoder, lambda: some_digits(0, 9), 40)


def _bits() -> keras.Model:
    return dense_backbone(2048)


def _wide2048() -> keras.Model:
    return dense_backbone(2048, 2048)


def _post() -> keras.Model:
    return text_backbone(96, 6, normed_first=False)


DEEP8, RESIDUAL8, ROWS4 = mlp(*[512] * 8, outputs=10), residual_mlp(512, 8, outputs=10), digit_transformer(64, 4)
SMOOTH = mlp(1024, 1024, outputs=1, activation="gelu")


def _wide_autoencoder() -> keras.Model:
    wide = [layers.Dense(1024, activation="relu") for _ in range(2)]
    return keras.Sequential([wide[0], layers.Dense(32), wide[1], layers.Dense(64)])


def _speaker() -> keras.Model:
    return keras.Sequential([text_backbone(128, 4), layers.Dense(WORDS)])


@cache
def _bits_weights() -> list[np.ndarray]:
    return classifier_of(_bits, lambda: some_digits(0, 5, largest=BITS), 10)


@cache
def _deep8_weights() -> list[np.ndarray]:
    return model_of(DEEP8, digits, SPARSE, 20)


@cache
def _residual8_weights() -> list[np.ndarray]:
    return model_of(RESIDUAL8, digits, SPARSE, 15)


@cache
def _wide2048_weights() -> list[np.ndarray]:
    return classifier_of(_wide2048, digits, 12)


@cache
def _post_weights() -> list[np.ndarray]:
    return language_model(_post, 1024, 16, rate=3e-4)


@cache
def _rows4_weights() -> list[np.ndarray]:
    return model_of(ROWS4, digits, SPARSE, 20)


@cache
def _autoencoder_weights() -> list[np.ndarray]:
    return model_of(_wide_autoencoder, lambda: digits_themselves(0, 4), MSE, 60)


@cache
def _smooth_weights() -> list[np.ndarray]:
    return model_of(SMOOTH, lambda: bent_friedman(samples=3000), MSE, 40)


@cache
def _speaker_weights() -> list[np.ndarray]:
    return model_of(_speaker, lambda: next_words(samples=1024, seed=0), SPARSE, 12, rate=5e-4)


def _bit_others() -> Data:
    return some_digits(6, 9, samples=300, largest=BITS)


def _noisy(samples: int, noise: float) -> Callable[[], Data]:
    return lambda: noisy_digits(samples=samples, noise=noise)


def _bent(bend: float) -> Callable[[], Data]:
    return lambda: bent_friedman(samples=300, bend=bend)


def _others(samples: int) -> Callable[[], Data]:
    return lambda: some_digits(5, 9, samples=samples)


def _pixel_others(samples: int) -> Callable[[], Data]:
    return lambda: some_digits(6, 9, samples=samples, largest=PIXEL)


def _pixel_inverted(samples: int) -> Callable[[], Data]:
    return lambda: some_digits(0, 9, samples=samples, inverted=True, largest=PIXEL)


def _inverted(samples: int) -> Callable[[], Data]:
    return lambda: some_digits(0, 9, samples=samples, inverted=True)


def _few(samples: int) -> Callable[[], Data]:
    return lambda: some_digits(0, 9, samples=samples)


def _agreement(samples: int) -> Callable[[], Data]:
    return lambda: agreement(samples)


SGDM = sgd(0.9)
TUNE_TASKS = {
    "tune-deep-all-adamw": _tuning("all", _deep, _deep_weights, _inverted(300), 10, ADAMW, 8, seeds=2, highest=0.5),
    "tune-deep-then-adam": _tuning("then", _deep, _deep_weights, _inverted(300), 10, ADAM, 10, seeds=2, highest=0.5),
    "tune-pixels-all-adam": _tuning("all", _pixels, _pixel_weights, _pixel_inverted(300), 10, ADAM, 6),
    "tune-pixels-then-adamw": _tuning("then", _pixels, _pixel_weights, _pixel_inverted(300), 10, ADAMW, 6),
    "tune-zero-head-adam": _tuning("head", _pixels, _pixel_weights, _pixel_inverted(300), 10, ADAM, 6, zero=True),
    "tune-zero-all-adamw": _tuning("all", _pixels, _pixel_weights, _pixel_inverted(300), 10, ADAMW, 6, zero=True),
    "tune-zero-wide-head-adam": _tuning(
        "head", _wide_pixels, _wide_pixel_weights, _pixel_others(300), 4, ADAM, 6, zero=True
    ),
    "tune-zero-cnn-head-adamw": _tuning("head", _conv, _conv_pixel_weights, _pixel_others(300), 4, ADAMW, 6, zero=True),
    "tune-deep12-then-adamw": _tuning("then", _deep12, _deep12_weights, _inverted(300), 10, ADAMW, 5),
    "tune-mlp-all-adam": _tuning("all", _dense, _dense_weights, _others(300), 5, ADAM, 6),
    "tune-mlp-all-sgdm": _tuning("all", _dense, _dense_weights, _others(300), 5, SGDM, 6),
    "tune-text-all-adamw": _tuning("all", _text, _text_weights, _agreement(320), 2, ADAMW, 5),
    "tune-encoder-all-adam": _tuning("all", _encoder, _encoder_weights, _few(300), 10, ADAM, 6),
    "tune-bits-head-adam": _tuning("head", _bits, _bits_weights, _bit_others, 4, ADAM, 4, zero=True),
    "tune-deep8-on-nadam": _on(DEEP8, _deep8_weights, _noisy(300, 0.3), NADAM, 4),
    "tune-residual8-on-adamw": _on(RESIDUAL8, _residual8_weights, _noisy(300, 0.3), ADAMW, 4),
    "tune-autoencoder-on-rmsprop": _on(
        _wide_autoencoder,
        _autoencoder_weights,
        lambda: digits_themselves(0, 9, samples=300, ink=0.6),
        RMSPROP,
        5,
        classes=False,
    ),
    "tune-smooth-on-adam": _on(SMOOTH, _smooth_weights, _bent(0.3), ADAM, 5, classes=False),
    "tune-smooth-on-adamw": _on(SMOOTH, _smooth_weights, _bent(0.15), ADAMW, 8, classes=False),
    "tune-post6-then-adamw": _tuning("then", _post, _post_weights, _agreement(320), 2, ADAMW, 3),
    "tune-wide2048-then-adamw": _tuning("then", _wide2048, _wide2048_weights, _inverted(300), 10, ADAMW, 3),
    "tune-rows4-on-adamw": _on(ROWS4, _rows4_weights, _noisy(300, 0.2), ADAMW, 4),
    "tune-speaker-on-adam": _on(
        _speaker,
        _speaker_weights,
        lambda: next_words(samples=160, seed=5, dialect=True),
        ADAM,
        4,
        batch_size=8,
    ),
}
