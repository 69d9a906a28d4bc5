"""`ReduceOnPlateau` on real fits with a controlled monitored value."""

from __future__ import annotations

import json
import warnings
from typing import Any

import keras
import numpy as np
import pytest

import keras_lr
from keras_lr import schedules
from keras_lr.callbacks._reduce_on_plateau import metric_mode
from keras_lr.errors import InvalidArgumentError
from tests.callbacks.regression import STEPS_PER_EPOCH, X, Y, fit, regression, train_on_batches
from tests.versions import needs_multi_optimizer


def run(optimizer: Any, values: list[float], callback: Any) -> list[float]:
    """Each epoch's rate as a multiple of the first, while a logged "score" takes the given values."""

    def log_score(epoch: int, logs: dict[str, float]) -> None:
        logs["score"] = values[epoch]

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(optimizer, "mse")
    score = keras.callbacks.LambdaCallback(on_epoch_end=log_score)
    recorder = keras_lr.LRRecorder()
    fit(model, score, callback, recorder, epochs=len(values), batch_size=70)
    rates = recorder.to_frame()["learning_rate"]
    return (rates / rates[0]).tolist()


FALLS_THEN_STAYS = [5.0, 4.0, 4.0, 4.0, 4.0, 4.0, 4.0]
CASES: dict[str, tuple[dict[str, Any], list[float]]] = {
    "patience": ({"patience": 2}, FALLS_THEN_STAYS),
    "cooldown": ({"patience": 1, "cooldown": 2}, FALLS_THEN_STAYS),
    "small_steps": ({"patience": 2, "min_delta": 0.5}, [5.0, 4.8, 4.6, 4.4, 4.2, 4.0, 3.8]),
    "not_finite": ({"patience": 1}, [float("nan"), 5.0, float("nan"), 4.0, 4.5, 3.0, 3.0]),
    "lower_bound": ({"patience": 1, "min_lr": 0.03}, FALLS_THEN_STAYS),
}


@pytest.mark.parametrize("name", [name for name in CASES if name != "not_finite"])
def test_lowers_a_constant_rate_when_keras_does(name: str) -> None:
    options, values = CASES[name]
    theirs = keras.callbacks.ReduceLROnPlateau("score", factor=0.5, mode="min", **options)
    ours = keras_lr.ReduceOnPlateau("score", factor=0.5, mode="min", **options)
    expected = run(keras.optimizers.SGD(0.1), values, theirs)
    assert run(keras.optimizers.SGD(0.1), values, ours) == pytest.approx(expected)
    assert expected[-1] < 1


def test_a_value_that_is_not_finite_is_no_improvement() -> None:
    options, values = CASES["not_finite"]
    factors = run(
        keras.optimizers.SGD(0.1), values, keras_lr.ReduceOnPlateau("score", factor=0.5, mode="min", **options)
    )
    assert factors == pytest.approx([1, 1, 1, 0.5, 0.5, 0.25, 0.25])


def test_lowers_a_schedule_which_continues() -> None:
    fall = schedules.Polynomial(1.0, 10)
    callback = keras_lr.ReduceOnPlateau("score", factor=0.5, patience=2, mode="min")
    optimizer = keras.optimizers.SGD(fall)
    factors = run(optimizer, FALLS_THEN_STAYS, callback)
    assert factors == pytest.approx([1.0, 0.9, 0.8, 0.7, 0.6 * 0.5, 0.5 * 0.5, 0.4 * 0.25])
    assert callback.total_factor == 0.25
    assert isinstance(optimizer._learning_rate, schedules.Scaled)
    assert optimizer._learning_rate.schedule is fall


@pytest.mark.parametrize("second", ["plateau", "scheduler"])
def test_lowers_the_rate_that_another_callback_set_as_keras_does(second: str) -> None:
    def rates(plateau: Any) -> list[float]:
        options: dict[str, Any] = {"factor": 0.5, "patience": 1, "min_delta": 1e3, "mode": "min"}
        other = keras.callbacks.LearningRateScheduler(lambda epoch, rate: 3 * rate)
        if second == "plateau":
            other = plateau("val_loss", **options)
        recorder = keras_lr.LRRecorder()
        model = regression(keras.optimizers.SGD(1e-4))
        fit(model, plateau("loss", **options), other, recorder, epochs=4, validation_data=(X, Y))
        return list(recorder.to_frame()["learning_rate"])

    expected = [1e-4, 1e-4, 2.5e-5, 6.25e-6] if second == "plateau" else [3e-4, 9e-4, 1.35e-3, 2.025e-3]
    assert rates(keras.callbacks.ReduceLROnPlateau) == pytest.approx(expected)
    assert rates(keras_lr.ReduceOnPlateau) == pytest.approx(expected)


@pytest.mark.parametrize("rate", [1e-3, schedules.Polynomial(1e-3, 10)], ids=["constant", "schedule"])
def test_lowers_the_rate_that_a_range_test_applied(rate: Any) -> None:
    model = regression(keras.optimizers.Adam(rate))
    plateau = keras_lr.ReduceOnPlateau("loss", factor=0.5, patience=1, min_delta=1e3)
    finder = keras_lr.LRRangeTest(apply=True)
    rates = fit(model, plateau, finder, keras_lr.LRRecorder(), epochs=4)["learning_rate"]
    assert rates == pytest.approx([finder.result.suggestion.learning_rate * factor for factor in (1, 1, 0.5, 0.25)])


def test_two_on_one_schedule_resume_from_a_backup(tmp_path: Any) -> None:
    def train(*further: Any) -> list[float]:
        model = regression(keras.optimizers.SGD(schedules.OneCycle(0.01, 5 * STEPS_PER_EPOCH)))
        plateaus = [
            keras_lr.ReduceOnPlateau(name, factor=0.5, patience=patience, min_delta=1e3)
            for name, patience in (("loss", 1), ("val_loss", 2))
        ]
        callbacks = [*plateaus, keras_lr.LRRecorder(), *further]
        return fit(model, *callbacks, epochs=5, validation_data=(X, Y))["learning_rate"]

    def stop(epoch: int, logs: Any) -> None:
        if epoch == 3:
            raise KeyboardInterrupt

    whole = train()
    with pytest.raises(KeyboardInterrupt):
        train(keras.callbacks.BackupAndRestore(tmp_path), keras.callbacks.LambdaCallback(on_epoch_begin=stop))
    assert train(keras.callbacks.BackupAndRestore(tmp_path)) == whole[3:]


@needs_multi_optimizer
def test_lowers_every_optimizer_of_a_model() -> None:
    base = regression(keras.optimizers.SGD(0.01))
    model = regression(keras_lr.discriminative(base, {"stem": 0.1}))
    callback = keras_lr.ReduceOnPlateau("loss", factor=0.5, patience=1, min_delta=1e3)
    history = fit(model, callback, keras_lr.LRRecorder(), epochs=3)
    assert history["learning_rate_base"] == pytest.approx([0.01, 0.01, 0.005])
    assert history["learning_rate_stem"] == pytest.approx([0.001, 0.001, 0.0005])


def test_a_metric_declares_which_is_better() -> None:
    model = regression(keras.optimizers.SGD(0.01), metrics=["mae", "binary_accuracy"])
    fit(model, epochs=1)
    modes = {name: metric_mode(model, name) for name in ("loss", "val_loss", "head_loss", "mae", "val_binary_accuracy")}
    assert modes == {"loss": "min", "val_loss": "min", "head_loss": "min", "mae": "min", "val_binary_accuracy": "max"}


def test_a_value_that_is_no_metric_needs_a_mode() -> None:
    with pytest.raises(
        InvalidArgumentError, match='`mode` must be "min" or "max" if no metric declares which is better'
    ):
        run(keras.optimizers.SGD(0.1), [1.0, 2.0], keras_lr.ReduceOnPlateau("score"))


def test_a_maximum_has_a_plateau_when_it_stops_rising() -> None:
    callback = keras_lr.ReduceOnPlateau("score", factor=0.5, patience=1, mode="max")
    assert run(keras.optimizers.SGD(0.1), [1.0, 2.0, 3.0, 3.0, 3.0], callback) == pytest.approx([1, 1, 1, 1, 0.5])


def test_monitors_a_validation_that_only_some_epochs_have() -> None:
    callback = keras_lr.ReduceOnPlateau(factor=0.5, patience=1, min_delta=1e3)
    model = regression(keras.optimizers.SGD(0.01))
    options = {"validation_data": (X, Y), "validation_freq": 2}
    history = fit(model, callback, keras_lr.LRRecorder(), epochs=6, **options)
    assert history["learning_rate"] == pytest.approx([0.01, 0.01, 0.01, 0.01, 0.005, 0.005])


def test_resumes_from_its_state() -> None:
    options: dict[str, Any] = {"factor": 0.5, "patience": 2, "min_delta": 1e3}
    whole = fit(
        regression(keras.optimizers.SGD(schedules.OneCycle(0.01, 6 * STEPS_PER_EPOCH))),
        keras_lr.ReduceOnPlateau("loss", **options), keras_lr.LRRecorder(), epochs=6,
    )  # fmt: skip
    model = regression(keras.optimizers.SGD(schedules.OneCycle(0.01, 6 * STEPS_PER_EPOCH)))
    first, second = (keras_lr.ReduceOnPlateau("loss", **options) for _ in range(2))
    before = fit(model, first, keras_lr.LRRecorder(), epochs=4)
    second.set_state(json.loads(json.dumps(first.get_state())))
    after = fit(model, second, keras_lr.LRRecorder(), epochs=6, initial_epoch=4)
    assert before["learning_rate"] + after["learning_rate"] == whole["learning_rate"]


@pytest.mark.parametrize("rate", [0.01, schedules.Polynomial(0.01, 40)], ids=["constant", "schedule"])
@pytest.mark.parametrize("monitor", ["loss", "val_loss"])
def test_reading_the_state_changes_nothing_and_gives_that_of_the_epochs_end(monitor: str, rate: Any) -> None:
    plateau = keras_lr.ReduceOnPlateau(monitor, factor=0.5, patience=1, min_delta=1e3, cooldown=2)
    model = regression(keras.optimizers.SGD(rate))
    early: list[dict[str, Any]] = []
    late: list[dict[str, Any]] = []

    def read(epoch: int, logs: Any) -> None:
        before = (float(model.optimizer.learning_rate), plateau.total_factor)
        early.append(plateau.get_state())
        assert plateau.get_state() == early[-1]
        assert (float(model.optimizer.learning_rate), plateau.total_factor) == before

    reader = keras.callbacks.LambdaCallback(on_epoch_end=read)
    check = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: late.append(plateau.get_state()))
    fit(model, reader, plateau, check, epochs=5, validation_data=(X, Y))
    assert [state["total_factor"] for state in early] == [1.0, 0.5, 0.5, 0.25, 0.25]
    for before, after in zip(early, late, strict=True):
        assert before.pop("bases") == pytest.approx(after.pop("bases"), rel=1e-6)
        assert before == after


def test_a_new_fit_starts_over_from_the_present_rate() -> None:
    callback = keras_lr.ReduceOnPlateau("loss", factor=0.5, patience=1, min_delta=1e3)
    model = regression(keras.optimizers.SGD(0.01))
    fit(model, callback, epochs=3)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.0025)
    fit(model, callback, epochs=2)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.00125)
    assert callback.total_factor == 0.5


def test_a_name_that_is_never_logged_is_refused() -> None:
    model = regression(keras.optimizers.SGD(0.01))
    with pytest.raises(InvalidArgumentError, match=r"`monitor` must name a value .*'val_mae'; the logs hold \['loss'"):
        fit(model, keras_lr.ReduceOnPlateau("val_mae", mode="min"), validation_data=(X, Y))
    with pytest.raises(InvalidArgumentError, match=r"`monitor` must name a value .*'accuracy'"):
        fit(model, keras_lr.ReduceOnPlateau("accuracy", mode="max"))


def test_a_validation_that_never_came_is_warned_about() -> None:
    with pytest.warns(UserWarning, match="No epoch logged 'val_loss', the `monitor` of `ReduceOnPlateau`"):
        fit(regression(keras.optimizers.SGD(0.01)), keras_lr.ReduceOnPlateau())


def test_a_fit_without_an_epoch_does_not_warn() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fit(regression(keras.optimizers.SGD(0.01)), keras_lr.ReduceOnPlateau(), keras_lr.LRRangeTest(num_steps=20))


def test_trains_as_without_it_while_the_value_improves() -> None:
    bare, watched = (regression(keras.optimizers.SGD(0.01)) for _ in range(2))
    expected = fit(bare)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert fit(watched, keras_lr.ReduceOnPlateau("loss")) == expected
    for left, right in zip(bare.get_weights(), watched.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)


def test_works_in_a_custom_training_loop() -> None:
    model = regression(keras.optimizers.SGD(0.01))
    callback = keras_lr.ReduceOnPlateau("loss", factor=0.5, patience=1)
    callbacks = keras.callbacks.CallbackList([callback], model=model)
    callbacks.on_train_begin()
    for epoch in range(3):
        callbacks.on_epoch_begin(epoch)
        callbacks.on_epoch_end(epoch, {"loss": 1.0})
    callbacks.on_train_end()
    assert float(model.optimizer.learning_rate) == pytest.approx(0.0025)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"factor": 1.0}, "`factor` must be greater than 0 and less than 1"),
        ({"patience": 0}, r"`patience` must be an integer >= 1. Received: 0\. It counts epochs\.$"),
        ({"mode": "up"}, "`mode` must be one of"),
        ({"cooldown": -1}, r"`cooldown` must be an integer >= 0. Received: -1\. It counts epochs\.$"),
        ({"min_delta": -0.1}, "`min_delta` must be 0 or more"),
        ({"min_lr": -0.1}, "`min_lr` must be 0 or more"),
        ({"monitor": ""}, "`monitor` must be a name"),
    ],
)
def test_refuses(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        keras_lr.ReduceOnPlateau(**arguments)


def test_a_loop_of_train_on_batch_trains_as_with_the_callback_of_keras() -> None:
    settings = {"factor": 0.5, "patience": 1, "min_delta": 10.0}
    found = train_on_batches(regression("sgd"), keras_lr.ReduceOnPlateau("loss", **settings))
    expected = train_on_batches(regression("sgd"), keras.callbacks.ReduceLROnPlateau("loss", **settings))
    np.testing.assert_allclose(found["loss"], expected["loss"], rtol=1e-6)
