"""Fine-tuning tasks: each model was trained on something else before, and only the validation after tuning counts.

`head` tunes a new output layer on a frozen backbone, `all` tunes everything with a new output layer, and `then` tunes
everything from an output layer that was first trained on the frozen backbone.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Literal

import keras
import numpy as np
from _advice_data import Data, digits
from _advice_hard import ADAM, ADAMW, block, deep_convnet, task
from _advice_models import Builder
from _advice_tasks import CE, Task, sgd
from keras import layers, losses, ops, optimizers

How = Literal["head", "all", "then"]
SENTENCE = 14
WORDS = 24
PIXEL = 255.0
SPARSE = losses.SparseCategoricalCrossentropy(from_logits=True)


def some_digits(
    first: int, last: int, *, samples: int | None = None, inverted: bool = False, largest: float = 1.0
) -> Data:
    """Digits of some classes, counted from 0, at most `samples` of them for training, pixels up to `largest`."""
    x, y, x_val, y_val = digits()
    inside, inside_val = (first <= y) & (y <= last), (first <= y_val) & (y_val <= last)
    x, x_val = (1 - x, 1 - x_val) if inverted else (x, x_val)
    x, x_val = x[inside][:samples] * largest, x_val[inside_val] * largest
    return x, y[inside][:samples] - first, x_val, y_val[inside_val] - first


def sentences(count: int, seed: int) -> np.ndarray:
    """Subject, verb and object with adjectives between, in a random grammar whose verbs agree with their subject.

    Words 2 to 5 are articles, 6 to 11 adjectives, 12 to 17 nouns (even: singular), 18 to 23 verbs (even: singular);
    1 ends a sentence and 0 fills up.
    """
    generator = np.random.default_rng(seed)
    texts = np.zeros((count, SENTENCE), dtype="int64")
    for text in texts:
        plural, objects = generator.integers(0, 2, 2)
        words = [2 + plural, *_adjectives(generator), 12 + 2 * generator.integers(0, 3) + plural]
        words += [18 + 2 * generator.integers(0, 3) + plural, 4 + objects, *_adjectives(generator)]
        words += [12 + 2 * generator.integers(0, 3) + objects, 1]
        text[: len(words)] = words
    return texts


def agreement(samples: int) -> Data:
    """Whether the verb of a sentence agrees with its subject; half of the sentences were made wrong."""
    generator = np.random.default_rng(1)
    texts, wrong = sentences(samples + 400, 1), generator.integers(0, 2, samples + 400)
    verbs = texts >= 18
    texts[verbs] = np.where(wrong == 1, texts[verbs] ^ 1, texts[verbs])
    return texts[:samples], wrong[:samples], texts[samples:], wrong[samples:]


def _adjectives(generator: np.random.Generator) -> list[int]:
    first = generator.integers(0, 6)
    return [6 + (first + step) % 6 for step in range(generator.integers(0, 3))]


def dense_backbone(*widths: int) -> keras.Model:
    """Dense layers of 64 pixels."""
    return keras.Sequential([keras.Input((64,)), *(layers.Dense(width, activation="relu") for width in widths)])


def conv_backbone(filters: int, depth: int) -> keras.Model:
    """The convolutions of `deep_convnet`."""
    return keras.Sequential([keras.Input((64,)), *deep_convnet(filters, depth)().layers[:-1]])


def text_backbone(width: int, blocks: int) -> keras.Model:
    """Causal transformer over a sentence; one vector per word."""
    inputs = keras.Input((SENTENCE,), dtype="int64")
    tokens = layers.Embedding(WORDS, width)(inputs) + layers.Embedding(SENTENCE, width)(ops.arange(SENTENCE))
    for _ in range(blocks):
        tokens = block(tokens, width)
    return keras.Model(inputs, layers.LayerNormalization()(tokens))


def _train(model: keras.Model, loss: Any, x: np.ndarray, y: np.ndarray, epochs: int) -> None:
    steps = len(x) // 64
    decay = optimizers.schedules.CosineDecay(1e-4, steps * epochs, warmup_target=1e-3, warmup_steps=steps)
    model.compile(ADAM(decay), loss, jit_compile=True)
    model.fit(x[: 64 * steps], y[: 64 * steps], batch_size=64, epochs=epochs, verbose=0)


def classifier_of(backbone: Callable[[], keras.Model], data: Callable[[], Data], epochs: int) -> list[np.ndarray]:
    """The weights of a backbone trained to classify."""
    keras.utils.set_random_seed(0)
    body, (x, y, *_) = backbone(), data()
    model = keras.Sequential([body, layers.Dense(int(y.max()) + 1)])
    _train(model, SPARSE, x, y, epochs)
    return body.get_weights()


def encoder_of(backbone: Callable[[], keras.Model], data: Callable[[], Data], epochs: int) -> list[np.ndarray]:
    """The weights of a backbone trained to encode what two dense layers decode."""
    keras.utils.set_random_seed(0)
    body, (x, *_) = backbone(), data()
    model = keras.Sequential([body, layers.Dense(128, activation="relu"), layers.Dense(64, activation="sigmoid")])
    _train(model, losses.MeanSquaredError(), x, x, epochs)
    return body.get_weights()


def language_model(backbone: Callable[[], keras.Model], count: int, epochs: int) -> list[np.ndarray]:
    """The weights of a backbone trained to predict each next word of a sentence."""
    keras.utils.set_random_seed(0)
    body, texts = backbone(), sentences(count, 0)
    model = keras.Sequential([body, layers.Dense(WORDS)])
    following = np.concatenate([texts[:, 1:], np.zeros((count, 1), dtype="int64")], axis=1)
    _train(model, SPARSE, texts, following, epochs)
    return body.get_weights()


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
}
