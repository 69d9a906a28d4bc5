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
SPARSE = losses.SparseCategoricalCrossentropy(from_logits=True)


def some_digits(first: int, last: int, *, samples: int | None = None, inverted: bool = False) -> Data:
    """Digits of some classes, counted from 0, at most `samples` of them for training."""
    x, y, x_val, y_val = digits()
    inside, inside_val = (first <= y) & (y <= last), (first <= y_val) & (y_val <= last)
    x, x_val = (1 - x, 1 - x_val) if inverted else (x, x_val)
    return x[inside][:samples], y[inside][:samples] - first, x_val[inside_val], y_val[inside_val] - first


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


def counting(samples: int) -> Data:
    """The number of adjectives in a sentence, from 0 to 4."""
    texts = sentences(samples + 400, 2)
    labels = ((texts >= 6) & (texts < 12)).sum(axis=1)
    return texts[:samples], labels[:samples], texts[samples:], labels[samples:]


def _adjectives(generator: np.random.Generator) -> list[int]:
    first = generator.integers(0, 6)
    return [6 + (first + step) % 6 for step in range(generator.integers(0, 3))]


def dense_backbone(*widths: int) -> keras.Model:
    """Dense layers of 64 pixels."""
    return keras.Sequential([keras.Input((64,)), *(layers.Dense(width, activation="relu") for width in widths)])


def conv_backbone(filters: int, depth: int) -> keras.Model:
    """The convolutions of `deep_convnet`."""
    return keras.Sequential([keras.Input((64,)), *deep_convnet(filters, depth)().layers[:-1]])


def text_backbone(width: int, blocks: int, *, normed_first: bool) -> keras.Model:
    """Causal transformer over a sentence; one vector per word."""
    inputs = keras.Input((SENTENCE,), dtype="int64")
    tokens = layers.Embedding(WORDS, width)(inputs) + layers.Embedding(SENTENCE, width)(ops.arange(SENTENCE))
    for _ in range(blocks):
        tokens = block(tokens, width, normed_first=normed_first, causal=True)
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
) -> Builder:
    """A builder of the model to tune: the trained backbone, the mean over words if there are any, and a new head."""
    weights = cache(trained)

    def build() -> keras.Model:
        body = backbone()
        body.set_weights(weights())
        pool = [layers.GlobalAveragePooling1D()] if len(body.output_shape) == 3 else []
        model = keras.Sequential([body, *pool, layers.Dense(outputs)])
        body.trainable = how == "all"
        if how == "then":
            x, y, *_ = data()
            model.compile(ADAM(3e-3), SPARSE, jit_compile=True)
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
) -> Task:
    return task(data, tuned(how, backbone, trained, data, outputs), CE, optimizer, batch_size, epochs, seeds=seeds)


def _dense() -> keras.Model:
    return dense_backbone(512, 512)


def _deep() -> keras.Model:
    return dense_backbone(*[256] * 6)


def _conv() -> keras.Model:
    return conv_backbone(16, 4)


def _text() -> keras.Model:
    return text_backbone(48, 4, normed_first=True)


def _text_post() -> keras.Model:
    return text_backbone(48, 5, normed_first=False)


def _encoder() -> keras.Model:
    return dense_backbone(256, 256, 128, 128, 32)


def _wide() -> keras.Model:
    return dense_backbone(768, 768, 768)


def _deep_conv() -> keras.Model:
    return conv_backbone(16, 8)


@cache
def _dense_weights() -> list[np.ndarray]:
    return classifier_of(_dense, lambda: some_digits(0, 4), 30)


@cache
def _deep_weights() -> list[np.ndarray]:
    return classifier_of(_deep, lambda: some_digits(0, 9), 30)


@cache
def _wide_weights() -> list[np.ndarray]:
    return classifier_of(_wide, lambda: some_digits(0, 9), 12)


@cache
def _deep_conv_weights() -> list[np.ndarray]:
    return classifier_of(_deep_conv, lambda: some_digits(0, 9), 25)


@cache
def _conv_weights() -> list[np.ndarray]:
    return classifier_of(_conv, lambda: some_digits(0, 5), 40)


@cache
def _text_weights() -> list[np.ndarray]:
    return language_model(_text, 2048, 15)


@cache
def _text_post_weights() -> list[np.ndarray]:
    return language_model(_text_post, 2048, 15)


@cache
def _encoder_weights() -> list[np.ndarray]:
    return encoder_of(_encoder, lambda: some_digits(0, 9), 40)


def _others(samples: int) -> Callable[[], Data]:
    return lambda: some_digits(5, 9, samples=samples)


def _last(samples: int) -> Callable[[], Data]:
    return lambda: some_digits(6, 9, samples=samples)


def _inverted(samples: int) -> Callable[[], Data]:
    return lambda: some_digits(0, 9, samples=samples, inverted=True)


def _few(samples: int) -> Callable[[], Data]:
    return lambda: some_digits(0, 9, samples=samples)


def _agreement(samples: int) -> Callable[[], Data]:
    return lambda: agreement(samples)


def _counting(samples: int) -> Callable[[], Data]:
    return lambda: counting(samples)


SGDM = sgd(0.9)
TUNE = {
    "tune-deep-all-adamw": _tuning("all", _deep, _deep_weights, _inverted(300), 10, ADAMW, 8, seeds=2),
    "tune-deep-then-adam": _tuning("then", _deep, _deep_weights, _inverted(300), 10, ADAM, 10, seeds=2),
    "tune-wide-then-adamw": _tuning("then", _wide, _wide_weights, _inverted(300), 10, ADAMW, 8),
    "tune-mlp-head-adam": _tuning("head", _dense, _dense_weights, _others(200), 5, ADAM, 5, seeds=2),
    "tune-mlp-all-adam": _tuning("all", _dense, _dense_weights, _others(300), 5, ADAM, 8, seeds=2),
    "tune-mlp-all-sgdm": _tuning("all", _dense, _dense_weights, _others(300), 5, SGDM, 6, seeds=2),
    "tune-cnn-head-adamw": _tuning("head", _conv, _conv_weights, _last(200), 4, ADAMW, 10, seeds=2),
    "tune-cnn-all-adam": _tuning("all", _conv, _conv_weights, _last(300), 4, ADAM, 6, seeds=2),
    "tune-cnn8-then-adamw": _tuning("then", _deep_conv, _deep_conv_weights, _inverted(300), 10, ADAMW, 8),
    "tune-cnn8-all-sgdm": _tuning("all", _deep_conv, _deep_conv_weights, _inverted(300), 10, SGDM, 8),
    "tune-text-head-adam": _tuning("head", _text, _text_weights, _counting(320), 5, ADAM, 10),
    "tune-text-all-adamw": _tuning("all", _text, _text_weights, _agreement(320), 2, ADAMW, 10),
    "tune-text-then-adam": _tuning("then", _text, _text_weights, _counting(320), 5, ADAM, 8),
    "tune-text-all-sgdm": _tuning("all", _text, _text_weights, _counting(320), 5, SGDM, 8),
    "tune-postnorm-all-adam": _tuning("all", _text_post, _text_post_weights, _counting(320), 5, ADAM, 8),
    "tune-postnorm-then-adamw": _tuning("then", _text_post, _text_post_weights, _agreement(320), 2, ADAMW, 8),
    "tune-encoder-all-adam": _tuning("all", _encoder, _encoder_weights, _few(300), 10, ADAM, 8, seeds=2),
    "tune-encoder-head-adamw": _tuning("head", _encoder, _encoder_weights, _few(300), 10, ADAMW, 6, seeds=2),
    "tune-encoder-then-adamw": _tuning("then", _encoder, _encoder_weights, _few(300), 10, ADAMW, 8, seeds=2),
}
