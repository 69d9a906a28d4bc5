"""Which engine trains, and that data of every kind gives the numbers of plain `fit`."""

from __future__ import annotations

import itertools
import logging
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf

import keras_lr.search._engines.selection
from keras_lr.search._engines.base import Cost
from keras_lr.search._engines.function import FunctionEngine
from keras_lr.search._engines.stacked import StackedEngine
from tests.search.small_search import BATCH_SIZE, EPOCHS, RATES, classifier, iris, plain_fit, run_small, small_search

PLAIN = classifier()


class OwnStep(keras.Model):
    """A model with a training step of its own, which logs the loss alone."""

    def __init__(self) -> None:
        super().__init__()
        self.out = keras.layers.Dense(3)

    def call(self, inputs: Any) -> Any:
        return self.out(inputs)

    def train_step(self, data: Any) -> Any:
        return {"loss": 2 * super().train_step(data)["loss"]}


class Branching(keras.layers.Dense):
    """A layer whose weights are used in one of two ways; TensorFlow cannot batch that, and logs 140 lines about it."""

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        dense = super().call
        return keras.ops.cond(keras.ops.mean(inputs) > 0, lambda: dense(inputs), lambda: dense(2 * inputs))


def own_step() -> keras.Model:
    model = OwnStep()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


class Freezes(keras.callbacks.Callback):
    """Freezes the first layer once two epochs are done."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if epoch == 1:
            self.model.layers[0].trainable = False
            self.model.compile(self.model.optimizer, self.model.loss)
            self.model.make_train_function(force=True)


class Weakens(keras.callbacks.Callback):
    """Changes a setting of a layer, which counts from the next trace on."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if epoch == 1:
            self.model.layers[0].activation = keras.activations.tanh
            self.model.make_train_function(force=True)


def wide_at_high_rates(hp: Any) -> keras.Model:
    rate = hp.get("learning_rate")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, kernel_regularizer=keras.regularizers.L2(rate))])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


def with_schedule(hp: Any) -> keras.Model:
    model = classifier()()
    decay = keras.optimizers.schedules.CosineDecay(hp.get("learning_rate"), 14)
    model.compile(keras.optimizers.SGD(decay), model.loss)
    return model


class Halving(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule without `get_config`, which only saving a model needs."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    def __call__(self, step: Any) -> Any:
        return self.rate * 0.5 ** (keras.ops.cast(step, "float32") / 7)


def with_bare_schedule(hp: Any) -> keras.Model:
    model = classifier()()
    model.compile(keras.optimizers.SGD(Halving(hp.get("learning_rate"))), model.loss)
    return model


def with_fixed_schedule() -> keras.Model:
    model = classifier()()
    model.compile(keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 14)), model.loss)
    return model


def with_wrapper() -> keras.Model:
    return classifier(lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD()))()


class KeepsItsLastInput(keras.layers.Layer):
    """Holds a tensor of the trace, but none as long as its output's shape is all that is asked for."""

    kept: Any = None

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def call(self, inputs: Any) -> Any:
        self.kept = [inputs]
        return inputs


def with_a_kept_tensor() -> keras.Model:
    return classifier(layers=[KeepsItsLastInput])()


class KnowsItsLayers(keras.Model):
    """Holds where its layers are in memory, as the tasks of KerasHub do."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.places = {id(layer) for layer in self.layers}


def with_places_of_layers() -> keras.Model:
    flowers = keras.Input((4,))
    model = KnowsItsLayers(flowers, keras.layers.Dense(3)(flowers))
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


penalties = itertools.count(1)


def with_another_penalty() -> keras.Model:
    return classifier(layers=[lambda: keras.layers.ActivityRegularization(l2=0.01 * next(penalties))])()


def with_convolution() -> keras.Model:
    layers = [keras.Input((4,)), keras.layers.Reshape((4, 1)), keras.layers.Conv1D(2, 2), keras.layers.Flatten()]
    model = keras.Sequential([*layers, keras.layers.Dense(3)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


@pytest.mark.filterwarnings("ignore:`hypermodel` compiles a learning-rate schedule")
@pytest.mark.parametrize(
    ("build", "engine", "reason"),
    [
        (with_a_kept_tensor, "stacked", ""),
        (with_places_of_layers, "stacked", ""),
        (with_fixed_schedule, "function", "the compiled SGD follows a schedule"),
        (with_wrapper, "function", "the compiled LossScaleOptimizer holds no learning rate of its own"),
        (own_step, "function", "the model has a `train_step` of its own"),
        (with_convolution, "function", "convolutions with weights of their own do not stack"),
        (
            wide_at_high_rates,
            "rebuild",
            "more of the model than the optimizer's rate (`kernel_regularizer` of a Dense layer)",
        ),
        (with_schedule, "rebuild", "(the optimizer's schedule)"),
        (with_another_penalty, "rebuild", "two builds of the model differ (`l2` of an ActivityRegularization layer)"),
    ],
)
def test_the_engine_follows_from_the_model(tmp_path: Path, build: Any, engine: str, reason: str) -> None:
    tuner = small_search(build, tmp_path, repeats=1)
    frame = run_small(tuner, epochs=1)
    assert tuner.sensitivity().engine == engine
    assert reason in tuner.sensitivity().engine_reason
    assert frame["loss"].nunique() == len(RATES)


def test_an_operation_that_does_not_stack_fills_no_log(tmp_path: Path) -> None:
    logged: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = logged.append  # type: ignore[method-assign]
    tf.get_logger().addHandler(handler)
    try:
        tuner = small_search(classifier(layers=[lambda: Branching(8)]), tmp_path, repeats=1)
        run_small(tuner, epochs=1)
    finally:
        tf.get_logger().removeHandler(handler)
    assert tuner.sensitivity().engine_reason.startswith("its step cannot be stacked")
    assert logged == []


@pytest.mark.parametrize("build", [with_schedule, with_bare_schedule])
def test_a_schedule_scaled_by_the_rate_is_followed(tmp_path: Path, build: Any) -> None:
    x, y, _ = iris()
    frame = run_small(small_search(build, tmp_path, repeats=1))
    for rate in RATES:
        keras.utils.set_random_seed(0)
        model = build({"learning_rate": rate})
        for epoch in range(EPOCHS):
            order = np.random.default_rng([0, epoch]).permutation(len(x))
            fitted = model.fit(x[order], y[order], batch_size=BATCH_SIZE, shuffle=False, verbose=0)
        ours = frame[frame["learning_rate"] == rate]["loss"].iloc[-1]
        assert ours == pytest.approx(fitted.history["loss"][0], rel=1e-5)


def test_a_schedule_that_ignores_the_rate_gives_way_with_a_warning(tmp_path: Path) -> None:
    fixed = classifier(lambda: keras.optimizers.SGD(keras.optimizers.schedules.CosineDecay(0.1, 10)))
    with pytest.warns(UserWarning, match="schedule that does not depend on the searched rate"):
        frame = run_small(small_search(fixed, tmp_path / "schedule", repeats=1), epochs=1)
    constant = run_small(small_search(classifier(keras.optimizers.SGD), tmp_path / "constant", repeats=1), epochs=1)
    np.testing.assert_allclose(frame["loss"], constant["loss"], rtol=1e-5)


def test_weights_of_samples_and_classes_and_a_split_are_as_in_fit(tmp_path: Path) -> None:
    x, y, _ = iris()
    weight = np.linspace(0.5, 2, len(x)).astype("float32")
    build = classifier()
    for number, given in enumerate(({"sample_weight": weight}, {"class_weight": {0: 1.0, 1: 2.0, 2: 0.5}})):
        tuner = small_search(build, tmp_path / str(number), learning_rates=[1e-2, 2e-2], repeats=1)
        tuner.search(x, y, validation_split=0.2, epochs=1, batch_size=BATCH_SIZE, verbose=0, shuffle=False, **given)
        keras.utils.set_random_seed(0)
        model = build()
        model.optimizer.learning_rate = 1e-2
        logs = model.fit(x, y, validation_split=0.2, batch_size=BATCH_SIZE, verbose=0, shuffle=False, **given).history
        row = tuner.sensitivity().frame.iloc[0]
        assert tuner.sensitivity().engine == "stacked"
        for name, (value,) in logs.items():
            assert row[name] == pytest.approx(value, rel=1e-4), name


def test_a_shuffled_dataset_has_one_order_a_repeat_at_every_rate(tmp_path: Path) -> None:
    x, y, validation = iris()
    data = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(100).batch(20)
    tuner = small_search(classifier(), tmp_path, learning_rates=[1e-9, 2e-9])
    tuner.search(data, validation_data=tf.data.Dataset.from_tensors(validation), epochs=1, verbose=0)
    result = tuner.sensitivity()
    assert (result.engine, result.engine_reason, result.batch_sizes) == (
        "function",
        "the batches of a dataset do not stack",
        (20,),
    )
    losses = result.frame.pivot(index="learning_rate", columns="repeat", values="loss").to_numpy()
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)


def test_batch_sizes_are_a_second_axis(tmp_path: Path) -> None:
    tuner = small_search(classifier(), tmp_path, batch_sizes=[20, 50], repeats=1)
    frame = run_small(tuner, epochs=1)
    assert sorted(set(zip(frame["learning_rate"], frame["batch_size"], strict=True))) == [
        (rate, size) for rate in RATES for size in (20, 50)
    ]
    alone = run_small(small_search(classifier(), tmp_path / "alone", repeats=1), epochs=1, batch_size=50)
    np.testing.assert_allclose(frame[frame["batch_size"] == 50]["loss"], alone["loss"], rtol=1e-5)
    assert set(tuner.get_best_hyperparameters()[0].values) == {"learning_rate", "batch_size"}


def test_a_single_run_is_not_stacked(tmp_path: Path) -> None:
    tuner = small_search(classifier(), tmp_path, learning_rates=[1e-2], repeats=1)
    run_small(tuner, epochs=1)
    assert (tuner.sensitivity().engine, tuner.sensitivity().engine_reason) == ("function", "there is a single run")


COSTS = {
    "a long training, with a faster function": ({"stacked": Cost(1.0, 0.02), "function": Cost(0.4, 0.01)}, "function"),
    "a long training, with a faster stack": ({"stacked": Cost(1.0, 0.02), "function": Cost(0.4, 0.03)}, "stacked"),
    "a training too short to try the function": (
        {"stacked": Cost(9.0, 0.02), "function": Cost(0.4, 0.01)},
        "stacked",
    ),
}


@pytest.mark.parametrize("case", COSTS)
def test_the_engine_with_the_shortest_steps_trains_and_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    costs, expected = COSTS[case]
    asked = []

    def set_costs(given: dict[str, Cost]) -> None:
        for kind in (StackedEngine, FunctionEngine):
            monkeypatch.setattr(kind, "measured", lambda self, runs: asked.append(self.name) or given[self.name])

    set_costs(costs)
    # Four runs of two epochs of seven steps: 56 steps of 20 ms last longer than one trace, but not than the other.
    tuner = small_search(classifier(), tmp_path)
    monkeypatch.setattr(keras_lr.search._engines.selection, "_WORTH", {"stacked": 1, "function": 1})
    run_small(tuner)
    result = tuner.sensitivity()
    assert result.engine == expected
    assert asked == (["stacked"] if "too short" in case else ["stacked", "function"])
    if len(asked) == 2:
        assert result.engine_reason == (
            "measured per step and run: function takes 10 ms, stacked takes 20 ms"
            if expected == "function"
            else "measured per step and run: stacked takes 20 ms, function takes 30 ms"
        )
    # The wider search keeps the engine, although it would now be another one.
    set_costs({"stacked": costs["function"], "function": costs["stacked"]})
    asked.clear()
    wider = small_search(classifier(), tmp_path, learning_rates=[*RATES, 3e-2])
    run_small(wider)
    assert (wider.sensitivity().engine, asked) == (expected, [])


def test_timing_both_engines_changes_no_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras_lr.search._engines.selection, "pays_to_time_another", lambda *_: True)
    build = classifier(layers=[lambda: keras.layers.Dropout(0.5)])
    timed = small_search(build, tmp_path / "timed", repeats=1)
    frame = run_small(timed)
    assert "measured per step and run" in timed.sensitivity().engine_reason
    alone = run_small(small_search(build, tmp_path / "alone", repeats=1, engine="function"))
    np.testing.assert_allclose(frame["loss"], alone["loss"], rtol=1e-5)


@pytest.mark.parametrize(
    ("callback", "change"), [(Freezes, "the model for good: the model was"), (Weakens, "`activation`")]
)
def test_a_model_that_a_callback_changes_for_good_is_not_used_again(tmp_path: Path, callback: Any, change: str) -> None:
    x, y, _ = iris()
    fit = {"batch_size": BATCH_SIZE, "epochs": 3, "shuffle": False, "verbose": 0}
    tuner = small_search(classifier(), tmp_path, objective="loss", repeats=1, seed=3)
    tuner.search(x, y, callbacks=[callback()], **fit)
    result = tuner.sensitivity()
    assert result.engine == "rebuild"
    assert result.engine_reason.startswith(f"a callback changes {change}")
    for rate in RATES:
        keras.utils.set_random_seed(3)
        model = classifier()()
        model.optimizer.learning_rate = rate
        plain = model.fit(x, y, callbacks=[callback()], **fit).history["loss"]
        found = result.frame[result.frame["learning_rate"] == rate].sort_values("epoch")["loss"]
        np.testing.assert_allclose(found, plain, rtol=1e-5)


class Curriculum(keras.utils.PyDataset):
    """Draws its batches from a generator of its own, and makes each epoch harder. It is an iterator too."""

    def __init__(self) -> None:
        super().__init__()
        self.x, self.y, _ = iris()
        self.random = np.random.default_rng(4)
        self.epoch = 0

    def __len__(self) -> int:
        return 3

    def __getitem__(self, index: int) -> Any:
        chosen = self.random.integers(0, len(self.x), BATCH_SIZE)
        return self.x[chosen] * (1 + self.epoch), self.y[chosen]

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        return self[0]

    def on_epoch_end(self) -> None:
        self.epoch += 1


class Hardens(keras.callbacks.Callback):
    """Makes the data harder itself; keeps other data, too."""

    def __init__(self, data: Curriculum) -> None:
        super().__init__()
        self.data = data
        self.others = [tf.data.Dataset.range(3)]

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.data.epoch += 2


def counted_batches() -> tf.data.Dataset:
    """A pipeline whose Python function counts what it has read."""
    x, y, _ = iris()
    read = {"count": 0}

    def scaled(row: np.ndarray) -> np.ndarray:
        read["count"] += 1
        return np.asarray(row * (1 + read["count"] / 100), np.float32)

    def mapped(row: Any, label: Any) -> Any:
        return tf.ensure_shape(tf.numpy_function(scaled, [row], tf.float32), (4,)), label

    return tf.data.Dataset.from_tensor_slices((x, y)).map(mapped).batch(BATCH_SIZE)


@pytest.mark.parametrize(
    ("data", "engine"),
    [(Curriculum, "reuse"), (Curriculum, "rebuild"), (counted_batches, "function"), (counted_batches, "reuse")],
)
def test_each_run_reads_data_that_remember_from_their_start(tmp_path: Path, data: Any, engine: Any) -> None:
    tuner = small_search(classifier(), tmp_path, objective="loss", repeats=1, seed=3, engine=engine)
    given = data()
    tuner.search(given, epochs=EPOCHS, verbose=0)
    result = tuner.sensitivity()
    assert result.engine == engine

    for rate in RATES:
        found = result.frame[result.frame["learning_rate"] == rate].sort_values("epoch")["loss"]
        np.testing.assert_allclose(found, plainly(data(), rate), rtol=1e-5)
    # The search leaves the data as they were.
    assert plainly(given, RATES[0]) == plainly(data(), RATES[0])


def plainly(batches: Any, rate: float, *callbacks: Any) -> list[float]:
    """The losses of plain `fit`."""
    return plain_fit(PLAIN, batches, rate=rate, seed=3, epochs=EPOCHS, callbacks=list(callbacks))["loss"]


def test_a_callback_changes_the_data_that_its_run_reads(tmp_path: Path) -> None:
    tuner = small_search(classifier(), tmp_path, objective="loss", repeats=1, seed=3)
    data = Curriculum()
    tuner.search(data, callbacks=[Hardens(data)], epochs=EPOCHS, verbose=0)
    for rate, found in tuner.sensitivity().frame.groupby("learning_rate")["loss"]:
        data = Curriculum()
        np.testing.assert_allclose(found, plainly(data, rate, Hardens(data)), rtol=1e-5)


class Raises(keras.callbacks.Callback):
    """Raises what it holds after each epoch: the level in a dict, or a variable."""

    def __init__(self, level: Any) -> None:
        super().__init__()
        self.level = level

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        if isinstance(self.level, dict):
            self.level["now"] += 1.0
        else:
            self.level.assign_add(1.0)


class Flowers(keras.utils.PyDataset):
    """One batch, which a worker can be sent."""

    def __init__(self, x: np.ndarray, y: np.ndarray) -> None:
        super().__init__()
        self.batch = x, y

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Any:
        return self.batch


def read_by_a_generator(level: Any) -> tuple[Any, Any]:
    def batches() -> Any:
        x, y, _ = iris()
        for start in range(0, len(x), 25):
            yield x[start : start + 25] * level["now"], y[start : start + 25]

    signature = tf.TensorSpec((25, 4)), tf.TensorSpec((25,), tf.int32)
    data = tf.data.Dataset.from_generator(batches, output_signature=signature)
    return data.apply(tf.data.experimental.assert_cardinality(4)), PLAIN


def read_in_a_map(level: Any) -> tuple[Any, Any]:
    x, y, _ = iris()
    return tf.data.Dataset.from_tensor_slices((x, y)).batch(25).map(lambda a, b: (a * level, b)), PLAIN


def read_by_an_eager_loss(level: Any) -> tuple[Any, Any]:
    def loss(true: Any, predicted: Any) -> Any:
        return level["now"] * keras.losses.sparse_categorical_crossentropy(true, predicted, from_logits=True)

    def build() -> keras.Model:
        model = classifier()()
        model.compile("sgd", loss, run_eagerly=True)
        return model

    x, y, _ = iris()
    return Flowers(x, y), build


@pytest.mark.parametrize(
    ("read", "workers"),
    [(read_by_a_generator, None), (read_in_a_map, None), (read_by_an_eager_loss, None), (read_by_an_eager_loss, 1)],
)
def test_what_a_callback_shares_with_other_code_starts_anew_with_each_run(
    tmp_path: Path, read: Any, workers: int | None
) -> None:
    level: Any = tf.Variable(1.0) if read is read_in_a_map else {"now": 1.0}
    data, build = read(level)
    tuner = small_search(build, tmp_path, objective="loss", repeats=1, seed=3)
    tuner.search(data, callbacks=[Raises(level)], epochs=EPOCHS, verbose=0, workers=workers)
    assert float(level["now"] if isinstance(level, dict) else level) == 1.0
    for rate, found in tuner.sensitivity().frame.groupby("learning_rate")["loss"]:
        level = tf.Variable(1.0) if read is read_in_a_map else {"now": 1.0}
        data, build = read(level)
        plain = plain_fit(build, data, rate=rate, seed=3, epochs=EPOCHS, callbacks=[Raises(level)])["loss"]
        np.testing.assert_allclose(found, plain, rtol=1e-5)


@pytest.mark.parametrize("steps", [3, 9])
def test_steps_that_do_not_divide_the_data_end_an_epoch_early_as_in_fit(tmp_path: Path, steps: int) -> None:
    x, y, _ = iris()
    fit = {"batch_size": BATCH_SIZE, "epochs": 4, "steps_per_epoch": steps, "shuffle": False}
    tuner = small_search(PLAIN, tmp_path, objective="loss", repeats=1, seed=3)
    tuner.search(x, y, verbose=0, **fit)
    for rate, found in tuner.sensitivity().frame.groupby("learning_rate")["loss"]:
        np.testing.assert_allclose(found, plain_fit(PLAIN, x, y, rate=rate, seed=3, **fit)["loss"], rtol=1e-5)


class OnAnyTensor(keras.Model):
    """A model of sparse or ragged features, whose missing values are zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.out = keras.layers.Dense(3)

    def call(self, inputs: Any) -> Any:
        inputs = inputs.to_tensor(shape=(None, 4)) if isinstance(inputs, tf.RaggedTensor) else inputs
        return self.out(tf.ensure_shape(inputs, (None, 4)) if isinstance(inputs, tf.Tensor) else inputs)


class OnAnyTensorByItself(OnAnyTensor):
    """The same with a step of its own."""

    def train_step(self, data: Any) -> Any:
        return super().train_step(data)


@pytest.mark.parametrize("kind", ["sparse", "ragged"])
@pytest.mark.parametrize("step", ["of Keras", "own"])
def test_batches_that_are_not_dense_train_as_in_fit(tmp_path: Path, kind: str, step: str) -> None:
    x, y, _ = iris()
    features: Any = tf.sparse.from_dense(x)
    if kind == "ragged":
        features = tf.RaggedTensor.from_tensor(x, lengths=np.arange(len(x)) % 4 + 1)
    dataset = tf.data.Dataset.from_tensor_slices((features, y)).batch(BATCH_SIZE)

    def build() -> keras.Model:
        model = OnAnyTensor() if step == "of Keras" else OnAnyTensorByItself()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", loss)
        return model

    tuner = small_search(build, tmp_path, learning_rates=[0.1], objective="loss", repeats=1)
    tuner.search(dataset, epochs=2, verbose=0)
    keras.utils.set_random_seed(0)
    model = build()
    model.optimizer.learning_rate = 0.1
    plain = model.fit(dataset, epochs=2, verbose=0)
    np.testing.assert_allclose(tuner.sensitivity().frame["loss"], plain.history["loss"], rtol=1e-5)


@pytest.mark.parametrize("engine", ["function", "reuse"])
def test_a_state_from_batch_to_batch_begins_anew_with_each_run(tmp_path: Path, engine: Any) -> None:
    x, y, _ = iris()
    fit = {"batch_size": 20, "epochs": 2, "shuffle": False, "verbose": 0, "validation_data": (x[:40], y[:40])}

    def build() -> keras.Model:
        inputs = keras.Input((4,), batch_size=20)
        steps = keras.layers.Reshape((2, 2))(inputs)
        model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.SimpleRNN(3, stateful=True, unroll=True)(steps)))
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    tuner = small_search(build, tmp_path, repeats=1, engine=engine)
    tuner.search(x, y, **fit)
    assert tuner.sensitivity().engine == engine
    for rate in RATES:
        keras.utils.set_random_seed(0)
        model = build()
        model.optimizer.learning_rate = rate
        plain = model.fit(x, y, **fit).history
        found = tuner.sensitivity().frame.query("learning_rate == @rate").sort_values("epoch")
        for name, values in plain.items():
            np.testing.assert_allclose(found[name], values, rtol=1e-5)


def test_metrics_on_arrays_that_cannot_be_sliced_are_as_in_fit(tmp_path: Path) -> None:
    x, y, _ = iris()
    fit = {"batch_size": BATCH_SIZE, "epochs": 2, "shuffle": False}
    build = classifier(metrics=["accuracy"])
    tuner = small_search(build, tmp_path, objective="accuracy", repeats=1)
    tuner.search(scipy.sparse.csr_matrix(x), y, verbose=0, **fit)
    for rate in RATES:
        plain = plain_fit(build, scipy.sparse.csr_matrix(x), y, rate=rate, seed=0, **fit)
        found = tuner.sensitivity().frame.query("learning_rate == @rate").sort_values("epoch")
        np.testing.assert_allclose(found["accuracy"], plain["accuracy"], rtol=1e-5)
