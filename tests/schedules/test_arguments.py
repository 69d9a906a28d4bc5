"""Wrong arguments are refused with the argument's name and the received value."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from keras_lr import schedules
from keras_lr.errors import InvalidArgumentError, InvalidRangeError

s = schedules
REFUSALS: list[tuple[Any, type[Exception], str]] = [
    (lambda: s.OneCycle(0, 10), InvalidArgumentError, "`peak_learning_rate` must be greater than 0. Received: 0"),
    (lambda: s.OneCycle("0.1", 10), InvalidArgumentError, "`peak_learning_rate` must be a finite number"),
    (lambda: s.OneCycle(float("nan"), 10), InvalidArgumentError, "`peak_learning_rate` must be a finite number"),
    (lambda: s.OneCycle(0.1, 10.0), InvalidArgumentError, "`total_steps` must be an integer >= 2. Received"),
    (lambda: s.OneCycle(0.1, 10, warmup_fraction=1), InvalidArgumentError, "`warmup_fraction` must be greater than 0"),
    (lambda: s.OneCycle(0.1, 10, warmup_fraction=0.1), InvalidArgumentError, "`warmup_fraction \\* total_steps` must"),
    (lambda: s.OneCycle(0.1, 10, div_factor=0.5), InvalidArgumentError, "`div_factor` must be at least 1"),
    (lambda: s.OneCycle(0.1, 10, final_div_factor=-1), InvalidArgumentError, "`final_div_factor` must be at least 1"),
    (lambda: s.OneCycle(0.1, 10, shape="cubic"), InvalidArgumentError, "`shape` must be one of .*'cubic'"),
    (lambda: s.OneCycle(0.1, 10, three_phase=1), InvalidArgumentError, "`three_phase` must be True or False"),
    (lambda: s.OneCycle(0.1, 10, three_phase=True, warmup_fraction=0.6), InvalidArgumentError, "must be at most 0.5"),
    (lambda: s.Cyclical(0.1, 0.1, 5), InvalidRangeError, "`max_learning_rate` must be greater than `base_learning_"),
    (lambda: s.Cyclical(-0.1, 0.1, 5), InvalidArgumentError, "`base_learning_rate` must be greater than 0"),
    (lambda: s.Cyclical(0.1, 0.2, 0), InvalidArgumentError, "`up_steps` must be an integer >= 1. Received"),
    (
        lambda: s.Cyclical(0.1, 0.2, 5, down_steps=True),
        InvalidArgumentError,
        "`down_steps` must be an integer >= 1. Received: True",
    ),
    (lambda: s.Cyclical(0.1, 0.2, 5, mode="exp"), InvalidArgumentError, "`mode` must be one of"),
    (lambda: s.Cyclical(0.1, 0.2, 5, gamma=0.9), InvalidArgumentError, "`gamma` must be in .* mode='triangular'"),
    (lambda: s.Cyclical(0.1, 0.2, 5, mode="exp_range", gamma=1.1), InvalidArgumentError, "`gamma` must be in"),
    (lambda: s.Warmup("cosine", 5), InvalidArgumentError, "`schedule` must be a keras LearningRateSchedule"),
    (lambda: s.Warmup(-1.0, 5), InvalidArgumentError, "`schedule` must be greater than 0"),
    (lambda: s.Warmup(0.1, 0), InvalidArgumentError, "`warmup_steps` must be an integer >= 1. Received"),
    (lambda: s.Warmup(0.1, 5, shape="constant"), InvalidArgumentError, "`initial_learning_rate` must be greater"),
    (lambda: s.WarmupStableDecay(0.1, 0), InvalidArgumentError, "`decay_steps` must be an integer >= 1. Received"),
    (
        lambda: s.WarmupStableDecay(0.1, 5, stable_steps=-1),
        InvalidArgumentError,
        "`stable_steps` must be an integer >= 0. Received: -1",
    ),
    (lambda: s.WarmupStableDecay(0.1, 5, end_learning_rate=0.2), InvalidRangeError, "`end_learning_rate` must be at"),
    (lambda: s.WarmupStableDecay(0.1, 5, decay_shape="sqrt"), InvalidArgumentError, "`decay_shape` must be one of"),
    (
        lambda: s.InverseSqrt(0.1, 5, offset_steps=-1),
        InvalidArgumentError,
        "`offset_steps` must be an integer >= 0. Received: -1",
    ),
    (lambda: s.InverseSqrt.noam(0, 5), InvalidArgumentError, "`model_dim` must be an integer >= 1. Received"),
    (lambda: s.Polynomial(0.1, 5, power=0), InvalidArgumentError, "`power` must be greater than 0"),
    (lambda: s.Polynomial(0.1, 5, initial_learning_rate=0.2), InvalidRangeError, "`initial_learning_rate` must be"),
    (lambda: s.FlatCosine(0.1, 5, flat_fraction=1.0), InvalidArgumentError, "`flat_fraction` must be greater"),
    (lambda: s.FlatCosine(0.1, 5, end_learning_rate=1), InvalidRangeError, "`end_learning_rate` must be at most"),
    (lambda: s.CosineRestarts(0.1, 5, t_mul=0.5), InvalidArgumentError, "`t_mul` must be at least 1"),
    (lambda: s.CosineRestarts(0.1, 5, m_mul=2), InvalidArgumentError, "`m_mul` must be at most 1"),
    (lambda: s.Sequential([0.1], []), InvalidArgumentError, "`boundaries` must be one fewer than `schedules`"),
    (lambda: s.Sequential([0.1, 0.2, 0.3], [5, 5]), InvalidArgumentError, "`boundaries` must increase"),
    (lambda: s.Sequential(0.1, [5]), InvalidArgumentError, "`schedules` must be a list"),
    (lambda: s.Sequential([0.1, None], [5]), InvalidArgumentError, "`schedules` must be a keras"),
    (lambda: s.Resumed(0.1, -1), InvalidArgumentError, "`first_step` must be an integer >= 0. Received: -1"),
    (lambda: s.Scaled(None), InvalidArgumentError, "`schedule` must be a keras LearningRateSchedule"),
    (lambda: s.Scaled(0.1, -1), InvalidArgumentError, "`factor` must be 0 or more"),
    (lambda: setattr(s.Scaled(0.1), "factor", float("inf")), InvalidArgumentError, "`factor` must be a finite number"),
    (lambda: s.preview(0.1, 0), InvalidArgumentError, "`steps` must be an integer >= 1. Received"),
    (lambda: s.preview("OneCycle", 5), InvalidArgumentError, "`schedule` must be a keras LearningRateSchedule"),
    (lambda: s.preview(0.1, 5, max_points=1), InvalidArgumentError, "`max_points` must be an integer >= 2. Received"),
    (
        lambda: s.preview(0.1, 5, annotations={-1: "x"}),
        InvalidArgumentError,
        "`annotations` must be an integer >= 0. Received: -1",
    ),
]


@pytest.mark.parametrize(("call", "error", "message"), REFUSALS, ids=[message[:40] for _, _, message in REFUSALS])
def test_refuses(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        call()
    assert isinstance(caught.value, ValueError)
    assert "Received: " in str(caught.value)


def test_numpy_numbers_are_numbers() -> None:
    schedule = s.OneCycle(np.float32(0.5), np.int64(10))
    assert schedule.get_config()["peak_learning_rate"] == 0.5
    assert type(schedule.get_config()["total_steps"]) is int
