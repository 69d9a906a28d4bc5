"""Parts of a model that train at different rates."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np
import pytest

import keras_lr
from keras_lr import schedules
from keras_lr.errors import InvalidArgumentError, ModelError
from tests.callbacks.regression import WarmsUp, X, Y, fit, regression
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


def towers(second: str) -> keras.Model:
    """Two nested models that are built as they are called, and a head."""
    inputs = keras.Input((4,))
    first, other = (
        keras.Sequential([keras.layers.Dense(3, name=layer), keras.layers.Dense(3, name=f"{layer}_out")], name=name)
        for name, layer in (("first", "dense"), ("second", second))
    )
    joined = keras.layers.Add()([first(inputs), other(inputs)])
    return keras.Model(inputs, keras.layers.Dense(1, name="head")(joined))


@needs_multi_optimizer
def test_a_loaded_model_with_nested_models_keeps_the_rates(tmp_path: Any) -> None:
    model = towers("dense")
    factors = {"head": 0.1, "dense_out": 0.5}
    model.compile(keras_lr.discriminative(model, factors, optimizer=keras.optimizers.SGD(1.0)), "mse")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.weights[0].path != model.weights[0].path
    expected = {"dense/kernel": 1.0, "dense_out/kernel": 0.5, "head/kernel": 0.1}
    for one in (model, loaded):
        found = rates(one)
        assert {name: found[name] for name in expected} == pytest.approx(expected)


@needs_multi_optimizer
def test_nested_models_at_other_rates_need_layers_of_other_names_to_be_loaded(tmp_path: Any) -> None:
    with pytest.warns(UserWarning, match=r"may train \['dense/bias', .*\] at other rates.* distinct names"):
        keras_lr.discriminative(towers("dense"), {"first": 0.1}, optimizer="sgd")
    model = towers("other")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        optimizer = keras_lr.discriminative(model, {"first": 0.1, "second": 0.5}, optimizer=keras.optimizers.SGD(1.0))
    model.compile(optimizer, "mse")
    model.save(tmp_path / "model.keras")
    expected = {"dense/kernel": 0.1, "other_out/kernel": 0.5, "head/kernel": 1.0}
    for one in (model, keras.saving.load_model(tmp_path / "model.keras")):
        found = rates(one)
        assert {name: found[name] for name in expected} == pytest.approx(expected)


@keras.saving.register_keras_serializable("tests")
class Towers(keras.Model):
    """Two nested models whose names are not left out."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.towers = [keras.Sequential([keras.layers.Dense(4, name="dense")], name=name) for name in ("a", "b")]

    def call(self, data: Any) -> Any:
        return self.towers[1](self.towers[0](data))


@needs_multi_optimizer
@pytest.mark.filterwarnings("ignore:A model that is saved and loaded may train")
def test_a_loaded_subclass_keeps_the_rates_of_nested_models(tmp_path: Any) -> None:
    model = Towers()
    model(np.zeros((1, 4), "float32"))
    model.compile(keras_lr.discriminative(model, {"a": 0.1}, optimizer=keras.optimizers.SGD(1.0)), "mse")
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for one in (model, loaded):
        found = [float(one.optimizer._optimizer_map(weight).learning_rate) for weight in one.trainable_variables]
        assert found == pytest.approx([0.1, 0.1, 1.0, 1.0])


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


def chain(*layers: keras.Layer) -> keras.Model:
    return keras.Sequential([keras.Input((4,)), *layers])


def branches() -> keras.Model:
    """Two ways from the inputs to the head, one with a normalization and a nested model of two layers."""
    dense = keras.layers.Dense
    inputs = keras.Input((4,))
    left = keras.layers.LayerNormalization(name="norm")(dense(3, name="left")(inputs))
    nested = keras.Sequential([keras.Input((3,)), dense(3, name="a"), dense(3, name="b")], name="inner")
    right = dense(3, name="right")(inputs)
    joined = keras.layers.Add()([nested(left), keras.ops.relu(right)])
    return keras.Model(inputs, dense(1, name="head")(joined))


class InOrder(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.stem = keras.layers.Dense(3, name="stem")
        self.scale = keras.layers.BatchNormalization(name="scale")
        self.head = keras.layers.Dense(1, name="head")

    def call(self, data: Any, training: bool = False) -> Any:
        return self.head(self.scale(self.stem(data), training=training))


def attending() -> keras.Model:
    inputs = keras.Input((3, 4))
    attention = keras.layers.MultiHeadAttention(1, 4, name="attention")
    return keras.Model(inputs, keras.layers.Dense(2, name="head")(attention(inputs, inputs)))


def built_in_order() -> keras.Model:
    model = InOrder()
    model(np.zeros((1, 4), "float32"))
    return model


@needs_multi_optimizer
@pytest.mark.parametrize(
    ("make", "depths"),
    [
        (branches, {"left": 1, "norm": 1, "right": 1, "a": 2, "b": 3, "head": 4}),
        (built_in_order, {"stem": 1, "scale": 1, "head": 2}),
        (
            lambda: chain(keras.layers.BatchNormalization(name="first"), keras.layers.Dense(2, name="head")),
            {"first": 1, "head": 1},
        ),
    ],
    ids=["graph", "subclass", "normalization first"],
)
def test_decay_gives_each_depth_its_rate(make: Any, depths: dict[str, int], capsys: Any) -> None:
    model = make()
    model.compile(keras_lr.discriminative(model, decay=0.5, optimizer=keras.optimizers.Adam(0.1)), "mse")
    deepest = max(depths.values())
    expected = {layer: 0.1 * 0.5 ** (deepest - depth) for layer, depth in depths.items()}
    found = rates(model)
    assert {name.split("/")[0]: rate for name, rate in found.items()} == pytest.approx(expected)
    table = [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()]
    assert table[0] == ["depth", "rate", "layers"]
    listed = {layer: (int(depth), float(rate)) for depth, rate, layers in table[1:] for layer in layers.split(", ")}
    assert listed == {layer: (depth, pytest.approx(expected[layer], rel=0.01)) for layer, depth in depths.items()}


@needs_multi_optimizer
def test_the_table_names_an_attention_as_a_whole(capsys: Any) -> None:
    keras_lr.discriminative(attending(), decay=0.5, optimizer=keras.optimizers.Adam(0.1))
    _, *rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert rows == [["1", "5e-2", "attention"], ["2", "1e-1", "head"]]


@needs_multi_optimizer
def test_factors_multiply_the_decay() -> None:
    model = branches()
    optimizer = keras_lr.discriminative(model, {"head": 10.0}, decay=0.5, optimizer="sgd", verbose=False)
    model.compile(optimizer, "mse")
    assert rates(model)["head/kernel"] == pytest.approx(0.1)
    assert rates(model)["b/kernel"] == pytest.approx(0.005)


@needs_multi_optimizer
def test_weights_without_decay_train_as_those_that_keras_excludes(tmp_path: Any) -> None:
    def model() -> keras.Model:
        keras.utils.set_random_seed(0)
        made = chain(keras.layers.Dense(3, name="stem"), keras.layers.LayerNormalization(), keras.layers.Dense(1))
        # A bias of 0 would not show whether it decays.
        made.set_weights([weight + 1 for weight in made.get_weights()])
        return made

    plain, parted = model(), model()
    excluding = keras.optimizers.AdamW(0.01, weight_decay=5.0)
    excluding.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    plain.compile(excluding, "mse")
    base = keras.optimizers.AdamW(0.01, weight_decay=5.0)
    parted.compile(keras_lr.discriminative(parted, no_weight_decay_on=("bias", "norm"), optimizer=base), "mse")
    for one in (plain, parted):
        fit(one, epochs=1)
    for left, right in zip(plain.get_weights(), parted.get_weights(), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5)
    parted.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for one in (plain, loaded):
        fit(one, epochs=1)
    for left, right in zip(plain.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-4)


@needs_multi_optimizer
def test_weights_that_the_base_optimizer_excludes_do_not_decay() -> None:
    models = []
    for part in (False, True):
        base = keras.optimizers.AdamW(0.01, weight_decay=5.0)
        model = regression(base)
        model.set_weights([weight + 1 for weight in model.get_weights()])
        base.exclude_from_weight_decay(var_list=[model.get_layer("stem").kernel], var_names=["bias"])
        if part:
            model.compile(keras_lr.discriminative(model, {"stem": 1.0}, optimizer=base), "mse")
        fit(model, epochs=1)
        models.append(model)
    for plain, parted in zip(models[0].get_weights(), models[1].get_weights(), strict=True):
        np.testing.assert_allclose(parted, plain, rtol=1e-5)


@needs_multi_optimizer
def test_the_scale_of_the_loss_is_that_of_the_base_optimizer(tmp_path: Any) -> None:
    model = regression(keras.optimizers.SGD(0.01, loss_scale_factor=8.0))
    model.compile(keras_lr.discriminative(model, {"stem": 0.1}), "mse")
    assert float(model.optimizer.scale_loss(1.0)) == 8.0
    wrapped = keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.01), initial_scale=64.0, dynamic_growth_steps=3
    )
    model.compile(keras_lr.discriminative(model, {"stem": 0.1}, optimizer=wrapped), "mse")
    fit(model, epochs=1)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for one in (model, loaded):
        # Seven steps, doubled after every third.
        assert float(one.optimizer.scale_loss(1.0)) == 256.0
        assert one.optimizer.dynamic_growth_steps == 3


@needs_multi_optimizer
def test_a_part_warms_up_as_the_base_optimizer_does() -> None:
    plain = regression(WarmsUp(0.01))
    parted = regression(keras_lr.discriminative(plain, {"stem": 1.0}))
    for model in (plain, parted):
        fit(model, epochs=1)
    for left, right in zip(plain.get_weights(), parted.get_weights(), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5)


@needs_multi_optimizer
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "needs `factors`, `decay` or `no_weight_decay_on`"),
        ({"decay": 0}, "`decay` must be greater than 0"),
        ({"decay": 1.1}, "`decay` must be at most 1"),
        ({"no_weight_decay_on": "bias"}, "must be a list of names"),
        ({"no_weight_decay_on": ["body"]}, r"Received: 'body'; .* here \['head', 'stem'\]"),
        ({"no_weight_decay_on": ["norm"]}, "Received: 'norm'"),
        ({"no_weight_decay_on": ["bias"]}, "needs an optimizer with weight decay. Received: SGD"),
    ],
)
def test_refuses_a_decay(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        keras_lr.discriminative(regression("sgd"), **arguments)


@pytest.mark.parametrize(
    ("optimizer", "factor"),
    [("sgd", 4), (keras.optimizers.SGD(momentum=0.9), 4), ("adam", 2), (keras.optimizers.AdamW(), 2), ("RMSprop", 2)],
)
def test_the_rate_for_another_batch_size(optimizer: Any, factor: float) -> None:
    assert keras_lr.optimizers.scale_learning_rate(0.1, 64, 256, optimizer) == pytest.approx(0.1 * factor)
    assert keras_lr.optimizers.scale_learning_rate(0.1, 256, 64, optimizer) == pytest.approx(0.1 / factor)


def test_the_published_rates_of_large_batches() -> None:
    """Goyal et al. 2017, section 5.1: 0.1 at a batch of 256, kn/256 times 0.1 at kn = 8192."""
    assert keras_lr.optimizers.scale_learning_rate(0.1, 256, 8192, "sgd") == pytest.approx(3.2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 32, 64), "`learning_rate` must be greater than 0"),
        ((0.1, 0, 64), "`from_batch` must be an integer >= 1"),
        ((0.1, 32, 6.4), "`to_batch` must be an integer >= 1"),
        ((0.1, 32, 64, "mine"), "must be one for which a rule is known. Received: 'mine'"),
    ],
)
def test_refuses_to_scale(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        keras_lr.optimizers.scale_learning_rate(*arguments)
