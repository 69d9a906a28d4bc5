"""Models with a step of their own are built as `fit` builds them, and train as `fit` trains them."""

from __future__ import annotations

import functools
import types
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf

from keras_lr.errors import ModelError
from keras_lr.search import LogGridSearch

RATES = [1e-3, 1e-2]
EPOCHS = 2
X = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")


class Stepping(keras.Model):
    """A model without `call`, whose layers do not know their shapes before its step has run."""

    def __init__(self) -> None:
        super().__init__()
        self.net = keras.Sequential([keras.layers.Dense(3)])
        self.tracker = keras.metrics.Mean(name="loss")

    @property
    def metrics(self) -> list[Any]:
        return [self.tracker]

    def train_step(self, data: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = self.loss_of(data)
        weights = self.trainable_weights
        self.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        self.tracker.update_state(loss)
        return {"loss": self.tracker.result()}

    def loss_of(self, data: Any) -> Any:
        raise NotImplementedError


class Autoencoder(Stepping):
    def __init__(self) -> None:
        super().__init__()
        self.decoder = keras.Sequential([keras.layers.Dense(4)])

    def loss_of(self, data: Any) -> Any:
        x = data[0] if isinstance(data, tuple) else data
        return tf.reduce_mean(tf.square(self.decoder(self.net(x)) - x))


class Triplets(Stepping):
    def loss_of(self, data: Any) -> Any:
        anchor, near, far = (self.net(part) for part in (data[0] if len(data) == 1 else data))
        return tf.reduce_mean(tf.nn.relu(1.0 + tf.square(anchor - near) - tf.square(anchor - far)))


class Assigned(Triplets):
    """A model whose step is set on the object, not by its class."""

    train_step = keras.Model.train_step

    def __init__(self) -> None:
        super().__init__()
        self.train_step = types.MethodType(Stepping.train_step, self)


class Annealed(Autoencoder):
    """An eager model that counts its steps in Python."""

    steps = 0

    def loss_of(self, data: Any) -> Any:
        self.steps += 1
        return super().loss_of(data) * float(np.float32(1 / self.steps))


DATA: dict[str, tuple[type[Stepping], Any]] = {
    "arrays": (Autoencoder, X),
    "triplets": (Triplets, (X, X + 0.1, -X)),
    "a step of the object": (Assigned, (X, X + 0.1, -X)),
    "dataset of triplets": (Triplets, tf.data.Dataset.from_tensor_slices((X, X + 0.1, -X)).batch(16)),
    "eager": (Autoencoder, X),
    "eager, counting": (Annealed, X),
}


def build(kind: type[Stepping], *, eager: bool) -> keras.Model:
    model = kind()
    model.compile(keras.optimizers.SGD(), run_eagerly=eager)
    return model


def plain_fit(name: str, rate: float) -> list[float]:
    """The losses of `fit` on the batches that a search documents."""
    kind, data = DATA[name]
    keras.utils.set_random_seed(0)
    model = build(kind, eager=name.startswith("eager"))
    model.optimizer.learning_rate = rate
    losses = []
    for epoch in range(EPOCHS):
        order = np.random.default_rng([0, epoch]).permutation(len(X))
        options: dict[str, Any] = {}
        batches = data
        if not isinstance(data, tf.data.Dataset):
            options = {"batch_size": 16}
            batches = tuple(part[order] for part in data) if isinstance(data, tuple) else data[order]
        losses += model.fit(batches, shuffle=False, verbose=0, **options).history["loss"]
    return losses


@pytest.mark.parametrize(("name", "engine"), list(zip(DATA, [*["function"] * 4, "rebuild", "rebuild"], strict=True)))
def test_the_losses_are_those_of_fit(tmp_path: Path, name: str, engine: str) -> None:
    kind, data = DATA[name]
    eager = name.startswith("eager")
    tuner = LogGridSearch(
        lambda: build(kind, eager=eager), "loss", learning_rates=RATES, repeats=1, extend=False, directory=tmp_path
    )
    options = {} if isinstance(data, tf.data.Dataset) else {"batch_size": 16}
    tuner.search(data, epochs=EPOCHS, verbose=0, **options)
    result = tuner.sensitivity()
    assert result.engine == engine
    for rate in RATES:
        ours = result.frame[result.frame["learning_rate"] == rate]["loss"]
        np.testing.assert_allclose(ours, plain_fit(name, rate), rtol=1e-5)
    best = tuner.get_best_models()[0]
    assert all(np.isfinite(weight).all() for weight in best.get_weights())


class Gan(keras.Model):
    """Two models that two optimizers train, as in Keras's examples."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(4)])
        self.discriminator = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])

    def compile(self, d_optimizer: Any, g_optimizer: Any, **options: Any) -> None:
        super().compile(**options)
        self.d_optimizer, self.g_optimizer = d_optimizer, g_optimizer

    def train_step(self, real: Any) -> Any:
        real = real[0] if isinstance(real, tuple) else real
        noise = tf.ones((tf.shape(real)[0], 2))
        losses = {}
        for name, optimizer, part in (
            ("d_loss", self.d_optimizer, self.discriminator),
            ("g_loss", self.g_optimizer, self.generator),
        ):
            with tf.GradientTape() as tape:
                fake, true = self.discriminator(self.generator(noise)), self.discriminator(real)
                losses[name] = tf.reduce_mean(
                    tf.square(true - 1) + tf.square(fake) if name == "d_loss" else (fake - 1) ** 2
                )
            weights = part.trainable_weights
            optimizer.apply_gradients(zip(tape.gradient(losses[name], weights), weights, strict=True))
        return losses


def gan(d_rate: float, g_rate: float, *, compiled: str | None) -> keras.Model:
    model = Gan()
    rates = {"d_optimizer": d_rate, "g_optimizer": g_rate}
    optimizers = {name: keras.optimizers.SGD(rate, momentum=0.9) for name, rate in rates.items()}
    model.compile(**optimizers, **({"optimizer": optimizers[compiled]} if compiled else {}))
    return model


@functools.cache
def fit_of_gan(rate: float, repeat: int) -> dict[str, list[float]]:
    keras.utils.set_random_seed(repeat)
    model = gan(1e-2, rate, compiled=None)
    return dict(model.fit(X, epochs=EPOCHS, batch_size=64, verbose=0).history)


@pytest.mark.parametrize("way", ["read", "compiled"])
def test_one_of_two_optimizers_is_searched(tmp_path: Path, way: str) -> None:
    def read(hp: Any) -> keras.Model:
        return gan(1e-2, hp.get("learning_rate"), compiled=None)

    hypermodel = read if way == "read" else lambda: gan(1e-2, 1.0, compiled="g_optimizer")
    tuner = LogGridSearch(
        hypermodel, "g_loss", learning_rates=RATES, repeats=2, extend=False, directory=tmp_path, project_name=way
    )
    tuner.search(X, epochs=EPOCHS, batch_size=64, verbose=0)
    result = tuner.sensitivity()
    assert result.engine == ("rebuild" if way == "read" else "function")
    # The second repeat trains after the first: what the optimizers have learnt from it must be gone.
    for rate, repeat in [(rate, repeat) for rate in RATES for repeat in (0, 1)]:
        expected = fit_of_gan(rate, repeat)
        rows = result.frame[(result.frame["learning_rate"] == rate) & (result.frame["repeat"] == repeat)]
        for name in ("g_loss", "d_loss"):
            np.testing.assert_allclose(rows[name], expected[name], rtol=1e-4, err_msg=f"{name} at {rate}")


def test_an_unused_optimizer_is_refused_with_what_to_do(tmp_path: Path) -> None:
    tuner = LogGridSearch(lambda: gan(1e-2, 1e-2, compiled=None), "g_loss", directory=tmp_path)
    with pytest.raises(ModelError, match=r"the compiled RMSprop unused\. .*`d_optimizer` and `g_optimizer`.*hp\.get"):
        tuner.search(X, epochs=1, verbose=0)
    assert not (tmp_path / "lr").exists()


def test_a_model_that_is_built_once_is_refused(tmp_path: Path) -> None:
    model = build(Autoencoder, eager=False)
    tuner = LogGridSearch(lambda: model, keras_tuner.Objective("loss", "min"), directory=tmp_path)
    with pytest.raises(ModelError, match="`hypermodel` must build a new model each time"):
        tuner.search(X, epochs=1, verbose=0)


class Sized(Autoencoder):
    """A step of its own that applies its gradients at a rate of its own."""

    def __init__(self, size: float) -> None:
        super().__init__()
        self.size = size

    def train_step(self, data: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = self.loss_of(data)
        for weight, gradient in zip(self.trainable_weights, tape.gradient(loss, self.trainable_weights), strict=True):
            weight.assign_sub(self.size * gradient)
        self.tracker.update_state(loss)
        return {"loss": self.tracker.result()}


def test_a_rate_that_the_model_keeps_as_an_attribute_is_searched(tmp_path: Path) -> None:
    def sized(hp: Any) -> keras.Model:
        model = Sized(hp.get("learning_rate"))
        model.compile("sgd")
        return model

    tuner = LogGridSearch(sized, "loss", learning_rates=[1e-3, 1.0], repeats=1, extend=False, directory=tmp_path)
    tuner.search(X, epochs=EPOCHS, verbose=0)
    result = tuner.sensitivity()
    assert (result.engine, result.best_learning_rate) == ("rebuild", 1.0)
    assert "(the model's `size`)" in result.engine_reason
