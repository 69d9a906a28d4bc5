"""Random models with random data, and what plain `fit` logs for them.

The order of the samples and the weights of classes are computed here, not by the package.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import pandas as pd

EPOCHS = 2
CLASSES = 3
TOKENS = 7


class AddsLoss(keras.layers.Layer):
    """Passes its input on and adds a term to the loss."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def call(self, inputs: Any) -> Any:
        self.add_loss(self.factor * keras.ops.mean(inputs**2))
        return inputs


class Samples(keras.layers.Layer):
    """Draws around its input, in training and in validation, and adds the divergence from the standard normal."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = keras.random.SeedGenerator(3)

    def call(self, inputs: Any) -> Any:
        self.add_loss(0.01 * keras.ops.mean(keras.ops.square(inputs)))
        return inputs + 0.1 * keras.random.normal(keras.ops.shape(inputs), seed=self.generator)


class Remembers(keras.layers.Layer):
    """Adds the running mean of its inputs, which moves in training and in validation."""

    def build(self, shape: Any) -> None:
        self.mean = self.add_weight(shape=(shape[-1],), initializer="zeros", trainable=False)

    def call(self, inputs: Any) -> Any:
        batch = keras.ops.mean(inputs, axis=tuple(range(len(inputs.shape) - 1)))
        self.mean.assign(0.9 * self.mean + 0.1 * keras.ops.stop_gradient(batch))
        return inputs + 0.1 * self.mean


class Seen(keras.metrics.Metric):
    """The number of batches since the metric was made: resetting it changes nothing."""

    def __init__(self) -> None:
        super().__init__(name="seen")
        self.count = self.add_variable((), initializer="zeros", name="count")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.count.assign_add(1)

    def reset_state(self) -> None:
        pass

    def result(self) -> Any:
        return self.count + 0.0


class OwnLoss(keras.Model):
    """A model whose loss has a term of its own."""

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, **rest: Any):
        loss = super().compute_loss(x, y, y_pred, sample_weight, **rest)
        return loss + 0.1 * keras.ops.mean(keras.ops.abs(keras.tree.flatten(y_pred)[0]))


class OwnMetrics(keras.Model):
    """A model that logs one value more than its metrics hold, that of the last batch."""

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> Any:
        logs = super().compute_metrics(x, y, y_pred, sample_weight)
        return {**logs, "spread": keras.ops.mean(keras.ops.abs(keras.tree.flatten(y_pred)[0]))}


class OwnSteps(keras.Model):
    """A model that counts its steps, and weighs the loss by their number."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.steps = self.add_weight(shape=(), initializer="zeros", trainable=False)
        self.extra = keras.metrics.Mean(name="extra")

    def train_step(self, data: Any) -> Any:
        self.steps.assign_add(1.0)
        logs = super().train_step(data)
        self.extra.update_state(logs["loss"] * self.steps)
        return {**logs, "extra": self.extra.result()}

    def test_step(self, data: Any) -> Any:
        logs = super().test_step(data)
        self.extra.update_state(logs["loss"] + self.steps)
        return {**logs, "extra": self.extra.result()}


class Centered(keras.optimizers.SGD):
    """Gradient descent that takes the mean out of each gradient."""

    def apply_gradients(self, grads_and_vars: Any) -> Any:
        pairs = [(None if grad is None else keras.ops.convert_to_tensor(grad), one) for grad, one in grads_and_vars]
        return super().apply_gradients(
            [(grad if grad is None else grad - keras.ops.mean(grad), one) for grad, one in pairs]
        )


class Damped(keras.optimizers.Optimizer):
    """A rule of its own with a slot and a counter of its own."""

    def build(self, variables: Any) -> None:
        if self.built:
            return
        super().build(variables)
        self.speeds = [self.add_variable_from_reference(one, "speed") for one in variables]
        self.damping = self.add_variable((), initializer="ones", name="damping")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        speed = self.speeds[self._get_variable_index(variable)]
        self.assign(speed, 0.5 * speed + gradient)
        self.assign(self.damping, self.damping * 0.99)
        self.assign_sub(variable, keras.ops.cast(learning_rate, variable.dtype) * self.damping * speed)

    def get_config(self) -> Any:
        return super().get_config()


class Draw:
    """Random choices from a seed."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def pick(self, options: Sequence[Any]) -> Any:
        return options[int(self.rng.integers(len(options)))]

    def number(self, low: float, high: float) -> float:
        """Uniform in the logarithm, to three digits."""
        return float(f"{np.exp(self.rng.uniform(np.log(low), np.log(high))):.3g}")

    def whole(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))


@dataclass(frozen=True)
class Task:
    """A model and its training.

    Attributes:
        build: Builds and compiles the model.
        data: `x`, `y` and perhaps `sample_weight`.
        validation: Likewise.
        class_weight: Weight of each class, or None.
        batch_size: Samples per step.
        validation_batch_size: Samples per validation step, or None.
        learning_rate: A rate at which a few steps change the loss, but not beyond recognition.
        words: What the model is made of.
    """

    build: Callable[[], keras.Model]
    data: tuple[Any, ...]
    validation: tuple[Any, ...]
    class_weight: dict[int, float] | None
    batch_size: int
    validation_batch_size: int | None
    learning_rate: float
    words: list[str] = field(default_factory=list)

    @property
    def size(self) -> int:
        return len(keras.tree.flatten(self.data)[0])

    def search_arguments(self) -> dict[str, Any]:
        """Arguments of `search`."""
        given = {
            "epochs": EPOCHS,
            "batch_size": self.batch_size,
            "validation_batch_size": self.validation_batch_size,
            "validation_data": self.validation,
            "class_weight": self.class_weight,
            "verbose": 0,
        }
        return {**dict(zip(("x", "y", "sample_weight"), self.data, strict=False)), **given}


class Batches(keras.utils.PyDataset):
    """The batches of a task; epoch `e` holds the samples in the order of a permutation of (seed, e)."""

    def __init__(self, task: Task, seed: int) -> None:
        super().__init__()
        self._task, self._seed = task, seed
        self.epoch = 0

    def __len__(self) -> int:
        return -(-self._task.size // self._task.batch_size)

    def __getitem__(self, number: int) -> Any:
        size = self._task.batch_size
        chosen = np.random.default_rng([self._seed, self.epoch]).permutation(self._task.size)
        chosen = chosen[number * size : (number + 1) * size]
        batch = tuple(keras.tree.map_structure(lambda part: part[chosen], part) for part in self._task.data)
        if self._task.class_weight is not None:
            batch = (*batch, np.array([self._task.class_weight[int(kind)] for kind in batch[1].ravel()], "float32"))
        return batch

    def begin_epoch(self, epoch: int, logs: Any = None) -> None:
        """Reads the order of `epoch` from now on; Keras calls `on_epoch_end` before the first epoch too."""
        self.epoch = epoch


def plain_fit(task: Task, *, learning_rate: float, seed: int) -> pd.DataFrame:
    """What `model.fit` logs."""
    keras.utils.set_random_seed(seed)
    model = task.build()
    model.optimizer.learning_rate = learning_rate
    batches = Batches(task, seed)
    history = model.fit(
        batches,
        epochs=EPOCHS,
        shuffle=False,
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_begin=batches.begin_epoch)],
        validation_data=task.validation,
        validation_batch_size=task.validation_batch_size or task.batch_size,
        verbose=0,
    )
    return pd.DataFrame(history.history)


OPTIMIZERS: dict[str, tuple[Any, float, float]] = {
    "SGD": (keras.optimizers.SGD, 1e-3, 3e-2),
    "momentum": (lambda **given: keras.optimizers.SGD(momentum=0.9, **given), 1e-3, 1e-2),
    "nesterov": (lambda **given: keras.optimizers.SGD(momentum=0.8, nesterov=True, **given), 1e-3, 1e-2),
    "RMSprop": (keras.optimizers.RMSprop, 1e-4, 3e-3),
    "centered RMSprop": (lambda **given: keras.optimizers.RMSprop(momentum=0.5, centered=True, **given), 1e-4, 1e-3),
    "Adam": (keras.optimizers.Adam, 1e-4, 1e-2),
    "amsgrad": (lambda **given: keras.optimizers.Adam(amsgrad=True, **given), 1e-4, 1e-2),
    "AdamW": (keras.optimizers.AdamW, 1e-4, 1e-2),
    "Adamax": (keras.optimizers.Adamax, 1e-4, 1e-2),
    "Nadam": (keras.optimizers.Nadam, 1e-4, 1e-2),
    "Adagrad": (keras.optimizers.Adagrad, 1e-3, 1e-1),
    "Adadelta": (keras.optimizers.Adadelta, 1e-1, 1.0),
    "Adafactor": (keras.optimizers.Adafactor, 1e-3, 1e-2),
    "Ftrl": (keras.optimizers.Ftrl, 1e-2, 1e-1),
    "Lion": (keras.optimizers.Lion, 1e-5, 1e-3),
    "Lamb": (keras.optimizers.Lamb, 1e-4, 1e-2),
    "Centered": (Centered, 1e-3, 3e-2),
    "Damped": (Damped, 1e-3, 1e-2),
}
for _name in ("Muon", "ScheduleFreeAdamW"):
    if hasattr(keras.optimizers, _name):
        OPTIMIZERS[_name] = (getattr(keras.optimizers, _name), 1e-4, 3e-3)


def random_task(seed: int) -> Task:
    """The task of a seed."""
    draw = Draw(seed)
    kinds = [draw.pick(["vector", "vector", "tokens", "sequence", "image"]) for _ in range(draw.pick([1, 1, 1, 2, 3]))]
    heads = [draw.pick(["number", "yes or no", "class", "one-hot"]) for _ in range(draw.pick([1, 1, 1, 2, 3]))]
    make_optimizer, rate, optimizer_words = _optimizer(draw, sparse="tokens" in kinds)
    named = len(heads) > 1 and draw.chance(0.3)
    make_layers, layer_words = _network(draw, kinds, heads, named=named)
    compile_options, compile_words = _compile_options(draw, heads, named=named)
    words = [*kinds, *layer_words, *heads, *["dict of outputs"] * named, *optimizer_words, *compile_words]

    def build() -> keras.Model:
        model = make_layers()
        model.compile(make_optimizer(), **compile_options())
        return model

    size, validation_size = draw.whole(20, 45), draw.whole(9, 25)
    weighted = draw.pick(["no", "no", "no", "samples", "classes" if heads in (["class"], ["yes or no"]) else "samples"])
    if weighted != "no":
        words.append(f"weights of {weighted}")
    return Task(
        build=build,
        data=_data(draw, kinds, heads, size, named=named, weighted=weighted == "samples"),
        validation=_data(
            draw, kinds, heads, validation_size, named=named, weighted=weighted == "samples" and draw.chance(0.5)
        ),
        class_weight={kind: draw.number(0.3, 3) for kind in range(CLASSES)} if weighted == "classes" else None,
        batch_size=draw.pick([8, 12, 16]),
        validation_batch_size=draw.pick([None, 5]),
        learning_rate=rate,
        words=words,
    )


def _optimizer(draw: Draw, *, sparse: bool) -> tuple[Callable[[], Any], float, list[str]]:
    name = draw.pick(list(OPTIMIZERS))
    if sparse and name == "centered RMSprop":
        # Keras cannot always add the sparse gradients of an embedding, and `fit` fails.
        name = "RMSprop"
    make, low, high = OPTIMIZERS[name]
    options: dict[str, Any] = {}
    if draw.chance(0.3):
        options[draw.pick(["clipnorm", "global_clipnorm", "clipvalue"])] = draw.number(0.01, 1)
    if draw.chance(0.25):
        options["weight_decay"] = draw.number(1e-3, 1e-1)
    if draw.chance(0.15):
        options |= {"use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": draw.pick([None, None, 3])}
    if draw.chance(0.1):
        options["gradient_accumulation_steps"] = 2
    if draw.chance(0.15):
        options["loss_scale_factor"] = 8.0
    scaled = draw.chance(0.04)
    if sparse:
        # Keras cannot divide the sparse gradient of an embedding.
        options.pop("loss_scale_factor", None)

    def make_optimizer() -> Any:
        optimizer = make(learning_rate=0.5, **options)
        return keras.optimizers.LossScaleOptimizer(optimizer, initial_scale=64.0) if scaled else optimizer

    words = [name, *(f"{option}={value}" for option, value in options.items()), *(["loss scale"] if scaled else [])]
    return make_optimizer, draw.number(low, high), words


def _network(
    draw: Draw, kinds: list[str], heads: list[str], *, named: bool
) -> tuple[Callable[[], keras.Model], list[str]]:
    words: list[str] = []
    branches = [_branch(draw, kind, words) for kind in kinds]
    middle = [_middle(draw, words) for _ in range(draw.whole(0, 3))]
    penalties = [_penalties(draw, words) for _ in heads]
    frozen = draw.chance(0.1)
    kind = draw.pick([keras.Model] * 6 + [OwnLoss, OwnMetrics, OwnSteps])
    words += [kind.__name__] * (kind is not keras.Model) + ["frozen"] * frozen

    def make() -> keras.Model:
        inputs = [_input(kind) for kind in kinds]
        features = [branch(one) for branch, one in zip(branches, inputs, strict=True)]
        x = features[0] if len(features) == 1 else keras.layers.Concatenate()(features)
        for layer in middle:
            x = layer()(x)
        if frozen:
            dense = keras.layers.Dense(6, activation="tanh")
            dense.trainable = False
            x = dense(x)
        outputs = [_head(head, given, n)(x) for n, (head, given) in enumerate(zip(heads, penalties, strict=True))]
        return kind(_only(inputs), {f"head{n}": one for n, one in enumerate(outputs)} if named else _only(outputs))

    return make, words


def _only(parts: list[Any]) -> Any:
    """The part itself if there is one, else all of them."""
    return parts[0] if len(parts) == 1 else tuple(parts)


SHAPES = {"vector": (5,), "sequence": (6, 4), "image": (6, 6, 2), "tokens": (6,)}


def _input(kind: str) -> Any:
    return keras.Input(SHAPES[kind], dtype="int32" if kind == "tokens" else "float32")


def _branch(draw: Draw, kind: str, words: list[str]) -> Callable[[Any], Any]:
    layers = keras.layers
    if kind == "vector":
        given, width = _penalties(draw, words), draw.pick([4, 8])
        activation = draw.pick(["relu", "tanh", "gelu", None])
        return lambda x: layers.Dense(width, activation=activation, **_made(given))(x)
    if kind == "image":
        convolution = draw.pick(
            [
                lambda: layers.Conv2D(3, 3, activation="relu"),
                lambda: layers.DepthwiseConv2D(3),
                lambda: layers.SeparableConv2D(3, 3),
                lambda: layers.AveragePooling2D(2),
            ]
        )
        words.append(convolution().__class__.__name__)
        return lambda x: layers.Flatten()(layers.MaxPooling2D(2)(convolution()(x)))
    reader = draw.pick(["GRU", "LSTM", "average", "flatten", "attention", "Conv1D"])
    words.append(reader)
    masked = kind == "tokens" and reader in ("GRU", "LSTM", "average") and draw.chance(0.3)
    words += ["mask"] * masked

    def read(x: Any) -> Any:
        if kind == "tokens":
            x = layers.Embedding(TOKENS, 4, mask_zero=masked)(x)
        if reader in ("GRU", "LSTM"):
            return getattr(layers, reader)(5)(x)
        if reader == "attention":
            return layers.Flatten()(layers.MultiHeadAttention(2, 3)(x, x))
        if reader == "Conv1D":
            return layers.GlobalMaxPooling1D()(layers.Conv1D(4, 3)(x))
        return layers.GlobalAveragePooling1D()(x) if reader == "average" else layers.Flatten()(x)

    return read


def _middle(draw: Draw, words: list[str]) -> Callable[[], Any]:
    layers = keras.layers
    factor, given = draw.number(1e-2, 1), _penalties(draw, words)
    options: dict[str, Callable[[], Any]] = {
        "Dense": lambda: layers.Dense(6, activation="relu", **_made(given)),
        "LayerNormalization": layers.LayerNormalization,
        "BatchNormalization": layers.BatchNormalization,
        "Dropout": lambda: layers.Dropout(0.3, seed=5),
        "GaussianNoise": lambda: layers.GaussianNoise(0.1),
        "ActivityRegularization": lambda: layers.ActivityRegularization(l1=0.1 * factor, l2=factor),
        "AddsLoss": lambda: AddsLoss(factor),
        "Samples": Samples,
        "Remembers": Remembers,
        "nested": lambda: keras.Sequential([layers.Dense(5, activation="tanh", **_made(given)), AddsLoss(factor)]),
        "PReLU": layers.PReLU,
        "SpectralNormalization": lambda: layers.SpectralNormalization(layers.Dense(5)),
    }
    name = draw.pick(list(options))
    words.append(name)
    return options[name]


def _penalties(draw: Draw, words: list[str]) -> dict[str, Callable[[], Any]]:
    """Regularizers and constraints of a dense layer; each model gets objects of its own."""
    factor, found = draw.number(1e-2, 1), {}
    regularizers = keras.regularizers
    for name in ("kernel_regularizer", "bias_regularizer", "activity_regularizer"):
        if draw.chance(0.15):
            found[name] = draw.pick([lambda: regularizers.L2(factor), lambda: regularizers.L1(0.1 * factor)])
    if draw.chance(0.12):
        constraints = keras.constraints
        found["kernel_constraint"] = draw.pick(
            [lambda: constraints.MaxNorm(0.5), constraints.NonNeg, lambda: constraints.UnitNorm(axis=0)]
        )
    words += list(found)
    return found


def _made(given: dict[str, Callable[[], Any]]) -> dict[str, Any]:
    return {name: make() for name, make in given.items()}


def _head(head: str, given: dict[str, Callable[[], Any]], place: int) -> Any:
    units = {"number": 2, "yes or no": 1, "class": CLASSES, "one-hot": CLASSES}[head]
    activation = {"yes or no": "sigmoid", "one-hot": "softmax"}.get(head)
    return keras.layers.Dense(units, activation=activation, name=f"head{place}", **_made(given))


def _compile_options(draw: Draw, heads: list[str], *, named: bool) -> tuple[Callable[[], dict[str, Any]], list[str]]:
    losses = [
        {
            "number": draw.pick(["mse", "mae", "huber"]),
            "yes or no": "binary_crossentropy",
            "class": None,
            "one-hot": "categorical_crossentropy",
        }[head]
        for head in heads
    ]
    weights = [draw.number(0.2, 3) for _ in heads] if len(heads) > 1 and draw.chance(0.5) else None
    metric = draw.pick([None, None, "accuracy", "seen", "mae" if heads[0] != "class" else "accuracy"])
    weighted = heads[0] != "class" and draw.chance(0.2)
    settings: dict[str, Any] = {"steps_per_execution": draw.pick([1, 1, 1, 2, 3])}
    if draw.chance(0.05):
        settings["jit_compile"] = True
    elif draw.chance(0.05):
        settings["run_eagerly"] = True

    def by_head(parts: list[Any]) -> Any:
        return {f"head{n}": part for n, part in enumerate(parts)} if named else _only(parts)

    def options() -> dict[str, Any]:
        made = [loss or keras.losses.SparseCategoricalCrossentropy(from_logits=True) for loss in losses]
        rest = [[] for _ in heads[1:]]
        found: dict[str, Any] = {"loss": by_head(made), **settings}
        if weights is not None:
            found["loss_weights"] = by_head(weights)
        if metric is not None:
            found["metrics"] = by_head([[Seen() if metric == "seen" else metric], *rest])
        if weighted:
            found["weighted_metrics"] = by_head([["mse"], *rest])
        return found

    words = [f"loss_weights={weights}"] * (weights is not None) + [metric] * (metric is not None)
    words += ["weighted mse"] * weighted
    return options, [*words, *(f"{name}={value}" for name, value in settings.items() if value is True or value > 1)]


def _data(draw: Draw, kinds: list[str], heads: list[str], size: int, *, named: bool, weighted: bool) -> tuple[Any, ...]:
    rng = draw.rng
    inputs = [
        rng.integers(0, TOKENS, (size, *SHAPES[kind])).astype("int32")
        if kind == "tokens"
        else rng.normal(size=(size, *SHAPES[kind])).astype("float32")
        for kind in kinds
    ]
    make = {
        "number": lambda: rng.normal(size=(size, 2)).astype("float32"),
        "yes or no": lambda: rng.integers(0, 2, (size, 1)).astype("float32"),
        "class": lambda: rng.integers(0, CLASSES, size).astype("int32"),
        "one-hot": lambda: np.eye(CLASSES, dtype="float32")[rng.integers(0, CLASSES, size)],
    }
    targets = [make[head]() for head in heads]
    y = {f"head{n}": target for n, target in enumerate(targets)} if named else _only(targets)
    data = (_only(inputs), y)
    return (*data, rng.uniform(0.3, 3, size).astype("float32")) if weighted else data
