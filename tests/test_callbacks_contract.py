"""The contract of every public callback: a Keras callback that changes no number it is not meant to change."""

from __future__ import annotations

import functools
import inspect
import pickle
import warnings
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

import keras_lr
from keras_lr import callbacks
from tests.training_models import all_values, plain_classifier

PUBLIC = sorted(
    name
    for name in callbacks.__all__
    if inspect.isclass(getattr(callbacks, name)) and issubclass(getattr(callbacks, name), keras.callbacks.Callback)
)
ARGUMENTS: dict[str, dict[str, Any]] = {
    "AutoLR": {"dry_run": True, "probe_steps": 20, "probe_repeats": 1},
    "ReduceOnPlateau": {"monitor": "loss", "patience": 50},
}
SWEEPS = {"LRRangeTest"}
"""Callbacks after which `fit` ends without an epoch."""
CHANGES_TRAINING = {"MomentumCycle"}
"""Callbacks that change the training on purpose, from the first step on."""


def make(name: str, tmp_path: Any) -> keras.callbacks.Callback:
    kind = getattr(keras_lr, name)
    path = {"path": tmp_path / "page.html"} if "path" in inspect.signature(kind).parameters else {}
    return kind(**path, **ARGUMENTS.get(name, {}))


def fitted(*added: keras.callbacks.Callback, sweeps: bool = False) -> tuple[Any, ...]:
    images, labels = load_digits(return_X_y=True)
    images, labels = (images[:128] / 16).astype("float32"), labels[:128]
    keras.utils.set_random_seed(3)
    model = plain_classifier(keras.optimizers.SGD(0.05, momentum=0.9))
    model.optimizer.build(model.trainable_variables)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = set(vars(model.optimizer))
        model.evaluate(images, labels, verbose=0, callbacks=list(added))
        model.predict(images, verbose=0, callbacks=list(added))
        assert set(vars(model.optimizer)) == before
        if sweeps:
            assert model.fit(images, labels, verbose=0, callbacks=list(added)).history == {}
            added = ()
        history = model.fit(images, labels, epochs=2, verbose=0, callbacks=list(added)).history
    return history, all_values(model), float(model.optimizer.learning_rate)


plain_fit = functools.cache(fitted)


@pytest.mark.parametrize("name", PUBLIC)
def test_it_is_public_and_documented(name: str) -> None:
    kind = getattr(keras_lr, name)
    assert kind is getattr(callbacks, name)
    assert "Args:" in (kind.__doc__ or "")


@pytest.mark.parametrize("name", [name for name in PUBLIC if name not in CHANGES_TRAINING])
def test_it_leaves_evaluation_and_the_numbers_of_a_fit_as_they_are(name: str, tmp_path: Any, capsys: Any) -> None:
    plain, watched = plain_fit(), fitted(make(name, tmp_path), sweeps=name in SWEEPS)
    assert {key: watched[0][key] for key in plain[0]} == plain[0]
    assert watched[2] == plain[2]
    for one, other in zip(plain[1], watched[1], strict=True):
        np.testing.assert_array_equal(one, other)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", PUBLIC)
def test_it_can_be_pickled_after_a_fit_and_continues_in_the_next(name: str, tmp_path: Any) -> None:
    x = np.random.default_rng(0).normal(size=(64, 64)).astype("float32")
    y = np.arange(64) % 10
    model = plain_classifier(keras.optimizers.SGD(keras_lr.schedules.Cyclical(1e-3, 1e-2, 4), momentum=0.9))
    recorder = keras_lr.LRRecorder()
    callback = make(name, tmp_path)
    model.fit(x, y, epochs=2, verbose=0, callbacks=[recorder, callback])
    recorder, copied = pickle.loads(pickle.dumps((recorder, callback)))
    assert type(copied) is type(callback)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(x, y, epochs=3, initial_epoch=2, verbose=0, callbacks=[recorder, copied])
    trained = 0 if name in SWEEPS else 3
    assert recorder.to_frame()["epoch"].tolist() == list(range(trained))
    if name == "HistoryMonitor":
        assert copied.history["epoch"].tolist() == [0, 1, 2]
