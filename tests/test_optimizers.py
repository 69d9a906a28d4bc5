"""Parts of a model that train at different rates."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import keras_lr
from keras_lr import schedules
from keras_lr.errors import InvalidArgumentError, ModelError
from tests.callbacks.regression import X, Y, fit, regression
from tests.versions import needs_multi_optimizer


def rates(model: keras.Model) -> dict[str, float]:
    """The rate at which each weight is trained, by the end of its path."""
    optimizer = model.optimizer
    found = {}
    for weight in model.trainable_variables:
        part = optimizer._optimizer_map(weight)
        found["/".join(weight.path.split("/")[-2:])] = float(part.learning_rate)
    return found


@needs_multi_optimizer
def test_the_first_step_moves_each_part_by_its_factor() -> None:
    plain, parted = (regression(keras.optimizers.SGD(0.01)) for _ in range(2))
    parted.compile(keras_lr.discriminative(parted, {"stem": 0.1, "head": 2.0}), "mse")
    before = plain.get_weights()
    for model in (plain, parted):
        model.train_on_batch(X[:10], Y[:10])
    for name, factor in (("stem", 0.1), ("head", 2.0)):
        for weight, other in zip(plain.get_layer(name).weights, parted.get_layer(name).weights, strict=True):
            start = before[[one.path for one in plain.weights].index(weight.path)]
            np.testing.assert_allclose(other - start, factor * (np.asarray(weight) - start), rtol=1e-3, atol=1e-7)


@needs_multi_optimizer
def test_uncovered_layers_keep_the_base_rate_and_the_inner_key_wins() -> None:
    inner = keras.Sequential([keras.layers.Dense(3, name="a"), keras.layers.Dense(3, name="b")], name="inner")
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(1, name="head")(inner(inputs)))
    model.compile(keras.optimizers.Adam(0.01), "mse")
    model.compile(keras_lr.discriminative(model, {"inner": 0.1, "b": 0.5}), "mse")
    expected = {"a/kernel": 1e-3, "b/kernel": 5e-3, "head/kernel": 1e-2}
    found = rates(model)
    assert {name: found[name] for name in expected} == pytest.approx(expected)


@needs_multi_optimizer
@pytest.mark.parametrize("rate", [0.01, schedules.OneCycle(0.01, 100)], ids=["constant", "schedule"])
def test_a_saved_model_keeps_the_rates_and_the_state(rate: Any, tmp_path: Any) -> None:
    model = regression(keras.optimizers.Adam(rate))
    model.compile(keras_lr.discriminative(model, {"stem": 0.1}), "mse")
    fit(model, epochs=1)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert rates(loaded) == rates(model)
    for left, right in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(left, right)


@needs_multi_optimizer
def test_the_model_and_its_optimizer_stay_as_they_were() -> None:
    model = regression(keras.optimizers.SGD(0.01))
    optimizer = model.optimizer
    keras_lr.discriminative(model, {"stem": 0.1})
    assert model.optimizer is optimizer
    assert float(optimizer.learning_rate) == pytest.approx(0.01)


@needs_multi_optimizer
@pytest.mark.slow
def test_the_range_test_keeps_the_ratios() -> None:
    model = regression(keras.optimizers.SGD(0.01))
    model.compile(keras_lr.discriminative(model, {"stem": 0.1, "head": 1.0}), "mse")
    before = rates(model)
    finder = keras_lr.LRRangeTest(num_steps=40, apply=True, verbose=False)
    fit(model, finder, epochs=8)
    after, chosen = rates(model), finder.result.suggestion.learning_rate
    assert before["stem/kernel"] == pytest.approx(0.001)
    assert after["head/kernel"] == pytest.approx(chosen, rel=1e-5)
    assert after["stem/kernel"] == pytest.approx(0.1 * chosen, rel=1e-5)


def test_an_older_keras_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(keras.optimizers, "MultiOptimizer", raising=False)
    with pytest.raises(ModelError, match=f"needs `keras.optimizers.MultiOptimizer`.*keras {keras.__version__} lacks"):
        keras_lr.discriminative(regression("sgd"), {"stem": 0.1})


@needs_multi_optimizer
def test_refuses_a_model_that_is_not_ready() -> None:
    unbuilt = keras.Sequential([keras.layers.Dense(1, name="head")])
    with pytest.raises(ModelError, match="`model` must be built and have trainable weights"):
        keras_lr.discriminative(unbuilt, {"head": 0.1}, optimizer="sgd")
    bare = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="head")])
    with pytest.raises(ModelError, match="`optimizer` must be given, since the model is not compiled"):
        keras_lr.discriminative(bare, {"head": 0.1})


@needs_multi_optimizer
@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ({}, "`factors` must be a dict of layer names and factors"),
        ([("stem", 0.1)], "`factors` must be a dict"),
        ({"stem": 0}, r"`factors\['stem'\]` must be greater than 0"),
        ({"body": 0.1}, r"must name layers .* 'body'; the model has \['head', 'stem'\]"),
    ],
)
def test_refuses_factors(factors: Any, message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        keras_lr.discriminative(regression("sgd"), factors)


@needs_multi_optimizer
def test_refuses_a_key_that_others_cover_whole_and_several_optimizers() -> None:
    inner = keras.Sequential([keras.layers.Dense(3, name="only")], name="inner")
    model = keras.Sequential([keras.Input((4,)), inner])
    model.compile("sgd", "mse")
    with pytest.raises(
        InvalidArgumentError, match=r"must leave each key some weights, but other keys cover all weights of \['inner'\]"
    ):
        keras_lr.discriminative(model, {"inner": 0.1, "only": 0.5})
    model.compile(keras_lr.discriminative(model, {"inner": 0.1}), "mse")
    with pytest.raises(InvalidArgumentError, match="`optimizer` must be a single optimizer"):
        keras_lr.discriminative(model, {"inner": 0.1})
