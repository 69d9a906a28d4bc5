"""`MomentumCycle` against a loop that sets the momentum by hand before each step."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest

import keras_lr
from keras_lr import schedules
from keras_lr.errors import InvalidArgumentError, InvalidRangeError
from tests.callbacks.regression import STEPS_PER_EPOCH, X, Y, fit, regression
from tests.versions import needs_multi_optimizer, needs_muon, needs_schedule_free

NUM_STEPS = 2 * STEPS_PER_EPOCH
optimizers = keras.optimizers


def one_cycle() -> schedules.OneCycle:
    # Linear and symmetric, so that the momentum is plain geometry.
    return schedules.OneCycle(0.02, NUM_STEPS, warmup_fraction=0.5, shape="linear", final_div_factor=1.0)


def momenta(low: float = 0.85, high: float = 0.95) -> np.ndarray:
    up = 0.5 * NUM_STEPS - 1
    steps = np.arange(NUM_STEPS)
    position = np.where(steps <= up, steps / up, 1 - (steps - up) / (NUM_STEPS - 1 - up))
    return high - (high - low) * position


def weights_by_hand(optimizer: Any, names: list[str]) -> list[np.ndarray]:
    model = regression(optimizer, run_eagerly=True)
    for step, momentum in enumerate(momenta()):
        for name in names:
            setattr(optimizer, name, float(momentum))
        batch = slice(10 * (step % STEPS_PER_EPOCH), 10 * (step % STEPS_PER_EPOCH + 1))
        model.train_on_batch(X[batch], Y[batch])
    return list(model.get_weights())


OPTIMIZERS: dict[str, tuple[Any, list[str], dict[str, Any]]] = {
    "sgd": (lambda: optimizers.SGD(one_cycle(), momentum=0.9, nesterov=True), ["momentum"], {"jit_compile": True}),
    "rmsprop": (lambda: optimizers.RMSprop(one_cycle(), momentum=0.9), ["momentum"], {}),
    "adam": (lambda: optimizers.Adam(one_cycle()), ["beta_1"], {"steps_per_execution": STEPS_PER_EPOCH}),
    "nadam": (lambda: optimizers.Nadam(one_cycle()), ["beta_1"], {}),
    "lion": (lambda: optimizers.Lion(one_cycle()), ["beta_1"], {}),
    "muon": (lambda: optimizers.Muon(one_cycle()), ["momentum", "adam_beta_1"], {}),
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=needs_muon) if name == "muon" else name for name in OPTIMIZERS]
)
def test_trains_as_if_each_step_had_its_momentum_set(name: str) -> None:
    make, names, options = OPTIMIZERS[name]
    optimizer = make()
    compiled_with = [getattr(optimizer, attribute) for attribute in names]
    model = regression(optimizer, **options)
    fit(model, keras_lr.MomentumCycle(), epochs=2)
    for trained, by_hand in zip(model.get_weights(), weights_by_hand(make(), names), strict=True):
        np.testing.assert_allclose(trained, by_hand, atol=2e-6)
    assert [getattr(optimizer, attribute) for attribute in names] == compiled_with
    assert all(type(getattr(optimizer, attribute)) is float for attribute in names)


def watched_momenta(optimizer: Any, cycle: keras_lr.MomentumCycle) -> list[float]:
    return momenta_of_fit(regression(optimizer), cycle)


def momenta_of_fit(model: keras.Model, cycle: keras_lr.MomentumCycle, **options: Any) -> list[float]:
    seen: list[float] = []
    watch = keras.callbacks.LambdaCallback(on_train_batch_begin=lambda batch, logs: seen.append(cycle.momentum))
    fit(model, cycle, watch, epochs=2, **options)
    return seen


def test_is_opposite_to_the_rate_of_a_cycle() -> None:
    seen = watched_momenta(optimizers.SGD(one_cycle(), momentum=0.9), keras_lr.MomentumCycle(0.8, 0.9))
    assert seen == pytest.approx(momenta(0.8, 0.9), rel=1e-6)


def test_follows_the_cycle_of_a_scaled_schedule() -> None:
    seen = watched_momenta(optimizers.Adam(schedules.Scaled(one_cycle(), 0.1)), keras_lr.MomentumCycle())
    assert seen == pytest.approx(momenta(), rel=1e-6)


def test_follows_the_rates_of_any_other_schedule() -> None:
    fall = schedules.Polynomial(0.1, NUM_STEPS - 1, end_learning_rate=0.02)
    seen = watched_momenta(optimizers.Adam(fall), keras_lr.MomentumCycle())
    assert seen == pytest.approx(np.linspace(0.85, 0.95, NUM_STEPS), rel=1e-6)


def test_a_second_fit_has_the_range_of_its_own_rates() -> None:
    fall = schedules.Polynomial(0.1, 2 * NUM_STEPS - 1, end_learning_rate=0.02)
    model = regression(optimizers.Adam(fall))
    fit(model, epochs=2)
    assert momenta_of_fit(model, keras_lr.MomentumCycle()) == pytest.approx(np.linspace(0.85, 0.95, NUM_STEPS))


def test_a_fit_that_continues_has_the_range_of_the_whole() -> None:
    model = regression(optimizers.Adam(schedules.Polynomial(0.1, NUM_STEPS - 1, end_learning_rate=0.02)))
    fit(model, epochs=1)
    seen = momenta_of_fit(model, keras_lr.MomentumCycle(), initial_epoch=1)
    assert seen == pytest.approx(np.linspace(0.85, 0.95, NUM_STEPS)[STEPS_PER_EPOCH:])


@needs_multi_optimizer
def test_a_part_has_the_momentum_of_the_whole() -> None:
    whole = regression(optimizers.Adam(schedules.Polynomial(0.1, NUM_STEPS - 1, end_learning_rate=0.02)))
    parted = regression(keras_lr.discriminative(whole, {"stem": 0.5, "head": 0.1}))
    assert momenta_of_fit(parted, keras_lr.MomentumCycle()) == pytest.approx(np.linspace(0.85, 0.95, NUM_STEPS))


def test_follows_a_rate_that_is_set_within_the_given_range() -> None:
    model = regression(optimizers.SGD(0.1, momentum=0.9))
    cycle = keras_lr.MomentumCycle(rate_range=(0.0, 0.2))
    seen: list[float] = []
    rates = iter([0.0, 0.05, 0.2, 0.4])
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(cycle.momentum))
    setter = keras.callbacks.LearningRateScheduler(lambda epoch: next(rates))
    fit(model, cycle, setter, watch, epochs=4)
    assert seen == pytest.approx([0.95, 0.925, 0.85, 0.85])


@needs_multi_optimizer
def test_each_part_of_a_model_cycles() -> None:
    base = regression(optimizers.SGD(one_cycle(), momentum=0.9))
    model = regression(keras_lr.discriminative(base, {"stem": 0.5}))
    cycle = keras_lr.MomentumCycle()
    fit(model, cycle, epochs=1)
    assert [part.momentum for part in model.optimizer.optimizers] == [0.9] * 3


def test_a_model_saved_during_the_fit_has_the_momentum_it_was_compiled_with(tmp_path: Any) -> None:
    model = regression(optimizers.SGD(one_cycle(), momentum=0.9))
    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "model.keras")
    fit(model, keras_lr.MomentumCycle(), checkpoint, epochs=1)
    assert keras.saving.load_model(tmp_path / "model.keras").optimizer.momentum == 0.9


@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_epoch_end"])
def test_a_broken_fit_leaves_the_momentum_it_was_compiled_with(hook: str) -> None:
    def interrupt(index: int, logs: Any) -> None:
        raise KeyboardInterrupt

    model, plain = (regression(optimizers.SGD(one_cycle(), momentum=0.9)) for _ in range(2))
    stop = keras.callbacks.LambdaCallback(**{hook: interrupt})
    with pytest.raises(KeyboardInterrupt):
        fit(model, keras_lr.MomentumCycle(), stop)
    assert type(model.optimizer.momentum) is float
    with pytest.raises(KeyboardInterrupt):
        fit(plain, stop)
    plain.set_weights(model.get_weights())
    for variable, value in zip(plain.optimizer.variables, model.optimizer.variables, strict=True):
        variable.assign(value)
    assert fit(model) == fit(plain)


def test_follows_the_rate_that_a_range_test_applied() -> None:
    model = regression(optimizers.SGD(one_cycle(), momentum=0.9))
    with pytest.raises(InvalidArgumentError, match="`rate_range` is required unless a schedule changes the learning"):
        fit(model, keras_lr.MomentumCycle(), keras_lr.LRRangeTest(apply=True))
    assert type(model.optimizer.momentum) is float


@pytest.mark.parametrize("name", ["SGD", "Adagrad", pytest.param("ScheduleFreeAdamW", marks=needs_schedule_free)])
def test_an_optimizer_without_momentum_trains_on_with_a_warning(name: str) -> None:
    optimizer = getattr(optimizers, name)(one_cycle())
    with pytest.warns(UserWarning, match=f"momentum.*{name}|{name}.*momentum"):
        fit(regression(optimizer), keras_lr.MomentumCycle())
    assert int(optimizer.iterations) > 0


def test_a_rate_without_a_schedule_needs_a_range() -> None:
    with pytest.raises(InvalidArgumentError, match="`rate_range` is required unless a schedule changes the learning"):
        fit(regression(optimizers.Adam(0.1)), keras_lr.MomentumCycle())


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"min_momentum": 0.95, "max_momentum": 0.85}, InvalidRangeError, "`min_momentum, max_momentum` must go from"),
        ({"min_momentum": 0}, InvalidArgumentError, "`min_momentum` must be greater than 0"),
        ({"max_momentum": 1.0}, InvalidArgumentError, "`max_momentum` must be greater than 0 and less than 1"),
        ({"rate_range": 0.1}, InvalidArgumentError, "`rate_range` must be two numbers"),
        ({"rate_range": (0.2, 0.1)}, InvalidRangeError, "`rate_range` must go from a lower to a higher"),
    ],
)
def test_refuses(arguments: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        keras_lr.MomentumCycle(**arguments)
