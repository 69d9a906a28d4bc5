"""The search as a drop-in for KerasTuner's own tuners."""

from __future__ import annotations

import random
import runpy
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pytest
import tensorflow as tf
from keras.src.backend.common import global_state

import keras_lr
from keras_lr.errors import InvalidArgumentError, SearchError
from tests.search.small_search import BATCH_SIZE, EPOCHS, RATES, classifier, iris, run_small, small_search


def with_units(hp: keras_tuner.HyperParameters) -> keras.Model:
    """A hypermodel with a hyperparameter of its own, which also reads the learning rate."""
    units = hp.Int("units", 4, 16, default=6)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(units, activation="relu"), keras.layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    rate = hp.Float("learning_rate", 1e-5, 1e-1, sampling="log")
    model.compile(keras.optimizers.SGD(rate, momentum=0.9), loss, metrics=["accuracy"])
    return model


class Fitted(keras_tuner.HyperModel):
    """A hypermodel that fits its models itself."""

    def build(self, hp: Any) -> keras.Model:
        return classifier()()

    def fit(self, hp: Any, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
        return model.fit(*args, batch_size=hp.Choice("batch", [25, 50]), **kwargs)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, keras_lr.LogGridSearch]:
    directory = tmp_path_factory.mktemp("searched")
    objective = keras_tuner.Objective("val_accuracy", "max")
    tuner = small_search(with_units, directory, objective=objective)
    run_small(tuner)
    return directory, tuner


def test_it_is_a_tuner_whose_best_hyperparameters_follow_the_objective(searched: Any) -> None:
    _, tuner = searched
    assert isinstance(tuner, keras_tuner.Tuner)
    frame = tuner.sensitivity().frame
    best = frame.groupby(["learning_rate", "repeat"])["val_accuracy"].max().groupby("learning_rate").median()
    assert [hp.values for hp in tuner.get_best_hyperparameters(2)] == [
        {"learning_rate": rate, "units": 6} for rate in best.sort_values(ascending=False).index
    ]
    assert tuner.oracle.get_best_trials(1)[0].score == best.max()
    assert tuner.remaining_trials is None


def test_the_best_model_scores_what_the_search_recorded(searched: Any) -> None:
    directory, tuner = searched
    frame = tuner.sensitivity().frame
    best_rate = tuner.get_best_hyperparameters()[0].get("learning_rate")
    expected = frame[frame["learning_rate"] == best_rate]["val_accuracy"].max()
    again = small_search(with_units, directory, objective=keras_tuner.Objective("val_accuracy", "max"))
    for one in (tuner, again):
        model = one.get_best_models()[0]
        assert model.evaluate(*iris()[2], verbose=0, return_dict=True)["accuracy"] == pytest.approx(expected)


def test_the_summary_prints_the_trials(searched: Any, capsys: pytest.CaptureFixture[str]) -> None:
    searched[1].results_summary(1)
    searched[1].search_space_summary()
    printed = capsys.readouterr().out
    assert "Showing 1 best trials" in printed
    assert "learning_rate (Choice)" in printed


def test_the_values_that_other_hyperparameters_keep_are_named(tmp_path: Path, capsys: Any) -> None:
    fixed = keras_tuner.HyperParameters()
    fixed.Fixed("units", 8)
    said = []
    for name, given in (("default", None), ("fixed", fixed)):
        run_small(small_search(with_units, tmp_path / name, hyperparameters=given), verbose=2)
        said.append("The search varies the learning rate alone. All runs have units=6;" in capsys.readouterr().err)
    assert said == [True, False]


def test_a_search_leaves_the_random_state_alone(searched: Any) -> None:
    _, tuner = searched
    drawn = []
    for search in (lambda: None, lambda: run_small(tuner)):
        # Before Keras 3.13, setting a seed does not reset a global generator that exists already.
        global_state.set_global_attribute("global_seed_generator", None)
        keras.utils.set_random_seed(5)
        keras.random.uniform([])
        search()
        drawn.append([np.random.random(), float(keras.random.uniform([]))])
    assert drawn[0] == drawn[1]


def test_the_first_use_of_a_search_leaves_the_random_state_alone() -> None:
    before = random.getstate(), np.random.get_state()[1].tolist()
    for path in Path(keras_lr.search.__file__).parent.rglob("*.py"):
        runpy.run_path(str(path))
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before


def test_a_hypermodel_that_fits_itself_is_rebuilt_for_each_run(tmp_path: Path) -> None:
    x, y, validation = iris()
    tuner = small_search(Fitted(), tmp_path, repeats=1)
    tuner.search(x, y, validation_data=validation, epochs=1, verbose=0)
    result = tuner.sensitivity()
    assert result.engine == "rebuild"
    assert "has a `fit` of its own" in result.engine_reason
    assert len(result.frame) == len(RATES)
    assert (result.batch_sizes, result.best_batch_size) == ((25,), 25)


class WithItsData(keras_tuner.HyperModel):
    """A hypermodel that holds its data, which alone show the shape of its model's input."""

    def build(self, hp: Any) -> keras.Model:
        model = keras.Sequential([keras.layers.Dense(3)])
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    def fit(self, hp: Any, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
        return model.fit(*iris()[:2], *args, **kwargs)


def test_a_model_that_only_the_hypermodel_s_own_data_build_is_to_be_built_there(tmp_path: Path) -> None:
    options: dict[str, Any] = {"objective": "loss", "learning_rates": RATES[:1], "repeats": 1}
    tuner = small_search(WithItsData(), tmp_path, **options)
    tuner.search(epochs=1, verbose=0)
    with pytest.raises(SearchError, match=r"in `hypermodel`, for example from a `keras.Input`\.$"):
        tuner.get_best_models()
    later = small_search(WithItsData(), tmp_path, **options)
    with pytest.raises(SearchError, match="or call `search` with the same data first"):
        later.get_best_models()


class Deaf(Fitted):
    """A hypermodel whose own `fit` drops the callbacks, and returns what Keras returned, or nothing."""

    def __init__(self, *, returns: bool) -> None:
        super().__init__()
        self.returns = returns

    def fit(self, hp: Any, model: keras.Model, *args: Any, **kwargs: Any) -> Any:
        history = model.fit(*args, **{**kwargs, "callbacks": None})
        return history if self.returns else None


def test_a_fit_of_its_own_that_drops_the_callbacks_and_returns_nothing_is_refused(tmp_path: Path) -> None:
    x, y, validation = iris()
    tuner = small_search(Deaf(returns=False), tmp_path, repeats=1)
    with pytest.raises(InvalidArgumentError, match=r"before a single epoch was recorded\. Pass `callbacks` on to"):
        tuner.search(x, y, validation_data=validation, epochs=1, verbose=0)


def test_a_history_counts_where_a_fit_of_its_own_drops_the_callbacks(tmp_path: Path) -> None:
    x, y, validation = iris()
    tuner = small_search(Deaf(returns=True), tmp_path, repeats=1)
    tuner.search(x, y, validation_data=validation, epochs=2, verbose=0)
    frame = tuner.sensitivity().frame
    for rate in RATES:
        keras.utils.set_random_seed(0)
        model = classifier()()
        model.optimizer.learning_rate = rate
        keras.utils.set_random_seed(0)
        expected = model.fit(x, y, validation_data=validation, epochs=2, verbose=0).history
        of_rate = frame[frame["learning_rate"] == rate]
        for name, values in expected.items():
            np.testing.assert_allclose(of_rate[name], values, rtol=1e-5)


def test_a_training_loop_of_its_own_need_not_log_a_loss(tmp_path: Path) -> None:
    class Loop(Fitted):
        def fit(self, hp: Any, model: keras.Model, *args: Any, callbacks: Any = (), **kwargs: Any) -> None:
            for callback in callbacks:
                callback.set_model(model)
                callback.on_epoch_end(0, logs={"distance": 1e3 * hp.get("learning_rate")})

    tuner = small_search(Loop(), tmp_path, repeats=1, objective=keras_tuner.Objective("distance", "min"))
    tuner.search(*iris()[:2], epochs=1, verbose=0)
    result = tuner.sensitivity()
    assert result.frame["distance"].tolist() == pytest.approx([1e3 * rate for rate in RATES])
    assert result.frame["status"].tolist() == ["ok", "ok"]
    assert result.best_learning_rate == RATES[0]


def test_a_rate_that_a_callback_sets_and_logs_does_not_move_its_run(tmp_path: Path) -> None:
    x, y, validation = iris()
    halving = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate * 0.5**epoch)
    frame = run_small(small_search(classifier(), tmp_path), callbacks=[halving])
    assert sorted(set(frame["learning_rate"])) == list(RATES)
    keras.utils.set_random_seed(0)
    model = classifier()()
    for epoch in range(EPOCHS):
        model.optimizer.learning_rate = RATES[1] * 0.5**epoch
        order = np.random.default_rng([0, epoch]).permutation(len(x))
        model.fit(x[order], y[order], batch_size=BATCH_SIZE, shuffle=False, verbose=0)
    ours = frame[(frame["learning_rate"] == RATES[1]) & (frame["repeat"] == 0)]["val_loss"].iloc[-1]
    assert ours == pytest.approx(model.evaluate(*validation, verbose=0, return_dict=True)["loss"], rel=1e-4)


class OwnClassifier(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.dense = keras.layers.Dense(3)

    def call(self, inputs: Any) -> Any:
        return self.dense(inputs)


def own_classifier() -> keras.Model:
    model = OwnClassifier()
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


@pytest.mark.parametrize("build", [classifier(), own_classifier], ids=["sequential", "own class"])
def test_callbacks_are_honoured_by_copies(tmp_path: Path, build: Any) -> None:
    class Counter(keras.callbacks.Callback):
        epochs = 0

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.epochs += 1
            self.model.stop_training = self.epochs == 1

    counter = Counter()
    tuner = small_search(build, tmp_path, repeats=1)
    run_small(tuner, callbacks=[counter], epochs=3)
    result = tuner.sensitivity()
    assert counter.epochs == 0
    assert (result.engine, result.engine_reason) == ("reuse", "callbacks need `fit` (Counter)")
    assert result.frame.groupby("learning_rate").size().tolist() == [1, 1]
    lines = (tmp_path / "lr" / "records" / "tuner0.jsonl").read_text()
    run_small(tuner, callbacks=[counter], epochs=3)
    assert (tmp_path / "lr" / "records" / "tuner0.jsonl").read_text() == lines


@pytest.mark.parametrize(("held", "kind"), [("by the callback", keras.Variable), ("by a function", tf.Variable)])
@pytest.mark.parametrize("search", [keras_lr.LogGridSearch, keras_lr.RaceSearch])
def test_a_variable_that_a_callback_raises_is_that_of_the_loss(
    tmp_path: Path, search: Any, held: str, kind: Any
) -> None:
    weight = kind(0.25, trainable=False)

    def weighted_size(true: Any, predicted: Any) -> Any:
        return weight * keras.ops.mean(predicted**2, axis=-1)

    def build() -> keras.Model:
        model = classifier()()
        model.compile(keras.optimizers.SGD(), weighted_size)
        return model

    class Raises(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.weights = [weight]

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            self.weights[0].assign_add(1.0)

    callback = Raises()
    if held == "by a function":
        callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: weight.assign_add(1.0))
    options = {"repeats": 1, "extend": False} if search is keras_lr.LogGridSearch else {}
    tuner = search(build, objective="val_loss", learning_rates=[*RATES, 1e-1], directory=tmp_path, **options)
    run_small(tuner, callbacks=[callback], epochs=4)
    assert float(weight) == 0.25
    frame = tuner.sensitivity().frame
    x, y, validation = iris()
    for rate, run in frame.groupby("learning_rate"):
        weight.assign(0.25)
        keras.utils.set_random_seed(0)
        model = build()
        model.optimizer.learning_rate = rate
        for epoch, loss in enumerate(run["val_loss"]):
            order = np.random.default_rng([0, epoch]).permutation(len(x))
            fitted = model.fit(
                x[order],
                y[order],
                batch_size=BATCH_SIZE,
                shuffle=False,
                validation_data=validation,
                verbose=0,
                callbacks=[callback],
            )
            assert loss == pytest.approx(fitted.history["val_loss"][0], rel=1e-4)


def test_the_users_checkpoint_is_written(tmp_path: Path) -> None:
    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "mine.weights.h5", save_weights_only=True)
    run_small(small_search(classifier(), tmp_path, repeats=1), callbacks=[checkpoint], epochs=1)
    model = classifier()()
    model.load_weights(tmp_path / "mine.weights.h5")


def test_a_model_that_learns_its_shape_from_data_is_loaded_once_search_has_seen_them(tmp_path: Path) -> None:
    def build() -> keras.Model:
        model = keras.Sequential([keras.layers.Dense(3)])
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        return model

    run_small(small_search(build, tmp_path, repeats=1))
    again = small_search(build, tmp_path, repeats=1)
    with pytest.raises(SearchError, match="call `search` with the same data first"):
        again.get_best_models()
    frame = run_small(again)
    loss = again.get_best_models()[0].evaluate(*iris()[2], verbose=0)
    assert loss == pytest.approx(frame["val_loss"].min(), rel=1e-4)


def test_weights_that_are_gone_are_named(searched: Any, tmp_path: Path) -> None:
    tuner = small_search(with_units, tmp_path, repeats=1)
    run_small(tuner, epochs=1)
    for path in tmp_path.rglob("checkpoint.npz"):
        path.unlink()
    with pytest.raises(SearchError, match="The weights of the best epoch cannot be loaded"):
        tuner.get_best_models()
