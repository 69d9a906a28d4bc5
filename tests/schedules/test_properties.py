"""Properties that hold for all arguments."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_lr import schedules
from tests.schedules.conftest import rates_of

RATES = st.floats(1e-6, 10.0)
FEW = settings(max_examples=15, deadline=None, derandomize=True)


@FEW
@given(
    peak=RATES,
    total=st.integers(10, 500),
    fraction=st.floats(0.2, 0.5),
    shape=st.sampled_from(["cosine", "linear"]),
    three_phase=st.booleans(),
)
def test_one_cycle_rises_once_and_falls(
    peak: float, total: int, fraction: float, shape: str, three_phase: bool
) -> None:
    schedule = schedules.OneCycle(peak, total, warmup_fraction=fraction, shape=shape, three_phase=three_phase)
    rates = rates_of(schedule, np.arange(total + 5))
    top = int(rates.argmax())
    assert (np.diff(rates[: top + 1]) >= 0).all()
    assert (np.diff(rates[top:]) <= 0).all()
    assert rates.max() <= peak * (1 + 1e-6)
    assert rates[-1] == pytest.approx(peak / 25 / 1e4, rel=1e-6)


@FEW
@given(base=RATES, ratio=st.floats(1.5, 1e4), up=st.integers(1, 50), down=st.integers(1, 50), cycle=st.integers(0, 99))
def test_a_cycle_repeats(base: float, ratio: float, up: int, down: int, cycle: int) -> None:
    schedule = schedules.Cyclical(base, base * ratio, up, down_steps=down)
    steps = np.arange(up + down)
    rates = rates_of(schedule, steps)
    np.testing.assert_allclose(rates_of(schedule, steps + cycle * (up + down)), rates, rtol=1e-6)
    assert rates.max() == pytest.approx(base * ratio, rel=1e-6)


@FEW
@given(first=RATES, second=RATES, boundary=st.integers(1, 100))
def test_a_sequence_is_each_schedule_from_its_boundary(first: float, second: float, boundary: int) -> None:
    later = schedules.InverseSqrt(second, 7)
    joined = schedules.Sequential([first, later], [boundary])
    steps = np.arange(200)
    expected = np.where(steps < boundary, np.float32(first), rates_of(later, np.maximum(steps - boundary, 0)))
    np.testing.assert_allclose(rates_of(joined, steps), expected, rtol=1e-6)


@FEW
@given(peak=RATES, warmup=st.integers(1, 60), shape=st.sampled_from(["linear", "cosine"]))
def test_a_warmup_reaches_the_schedule_and_does_not_change_it(peak: float, warmup: int, shape: str) -> None:
    inner = schedules.Polynomial(peak, 50)
    rates = rates_of(schedules.Warmup(inner, warmup, shape=shape), np.arange(warmup + 60))
    assert (np.diff(rates[: warmup + 1]) > 0).all()
    np.testing.assert_allclose(rates[warmup:], rates_of(inner, np.arange(60)), rtol=1e-6, atol=1e-12)
