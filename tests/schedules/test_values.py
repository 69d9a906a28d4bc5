"""What the docstrings promise at step 0, at each boundary and past the end, as closed forms."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
import pytest

from keras_lr import schedules
from tests.schedules.conftest import rates_of

FAR = 10**6
DECAY = keras.optimizers.schedules.ExponentialDecay(0.1, 10, 0.5)

POINTS: dict[str, tuple[Any, dict[int, float]]] = {
    "one_cycle": (
        lambda: schedules.OneCycle(1.0, 101, warmup_fraction=51 / 101, div_factor=10, final_div_factor=100),
        {0: 0.1, 25: 0.55, 50: 1.0, 75: (1 + 0.001) / 2, 100: 0.001, 101: 0.001, FAR: 0.001},
    ),
    "one_cycle_three_phase": (
        lambda: schedules.OneCycle(
            1.0, 101, warmup_fraction=41 / 101, div_factor=10, final_div_factor=100, three_phase=True, shape="linear"
        ),
        {0: 0.1, 20: 0.55, 40: 1.0, 60: 0.55, 80: 0.1, 90: (0.1 + 0.001) / 2, 100: 0.001, FAR: 0.001},
    ),
    "triangular": (
        lambda: schedules.Cyclical(1.0, 3.0, 4, down_steps=8),
        {0: 1.0, 2: 2.0, 4: 3.0, 8: 2.0, 12: 1.0, 16: 3.0, 12 * 80_000 + 4: 3.0},
    ),
    "triangular2": (
        lambda: schedules.Cyclical(1.0, 3.0, 4, mode="triangular2"),
        {0: 1.0, 4: 3.0, 8: 1.0, 12: 2.0, 16: 1.0, 20: 1.5, 8 * 10_000 + 4: 1.0},
    ),
    "exp_range": (
        lambda: schedules.Cyclical(1.0, 3.0, 4, mode="exp_range", gamma=0.5),
        {0: 1.0, 2: 1.25, 4: 1.125, 8: 1.0, 12: 1 + 2 * 0.5**12, FAR: 1.0},
    ),
    "warmup_linear": (
        lambda: schedules.Warmup(DECAY, 10, initial_learning_rate=0.02),
        {0: 0.02, 5: 0.06, 10: 0.1, 20: 0.05, 110: 0.1 * 0.5**10},
    ),
    "warmup_cosine": (lambda: schedules.Warmup(0.4, 6, shape="cosine"), {0: 0.0, 2: 0.1, 3: 0.2, 6: 0.4, FAR: 0.4}),
    "warmup_constant": (
        lambda: schedules.Warmup(0.4, 6, shape="constant", initial_learning_rate=0.1),
        {0: 0.1, 5: 0.1, 6: 0.4, FAR: 0.4},
    ),
    "warmup_stable_decay": (
        lambda: schedules.WarmupStableDecay(
            1.0, 16, warmup_steps=4, stable_steps=10, initial_learning_rate=0.2, end_learning_rate=0.1,
            decay_shape="1-sqrt",
        ),
        {0: 0.2, 2: 0.6, 4: 1.0, 13: 1.0, 14: 1.0, 18: 0.1 + 0.9 * 0.5, 23: 0.1 + 0.9 * 0.25, 30: 0.1, FAR: 0.1},
    ),
    "warmup_stable_decay_without_warmup": (
        lambda: schedules.WarmupStableDecay(1.0, 4),
        {0: 1.0, 1: 0.75, 4: 0.0, FAR: 0.0},
    ),
    "inverse_sqrt": (lambda: schedules.InverseSqrt(1.0, 100), {0: 0.0, 50: 0.5, 100: 1.0, 400: 0.5, FAR: 0.01}),
    "inverse_sqrt_offset": (lambda: schedules.InverseSqrt(1.0, 4, offset_steps=1), {0: 0.25, 3: 1.0, 15: 0.5}),
    "polynomial": (
        lambda: schedules.Polynomial(
            1.0, 10, power=2.0, warmup_steps=4, initial_learning_rate=0.2, end_learning_rate=0.1
        ),
        {0: 0.2, 2: 0.6, 4: 1.0, 9: 0.1 + 0.9 * 0.25, 14: 0.1, FAR: 0.1},
    ),
    "polynomial_without_warmup": (lambda: schedules.Polynomial(1.0, 10), {0: 1.0, 5: 0.5, 10: 0.0, FAR: 0.0}),
    "flat_cosine": (
        lambda: schedules.FlatCosine(1.0, 40, end_learning_rate=0.1),
        {0: 1.0, 29: 1.0, 30: 1.0, 35: 0.55, 40: 0.1, FAR: 0.1},
    ),
    "flat_cosine_that_never_falls": (
        lambda: schedules.FlatCosine(0.3, 40, end_learning_rate=0.3),
        {0: 0.3, 35: 0.3, 40: 0.3, FAR: 0.3},
    ),
    "one_cycle_that_only_falls": (
        lambda: schedules.OneCycle(1.0, 101, warmup_fraction=51 / 101, div_factor=1, final_div_factor=100),
        {0: 1.0, 50: 1.0, 75: (1 + 0.01) / 2, 100: 0.01, FAR: 0.01},
    ),
    "warmup_stable_decay_that_only_rises": (
        lambda: schedules.WarmupStableDecay(1.0, 5, warmup_steps=4, end_learning_rate=1.0),
        {0: 0.0, 1: 0.25, 4: 1.0, 9: 1.0, FAR: 1.0},
    ),
    "cosine_restarts": (
        lambda: schedules.CosineRestarts(1.0, 8, t_mul=2.0, m_mul=0.5, end_learning_rate=0.2),
        {0: 1.0, 4: 0.6, 8: 0.6, 16: 0.4, 24: 0.4, 40: 0.3, 8 * (2**16 - 1): 0.2 + 0.8 * 0.5**16},
    ),
    "sequential": (
        lambda: schedules.Sequential([0.1, schedules.Polynomial(1.0, 10), 0.3], [5, 9]),
        {0: 0.1, 4: 0.1, 5: 1.0, 8: 0.7, 9: 0.3, FAR: 0.3},
    ),
    "resumed": (lambda: schedules.Resumed(schedules.Polynomial(1.0, 10), 4), {0: 0.6, 5: 0.1, 6: 0.0, FAR: 0.0}),
    "scaled": (lambda: schedules.Scaled(schedules.Polynomial(1.0, 10), 0.5), {0: 0.5, 5: 0.25, 10: 0.0, FAR: 0.0}),
    "noam": (lambda: schedules.InverseSqrt.noam(4, 25, factor=2.0), {0: 1 / 125, 24: 0.2, 99: 0.1}),
}  # fmt: skip


@pytest.mark.parametrize("name", POINTS)
def test_step_0_the_boundaries_and_past_the_end(name: str) -> None:
    make, points = POINTS[name]
    rates = rates_of(make(), list(points))
    np.testing.assert_allclose(rates, list(points.values()), rtol=1e-6, atol=1e-12)


def test_neighbouring_late_steps_differ() -> None:
    # In float32 the steps 2**24 and 2**24 + 1 are equal.
    step = 2**24
    schedule = schedules.Cyclical(1e-3, 1.0, 2)
    assert rates_of(schedule, [step, step + 1]) == pytest.approx([1e-3, 0.5005], rel=1e-6)


def test_the_end_of_a_long_decay_keeps_its_digits() -> None:
    schedule = schedules.FlatCosine(1.0, FAR, flat_fraction=0.5)
    expected = math.sin(math.pi / FAR) ** 2
    assert rates_of(schedule, [FAR - 1])[0] == pytest.approx(expected, rel=1e-6)


def test_both_ends_of_a_long_cycle_keep_their_digits() -> None:
    schedule = schedules.WarmupStableDecay(1.0, FAR, warmup_steps=FAR, warmup_shape="cosine", decay_shape="cosine")
    expected = math.sin(math.pi / 2 / FAR) ** 2
    assert rates_of(schedule, [1, 2 * FAR - 1]) == pytest.approx([expected, expected], rel=1e-6)


def test_the_rate_is_of_keras_own_precision() -> None:
    rate = schedules.OneCycle(0.1, 100)(3)
    assert keras.backend.standardize_dtype(rate.dtype) == "float32"
    assert rate.shape == ()
