"""The tasks on which advice is judged, each with data, a model, a loss, an optimizer, a batch size and a budget.

`CORPUS` holds the first ten tasks; `FURTHER` and `FRESH` were added later. All data are scikit-learn's or seeded noise,
so that every task can be recomputed offline.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
from _advice_data import (
    Data,
    breast_cancer,
    circles,
    counts,
    diabetes,
    digits,
    friedman,
    friedman_ratio,
    gated_sums,
    hastie,
    heteroscedastic,
    ill_conditioned,
    informative,
    iris,
    low_rank,
    markov_text,
    moons,
    multilabel,
    noisy_digits,
    quantiles,
    ratings,
    sparse,
    spirals,
    swiss_roll,
    token_topics,
    wine,
)
from _advice_models import (
    autoencoder,
    conv_denoiser,
    convnet,
    factorisation,
    gaussian_head,
    gaussian_nll,
    mlp,
    next_symbol,
    recurrent,
    residual_mlp,
    row_reader,
    separable_convnet,
    sequence_convnet,
    strided_convnet,
    token_bag,
    transformer,
)
from keras import losses, optimizers


@dataclass(frozen=True)
class Task:
    """One training problem.

    Attributes:
        data: Returns `(x_train, y_train, x_val, y_val)`, the same at every call.
        model: Builds the untrained model.
        loss: Loss of a batch, a mean over its samples.
        optimizer: Builds the optimizer; its learning rate is overwritten.
        batch_size: Samples per step.
        epochs: Number of epochs; the best validation loss among them counts.
        classes: Whether accuracy is recorded.
        seeds: Number of seeds of the grid, the sweeps and the short runs.
        short_steps: Length of the short runs at constant rates.
        highest: Highest rate of the grid and the short runs.
        compiled: Whether a step is compiled by XLA.
    """

    data: Callable[[], Data]
    model: Callable[[], keras.Model]
    loss: Callable[..., object]
    optimizer: Callable[[], optimizers.Optimizer]
    batch_size: int
    epochs: int
    classes: bool = True
    seeds: int = 3
    short_steps: int = 100
    highest: float = 10.0
    compiled: bool = False


def _cross_entropy(label_smoothing: float = 0.0) -> Callable[..., object]:
    if label_smoothing:
        smoothed = losses.CategoricalCrossentropy(from_logits=True, label_smoothing=label_smoothing)
        return lambda y, out: smoothed(keras.ops.one_hot(y, out.shape[-1]), out)
    return losses.SparseCategoricalCrossentropy(from_logits=True)


def sgd(momentum: float = 0.0, *, nesterov: bool = False) -> Callable[[], optimizers.Optimizer]:
    """A function that builds SGD."""
    return lambda: optimizers.SGD(momentum=momentum, nesterov=nesterov)


def _one_hot(loss: Callable[..., object]) -> Callable[..., object]:
    return lambda y, out: loss(2 * keras.ops.one_hot(y, out.shape[-1]) - 1, out)


CE, MSE = _cross_entropy(), losses.MeanSquaredError()

CORPUS = {
    "digits-mlp-adam": Task(digits, mlp(64, 64, outputs=10), CE, optimizers.Adam, 32, 20),
    "digits-mlp-sgd": Task(digits, mlp(64, 64, outputs=10), CE, sgd(), 32, 20),
    "digits-cnn-sgdm": Task(digits, convnet(16, 32), CE, sgd(0.9), 32, 15),
    "digits-deepbn-adamw": Task(digits, mlp(*[64] * 5, outputs=10, batch_norm=True), CE, optimizers.AdamW, 32, 15),
    "digits-ae-adam": Task(lambda: digits(itself=True), autoencoder(32, 8), MSE, optimizers.Adam, 64, 20, False),
    "bcancer-mlp-rmsprop": Task(breast_cancer, mlp(32, outputs=2), CE, optimizers.RMSprop, 16, 20),
    "diabetes-mlp-adam": Task(diabetes, mlp(64, 64, outputs=1, dropout=0.1), MSE, optimizers.Adam, 16, 25, False),
    "friedman-mlp-sgdm": Task(friedman, mlp(64, 64, outputs=1), MSE, sgd(0.9), 32, 20, False),
    "synthcls-mlp-nadam": Task(informative, mlp(128, 64, outputs=4, dropout=0.2), CE, optimizers.Nadam, 64, 15),
    "synthseq-gru-adam": Task(gated_sums, recurrent("GRU", 24), CE, optimizers.Adam, 64, 15),
}

FURTHER = {
    "digits-transformer-adam": Task(digits, transformer(width=32, blocks=2), CE, optimizers.Adam, 32, 15),
    "digits-cnn-adam-b128": Task(digits, convnet(16, 32), CE, optimizers.Adam, 128, 25),
    "digits-mlp-lion": Task(digits, mlp(64, outputs=10), CE, optimizers.Lion, 32, 15),
    "digits-tanh-smallinit-adamax": Task(
        digits, mlp(48, 48, 48, outputs=10, activation="tanh", init_stddev=0.02), CE, optimizers.Adamax, 32, 20
    ),
    "digits-largeinit-sgd": Task(digits, mlp(64, 64, outputs=10, init_stddev=0.3), CE, sgd(), 32, 20),
    "digits-smoothed-adamw-b256": Task(
        digits, mlp(256, outputs=10, dropout=0.3), _cross_entropy(0.1), optimizers.AdamW, 256, 40
    ),
    "digits-deepae-sgdm": Task(lambda: digits(itself=True), autoencoder(64, 16), MSE, sgd(0.9), 32, 15, False),
    "digits-logistic-adagrad": Task(digits, mlp(outputs=10), CE, optimizers.Adagrad, 32, 20),
    "digits-mlp-adam-unscaled": Task(lambda: digits(scale=1.0), mlp(64, 64, outputs=10), CE, optimizers.Adam, 32, 15),
    "wine-mlp-sgdm": Task(wine, mlp(32, outputs=3), CE, sgd(0.9), 8, 20),
    "wine-mlp-adam-unscaled": Task(lambda: wine(scaled=False), mlp(32, outputs=3), CE, optimizers.Adam, 8, 25),
    "bcancer-logistic-sgd": Task(breast_cancer, mlp(outputs=2), CE, sgd(), 32, 15),
    "diabetes-raw-target-rmsprop": Task(
        lambda: diabetes(scaled_target=False), mlp(64, outputs=1), MSE, optimizers.RMSprop, 32, 30, False
    ),
    "moons-mlp-nesterov": Task(moons, mlp(32, 32, outputs=2, activation="gelu"), CE, sgd(0.9, nesterov=True), 64, 20),
    "swissroll-mae-adam": Task(
        swiss_roll,
        mlp(64, 64, outputs=1, activation="swish"),
        losses.MeanAbsoluteError(),
        optimizers.Adam,
        64,
        20,
        False,
    ),
    "friedman-huber-adam-b256": Task(friedman, mlp(128, outputs=1), losses.Huber(), optimizers.Adam, 256, 40, False),
    "friedman-ln-adamw": Task(friedman, mlp(64, 64, outputs=1, layer_norm=True), MSE, optimizers.AdamW, 16, 10, False),
    "noise-nll-adam": Task(heteroscedastic, gaussian_head(64), gaussian_nll, optimizers.Adam, 64, 20, False),
    "synthcls-mlp-sgdm-b16": Task(informative, mlp(64, outputs=4), CE, sgd(0.9), 16, 6),
    "synthseq-lstm-rmsprop": Task(gated_sums, recurrent("LSTM", 16), CE, optimizers.RMSprop, 64, 12),
    "topics-embedding-adam": Task(token_topics, token_bag(16), CE, optimizers.Adam, 32, 12),
    "hastie-mlp-adam-b128": Task(hastie, mlp(64, 64, outputs=2), CE, optimizers.Adam, 128, 25),
    "multilabel-mlp-nadam": Task(
        multilabel, mlp(48, outputs=5), losses.BinaryCrossentropy(from_logits=True), optimizers.Nadam, 32, 15, False
    ),
    "linear-mse-sgd": Task(ill_conditioned, mlp(outputs=1), MSE, sgd(), 32, 20, False),
    "counts-poisson-adam": Task(
        counts,
        mlp(32, 32, outputs=1),
        lambda y, out: keras.ops.mean(keras.ops.exp(out) - y * out),
        optimizers.Adam,
        32,
        15,
        False,
    ),
    "spirals-tanh-adam": Task(spirals, mlp(*[32] * 4, outputs=2, activation="tanh"), CE, optimizers.Adam, 32, 20),
    "ratings-factors-adagrad": Task(ratings, factorisation(8), MSE, optimizers.Adagrad, 32, 15, False),
    "symbols-embedding-adamax": Task(markov_text, next_symbol(20, 16), CE, optimizers.Adamax, 64, 20),
    "friedman3-residual-rmsprop": Task(
        friedman_ratio, residual_mlp(32, 3, outputs=1), MSE, optimizers.RMSprop, 32, 20, False
    ),
    "digits-residual-sgdm": Task(digits, residual_mlp(48, 4, outputs=10), CE, sgd(0.9), 64, 20),
    "digits-strided-sgdm": Task(digits, strided_convnet(8), CE, sgd(0.9), 32, 15),
    "digits-strided-adam": Task(digits, strided_convnet(12), CE, optimizers.Adam, 16, 6),
    "digits-selu-sgdm95": Task(digits, mlp(*[48] * 6, outputs=10, activation="selu"), CE, sgd(0.95), 32, 15),
    "digits-hinge-adam-b8": Task(digits, mlp(32, outputs=10), _one_hot(losses.SquaredHinge()), optimizers.Adam, 8, 4),
    "digits-mlp-adadelta": Task(digits, mlp(64, outputs=10), CE, optimizers.Adadelta, 32, 20),
    "diabetes-logcosh-sgdm-b8": Task(
        diabetes, mlp(32, outputs=1, dropout=0.2), losses.LogCosh(), sgd(0.9), 8, 15, False
    ),
    "synthseq-conv-adam": Task(gated_sums, sequence_convnet(16), CE, optimizers.Adam, 32, 10),
    "synthseq-rnn-sgdm": Task(gated_sums, recurrent("SimpleRNN", 24), CE, sgd(0.9), 64, 12),
    "synthcls-bn-sgd-b128": Task(informative, mlp(64, 64, outputs=4, batch_norm=True), CE, sgd(), 128, 30),
    "wine-logistic-adam-b4": Task(wine, mlp(outputs=3), CE, optimizers.Adam, 4, 15),
}

FRESH = {
    "iris-tanh-rmsprop-b10": Task(iris, mlp(16, outputs=3, activation="tanh"), CE, optimizers.RMSprop, 10, 25),
    "quantiles-elu-adamw-b48": Task(
        quantiles, mlp(96, 48, outputs=5, activation="elu"), CE, lambda: optimizers.AdamW(weight_decay=0.05), 48, 18
    ),
    "sparse-swish-nesterov": Task(
        sparse, mlp(64, outputs=1, activation="swish"), MSE, sgd(0.9, nesterov=True), 24, 20, False
    ),
    "digits-rows-nadam": Task(digits, row_reader(24), CE, optimizers.Nadam, 48, 12),
    "circles-gelu-sgd-b16": Task(circles, mlp(32, 32, outputs=2, activation="gelu"), CE, sgd(), 16, 20),
    "digits-wide-adam-b96": Task(digits, mlp(384, 192, outputs=10, dropout=0.4), CE, optimizers.Adam, 96, 20),
    "lowrank-huber-adamw": Task(
        low_rank, mlp(64, outputs=1, activation="silu"), losses.Huber(), optimizers.AdamW, 32, 15, False
    ),
    "digits-separable-rmsprop": Task(digits, separable_convnet(12), CE, optimizers.RMSprop, 64, 12),
    "digits-denoiser-adamax": Task(
        noisy_digits, conv_denoiser(8), losses.MeanAbsoluteError(), optimizers.Adamax, 64, 12, False
    ),
}
"""Nothing is fitted on these, so that they expose an overfitted rule."""

TASKS = CORPUS | FURTHER | FRESH
