"""Every engine gives the numbers of plain `fit` on the same batches and seeds."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from keras_lr.results._sensitivity import ENGINES, EngineName
from tests.search.engines.random_models import Seen
from tests.search.small_search import BATCH_SIZE, RATES, classifier, iris, plain_training, run_small, small_search


class CopiesWeights(keras.optimizers.SGD):
    """Draws the weights to copies that it makes while it is built, as schedule-free AdamW does."""

    def build(self, variables: Any) -> None:
        if self.built:
            return
        super().build(variables)
        self.copies = [self.add_variable_from_reference(one, "copy") for one in variables]
        for copy, variable in zip(self.copies, variables, strict=True):
            self.assign(copy, keras.ops.copy(variable))

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        super().update_step(gradient, variable, learning_rate)
        self.assign(variable, 0.9 * variable + 0.1 * self.copies[self._get_variable_index(variable)])


ACCURACY = ["accuracy"]
COLUMNS = ["loss", "val_loss", "accuracy", "val_accuracy"]
OPTIMIZERS = {
    "adam": keras.optimizers.Adam,
    "momentum": lambda: keras.optimizers.SGD(momentum=0.9, nesterov=True),
    "rmsprop": keras.optimizers.RMSprop,
    "clipped": lambda: keras.optimizers.AdamW(weight_decay=0.01, global_clipnorm=0.5),
}


plain_training_once = functools.cache(plain_training)


def assert_as_plain(frame: pd.DataFrame, build: Any, *, rate: float = RATES[1], seed: int = 1, **options: Any) -> None:
    """One run of a search against plain training; the other runs train beside it."""
    run = frame[(frame["learning_rate"] == rate) & (frame["seed"] == seed)]
    plain = plain_training_once(build, rate=rate, seed=seed, **options)
    np.testing.assert_allclose(run[COLUMNS], plain[COLUMNS], rtol=1e-4)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_stacked_engine_equals_plain_fit(tmp_path: Path, optimizer: str) -> None:
    build = classifier(OPTIMIZERS[optimizer], metrics=ACCURACY)
    tuner = small_search(build, tmp_path)
    assert_as_plain(run_small(tuner), build)
    assert (tuner.sensitivity().engine, tuner.sensitivity().engine_reason) == ("stacked", "")


NORMALIZED = classifier(OPTIMIZERS["momentum"], layers=[keras.layers.BatchNormalization], metrics=ACCURACY)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_equals_plain_fit_with_batch_normalization(tmp_path: Path, engine: EngineName) -> None:
    tuner = small_search(NORMALIZED, tmp_path, engine=engine)
    assert_as_plain(run_small(tuner), NORMALIZED)
    assert tuner.sensitivity().engine == engine


def taking_steps_together() -> keras.Model:
    model = classifier()()
    # 100 samples make 7 batches, of which 4 do not come out even.
    model.compile("sgd", model.loss, metrics=ACCURACY, steps_per_execution=4)
    return model


@pytest.mark.parametrize("engine", ENGINES)
def test_an_epoch_is_one_pass_also_where_steps_are_taken_together(tmp_path: Path, engine: EngineName) -> None:
    tuner = small_search(taking_steps_together, tmp_path, engine=engine, repeats=1)
    assert_as_plain(run_small(tuner), taking_steps_together, seed=0)


def test_dropout_masks_are_the_same_in_the_stacked_engine(tmp_path: Path) -> None:
    build = classifier(layers=[lambda: keras.layers.Dropout(0.5)], metrics=ACCURACY)
    tuner = small_search(build, tmp_path)
    assert_as_plain(run_small(tuner), build)
    assert tuner.sensitivity().engine == "stacked"


def test_a_model_whose_rounding_would_grow_is_not_stacked(tmp_path: Path) -> None:
    build = classifier(keras.optimizers.Adam, layers=[keras.layers.BatchNormalization], metrics=ACCURACY)
    tuner = small_search(build, tmp_path)
    assert_as_plain(run_small(tuner), build)
    assert tuner.sensitivity().engine == "function"
    assert "rounding" in tuner.sensitivity().engine_reason


class OwnStep(keras.Model):
    """A model with a training step of its own, which does what that of Keras does."""

    def train_step(self, data: Any) -> Any:
        return super().train_step(data)


def test_the_step_that_builds_an_eager_model_leaves_no_trace_in_its_metrics(tmp_path: Path) -> None:
    def build() -> keras.Model:
        flowers = keras.Input((4,))
        model = OwnStep(flowers, [keras.layers.Dense(3, name=name)(flowers) for name in ("first", "second")])
        loss = [keras.losses.SparseCategoricalCrossentropy(from_logits=True) for _ in range(2)]
        model.compile("sgd", loss, metrics=[[Seen()], []], run_eagerly=True)
        return model

    x, y, (x_val, y_val) = iris()
    tuner = small_search(build, tmp_path, objective="loss", learning_rates=[1e-2], repeats=1)
    tuner.search(x, [y, y], validation_data=(x_val, [y_val, y_val]), epochs=2, batch_size=BATCH_SIZE, verbose=0)
    # An epoch has seven batches, and its validation four.
    assert tuner.sensitivity().frame["first_seen"].tolist() == [7.0, 7.0 + 4 + 7]


def test_a_repeat_sees_the_same_weights_and_batches_at_every_rate(tmp_path: Path) -> None:
    frame = run_small(small_search(classifier(), tmp_path, learning_rates=[1e-9, 2e-9]), epochs=1)
    losses = frame.pivot(index="learning_rate", columns="repeat", values="loss").to_numpy()
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-6)
    assert losses[0, 0] != pytest.approx(losses[0, 1], rel=1e-3)


def with_two_outputs() -> keras.Model:
    flowers = keras.Input((4,))
    hidden = keras.layers.Dense(8, activation="relu")(flowers)
    model = keras.Model(flowers, [keras.layers.Dense(3, name=name)(hidden) for name in ("first", "second")])
    model.compile("sgd", [keras.losses.SparseCategoricalCrossentropy(from_logits=True) for _ in range(2)])
    return model


def test_each_output_s_loss_is_logged_as_fit_logs_it(tmp_path: Path) -> None:
    x, y, (x_val, y_val) = iris()
    tuner = small_search(with_two_outputs, tmp_path, repeats=1)
    tuner.search(x, [y, y[::-1]], validation_data=(x_val, [y_val, y_val]), epochs=1, batch_size=BATCH_SIZE, verbose=0)
    keras.utils.set_random_seed(0)
    model = with_two_outputs()
    model.optimizer.learning_rate = RATES[1]
    order = np.random.default_rng([0, 0]).permutation(len(x))
    # The last of the seven batches is short: Keras takes the mean over batches, which a mean over samples is not.
    plain = model.fit(
        x[order],
        [y[order], y[::-1][order]],
        batch_size=BATCH_SIZE,
        shuffle=False,
        validation_data=(x_val, [y_val, y_val]),
        verbose=0,
    ).history
    assert tuner.sensitivity().engine == "stacked"
    row = tuner.sensitivity().frame.iloc[1]
    for name, (value,) in plain.items():
        assert row[name] == pytest.approx(value, rel=1e-4), name


def test_random_numbers_that_xla_draws_are_those_of_fit(tmp_path: Path) -> None:
    def build() -> keras.Model:
        model = classifier(layers=[lambda: keras.layers.Dropout(0.5)])()
        model.compile("sgd", model.loss, metrics=ACCURACY, jit_compile=True)
        return model

    tuner = small_search(build, tmp_path, repeats=1)
    # All batches have one shape, of which XLA compiles each step once.
    assert_as_plain(run_small(tuner, batch_size=50), build, seed=0, batch_size=50)
    assert tuner.sensitivity().engine == "function"


def test_an_optimizer_that_copies_the_weights_trains_as_in_fit(tmp_path: Path) -> None:
    build = classifier(CopiesWeights, metrics=ACCURACY)
    tuner = small_search(build, tmp_path, repeats=1)
    assert_as_plain(run_small(tuner), build, seed=0, builds_optimizer=False)
    assert (tuner.sensitivity().engine, "copies the weights" in tuner.sensitivity().engine_reason) == ("rebuild", True)


def shuffled(x: np.ndarray, y: np.ndarray) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((x, y)).shuffle(100).batch(BATCH_SIZE)


def augmented(x: np.ndarray, y: np.ndarray) -> tf.data.Dataset:
    """Samples with noise, in batches without a short one."""
    noise = tf.data.Dataset.random(seed=3)
    samples = tf.data.Dataset.zip((tf.data.Dataset.from_tensor_slices((x, y)).shuffle(100, seed=1), noise))
    noisy = samples.map(lambda pair, seed: (pair[0] + tf.random.stateless_normal((4,), [0, seed]), pair[1]))
    return noisy.batch(BATCH_SIZE, drop_remainder=True).prefetch(2)


def of_unknown_length(x: np.ndarray, y: np.ndarray) -> tf.data.Dataset:
    """About half of the samples, so that epochs differ in their number of batches."""
    shuffled = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(100, seed=1)
    return shuffled.filter(lambda x, y: tf.random.uniform((), seed=3) < 0.5).batch(4)


@pytest.mark.filterwarnings("ignore:.*ran out of data")
@pytest.mark.parametrize(
    ("make", "steps_per_execution"), [(shuffled, 1), (augmented, 1), (of_unknown_length, 1), (of_unknown_length, 4)]
)
def test_a_dataset_read_in_the_graph_gives_what_fit_gives(tmp_path: Path, make: Any, steps_per_execution: int) -> None:
    x, y, validation = iris()

    def build() -> keras.Model:
        model = classifier(layers=[lambda: keras.layers.Dropout(0.5)])()
        model.compile("adam", model.loss, metrics=[*ACCURACY, Seen()], steps_per_execution=steps_per_execution)
        return model

    frames = []
    for engine in ("function", "reuse"):
        tuner = small_search(build, tmp_path / engine, engine=engine)
        tuner.search(make(x, y), validation_data=make(*validation), epochs=3, verbose=0)
        assert tuner.sensitivity().engine == engine
        frames.append(tuner.sensitivity().frame)
    columns = [*COLUMNS, "seen", "val_seen"]
    np.testing.assert_allclose(frames[0][columns], frames[1][columns], rtol=1e-5)
    # The repeats, whose weights and orders differ.
    assert frames[0].loc[0, "loss"] != pytest.approx(frames[0].loc[3, "loss"], rel=1e-3)


def test_arrays_beside_a_dataset_are_validated_in_the_batches_of_fit(tmp_path: Path) -> None:
    x, y, validation = iris()
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(10)
    tuner = small_search(classifier(metrics=ACCURACY), tmp_path, repeats=1)
    tuner.search(data, validation_data=validation, epochs=1, verbose=0)
    keras.utils.set_random_seed(0)
    model = classifier(metrics=ACCURACY)()
    model.optimizer.learning_rate = RATES[1]
    plain = model.fit(data, validation_data=validation, verbose=0).history
    assert tuner.sensitivity().engine == "function"
    row = tuner.sensitivity().frame.iloc[1]
    for name, (value,) in plain.items():
        assert row[name] == pytest.approx(value, rel=1e-5), name


def taken_shuffled(x: np.ndarray, y: np.ndarray) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((x, y)).shuffle(50, seed=3).take(10).batch(4)


def taken_unseeded(x: np.ndarray, y: np.ndarray) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((x, y)).shuffle(50).take(10).batch(4)


def taken_at_random(x: np.ndarray, y: np.ndarray) -> tf.data.Dataset:
    """Ten flowers that a dataset of random numbers names, with some of a length that is not known."""
    places = tf.data.Dataset.random(seed=3, rerandomize_each_iteration=True).take(10)
    flowers = places.map(lambda number: (tf.gather(x, number % 50), tf.gather(y, number % 50)))
    return flowers.filter(lambda flower, kind: kind < 2).batch(4)


def taken_in_python(x: np.ndarray, y: np.ndarray) -> tf.data.Dataset:
    def flowers() -> Any:
        for place in np.random.permutation(50)[:10]:
            yield x[place], y[place]

    return tf.data.Dataset.from_generator(
        flowers, output_signature=(tf.TensorSpec((4,), tf.float32), tf.TensorSpec((), tf.int32))
    ).batch(4)


@pytest.mark.filterwarnings("ignore:.*ran out of data")
@pytest.mark.parametrize("engine", ["function", "reuse"])
@pytest.mark.parametrize(
    ("make", "of_arrays"),
    [(taken_shuffled, True), (taken_unseeded, False), (taken_at_random, False), (taken_in_python, True)],
)
def test_every_rate_is_validated_on_the_same_draws(
    tmp_path: Path, engine: EngineName, make: Any, of_arrays: bool
) -> None:
    x, y, validation = iris()
    data: dict[str, Any] = {"x": x, "y": y} if of_arrays else {"x": shuffled(x, y)}
    # Rates at which the weights stay as they are, so that the losses differ by the draws alone.
    options: dict[str, Any] = {"learning_rates": [1e-30, 1e-29], "engine": engine, "repeats": 2}
    tuner = small_search(classifier(), tmp_path, **options)
    # The seeds of a dataset follow from those of TensorFlow as it is made.
    made = []
    for _ in range(2):
        keras.utils.set_random_seed(5)
        made.append(make(*validation))
    tuner.search(**data, validation_data=made[0], epochs=3, verbose=0)
    frame = tuner.sensitivity().frame
    assert tuner.sensitivity().engine == engine
    assert frame["val_loss"].nunique() == 2 * 3
    assert set(frame.groupby(["repeat", "epoch"])["val_loss"].nunique()) == {1}
    if make in (taken_shuffled, taken_at_random):
        keras.utils.set_random_seed(1)
        model = classifier()()
        model.optimizer.learning_rate = 1e-30
        plain = model.fit(x, y, validation_data=made[1], epochs=3, verbose=0).history
        np.testing.assert_allclose(frame[frame["seed"] == 1]["val_loss"].iloc[:3], plain["val_loss"], rtol=1e-5)


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ({"x": lambda data: data.repeat(), "steps_per_epoch": 2}, "nor a finite dataset"),
        ({"class_weight": {0: 1.0, 1: 2.0, 2: 1.0}}, "`fit` weighs the classes of a dataset"),
    ],
)
def test_a_dataset_that_only_fit_reads_is_left_to_it(tmp_path: Path, given: dict[str, Any], reason: str) -> None:
    x, y, _ = iris()
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(20)
    tuner = small_search(classifier(), tmp_path, objective="loss", repeats=1)
    tuner.search(**{**given, "x": given.get("x", lambda same: same)(data)}, epochs=1, verbose=0)
    assert tuner.sensitivity().engine == "reuse"
    assert reason in tuner.sensitivity().engine_reason


class Projection(keras.layers.Layer):
    """Multiplies by constants that are drawn as the layer is made."""

    def __init__(self) -> None:
        super().__init__()
        self.constants = tf.constant(np.random.normal(size=(4, 8)), "float32")

    def call(self, inputs: Any) -> Any:
        return keras.ops.cos(keras.ops.matmul(inputs, self.constants))


def projected() -> keras.Model:
    model = keras.Sequential([keras.Input((4,)), Projection(), keras.layers.Dense(3)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=ACCURACY)
    return model


def augmented_by_layers() -> keras.Model:
    """A model whose layers draw a seed of their own each, which is part of their configuration."""
    return classifier(layers=[lambda: keras.layers.GaussianNoise(0.1), lambda: keras.layers.Dropout(0.2)])()


@pytest.mark.parametrize(("build", "engine"), [(projected, "rebuild"), (augmented_by_layers, "stacked")])
def test_repeats_get_the_constants_that_their_seed_draws(tmp_path: Path, build: Any, engine: str) -> None:
    tuner = small_search(build, tmp_path)
    frame = run_small(tuner)
    assert tuner.sensitivity().engine == engine
    assert ("the seed changes more" in tuner.sensitivity().engine_reason) == (engine == "rebuild")
    if engine == "rebuild":
        assert_as_plain(frame, build)


base = keras.Sequential([keras.Input((4,)), keras.layers.Dense(6, "tanh")])
BASE_WEIGHTS = base.get_weights()


def on_a_shared_base() -> keras.Model:
    """A new head on a base that every build shares."""
    model = keras.Sequential([keras.Input((4,)), base, keras.layers.Dense(3)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=ACCURACY)
    return model


def test_a_base_that_all_builds_share_is_not_trained_from_run_to_run(tmp_path: Path) -> None:
    base.set_weights(BASE_WEIGHTS)
    frame = run_small(small_search(on_a_shared_base, tmp_path, engine="rebuild", repeats=1))
    base.set_weights(BASE_WEIGHTS)
    assert_as_plain(frame, on_a_shared_base, seed=0)


def with_a_replaced_method() -> keras.Model:
    """The update is that of SGD up to the ninth step."""
    model = classifier(metrics=ACCURACY)()
    update = model.optimizer.update_step

    def update_step(gradient: Any, variable: Any, learning_rate: Any) -> None:
        update(keras.ops.where(model.optimizer.iterations > 8, 2 * gradient, gradient), variable, learning_rate)

    model.optimizer.update_step = update_step
    return model


def test_a_method_that_is_replaced_on_the_optimizer_is_called(tmp_path: Path) -> None:
    frame = run_small(small_search(with_a_replaced_method, tmp_path, repeats=1))
    assert_as_plain(frame, with_a_replaced_method, seed=0)


class CountsSamples(keras.layers.Layer):
    """Reads the number of samples while it is traced, as layers of whole graphs do."""

    def call(self, inputs: Any) -> Any:
        return inputs / float(inputs.shape[0])


def counting_samples() -> keras.Model:
    # An input would have an open number of samples.
    model = keras.Sequential([CountsSamples(), keras.layers.Dense(3)])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=ACCURACY)
    return model


def test_a_layer_that_needs_the_number_of_samples_has_it_as_in_fit(tmp_path: Path) -> None:
    tuner = small_search(counting_samples, tmp_path, repeats=1)
    frame = run_small(tuner, batch_size=50)
    assert_as_plain(frame, counting_samples, seed=0, builds_optimizer=False, batch_size=50)
    assert tuner.sensitivity().engine == "reuse"


def trained_before() -> keras.Model:
    model = classifier(keras.optimizers.Adam, metrics=ACCURACY)()
    x, y, _ = iris()
    model.fit(x, y, epochs=2, shuffle=False, verbose=0)
    return model


def test_an_optimizer_that_build_has_used_goes_on_from_its_state(tmp_path: Path) -> None:
    tuner = small_search(trained_before, tmp_path, repeats=1)
    assert_as_plain(run_small(tuner), trained_before, seed=0)
    assert tuner.sensitivity().engine == "function"
    assert "has trained the model before" in tuner.sensitivity().engine_reason


class Extremes(keras.metrics.Metric):
    """Gives two values, each by a name of its own."""

    def __init__(self) -> None:
        super().__init__(name="extremes")
        self.lowest, self.highest = (self.add_weight(initializer="zeros") for _ in range(2))

    def update_state(self, y: Any, prediction: Any, sample_weight: Any = None) -> None:
        self.lowest.assign(keras.ops.minimum(self.lowest, keras.ops.min(prediction)))
        self.highest.assign(keras.ops.maximum(self.highest, keras.ops.max(prediction)))

    def result(self) -> dict[str, Any]:
        return {"lowest": self.lowest, "highest": self.highest}


def with_metrics_of_several_values() -> keras.Model:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    model.compile("sgd", "categorical_crossentropy", metrics=[keras.metrics.F1Score(average=None), Extremes()])
    return model


@pytest.mark.parametrize("engine", ["stacked", "function"])
def test_a_metric_gives_numbers_by_name_and_its_arrays_are_left_out(tmp_path: Path, engine: EngineName) -> None:
    x, y, _ = iris()
    arguments: dict[str, Any] = {"y": keras.utils.to_categorical(y), "shuffle": False, "batch_size": 50, "verbose": 0}
    tuner = small_search(with_metrics_of_several_values, tmp_path, objective="loss", repeats=1, engine=engine)
    tuner.search(x, **arguments)
    assert tuner.sensitivity().engine == engine
    keras.utils.set_random_seed(0)
    model = with_metrics_of_several_values()
    model.optimizer.learning_rate = RATES[1]
    plain = model.fit(x, **arguments).history
    row = tuner.sensitivity().frame.iloc[1]
    for name in ("loss", "lowest", "highest"):
        assert row[name] == pytest.approx(plain[name][0], rel=1e-5), name
    assert "f1_score" not in row


@pytest.mark.parametrize(
    "steps", [{"steps_per_epoch": 2}, {"validation_steps": 1}, {"steps_per_epoch": 2, "validation_steps": 1}]
)
def test_arrays_without_a_batch_size_are_divided_into_the_steps_as_in_fit(
    tmp_path: Path, steps: dict[str, int]
) -> None:
    x, y, validation = iris()
    arguments: dict[str, Any] = {**steps, "shuffle": False, "validation_data": validation, "verbose": 0}
    build = classifier(metrics=ACCURACY)
    keras.utils.set_random_seed(0)
    model = build()
    model.optimizer.learning_rate = RATES[1]
    plain = model.fit(x, y, epochs=1, **arguments).history
    tuner = small_search(build, tmp_path, repeats=1)
    tuner.search(x, y, epochs=1, **arguments)
    row = tuner.sensitivity().frame.loc[1, COLUMNS].astype(float)
    np.testing.assert_allclose(row, [plain[name][0] for name in COLUMNS], rtol=1e-5)


def test_limits_that_keras_sets_for_every_fit_hold(tmp_path: Path) -> None:
    x, y, validation = iris()
    arguments: dict[str, Any] = {
        "shuffle": False,
        "validation_data": validation,
        "batch_size": BATCH_SIZE,
        "verbose": 0,
    }
    build = classifier(metrics=ACCURACY)
    keras.config.set_max_epochs(1)
    keras.config.set_max_steps_per_epoch(2)
    try:
        keras.utils.set_random_seed(0)
        model = build()
        model.optimizer.learning_rate = RATES[1]
        with pytest.warns(UserWarning, match="Limiting"):
            plain = model.fit(x, y, epochs=3, **arguments).history
        tuner = small_search(build, tmp_path, repeats=1)
        tuner.search(x, y, epochs=3, **arguments)
    finally:
        keras.config.set_max_epochs(None)
        keras.config.set_max_steps_per_epoch(None)
    frame = tuner.sensitivity().frame
    assert frame["epoch"].tolist() == [0, 0]
    np.testing.assert_allclose(frame.loc[1, COLUMNS].astype(float), [plain[name][0] for name in COLUMNS], rtol=1e-5)
