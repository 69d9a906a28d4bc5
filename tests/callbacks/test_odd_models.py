"""Every callback over models that Keras trains and that give it little to work with: the fit goes on, one warning."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_lr
from tests.training_models import all_values

X = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
Y = X.sum(axis=1, keepdims=True)


class OwnOptimizers(keras.Model):
    """Two parts, each trained by an optimizer of its own, as in a GAN; what was compiled trains nothing."""

    def __init__(self, names: tuple[str, str], *, trains: bool = True) -> None:
        super().__init__()
        self.parts = [keras.layers.Dense(1), keras.layers.Dense(1)]
        self.own = [keras.optimizers.SGD(0.01) for _ in self.parts]
        self.names = names
        self.trains = trains

    def call(self, inputs: Any) -> Any:
        return self.parts[0](inputs)

    def train_step(self, data: Any) -> dict[str, Any]:
        x, y = data[:2]
        logs = {}
        for name, part, optimizer in zip(self.names, self.parts, self.own, strict=True):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean((part(x) - y) ** 2)
            if self.trains:
                optimizer.apply(tape.gradient(loss, part.trainable_variables), part.trainable_variables)
            logs[name] = loss
        return logs

    def test_step(self, data: Any) -> dict[str, Any]:
        x, y = data[:2]
        return {self.names[0]: tf.reduce_mean((self.parts[0](x) - y) ** 2)}


def frozen(**options: Any) -> keras.Model:
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.trainable = False
    model.compile(keras.optimizers.SGD(0.01, momentum=0.9), "mse", **options)
    return model


def gan(**options: Any) -> keras.Model:
    model = OwnOptimizers(("d_loss", "g_loss"))
    model.compile(**options)
    return model


def unused_optimizer(**options: Any) -> keras.Model:
    model = OwnOptimizers(("loss", "other_loss"))
    model.compile(keras.optimizers.Adam(0.01), **options)
    return model


def no_optimizer(**options: Any) -> keras.Model:
    model = OwnOptimizers(("loss", "other_loss"), trains=False)
    model.compile(optimizer=None, **options)
    return model


MODELS: dict[str, Callable[..., keras.Model]] = {
    "frozen": frozen,
    "gan": gan,
    "unused optimizer": unused_optimizer,
    "no optimizer": no_optimizer,
}
CALLBACKS: list[Callable[[Any], list[keras.callbacks.Callback]]] = [
    lambda path: [keras_lr.AutoLR(probe_steps=20, probe_repeats=1)],
    lambda path: [keras_lr.AutoLR(probe_steps=20, probe_repeats=1, dry_run=True), keras_lr.HistoryMonitor()],
    lambda path: [keras_lr.AutoLR(probe_steps=0), keras_lr.ReportCallback(path / "page.html")],
    lambda path: [keras_lr.MomentumCycle(rate_range=(1e-3, 0.1)), keras_lr.LRRecorder()],
    lambda path: [keras_lr.ReduceOnPlateau(patience=1, min_delta=1e3), keras_lr.LRRecorder(frequency="step")],
]


def fitted(model: str, *callbacks: keras.callbacks.Callback, **options: Any) -> tuple[dict[str, Any], list[np.ndarray]]:
    keras.utils.set_random_seed(0)
    built = MODELS[model](**options)
    history = built.fit(X, Y, batch_size=4, epochs=3, verbose=0, validation_data=(X, Y), callbacks=list(callbacks))
    weights = all_values(built) if built.optimizer is not None else built.get_weights()
    return history.history, weights[: len(built.weights)]


@pytest.mark.parametrize("eager", [False, True], ids=["graph", "eager"])
@pytest.mark.parametrize("model", MODELS)
def test_every_callback_lets_the_fit_end_as_it_would_without_it(model: str, eager: bool, tmp_path: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain, weights = fitted(model, run_eagerly=eager)
    for make in CALLBACKS:
        callbacks = make(tmp_path)
        names = [type(callback).__name__ for callback in callbacks]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            history, trained = fitted(model, *callbacks, run_eagerly=eager)
        assert {key: history[key] for key in plain} == plain, names
        for one, other in zip(weights, trained, strict=True):
            np.testing.assert_array_equal(one, other, err_msg=str(names))
        for name in names:
            said = [str(one.message) for one in caught if name in str(one.message)]
            assert len(said) == len(set(said)) <= 1, name
            assert said or not _must_say(name, model), name


def _must_say(callback: str, model: str) -> bool:
    """Whether the callback cannot do what it is for with this model."""
    if callback in ("AutoLR", "LRRecorder"):
        return True
    if callback in ("HistoryMonitor", "ReportCallback"):
        return model == "gan"
    return model == "no optimizer" or (callback == "ReduceOnPlateau" and model == "gan")


@pytest.mark.parametrize("model", [name for name in MODELS if name != "no optimizer"])
def test_auto_lr_records_a_fit_on_which_it_cannot_act(model: str) -> None:
    auto = keras_lr.AutoLR(probe_steps=20, probe_repeats=1)
    with pytest.warns(UserWarning, match="`AutoLR` only records this fit and leaves the learning rate as it is: "):
        history, _ = fitted(model, auto)
    assert "learning_rate" not in history
    assert auto.log.actions == ()
    assert len(set(auto.log.learning_rates)) == 1
    assert len(auto.log.notes) == 1


def test_without_an_optimizer_auto_lr_has_no_log() -> None:
    auto = keras_lr.AutoLR()
    with pytest.warns(UserWarning, match="`AutoLR` does nothing in this fit, since the model was compiled without an"):
        history, _ = fitted("no optimizer", auto)
    assert auto.log is None
    assert "learning_rate" not in history


@pytest.mark.parametrize("frequency", ["epoch", "step"])
def test_a_recorder_logs_no_rate_that_trained_nothing(frequency: str) -> None:
    recorder = keras_lr.LRRecorder(frequency=frequency)
    with pytest.warns(
        UserWarning, match="`LRRecorder` records no learning rate in this fit, since the compiled optimizer"
    ):
        history, _ = fitted("frozen", recorder)
    assert "learning_rate" not in history
    assert recorder.to_frame().empty


@pytest.mark.filterwarnings("ignore:`LRRecorder` records no learning rate")
def test_an_optimizer_that_trained_nothing_is_no_fact_of_the_run(tmp_path: Any) -> None:
    model = unused_optimizer()
    watching = [keras_lr.HistoryMonitor(), keras_lr.ReportCallback(tmp_path / "page.html"), keras_lr.LRRecorder()]
    history = model.fit(X, Y, batch_size=4, epochs=6, verbose=0, callbacks=watching)
    for source in (history, *watching):
        diagnosis = keras_lr.analyze_history(source)
        assert (diagnosis.learning_rate, diagnosis.n_epochs) == (None, 6)
    for callback in watching:
        assert not {"optimizer", "learning_rate"} & set(callback.known)
        assert callback.known["steps_per_epoch"] == 2


class BreaksItsStep(keras.Sequential):
    """A model whose step works in `fit` and fails elsewhere, so that no range test can run."""

    in_fit = False

    def train_step(self, data: Any) -> dict[str, Any]:
        if not self.in_fit:
            raise RuntimeError("only in fit")
        return dict(super().train_step(data))


def test_a_range_test_that_fails_does_not_end_the_fit() -> None:
    model = BreaksItsStep([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    # Called after the range test, which `AutoLR` runs when the first epoch begins.
    enter = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: setattr(model, "in_fit", True))
    auto = keras_lr.AutoLR()
    with pytest.warns(UserWarning, match="`AutoLR` could not run its range test .* rate: only in fit"):
        history = model.fit(X, Y, epochs=3, verbose=0, callbacks=[auto, enter]).history
    assert len(history["loss"]) == 3
    assert auto.log.probe is None
    assert [action.kind for action in auto.log.actions] == ["anneal"]


class LogsNoLoss(keras.Model):
    """Steps as of Keras 2, of which neither logs its loss, so that Keras logs 0."""

    def train_step(self, data: Any) -> dict[str, Any]:
        x, y = data
        with tf.GradientTape() as tape:
            predicted = self(x, training=True)
            loss = self.compute_loss(x, y, predicted)
        gradients = tape.gradient(loss, self.trainable_variables)
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return dict(self.compute_metrics(x, y, predicted))

    def test_step(self, data: Any) -> dict[str, Any]:
        x, y = data
        return dict(self.compute_metrics(x, y, self(x, training=False)))


@pytest.mark.parametrize("validation_data", [None, (X, Y)], ids=["alone", "validated"])
def test_a_loss_that_is_never_logged_is_not_judged(validation_data: Any) -> None:
    inputs = keras.Input((4,))
    model = LogsNoLoss(inputs, keras.layers.Dense(1)(inputs))
    model.compile(keras.optimizers.SGD(0.01), "mse")
    auto = keras_lr.AutoLR(probe_steps=20, probe_repeats=1)
    with pytest.warns(UserWarning, match="only records this fit .* 'loss' is exactly 0"):
        history = model.fit(X, Y, epochs=3, verbose=0, validation_data=validation_data, callbacks=[auto]).history
    assert history["loss"] == [0.0] * 3
    np.testing.assert_allclose(history["learning_rate"], 0.01)


def test_a_fit_without_samples_ends_as_it_would_without_auto_lr() -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    empty = np.zeros((0, 2)), np.zeros((0, 1))
    with pytest.warns(UserWarning, match="must yield at least one batch"):
        history = model.fit(*empty, verbose=0, callbacks=[keras_lr.AutoLR(verbose=0)])
    assert history.epoch == model.fit(*empty, verbose=0).epoch
