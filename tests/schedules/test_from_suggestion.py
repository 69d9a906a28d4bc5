"""A suggestion, or a range test, becomes a schedule."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from keras_lr import schedules
from keras_lr.errors import InvalidArgumentError, InvalidRangeError
from keras_lr.results import Suggestion
from keras_lr.schedules._from_suggestion import KINDS
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


REFUSALS: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"suggestion": Suggestion.refuse("Flat.", rule="r")}, InvalidArgumentError, "must hold a learning rate.*Flat"),
    ({"suggestion": 0.1}, InvalidArgumentError, "`suggestion` must be a Suggestion or a RangeTestResult"),
    ({"kind": "onecycle"}, InvalidArgumentError, "`kind` must be one of .*'onecycle'"),
    ({"total_steps": 5}, InvalidArgumentError, "`total_steps` must be an integer >= 10, got 5"),
    ({"total_steps": 20.0}, InvalidArgumentError, "`total_steps` must be an integer >= 10, got 20.0"),
    (
        {"suggestion": Suggestion(0.1, 0.1, 0.1, "tentative", "One.", "r"), "kind": "cyclical"},
        InvalidRangeError,
        "`max_learning_rate` must be greater",
    ),
]


@pytest.mark.parametrize(("changes", "error", "message"), REFUSALS)
def test_refuses(changes: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments = {"suggestion": SUGGESTION, "kind": "one_cycle", "total_steps": 100} | changes
    with pytest.raises(error, match=message):
        schedules.from_suggestion(arguments["suggestion"], arguments["kind"], total_steps=arguments["total_steps"])
