"""Models whose `train_step` alone knows how they are called, and those of several optimizers."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_lr
from keras_lr.errors import DataError, ModelError
from tests.training_models import all_values

X = np.random.default_rng(0).normal(size=(128, 8)).astype("float32")


class Autoencoder(keras.Model):
    """Has no `call`; its parts are built by the first step."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = keras.Sequential([keras.layers.Dense(4), keras.layers.BatchNormalization()])
        self.decoder = keras.layers.Dense(8)
        self.tracker = keras.metrics.Mean(name="loss")

    def loss_of(self, data: Any) -> Any:
        return tf.reduce_mean((self.decoder(self.encoder(data, training=True)) - data) ** 2)

    def train_step(self, data: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = self.loss_of(data[0] if isinstance(data, tuple) and len(data) == 1 else data)
        gradients = tape.gradient(loss, self.trainable_weights)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        self.tracker.update_state(loss)
        return {"loss": self.tracker.result()}


class Triplets(Autoencoder):
    """Takes an anchor, a positive and a negative, which no call of the model would."""

    def loss_of(self, data: Any) -> Any:
        anchor, positive, negative = (self.encoder(part, training=True) for part in data)
        nearer, farther = (tf.reduce_sum((anchor - other) ** 2, axis=-1) for other in (positive, negative))
        return tf.reduce_mean(tf.nn.relu(nearer - farther + 1.0)) + tf.reduce_mean(self.decoder(anchor) ** 2)


DATA = {Autoencoder: X, Triplets: (X, X + 0.1, X[::-1].copy())}


def trained(kind: type, *, eager: bool, test: Any = None) -> list[float]:
    keras.utils.set_random_seed(3)
    model = kind()
    model.compile(keras.optimizers.SGD(1e-2), run_eagerly=eager)
    if test is not None:
        test(model, DATA[kind])
    return model.fit(DATA[kind], epochs=2, verbose=0).history["loss"]


def by_call(model: keras.Model, data: Any) -> None:
    result = keras_lr.find_lr(model, data, num_steps=30, max_lr=1e-1)
    assert result.stop_reason == "completed"
    assert len(np.unique(result.losses)) == 30


def by_callback(model: keras.Model, data: Any) -> None:
    model.fit(data, verbose=0, callbacks=[keras_lr.LRRangeTest(num_steps=10)])


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("kind", [Autoencoder, Triplets])
def test_a_model_without_call_is_built_and_restored_as_by_fit(kind: type, eager: bool) -> None:
    plain = trained(kind, eager=eager)
    for test in (by_call, by_callback):
        assert trained(kind, eager=eager, test=test) == pytest.approx(plain, rel=1e-5)


def test_each_loss_of_an_eager_step_is_that_of_its_batch_at_the_initial_weights() -> None:
    keras.utils.set_random_seed(3)
    model = Autoencoder()
    model.compile("sgd", run_eagerly=True)
    result = keras_lr.find_lr(model, X, shuffle=False, min_lr=1e-30, max_lr=1e-29, num_steps=4)
    expected = [float(model.loss_of(tf.constant(X[start : start + 32]))) for start in range(0, 128, 32)]
    np.testing.assert_allclose(result.losses, expected, rtol=1e-4)


def test_an_eager_step_that_fails_leaves_nothing_behind() -> None:
    class Failing(Autoencoder):
        def loss_of(self, data: Any) -> Any:
            super().loss_of(data)
            raise RuntimeError("out of luck")

    keras.utils.set_random_seed(3)
    model = Failing()
    model.compile("sgd", run_eagerly=True)
    with pytest.raises(RuntimeError, match="out of luck"):
        keras_lr.find_lr(model, X)
    assert int(model.optimizer.iterations) == 0
    with pytest.raises(DataError, match="must yield at least one batch"):
        keras_lr.find_lr(model, tf.data.Dataset.from_tensors(X).take(0))


calls = {"loss": 0}


def growing_loss(y: Any, prediction: Any) -> Any:
    """A squared error that weighs more each time it is called."""
    calls["loss"] += 1
    return tf.reduce_mean((y - prediction) ** 2, axis=-1) * (1 + 0.01 * calls["loss"])


class Remembering(keras.Model):
    """Keeps a state in Python, in every kind of attribute; `width` is learned from the data by `build`."""

    def __init__(self) -> None:
        super().__init__()
        self.width: int | None = None
        self.dense: Any = None
        self.count = 0
        self.weight = {"loss": 1.0}
        self.last: list[float] = []
        self.noise = np.random.default_rng(5)
        self.hidden = [tf.Variable(0.0)]

    def build(self, shape: Any) -> None:
        self.width = shape[-1]
        self.dense = keras.layers.Dense(self.width)
        self.dense.build(shape)
        self.built = True

    def call(self, inputs: Any) -> Any:
        assert self.width is not None
        self.count += 1
        self.weight["loss"] *= 0.99
        self.last.append(self.noise.normal())
        self.hidden[0].assign_add(1.0)
        state = 0.1 * self.count + self.weight["loss"] + self.last[-1] + 0.1 * len(self.last) + self.hidden[0]
        return self.dense(inputs + 0.01 * state)


@pytest.mark.parametrize("is_built", [False, True])
def test_what_an_eager_model_remembers_in_python_is_restored(*, is_built: bool) -> None:
    def trained(test: Any = None) -> list[float]:
        keras.utils.set_random_seed(3)
        calls["loss"] = 0
        model = Remembering()
        model.compile("sgd", growing_loss, run_eagerly=True)
        if is_built:
            model.predict(X, verbose=0)
        if test is not None:
            test(model, X, X)
        return model.fit(X, X, verbose=0).history["loss"]

    plain = trained()
    assert trained(lambda model, x, y: keras_lr.find_lr(model, x, y, num_steps=10)) == plain
    assert (
        trained(lambda model, x, y: model.fit(x, y, verbose=0, callbacks=[keras_lr.LRRangeTest(num_steps=5)])) == plain
    )


class Taught(keras.Model):
    """Follows itself by a teacher that Keras does not list, and weighs the loss by the number of its steps."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(8)
        object.__setattr__(self, "teacher", {"layer": keras.layers.Dense(8)})
        self.steps = {"done": 0}

    def build(self, shape: Any) -> None:
        for layer in (self.dense, self.teacher["layer"]):
            layer.build(shape)
        self.built = True

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs)

    def train_step(self, data: Any) -> Any:
        self.steps["done"] += 1
        logs = super().train_step(data)
        teacher = self.teacher["layer"]
        for followed, variable in zip(self.dense.variables, teacher.variables, strict=True):
            variable.assign(0.9 * variable + 0.1 * followed)
        return {**logs, "loss": self.steps["done"] * logs["loss"] + tf.reduce_mean(teacher(data[0]) ** 2)}


def test_what_an_eager_step_changes_outside_of_keras_s_lists_is_restored() -> None:
    def taught() -> keras.Model:
        keras.utils.set_random_seed(3)
        model = Taught()
        model.build((None, 8))
        model.compile("sgd", "mse", run_eagerly=True)
        return model

    class Losses(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            losses.append(logs["loss"])

    losses: list[float] = []
    plain = taught().fit(X, X, shuffle=False, verbose=0, callbacks=[Losses()]).history["loss"]
    model = taught()
    rates = {"min_lr": 0.01, "max_lr": 0.01 * (1 + 1e-9), "num_steps": len(losses)}
    result = keras_lr.find_lr(model, X, X, shuffle=False, stop_on_divergence=False, verbose=0, **rates)
    # The first loss is that of a first step, not of the step after the one that built the optimizer.
    np.testing.assert_allclose(result.losses[0], losses[0], rtol=1e-5)
    assert model.fit(X, X, shuffle=False, verbose=0).history["loss"] == plain


class Traced(keras.layers.Layer):
    """Behaves by what its Python code draws and counts while it is traced."""

    def __init__(self) -> None:
        super().__init__()
        self.traces = 0

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training:
            return inputs
        self.traces += 1
        return inputs * (np.random.rand() + self.traces)


class Counting(keras.layers.Layer):
    """Keeps its state in a table, in an iterator, and in Python code that runs within a compiled step."""

    def __init__(self) -> None:
        super().__init__()
        self.table = tf.lookup.experimental.MutableHashTable(tf.int64, tf.float32, 0.0)
        self.scales = iter(tf.data.Dataset.from_tensor_slices(np.linspace(0.5, 1.5, 99, dtype="float32")))
        self.noise = np.random.default_rng(1)

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training:
            return inputs
        key = tf.constant(1, tf.int64)
        number = tf.reshape(self.table.lookup(key), []) + 1.0
        drawn = tf.numpy_function(lambda: np.float32(self.noise.normal()), [], tf.float32)
        with tf.control_dependencies([self.table.insert(key, number)]):
            return inputs * (next(self.scales) + 0.01 * number + 0.1 * tf.reshape(drawn, []))


@pytest.mark.parametrize("make", [Traced, Counting])
def test_what_a_compiled_model_keeps_beside_variables_is_restored(make: Any) -> None:
    def trained(*ways: Any) -> list[float]:
        keras.utils.set_random_seed(3)
        inputs = keras.Input((X.shape[1],))
        model = keras.Model(inputs, keras.layers.Dense(X.shape[1])(make()(inputs)))
        model.compile("sgd", "mse")
        for way in ways:
            way(model, X, X)
        return model.fit(X, X, verbose=0, shuffle=False, batch_size=8, epochs=2).history["loss"]

    plain = trained()
    tested = trained(
        lambda model, x, y: keras_lr.find_lr(model, x, y, num_steps=10, repeats=2),
        lambda model, x, y: model.fit(x, y, verbose=0, callbacks=[keras_lr.LRRangeTest(num_steps=5)]),
    )
    assert tested == plain


class Adversarial(keras.Model):
    """Two networks, each trained by an optimizer of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = keras.Sequential([keras.Input((2,)), keras.layers.Dense(8)])
        self.discriminator = keras.Sequential([keras.Input((8,)), keras.layers.Dense(4, "relu"), keras.layers.Dense(1)])

    def compile(self, d_optimizer: Any, g_optimizer: Any, **options: Any) -> None:
        super().compile(**options)
        self.d_optimizer, self.g_optimizer = d_optimizer, g_optimizer

    def train_step(self, data: Any) -> Any:
        real = data[0] if isinstance(data, tuple) else data
        noise = keras.random.normal((tf.shape(real)[0], 2), seed=1)
        losses = {}
        for part, optimizer, sign in (
            (self.discriminator, self.d_optimizer, 1.0),
            (self.generator, self.g_optimizer, -1.0),
        ):
            with tf.GradientTape() as tape:
                made = self.discriminator(self.generator(noise))
                loss = sign * tf.reduce_mean(tf.nn.softplus(made) + tf.nn.softplus(-self.discriminator(real)))
            optimizer.apply(tape.gradient(loss, part.trainable_weights), part.trainable_weights)
            losses["d_loss" if sign > 0 else "g_loss"] = loss
        return losses


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("compiled", [{}, {"optimizer": None}], ids=["default", "none"])
def test_a_model_of_two_optimizers_is_told_how_to_sweep_one_of_them(compiled: Any, eager: bool) -> None:
    keras.utils.set_random_seed(0)
    model = Adversarial()
    model.compile(keras.optimizers.Adam(1e-3), keras.optimizers.SGD(1e-2), run_eagerly=eager, **compiled)
    before = [*map(np.asarray, model.get_weights())]
    with pytest.raises(
        ModelError, match=r"The model also holds `d_optimizer` and `g_optimizer`\. To sweep one"
    ) as told:
        keras_lr.find_lr(model, X, monitor="d_loss")
    assert "set `model.optimizer = model.d_optimizer` and name the loss that it lowers by `monitor`" in str(told.value)
    model.optimizer = model.d_optimizer
    result = keras_lr.find_lr(model, X, monitor="d_loss", num_steps=40, min_lr=1e-5, max_lr=1e-1)
    assert result.monitor == "d_loss"
    assert result.losses[-1] < 0.9 * result.losses[0]
    assert float(model.d_optimizer.learning_rate) == pytest.approx(1e-3)
    assert [int(one.iterations) for one in (model.d_optimizer, model.g_optimizer)] == [0, 0]
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_variables_of_a_built_model_outside_of_keras_s_lists_are_restored_too() -> None:
    class WithState(Autoencoder):
        def __init__(self) -> None:
            super().__init__()
            self.hidden = keras.metrics.Mean(name="hidden")
            self.own = keras.optimizers.SGD(1e-2, momentum=0.9)

        @property
        def metrics(self) -> Any:
            return [self.tracker]

        def train_step(self, data: Any) -> Any:
            logs = super().train_step(data)
            self.hidden.update_state(logs["loss"])
            weights = self.decoder.trainable_weights
            self.own.apply([tf.ones_like(weight) for weight in weights], weights)
            return logs

    for eager in (False, True):
        model = WithState()
        model.compile("sgd", run_eagerly=eager)
        model.fit(X, verbose=0)
        held = [*all_values(model), *map(np.asarray, [*model.hidden.variables, *model.own.variables])]
        keras_lr.find_lr(model, X, num_steps=5)
        after = [*all_values(model), *map(np.asarray, [*model.hidden.variables, *model.own.variables])]
        for old, new in zip(held, after, strict=True):
            np.testing.assert_array_equal(old, new)
