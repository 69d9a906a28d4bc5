"""Metrics that are made before a step is traced, compared with those that the step itself makes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_lr
from keras_lr._keras.model import build_metrics

X = np.random.default_rng(0).normal(size=(12, 4)).astype("float32")
CLASSES = (X.argmax(axis=1) % 3).astype("int32")
ONE_HOT = np.eye(3, dtype="float32")[CLASSES]


def classifier(loss: str, **options: Any) -> keras.Model:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "softmax")])
    model.compile("sgd", loss, **options)
    return model


def two_outputs(**options: Any) -> keras.Model:
    keras.utils.set_random_seed(0)
    inputs = keras.Input((4,))
    outputs = {name: keras.layers.Dense(1, name=name)(inputs) for name in ("second", "first")}
    model = keras.Model(inputs, outputs)
    model.compile("sgd", {"first": "mse", "second": "mae"}, **options)
    return model


PAIR = {"first": X[:, :1], "second": X[:, 1:2]}
CASES: dict[str, tuple[Callable[[], keras.Model], Any]] = {
    "classes": (lambda: classifier("sparse_categorical_crossentropy", metrics=["accuracy"]), (X, CLASSES)),
    "one-hot": (
        lambda: classifier("categorical_crossentropy", metrics=["acc", keras.metrics.AUC(name="auc")]),
        (X, ONE_HOT),
    ),
    "weighted": (
        lambda: classifier("sparse_categorical_crossentropy", weighted_metrics=["accuracy"]),
        (X, CLASSES, np.linspace(0, 1, 12)),
    ),
    "no metrics": (lambda: classifier("mse"), (X, ONE_HOT)),
    "by output": (lambda: two_outputs(metrics={"first": ["mae"], "second": ["mse"]}), (X, PAIR)),
    "for all outputs": (lambda: two_outputs(metrics=[["mae"], ["mse"]]), (X, PAIR)),
}


def logs_of_a_step(model: keras.Model, batch: Any) -> dict[str, float]:
    return dict(model.train_on_batch(*batch, return_dict=True))


@pytest.mark.parametrize("case", CASES)
def test_they_are_those_that_the_step_makes(case: str) -> None:
    build, batch = CASES[case]
    model = build()
    build_metrics(model, batch)
    names = set(model.get_metrics_result())
    logs = logs_of_a_step(model, batch)
    assert logs == logs_of_a_step(build(), batch)
    assert names <= set(logs)
    assert (len(names) > 1) == (case != "no metrics")


def test_a_metric_that_makes_its_variables_itself_is_left_to_the_step() -> None:
    model = classifier("categorical_crossentropy", metrics=[keras.metrics.F1Score("micro"), "accuracy"])
    plain = keras.models.clone_model(model)
    plain.set_weights(model.get_weights())
    plain.compile("sgd", "categorical_crossentropy", metrics=[keras.metrics.F1Score("micro"), "accuracy"])
    keras_lr.find_lr(model, X, ONE_HOT, num_steps=5)
    assert logs_of_a_step(model, (X, ONE_HOT)) == logs_of_a_step(plain, (X, ONE_HOT))


@pytest.mark.parametrize("data", ["arrays", "dataset"])
def test_targets_that_do_not_fit_leave_the_choice_to_those_that_do(data: str) -> None:
    model = classifier("categorical_crossentropy", metrics=["accuracy"])
    wrong: Any = (X, CLASSES) if data == "arrays" else (tf.data.Dataset.from_tensor_slices((X, CLASSES)).batch(4),)
    with pytest.raises(keras_lr.errors.DataError):
        keras_lr.find_lr(model, *wrong, num_steps=5)
    plain = classifier("categorical_crossentropy", metrics=["accuracy"])
    assert logs_of_a_step(model, (X, ONE_HOT)) == logs_of_a_step(plain, (X, ONE_HOT))


class OwnCall(keras.Model):
    """Returns something else than its outputs."""

    def call(self, inputs: Any) -> Any:
        return super().call(inputs)[:, :1]


class OwnMetrics(keras.Model):
    """Does not use what is compiled."""

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        return {"loss": self.metrics[0].result()}


@pytest.mark.parametrize("kind", [OwnCall, OwnMetrics])
def test_those_of_a_model_that_may_use_them_in_another_way_are_left_to_its_step(kind: Any) -> None:
    inputs = keras.Input((4,))
    model = kind(inputs, keras.layers.Dense(3)(inputs))
    model.compile("sgd", "mse", metrics=["mae"])
    build_metrics(model, (X, ONE_HOT))
    assert [metric.name for metric in model.metrics if metric.variables] == ["loss"]
