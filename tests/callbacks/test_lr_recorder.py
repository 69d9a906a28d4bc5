"""`LRRecorder` on real fits, beside the callbacks that must see what it logs."""

from __future__ import annotations

import json
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

import keras_lr
from keras_lr import schedules
from keras_lr.errors import InvalidArgumentError
from tests.callbacks.regression import STEPS_PER_EPOCH, X, Y, fit, regression, train_on_batches
from tests.versions import needs_multi_optimizer

TOTAL_STEPS = 3 * STEPS_PER_EPOCH


def one_cycle() -> schedules.OneCycle:
    return schedules.OneCycle(0.1, TOTAL_STEPS)


def expected_rates() -> np.ndarray:
    return schedules.preview(one_cycle(), TOTAL_STEPS).learning_rates


def epoch_rates() -> list[float]:
    return expected_rates()[STEPS_PER_EPOCH - 1 :: STEPS_PER_EPOCH].tolist()


@pytest.mark.parametrize("place", ["first", "last"])
def test_every_log_contains_the_rate_wherever_the_recorder_is_listed(place: str, tmp_path: Any) -> None:
    others = [
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
        keras.callbacks.TensorBoard(tmp_path / "board", update_freq=1),
    ]
    recorder = keras_lr.LRRecorder(frequency="step")
    callbacks = [recorder, *others] if place == "first" else [*others, recorder]
    history = fit(regression(keras.optimizers.SGD(one_cycle())), *callbacks, validation_data=(X, Y))
    assert history["learning_rate"] == pytest.approx(epoch_rates(), rel=1e-6)
    assert np.concatenate(history["learning_rate_steps"]) == pytest.approx(expected_rates(), rel=1e-6)
    assert pd.read_csv(tmp_path / "log.csv")["learning_rate"].tolist() == pytest.approx(epoch_rates(), rel=1e-6)
    board = EventAccumulator(str(tmp_path / "board" / "train"), size_guidance={"tensors": 0}).Reload()
    logged = [float(tensor_util.make_ndarray(event.tensor_proto)) for event in board.Tensors("batch_learning_rate")]
    assert logged == pytest.approx(expected_rates(), rel=1e-6)
    assert len(board.Tensors("epoch_learning_rate")) == 3


@pytest.mark.parametrize("per_execution", [1, 3])
def test_has_a_row_for_each_step_of_an_execution(per_execution: int) -> None:
    recorder = keras_lr.LRRecorder(frequency="step")
    fit(regression(keras.optimizers.SGD(one_cycle()), steps_per_execution=per_execution), recorder)
    frame = recorder.to_frame()
    assert frame["step"].tolist() == list(range(TOTAL_STEPS))
    assert frame["epoch"].tolist() == np.repeat([0, 1, 2], STEPS_PER_EPOCH).tolist()
    assert frame["learning_rate"].to_numpy() == pytest.approx(expected_rates(), rel=1e-6)


def test_a_rate_that_another_callback_sets_is_the_one_that_was_used() -> None:
    setter = keras.callbacks.LearningRateScheduler(lambda epoch: 0.01 / 2**epoch)
    after = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: setattr(setter.model.optimizer, "learning_rate", 5.0)
    )
    recorder = keras_lr.LRRecorder()
    fit(regression(keras.optimizers.RMSprop(1.0)), after, recorder, setter)
    assert recorder.to_frame()["learning_rate"].tolist() == pytest.approx([0.01, 0.005, 0.0025])


@needs_multi_optimizer
def test_each_of_several_optimizers_has_a_column() -> None:
    base = regression(keras.optimizers.SGD(one_cycle()))
    model = regression(keras_lr.discriminative(base, {"stem": 0.1}))
    recorder = keras_lr.LRRecorder(frequency="step")
    history = fit(model, recorder)
    assert history["learning_rate_base"] == pytest.approx(epoch_rates(), rel=1e-6)
    assert recorder.to_frame()["learning_rate_stem"].to_numpy() == pytest.approx(0.1 * expected_rates(), rel=1e-5)
    assert "learning_rate" not in history


def test_the_other_logs_and_the_training_are_as_without_it() -> None:
    bare_model, model = (regression(keras.optimizers.Adam(one_cycle())) for _ in range(2))
    bare = fit(bare_model, validation_data=(X, Y))
    recorded = fit(model, keras_lr.LRRecorder(frequency="step"), validation_data=(X, Y))
    assert {name: recorded[name] for name in bare} == bare
    for left, right in zip(model.get_weights(), bare_model.get_weights(), strict=True):
        np.testing.assert_array_equal(left, right)
    assert not [name for name in dir(model.optimizer) if "keras_lr" in name]
    assert "_get_metrics_result_or_logs" not in vars(model)


def test_an_interrupted_fit_leaves_nothing_to_the_next() -> None:
    def interrupt(batch: int, logs: Any) -> None:
        raise KeyboardInterrupt

    model = regression(keras.optimizers.SGD(one_cycle()))
    recorder = keras_lr.LRRecorder(frequency="step")
    with pytest.raises(KeyboardInterrupt):
        fit(model, recorder, keras.callbacks.LambdaCallback(on_train_batch_end=interrupt))
    assert set(fit(model, epochs=1)) == {"loss"}
    assert "_get_metrics_result_or_logs" not in vars(model)
    assert not hasattr(model.train_function, "interceptor")


def test_an_evaluation_within_an_epoch_is_not_its_end() -> None:
    model = regression(keras.optimizers.SGD(one_cycle()))
    evaluate = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: model.evaluate(X, Y, verbose=0) if batch == 2 else None
    )
    recorder = keras_lr.LRRecorder(frequency="step")
    fit(model, evaluate, recorder, epochs=1)
    assert len(recorder.to_frame()) == STEPS_PER_EPOCH


def test_resumes_from_its_state_and_starts_over_with_a_new_fit() -> None:
    first, second = keras_lr.LRRecorder(), keras_lr.LRRecorder()
    model = regression(keras.optimizers.SGD(one_cycle()))
    fit(model, first, epochs=2)
    second.set_state(json.loads(json.dumps(first.get_state())))
    fit(model, second, epochs=3, initial_epoch=2)
    assert second.to_frame()["learning_rate"].tolist() == pytest.approx(epoch_rates(), rel=1e-6)
    fit(model, second, epochs=1)
    assert second.to_frame()["epoch"].tolist() == [0]


def test_the_history_can_still_be_analyzed() -> None:
    recorder = keras_lr.LRRecorder(frequency="step")
    history = fit(regression(keras.optimizers.SGD(0.05)), recorder, epochs=5)
    assert keras_lr.analyze_history(history).learning_rate == pytest.approx(0.05)


def test_refuses_another_frequency() -> None:
    with pytest.raises(InvalidArgumentError, match=r"`frequency` must be one of .*'batch'"):
        keras_lr.LRRecorder(frequency="batch")


@pytest.mark.parametrize("frequency", ["epoch", "step"])
def test_a_loop_of_train_on_batch_is_recorded(frequency: str) -> None:
    recorder = keras_lr.LRRecorder(frequency=frequency)
    model = regression(keras.optimizers.SGD(one_cycle()))
    history = train_on_batches(model, recorder)
    assert history["loss"] == train_on_batches(regression(keras.optimizers.SGD(one_cycle())))["loss"]
    rates = expected_rates() if frequency == "step" else epoch_rates()
    np.testing.assert_allclose(recorder.to_frame()["learning_rate"], rates, rtol=1e-6)
    np.testing.assert_allclose(history["learning_rate"], epoch_rates(), rtol=1e-6)
    assert not hasattr(model.train_function, "interceptor")


class Remaking(keras.Sequential):
    """Makes its training function anew whenever it is asked to."""

    made = 0

    def make_train_function(self, force: bool = False) -> Any:
        self.made += 1
        return super().make_train_function(force=True)


def test_a_training_function_is_made_as_often_as_without_it() -> None:
    made = []
    for callbacks in ([], [keras_lr.LRRecorder(frequency="step")]):
        model = Remaking([keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        model.fit(X, Y, epochs=2, verbose=0, callbacks=callbacks)
        made.append(model.made)
    assert made[1] == made[0]
