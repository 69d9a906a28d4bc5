"""A run that diverges or fails is data; the search continues."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_lr.errors import SearchError
from keras_lr.results._sensitivity import EngineName
from tests.search.small_search import EPOCHS, classifier, run_small, small_search

ENGINES: tuple[EngineName, ...] = ("stacked", "function", "reuse")


class LossAboveRate(keras.losses.Loss):
    """Cross-entropy, or `value` instead once the weights have been thrown far by a high rate."""

    def __init__(self, value: float) -> None:
        super().__init__()
        self.value = value

    def call(self, y_true: Any, y_pred: Any) -> Any:
        loss = keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)
        return tf.where(tf.reduce_max(tf.abs(y_pred)) > 1e3, tf.constant(self.value), loss)


def exploding(value: float) -> keras.Model:
    model = classifier()()
    model.compile(keras.optimizers.SGD(), LossAboveRate(value), metrics=["accuracy"])
    return model


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("value", "status"), [(np.nan, "diverged"), (np.inf, "diverged"), (1e6, "ok")])
def test_a_loss_that_explodes_is_recorded(tmp_path: Path, engine: EngineName, value: float, status: str) -> None:
    tuner = small_search(lambda: exploding(value), tmp_path, learning_rates=[1e-2, 1e5], repeats=1, engine=engine)
    frame = run_small(tuner)
    calm, wild = (frame[frame["learning_rate"] == rate] for rate in (1e-2, 1e5))
    assert calm["status"].tolist() == ["ok"] * EPOCHS
    assert wild["status"].tolist() == [status] * (1 if status == "diverged" else EPOCHS)
    assert np.isnan(wild["loss"].iloc[0]) if status == "diverged" else wild["val_loss"].iloc[0] == pytest.approx(1e6)
    assert tuner.sensitivity().best_learning_rate == 1e-2
    assert tuner.get_best_hyperparameters()[0].get("learning_rate") == 1e-2


def test_nan_from_the_first_step_at_every_rate_is_a_result_without_a_rate(tmp_path: Path) -> None:
    def always_nan() -> keras.Model:
        model = classifier()()
        model.compile("sgd", lambda y_true, y_pred: keras.ops.sum(y_pred, axis=-1) * np.nan)
        return model

    tuner = small_search(always_nan, tmp_path)
    frame = run_small(tuner)
    assert frame["status"].tolist() == ["diverged"] * 4
    assert tuner.sensitivity().best_learning_rate is None
    lines = (tmp_path / "lr" / "records" / "tuner0.jsonl").read_text()
    run_small(tuner)
    assert (tmp_path / "lr" / "records" / "tuner0.jsonl").read_text() == lines


def test_an_exception_in_one_repeat_is_recorded(tmp_path: Path) -> None:
    class Breaks(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if logs["loss"] == losses[1e-2, 0]:
                raise OSError("the disk of the logger is gone")

    frame = run_small(small_search(classifier(), tmp_path / "first"), epochs=1)
    losses = frame.set_index(["learning_rate", "repeat"])["loss"].to_dict()
    tuner = small_search(classifier(), tmp_path / "second")
    frame = run_small(tuner, callbacks=[Breaks()])
    assert frame.groupby(["learning_rate", "repeat"])["status"].last().tolist() == ["ok", "ok", "failed", "ok"]
    assert (
        '"message": "OSError: the disk of the logger is gone"'
        in (tmp_path / "second" / "lr" / "records" / "tuner0.jsonl").read_text()
    )
    assert tuner.sensitivity().frame["status"].value_counts()["failed"] == 1


def test_where_every_run_fails_the_error_comes_through_and_nothing_stays(tmp_path: Path) -> None:
    class Breaks(keras.callbacks.Callback):
        def on_train_begin(self, logs: Any = None) -> None:
            raise ZeroDivisionError("a mistake")

    tuner = small_search(classifier(), tmp_path)
    with pytest.raises(SearchError, match="All 4 runs failed, the first with ZeroDivisionError: a mistake"):
        run_small(tuner, callbacks=[Breaks()])
    frame = run_small(tuner)
    assert set(frame["status"]) == {"ok"}
