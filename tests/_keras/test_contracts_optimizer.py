"""What keras_lr relies on in Keras's optimizers, and in the methods that stacking borrows from their common base."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.optimizers.base_optimizer import BaseOptimizer

from keras_lr._keras.stateless import excludes_from_weight_decay, stateless
from tests._keras.tiny_model import X, Y, tiny_model
from tests.versions import needs_multi_optimizer

SCHEDULE = keras.optimizers.schedules.PiecewiseConstantDecay([1], [0.5, 0.25])


def constant() -> float:
    return 0.125


@pytest.mark.parametrize(
    ("rate", "kind"),
    [(0.5, keras.Variable), (SCHEDULE, type(SCHEDULE)), (constant, type(constant))],
    ids=["number", "schedule", "callable"],
)
def test_learning_rate_is_held_in_the_private_attribute_as_it_was_given(rate: Any, kind: type) -> None:
    held = keras.optimizers.SGD(rate)._learning_rate
    assert isinstance(held, kind)
    assert held is rate or kind is keras.Variable


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [(0.5, 0.25, 0.25), (SCHEDULE, constant, 0.125), (constant, SCHEDULE, 0.5), (SCHEDULE, SCHEDULE, 0.5)],
    ids=["number", "schedule to callable", "callable to schedule", "schedule to schedule"],
)
def test_assigning_learning_rate_replaces_the_private_attribute(before: Any, after: Any, expected: float) -> None:
    optimizer = keras.optimizers.SGD(before)
    variable = optimizer._learning_rate
    optimizer.learning_rate = after
    assert optimizer._learning_rate is (variable if isinstance(variable, keras.Variable) else after)
    assert float(tf.convert_to_tensor(optimizer.learning_rate)) == expected


def test_iterations_counts_steps_in_the_private_attribute_and_updates_in_the_public_one() -> None:
    optimizer = keras.optimizers.SGD(gradient_accumulation_steps=2)
    model = tiny_model(optimizer)
    for _ in range(4):
        model.train_on_batch(X, Y)
    assert int(optimizer._iterations) == 4
    assert int(optimizer.iterations) == 2


def test_a_schedule_is_evaluated_at_the_steps_that_the_private_attribute_counts() -> None:
    optimizer = keras.optimizers.SGD(SCHEDULE, gradient_accumulation_steps=4)
    optimizer.build([keras.Variable(1.0)])
    optimizer._iterations.assign(2)
    assert float(optimizer.learning_rate) == 0.25


def test_a_loss_scale_optimizer_holds_the_rate_in_its_inner_optimizer() -> None:
    inner = keras.optimizers.SGD(0.5)
    assert keras.optimizers.LossScaleOptimizer(inner).inner_optimizer is inner


@needs_multi_optimizer
def test_a_multi_optimizer_lists_its_parts() -> None:
    first, second = keras.optimizers.SGD(0.5), keras.optimizers.SGD(0.25)
    mapping = keras.optimizers.OptimizerMap(default_optimizer=first, optimizer_map={"head": second})
    several = keras.optimizers.MultiOptimizer(mapping)
    parts = getattr(several, "_optimizers", None) or several.optimizers
    assert {id(part) for part in parts} >= {id(first), id(second)}


@pytest.mark.parametrize(
    ("kind", "name"), [(keras.optimizers.SGD, "momentum"), (keras.optimizers.Adam, "beta_1")], ids=["SGD", "Adam"]
)
def test_momentum_is_a_float_that_each_step_reads_from_the_optimizer(kind: Any, name: str) -> None:
    start = {"momentum": 0.9} if name == "momentum" else {}
    optimizers = [kind(0.1, **start), kind(0.1, **start)]
    assert type(getattr(optimizers[0], name)) is float
    setattr(optimizers[1], name, 0.5)
    weights = []
    for optimizer in optimizers:
        variable = keras.Variable(1.0)
        optimizer.build([variable])
        for gradient in (1.0, 0.25):
            optimizer.apply([tf.constant(gradient)], [variable])
        weights.append(float(variable))
    assert weights[0] != pytest.approx(weights[1])


def test_finalize_variable_values_writes_the_average_over_the_weights() -> None:
    optimizer, variable = keras.optimizers.SGD(1.0, use_ema=True, ema_momentum=0.5), keras.Variable(1.0)
    optimizer.build([variable])
    for _ in range(2):
        optimizer.apply([tf.constant(1.0)], [variable])
    assert float(variable) == -1.0
    optimizer.finalize_variable_values([variable])
    assert float(variable) == -0.5


def test_trainable_variables_indices_gives_the_place_of_each_variable_by_its_key() -> None:
    optimizer, variables = keras.optimizers.SGD(), [keras.Variable(1.0), keras.Variable(2.0)]
    optimizer.build(variables)
    keys = [optimizer._var_key(variable) for variable in variables]
    assert optimizer._trainable_variables_indices == dict(zip(keys, (0, 1), strict=True))


def test_the_base_s_key_of_a_variable_is_its_id() -> None:
    variable = keras.Variable(1.0)
    assert BaseOptimizer._var_key(keras.optimizers.SGD(), variable) == id(variable)


def test_the_optimizer_on_tensorflow_derives_from_the_base_and_overrides_what_is_borrowed() -> None:
    assert issubclass(keras.optimizers.Optimizer, BaseOptimizer)
    for name in ("assign", "_var_key", "_apply_weight_decay", "_backend_update_step"):
        assert getattr(keras.optimizers.Optimizer, name) is not getattr(BaseOptimizer, name)


def test_exclude_from_weight_decay_is_remembered_in_two_private_attributes() -> None:
    optimizer, variable = keras.optimizers.AdamW(), keras.Variable(1.0)
    optimizer.exclude_from_weight_decay([variable], ["bias"])
    assert optimizer._exclude_from_weight_decay == {optimizer._var_key(variable)}
    assert optimizer._exclude_from_weight_decay_pattern.search("dense/bias")
    optimizer.exclude_from_weight_decay([variable])
    assert optimizer._exclude_from_weight_decay_pattern is None


@pytest.mark.parametrize(("places", "names", "excludes"), [([0], None, True), ([], ["bias"], True), ([], None, False)])
def test_excluding_variables_or_names_from_weight_decay_is_noticed(
    places: list[int], names: list[str] | None, excludes: bool
) -> None:
    optimizer, variables = keras.optimizers.AdamW(), [keras.Variable(1.0)]
    assert not excludes_from_weight_decay(optimizer)
    optimizer.exclude_from_weight_decay([variables[place] for place in places], names)
    assert excludes_from_weight_decay(optimizer) is excludes


@pytest.mark.parametrize(
    ("make", "excluded"),
    [
        (lambda: keras.optimizers.SGD(0.1, momentum=0.9), {}),
        (lambda: keras.optimizers.Adam(0.1, use_ema=True), {}),
        (lambda: keras.optimizers.AdamW(0.1, weight_decay=0.1), {}),
        (lambda: keras.optimizers.AdamW(0.1, weight_decay=0.1), {"places": [0]}),
        (lambda: keras.optimizers.AdamW(0.1, weight_decay=0.1), {"var_names": ["kernel"]}),
    ],
    ids=["momentum", "average", "weight decay", "a variable without decay", "a name without decay"],
)
def test_the_base_s_methods_do_in_a_stateless_scope_what_apply_does(make: Any, excluded: dict[str, Any]) -> None:
    def built() -> tuple[Any, list[Any]]:
        optimizer = make()
        variables = [keras.Variable([1.0, 2.0], name=name) for name in ("kernel", "bias")]
        places, names = excluded.get("places", []), excluded.get("var_names")
        optimizer.exclude_from_weight_decay([variables[place] for place in places], names)
        optimizer.build(variables)
        return optimizer, variables

    gradients = [tf.constant([0.5, -1.0]), tf.constant([0.25, 0.5])]
    (twin, plain), (optimizer, scoped) = built(), built()
    before = dict(vars(optimizer))
    values = [(variable, tf.identity(variable.value)) for variable in [*scoped, *optimizer.variables]]
    for _ in range(2):
        twin.apply(gradients, plain)
        with stateless(optimizer, scoped), keras.StatelessScope(values) as scope:
            optimizer.apply(gradients, scoped)
        values = [(variable, scope.get_current_value(variable)) for variable, _ in values]
    for (_, value), expected in zip(values, [*plain, *twin.variables], strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-6)
    assert [variable.numpy().tolist() for variable in scoped] == [[1.0, 2.0]] * 2
    assert vars(optimizer) == before
    assert type(optimizer) is type(twin)
