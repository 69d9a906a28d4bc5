"""Backbones and what they were trained on before the fine-tuning tasks tune them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from _advice_data import Data, digits
from _advice_hard import ADAM, block, deep_convnet
from keras import layers, losses, ops, optimizers
from sklearn import datasets

SENTENCE = 14
WORDS = 24
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


def noisy_digits(*, samples: int, noise: float) -> Data:
    """Digits with noise, `samples` of them for training."""
    x, y, x_val, y_val = digits()
    x, x_val = (
        (pixels + np.random.default_rng(seed).normal(0, noise, pixels.shape)).astype("float32")
        for seed, pixels in enumerate((x[:samples], x_val))
    )
    return x, y[:samples], x_val, y_val


def digits_themselves(first: int, last: int, *, samples: int | None = None, ink: float = 1.0) -> Data:
    """Digits of some classes as their own targets, pixels raised to the power of `ink`."""
    x, _, x_val, _ = some_digits(first, last, samples=samples)
    return x**ink, x**ink, x_val**ink, x_val**ink


def bent_friedman(*, samples: int, bend: float = 0.0) -> Data:
    """Friedman 1 without noise, standardised, with a bend along one more of its ten features."""
    x, y = datasets.make_friedman1(4000, noise=0.0, random_state=0)
    y = (y - 14.4) / 4.9 + bend * np.sin(6 * x[:, 5]) * x[:, 0]
    x, y = ((x - 0.5) * 3.4).astype("float32"), y[:, None].astype("float32")
    return x[:samples], y[:samples], x[3000:], y[3000:]


def next_words(*, samples: int, seed: int, dialect: bool = False) -> Data:
    """The next word at every place of a sentence; a dialect knows only some nouns and verbs."""

    def half(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        texts = sentences(count, seed)
        if dialect:
            texts = texts + 2 * ((texts >= 12) & (texts < 16)) - 4 * (texts >= 22)
        return texts, np.concatenate([texts[:, 1:], np.zeros((count, 1), dtype="int64")], axis=1)

    return *half(samples, seed), *half(300, seed + 1)


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


def text_backbone(width: int, blocks: int, *, normed_first: bool = True) -> keras.Model:
    """Causal transformer over a sentence; one vector per word."""
    inputs = keras.Input((SENTENCE,), dtype="int64")
    tokens = layers.Embedding(WORDS, width)(inputs) + layers.Embedding(SENTENCE, width)(ops.arange(SENTENCE))
    for _ in range(blocks):
        tokens = block(tokens, width, normed_first=normed_first)
    return keras.Model(inputs, layers.LayerNormalization()(tokens))


def _train(model: keras.Model, loss: Any, x: np.ndarray, y: np.ndarray, epochs: int, *, rate: float = 1e-3) -> None:
    steps = len(x) // 64
    decay = optimizers.schedules.CosineDecay(rate / 10, steps * epochs, warmup_target=rate, warmup_steps=steps)
    model.compile(ADAM(decay), loss, jit_compile=True)
    model.fit(x[: 64 * steps], y[: 64 * steps], batch_size=64, epochs=epochs, verbose=0)


def model_of(
    build: Callable[[], keras.Model], data: Callable[[], Data], loss: Any, epochs: int, *, rate: float = 1e-3
) -> list[np.ndarray]:
    """The weights of a trained model, output layer included."""
    keras.utils.set_random_seed(0)
    model, (x, y, *_) = build(), data()
    _train(model, loss, x, y, epochs, rate=rate)
    return model.get_weights()


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


def language_model(
    backbone: Callable[[], keras.Model], count: int, epochs: int, *, rate: float = 1e-3
) -> list[np.ndarray]:
    """The weights of a backbone trained to predict each next word of a sentence."""
    keras.utils.set_random_seed(0)
    body, texts = backbone(), sentences(count, 0)
    model = keras.Sequential([body, layers.Dense(WORDS)])
    following = np.concatenate([texts[:, 1:], np.zeros((count, 1), dtype="int64")], axis=1)
    _train(model, SPARSE, texts, following, epochs, rate=rate)
    return body.get_weights()
