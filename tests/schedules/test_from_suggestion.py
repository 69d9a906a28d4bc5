"""A suggestion, or a range test, becomes a schedule."""

from __future__ import annotations

import re
from typing import Any

import keras
import numpy as np
import pytest

from keras_lr import schedules
from keras_lr.errors import InvalidArgumentError, InvalidRangeError
from keras_lr.results import Suggestion
from keras_lr.schedules._from_suggestion import KINDS
from keras_lr.schedules._preview import cycle_position_of
from tests.result_records import make_range_test

SUGGESTION = Suggestion(0.01, 0.002, 0.05, "clear", "Clear.", "consensus")
CLASSES = {
    "one_cycle": schedules.OneCycle,
    "cyclical": schedules.Cyclical,
    "warmup_cosine": schedules.WarmupStableDecay,
    "warmup_stable_decay": schedules.WarmupStableDecay,
    "inverse_sqrt": schedules.InverseSqrt,
    "polynomial": schedules.Polynomial,
    "flat_cosine": schedules.FlatCosine,
    "cosine_restarts": schedules.CosineRestarts,
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_suggested_rate_is_the_highest(kind: str) -> None:
    schedule = schedules.from_suggestion(SUGGESTION, kind, total_steps=1000)
    assert type(schedule) is CLASSES[kind]
    rates = schedules.preview(schedule, 1000).learning_rates
    assert rates.max() == pytest.approx(0.05 if kind == "cyclical" else 0.01, rel=1e-4)


@pytest.mark.parametrize("kind", ["one_cycle", "warmup_cosine", "warmup_stable_decay", "polynomial", "flat_cosine"])
def test_the_fall_ends_with_the_training(kind: str) -> None:
    schedule = schedules.from_suggestion(SUGGESTION, kind, total_steps=400)
    last, after = schedules.preview(schedule, 401).learning_rates[-2:]
    assert last < 0.01 * 0.02
    assert after <= last


def test_a_cycle_spans_the_interval_of_a_range_test() -> None:
    result = make_range_test()
    schedule = schedules.from_suggestion(result, "cyclical", total_steps=800)
    assert schedule.base_learning_rate == result.suggestion.low
    assert schedule.max_learning_rate == result.suggestion.high
    assert schedule.up_steps == 100
    rates = schedules.preview(schedule, 800).learning_rates
    assert np.count_nonzero(np.isclose(rates, result.suggestion.high)) == 4


@pytest.mark.parametrize("total_steps", [12, 90, 100, 500, 999])
def test_no_fifth_cycle_begins_before_the_training_ends(total_steps: int) -> None:
    schedule = schedules.from_suggestion(SUGGESTION, "cyclical", total_steps=total_steps)
    rates = schedules.preview(schedule, total_steps).learning_rates
    tops = np.count_nonzero(np.diff(np.sign(np.diff(rates))) < 0)
    assert (tops, rates[-1] < rates[-2]) == (4, True)


def test_options_override_what_follows_from_the_steps() -> None:
    schedule = schedules.from_suggestion(SUGGESTION, "warmup_stable_decay", total_steps=100, warmup_steps=10)
    assert (schedule.warmup_steps, schedule.stable_steps, schedule.decay_steps) == (10, 70, 20)
    schedule = schedules.from_suggestion(SUGGESTION, "warmup_stable_decay", total_steps=100, decay_steps=50)
    assert (schedule.warmup_steps, schedule.stable_steps, schedule.decay_steps) == (5, 45, 50)
    assert schedules.from_suggestion(SUGGESTION, "one_cycle", total_steps=100, three_phase=True).three_phase
    cyclical = schedules.from_suggestion(SUGGESTION, "cyclical", total_steps=100, up_steps=7, mode="triangular2")
    assert (cyclical.up_steps, cyclical.mode) == (7, "triangular2")


def test_three_restarts_end_with_the_training() -> None:
    schedule = schedules.from_suggestion(SUGGESTION, "cosine_restarts", total_steps=700)
    rates = schedules.preview(schedule, 701).learning_rates
    assert np.flatnonzero(np.isclose(rates, 0.01)).tolist() == [0, 100, 300, 700]


@pytest.mark.parametrize("total_steps", [50, 100, 1003])
def test_a_run_does_not_end_with_a_restart(total_steps: int) -> None:
    schedule = schedules.from_suggestion(SUGGESTION, "cosine_restarts", total_steps=total_steps)
    rates = schedules.preview(schedule, total_steps).learning_rates
    assert (np.diff(rates) > 0).sum() == 2
    assert rates[-1] < 0.2 * 0.01


@pytest.mark.parametrize("kind", KINDS)
def test_a_training_that_continues_with_a_new_optimizer_has_the_rates_of_one_that_never_stopped(kind: str) -> None:
    complete = schedules.from_suggestion(SUGGESTION, kind, total_steps=60)
    later = schedules.from_suggestion(SUGGESTION, kind, total_steps=60, initial_epoch=4, steps_per_epoch=6)
    rates = schedules.preview(complete, 60).learning_rates
    assert schedules.preview(later, 36).learning_rates.tolist() == rates[24:].tolist()


def rates_in_fit(initial_epoch: int) -> list[float]:
    """The rates at the ends of the epochs that a new model trains."""
    later = schedules.from_suggestion(
        SUGGESTION, "one_cycle", total_steps=12, initial_epoch=initial_epoch, steps_per_epoch=3
    )
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(later), "mse")
    seen: list[float] = []
    record = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: seen.append(float(model.optimizer.learning_rate)))
    data = np.ones((12, 1), "float32")
    model.fit(data, data, batch_size=4, epochs=4, initial_epoch=initial_epoch, verbose=0, callbacks=[record])
    return seen


def test_fit_begins_the_schedule_at_its_initial_epoch() -> None:
    assert rates_in_fit(2) == rates_in_fit(0)[2:]


def test_a_resumed_cycle_knows_its_position() -> None:
    cycle = schedules.OneCycle(0.1, 40)
    inner, later = cycle_position_of(cycle), cycle_position_of(schedules.Scaled(schedules.Resumed(cycle, 15)))
    assert inner is not None
    assert later is not None
    assert np.array_equal(later(np.arange(20.0)), inner(np.arange(15.0, 35.0)))
    assert cycle_position_of(schedules.Resumed(0.1, 3)) is None


REFUSALS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"suggestion": Suggestion.refuse("Flat.", rule="r")}, InvalidArgumentError, "must hold a learning rate.*Flat"),
    ({"suggestion": 0.1}, InvalidArgumentError, "`suggestion` must be a Suggestion or a RangeTestResult"),
    ({"kind": "onecycle"}, InvalidArgumentError, "`kind` must be one of .*'onecycle'"),
    ({"total_steps": 5}, InvalidArgumentError, "`total_steps` must be an integer >= 10. Received: 5"),
    ({"total_steps": 20.0}, InvalidArgumentError, "`total_steps` must be an integer >= 10. Received: 20.0"),
    (
        {"suggestion": Suggestion(0.1, 0.1, 0.1, "tentative", "One.", "r"), "kind": "cyclical"},
        InvalidRangeError,
        "`max_learning_rate` must be greater",
    ),
]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"initial_epoch": 2}, "`steps_per_epoch` must be given with `initial_epoch`. Received: initial_epoch=2 alone"),
        ({"initial_epoch": 10, "steps_per_epoch": 10}, "must be less than `total_steps`. Received: 100 and 100"),
        ({"initial_epoch": -1, "steps_per_epoch": 10}, "`initial_epoch` must be an integer >= 0"),
    ],
)
def test_an_initial_epoch_that_does_not_fit_is_refused(given: dict[str, int], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=re.escape(message)):
        schedules.from_suggestion(SUGGESTION, "one_cycle", total_steps=100, **given)


@pytest.mark.parametrize(("changes", "error", "message"), REFUSALS)
def test_refuses(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments = {"suggestion": SUGGESTION, "kind": "one_cycle", "total_steps": 100} | changes
    with pytest.raises(error, match=message):
        schedules.from_suggestion(arguments["suggestion"], arguments["kind"], total_steps=arguments["total_steps"])
