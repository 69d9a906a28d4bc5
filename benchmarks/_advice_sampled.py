"""Tasks drawn at random rather than chosen by us: a number fixes the data, model, loss, optimizer and batch size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import _advice_data as data
import _advice_models as models
import keras
import numpy as np
from _advice_data import Data
from _advice_models import Builder
from _advice_tasks import CE, MSE, Task, sgd
from keras import losses, optimizers

FIRST_SEED = 1000
MAX_EPOCHS = 40
SETS: list[tuple[Callable[[], Data], int]] = [
    (data.digits, 10),
    (data.breast_cancer, 2),
    (data.wine, 3),
    (data.moons, 2),
    (data.hastie, 2),
    (data.spirals, 2),
    (data.quantiles, 5),
    (data.circles, 2),
    *[(data.informative, 0)] * 2,
    (data.diabetes, 1),
    (data.friedman, 1),
    (data.swiss_roll, 1),
    (data.friedman_ratio, 1),
    (data.low_rank, 1),
    (data.sparse, 1),
    *[(data.friedman, -1)] * 4,
]
"""Data sets and their numbers of outputs; 0 stands for randomly drawn classes, -1 for a random teacher network."""

OPTIMIZERS: dict[str, tuple[float, Callable[[], keras.Optimizer]]] = {
    "adam": (0.3, optimizers.Adam),
    "adamw": (0.12, optimizers.AdamW),
    "nadam": (0.05, optimizers.Nadam),
    "adamax": (0.05, optimizers.Adamax),
    "rmsprop": (0.13, optimizers.RMSprop),
    "sgd": (0.12, sgd()),
    "sgdm": (0.13, sgd(0.9)),
    "nesterov": (0.05, sgd(0.9, nesterov=True)),
    "adagrad": (0.05, optimizers.Adagrad),
}
"""The optimizers, and the probability of each."""


@dataclass(frozen=True)
class Problem:
    """Data to learn, and the model that learns them."""

    data: Callable[[], Data]
    model: Builder
    loss: Callable[..., Any] = CE
    classes: bool = True


class Draw:
    """Choices of one random generator."""

    def __init__(self, number: int) -> None:
        self.generator = np.random.default_rng(FIRST_SEED + number)

    def one(self, *choices: Any) -> Any:
        """One of the choices, all equally likely."""
        return choices[self.generator.integers(len(choices))]

    def problem(self) -> Problem:
        """A kind of model, with data that suit it."""
        kind = self.generator.choice([*["dense"] * 4, "conv", "sequence", "tokens", "residual", "transformer", "code"])
        if kind in ("dense", "residual"):
            return self._dense(residual=kind == "residual")
        if kind == "conv":
            return Problem(data.digits, self._conv())
        if kind == "sequence":
            cells = [models.recurrent("GRU", 16), models.recurrent("LSTM", 24), models.recurrent("SimpleRNN", 16)]
            return Problem(data.gated_sums, self.one(*cells, models.sequence_convnet(12)))
        if kind == "tokens":
            bag, symbol = models.token_bag(self.one(8, 32)), models.next_symbol(20, self.one(8, 24))
            return self.one(Problem(data.token_topics, bag), Problem(data.markov_text, symbol))
        if kind == "transformer":
            return Problem(data.digits, models.transformer(width=self.one(16, 32), blocks=self.one(1, 2)))
        coder = models.autoencoder(self.one(32, 64, 128), self.one(4, 16))
        return Problem(lambda: data.digits(itself=True), coder, MSE, classes=False)

    def _conv(self) -> Builder:
        kind = self.one("pooled", "strided", "separable", "rows")
        if kind == "pooled":
            return models.convnet(self.one(8, 16), self.one(16, 32))
        if kind == "strided":
            return models.strided_convnet(self.one(8, 16))
        return models.separable_convnet(12) if kind == "separable" else models.row_reader(24)

    def _dense(self, *, residual: bool) -> Problem:
        scale = 1.0 if residual else float(self.one(1, 1, 1, 1, 1, 3, 10, 0.1))
        seed = int(self.generator.integers(1e6))
        load, outputs = self.one(*SETS)
        if outputs == 0:
            load, outputs = lambda: _classes(seed), 2 + seed % 3
        elif outputs == -1:
            load, outputs = lambda: _teacher(seed), 1
        loss = self.one(MSE, MSE, losses.MeanAbsoluteError(), losses.Huber()) if outputs == 1 else CE
        if residual:
            model = models.residual_mlp(self.one(24, 48, 96), self.one(2, 3, 5), outputs=outputs)
        else:
            model = self._mlp(outputs)
        return Problem(lambda: _scaled(load(), scale), model, loss, classes=outputs > 1)

    def _mlp(self, outputs: int) -> Builder:
        depth, width = self.one(0, 1, 1, 2, 2, 2, 3, 4, 6), self.one(16, 32, 64, 64, 128, 256)
        options: dict[str, Any] = {"activation": self.one("relu", "relu", "tanh", "gelu", "selu", "swish")}
        norm = self.one(None, None, None, "batch_norm", "layer_norm")
        options |= {norm: True} if norm else {}
        options["dropout"] = self.one(0.0, 0.0, 0.0, 0.1, 0.3)
        if self.generator.random() < 0.15:
            options["init_stddev"] = self.one(0.02, 0.1, 0.3)
        return models.mlp(*[width] * depth, outputs=outputs, **options)


def draw(number: int) -> tuple[str, Task]:
    """The name and the task for a number; the name ends with the optimizer."""
    chance = Draw(number)
    problem = chance.problem()
    shares = [share for share, _ in OPTIMIZERS.values()]
    optimizer = str(chance.generator.choice(list(OPTIMIZERS), p=shares))
    samples = len(problem.data()[0])
    batch = min(chance.one(8, 16, 32, 32, 64, 128), max(4, samples // 8))
    epochs = round(chance.one(250, 400, 600, 900) / (samples // batch))
    task = Task(
        problem.data,
        problem.model,
        problem.loss,
        OPTIMIZERS[optimizer][1],
        batch,
        int(np.clip(epochs, 3, MAX_EPOCHS)),
        problem.classes,
    )
    return f"sampled-{number:03d}-{optimizer}", task


def _scaled(parts: Data, scale: float) -> Data:
    x, y, x_val, y_val = parts
    return x * scale, y, x_val * scale, y_val


def _classes(seed: int) -> Data:
    return data.drawn_classes(
        seed, samples=2000 + seed % 2000, features=10 + seed % 40, classes=2 + seed % 3, apart=0.5 + (seed % 10) / 7
    )


def _teacher(seed: int) -> Data:
    return data.drawn_teacher(seed, samples=1500 + seed % 1500, features=5 + seed % 30, noise=(seed % 7) / 8)
