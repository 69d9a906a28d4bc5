"""Runs that train side by side give the numbers of runs one at a time, to the bit."""

from __future__ import annotations

import functools
import gc
import os
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import keras_tuner
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from keras_lr._keras.tf_data import HeldEpochs
from keras_lr.search._engines import function
from keras_lr.search._engines.function import EpochProgram
from tests.search.small_search import BATCH_SIZE, classifier, iris, run_small, small_search

RATES = [1e-3, 1e-2, 1e-1]


def adam_with_noise() -> keras.Model:
    """A model with a seed state, a batch normalization's averages, an optimizer's slots and a metric."""
    make = classifier(
        keras.optimizers.Adam,
        layers=[keras.layers.BatchNormalization, lambda: keras.layers.Dropout(0.2)],
        metrics=["accuracy"],
    )
    return make()


def with_fixed_schedule() -> keras.Model:
    """A model whose rate is a variable that only the search knows, since a schedule takes its place."""
    return classifier(lambda: keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 5, 0.9)))()


class Ever(keras.metrics.Mean):
    """A mean over all epochs."""

    def reset_state(self) -> None: ...


class Step(keras.Model):
    """A model with its own step, whose loss and metric are its own."""

    def __init__(self) -> None:
        super().__init__()
        self.out = keras.layers.Dense(3)
        self.mean = keras.metrics.Mean(name="mean")
        self.ever = Ever(name="ever")
        self.steps = tf.Variable(0.0, trainable=False)

    @property
    def metrics(self) -> list[Any]:
        return [self.mean, self.ever]

    def call(self, inputs: Any) -> Any:
        return self.out(inputs)

    def train_step(self, data: Any) -> Any:
        self.steps.assign_add(1.0)
        with tf.GradientTape() as tape:
            loss = keras.ops.mean((self(data[0]) - keras.ops.one_hot(data[1], 3)) ** 2) / self.steps
        weights = self.trainable_weights
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        self.mean.update_state(loss)
        self.ever.update_state(loss)
        return {"mean": self.mean.result(), "ever": self.ever.result()}

    def test_step(self, data: Any) -> Any:
        self.mean.update_state(keras.ops.mean((self(data[0]) - keras.ops.one_hot(data[1], 3)) ** 2))
        return {"mean": self.mean.result()}


def own_step() -> keras.Model:
    model = Step()
    model.compile(keras.optimizers.Adam(), metrics=[])
    return model


def recurrent() -> keras.Model:
    """A model whose step has a loop, which comes before what it collects for its gradient."""
    return classifier(layers=[lambda: keras.layers.Reshape((4, 2)), lambda: keras.layers.LSTM(3)])()


def datasets() -> dict[str, Any]:
    """A pipeline with a cache that all runs share, shuffled, and one that draws for validation, of unknown length."""
    x, y, validation = iris()
    train = tf.data.Dataset.from_tensor_slices((x, y)).filter(lambda *_: True).cache().shuffle(len(x)).batch(BATCH_SIZE)
    return {
        "x": train,
        "validation_data": tf.data.Dataset.from_tensor_slices(validation)
        .shuffle(50)
        .take(30)
        .batch(7)
        .filter(lambda *_: True),
    }


def cached_in_a_file(directory: Path) -> dict[str, Any]:
    """A pipeline that two passes at once would break: the file of a cache has one writer."""
    given = datasets()
    return {**given, "x": given["x"].unbatch().cache(str(directory / "cache")).batch(BATCH_SIZE)}


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many runs each call of the program has trained."""
    seen: list[int] = []
    epochs = EpochProgram.epochs

    def counted(self: EpochProgram, parts: Any, *rest: Any) -> Any:
        seen.append(len(parts))
        return epochs(self, parts, *rest)

    monkeypatch.setattr(EpochProgram, "epochs", counted)
    return seen


def use_processors(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.delenv("TF_NUM_INTEROP_THREADS", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(count)), raising=False)


def searched(
    build: Callable[[], keras.Model], directory: Path, monkeypatch: pytest.MonkeyPatch, processors: int, **options: Any
) -> pd.DataFrame:
    use_processors(monkeypatch, processors)
    arguments = {"epochs": 2, **options.pop("arguments", {})}
    options = {"learning_rates": RATES, "repeats": 1, "engine": "function", **options}
    tuner = small_search(build, directory / str(processors), **options)
    if "x" in arguments:
        tuner.search(**arguments, verbose=0)
        return tuner.sensitivity().frame
    return run_small(tuner, **arguments)


def sorted_rows(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sort_values(["learning_rate", "repeat", "epoch"], ignore_index=True)


@pytest.mark.parametrize(
    ("build", "options"),
    [
        pytest.param(adam_with_noise, {"repeats": 2}, id="noise"),
        pytest.param(with_fixed_schedule, {}, id="schedule", marks=pytest.mark.filterwarnings("ignore:.*schedule")),
        pytest.param(own_step, {"objective": keras_tuner.Objective("val_mean", "min")}, id="own step"),
        pytest.param(classifier(), {"arguments": datasets()}, id="datasets"),
        pytest.param(recurrent, {}, id="recurrent"),
    ],
)
def test_runs_side_by_side_have_the_numbers_of_runs_alone(
    build: Any, options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counts: list[int]
) -> None:
    alone = searched(build, tmp_path, monkeypatch, 1, **options)
    assert set(counts) == {1}
    counts.clear()
    together = searched(build, tmp_path, monkeypatch, 2, **options)
    assert 2 in counts
    pd.testing.assert_frame_equal(sorted_rows(alone), sorted_rows(together), check_exact=True)


def test_a_run_that_fails_leaves_those_beside_it_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build() -> keras.Model:
        model = classifier()()
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        checked = lambda y, z: tf.debugging.check_numerics(loss(y, z * z * z * z * z * z), "too large")  # noqa: E731
        model.compile(keras.optimizers.SGD(), checked)
        return model

    rates = [1e-5, 1e4, 2e-5]
    alone = searched(build, tmp_path, monkeypatch, 1, learning_rates=rates)
    together = searched(build, tmp_path, monkeypatch, 2, learning_rates=rates)
    assert together.loc[together["status"] == "failed", "learning_rate"].tolist() == [1e4]
    pd.testing.assert_frame_equal(sorted_rows(alone), sorted_rows(together), check_exact=True)


def test_the_best_weights_are_those_of_the_best_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = []
    for processors in (1, 3):
        use_processors(monkeypatch, processors)
        tuner = small_search(
            classifier(), tmp_path / str(processors), learning_rates=RATES, repeats=1, engine="function"
        )
        run_small(tuner, epochs=2)
        weights.append(tuner.get_best_models()[0].get_weights())
    for first, second in zip(*weights, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("kind", ["cache in a file", "Python code", "pruning"])
def test_what_runs_would_share_is_trained_one_at_a_time(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, counts: list[int]
) -> None:
    given = datasets()
    if kind == "Python code":
        given["x"] = given["x"].map(lambda x, y: (tf.ensure_shape(tf.py_function(np.abs, [x], tf.float32), x.shape), y))
    options = {
        "cache in a file": {"arguments": cached_in_a_file(tmp_path)},
        "Python code": {"arguments": given},
        "pruning": {"pruning": True, "repeats": 2, "arguments": {"epochs": 4}},
    }[kind]
    searched(classifier(), tmp_path, monkeypatch, 2, **options)
    assert set(counts) == {1}


def drawing(x: Any, y: Any) -> tf.data.Dataset:
    """A pipeline without a seed, each pass over which draws other noise."""
    samples = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x))
    # With seeds of 0, whatever the seed of the process is.
    noise = functools.partial(tf.raw_ops.RandomStandardNormal, shape=[4], dtype=tf.float32)
    return samples.map(lambda x, y: (x + noise(), y)).batch(BATCH_SIZE)


@pytest.mark.parametrize("holds", [True, False])
def test_a_pipeline_is_read_once_for_all_rates_where_its_batches_fit_into_memory(
    holds: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not holds:
        monkeypatch.setattr(function, "_MAX_HELD_BYTES", 100)
    x, y, validation = iris()
    given = {"x": drawing(x, y), "validation_data": validation}
    # Rates at which the weights stay as they are, so that the losses differ by the noise alone.
    options = {"learning_rates": [1e-30, 1e-29, 1e-28], "repeats": 2}
    losses = searched(classifier(), tmp_path, monkeypatch, 2, arguments=given, **options)
    differing = losses.groupby(["repeat", "epoch"])["loss"].nunique()
    assert len(differing) == 4
    assert set(differing) == {1 if holds else 3}
    assert losses["loss"].nunique() == (4 if holds else 12)


def test_what_a_search_holds_is_free_once_it_has_ended(tmp_path: Path) -> None:
    x, y, validation = iris()
    tuner = small_search(classifier(), tmp_path, learning_rates=RATES, repeats=1, engine="function")
    held: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        read = HeldEpochs.reader

        def watched(self: HeldEpochs) -> Any:
            held.append(weakref.ref(self))
            return read(self)

        patch.setattr(HeldEpochs, "reader", watched)
        tuner.search(drawing(x, y), validation_data=validation, epochs=1, verbose=0)
    gc.collect()
    assert len(held) == 3 + 1
    assert {one() for one in held} == {None}
