"""Grids are exact, sorted and without doubles; numbers by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_lr.analysis._grid import extend_grid, given_grid, log_grid, refine_grid
from keras_lr.errors import InvalidArgumentError, InvalidRangeError

RATES = st.floats(1e-12, 1e6)


def test_one_point_a_decade_is_written_as_a_person_writes_it():
    assert log_grid(1e-6, 1e-1) == (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1)
    assert log_grid(3e-6, 3e-2) == (3e-6, 3e-5, 3e-4, 3e-3, 3e-2)


@pytest.mark.parametrize(
    ("points", "grid"),
    [
        (2, (1e-3, 3.16228e-3, 1e-2, 3.16228e-2, 0.1)),
        (3, (1e-3, 2.15443e-3, 4.64159e-3, 1e-2, 2.15443e-2, 4.64159e-2, 0.1)),
        (0.5, (1e-3, 0.1)),
    ],
)
def test_several_points_a_decade(points, grid):
    assert log_grid(1e-3, 0.1, points_per_decade=points) == grid


def test_a_range_that_the_step_does_not_divide_has_closer_points_and_both_ends():
    assert log_grid(1e-3, 2e-2) == (1e-3, 4.47214e-3, 2e-2)


def test_a_range_narrower_than_a_step_has_its_ends():
    assert log_grid(1e-3, 2e-3) == (1e-3, 2e-3)


@given(low=RATES, decades=st.floats(0.01, 8), points=st.floats(0.2, 10))
def test_any_grid_holds_its_ends_and_no_gap_wider_than_asked(low, decades, points):
    high = low * 10**decades
    grid = log_grid(low, high, points_per_decade=points)
    assert grid == tuple(sorted(set(grid)))
    assert (grid[0], grid[-1]) == pytest.approx((low, high), rel=1e-11)
    assert np.diff(np.log10(grid)).max() <= (1 + 1e-3) / points


@given(low=st.integers(-9, -3), decades=st.integers(1, 6), wider=st.integers(1, 3), points=st.integers(1, 5))
def test_a_wider_grid_holds_the_narrower_one(low, decades, wider, points):
    narrow = log_grid(10.0**low, 10.0 ** (low + decades), points_per_decade=points)
    wide = log_grid(10.0 ** (low - wider), 10.0 ** (low + decades + wider), points_per_decade=points)
    assert set(narrow) <= set(wide)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ((0.1, 0.01), "`max_lr` must be greater than `min_lr`. Received: min_lr=0.1, max_lr=0.01. Swap"),
        ((0.1, 0.1), "`max_lr` must be greater"),
        ((0.0, 0.1), "`min_lr` must be a positive number that float32 can hold. Received: 0.0"),
        ((-1e-3, 0.1), "`min_lr` must be a positive"),
        ((1e-60, 0.1), "`min_lr` must be a positive"),
        ((1e-3, math.inf), "`max_lr` must be a positive"),
        ((math.nan, 0.1), "`min_lr` must be a positive"),
        (("1e-3", 0.1), "`min_lr` must be a positive"),
        ((True, 2.0), "`min_lr` must be a positive"),
    ],
)
def test_ends_that_are_no_range_are_refused(arguments, match):
    with pytest.raises(InvalidRangeError, match=match):
        log_grid(*arguments)


@pytest.mark.parametrize("points", [0, -1, math.nan, math.inf, "3", True, None])
def test_points_a_decade_must_be_positive(points):
    with pytest.raises(InvalidArgumentError, match="`points_per_decade` must be a positive number"):
        log_grid(1e-3, 0.1, points_per_decade=points)


def test_a_grid_too_long_to_train_is_refused():
    with pytest.raises(InvalidArgumentError, match=r"at most 1000 learning rates\. Received: 500, which gives 1001"):
        log_grid(1e-3, 0.1, points_per_decade=500)


def test_listed_rates_are_sorted_and_mended():
    assert given_grid([0.01, 0.09999999999999999, 0.1, 1e-3]) == (1e-3, 0.01, 0.1)
    assert given_grid(np.geomspace(1e-5, 0.1, 5)) == (1e-5, 1e-4, 1e-3, 1e-2, 0.1)
    assert given_grid([0.123456789]) == (0.123456789,)
    assert given_grid((1,)) == (1.0,)


@pytest.mark.parametrize("rates", [[], (), "0.1", 0.1, None, {"a": 1}, np.geomspace(1e-6, 1, 1001)])
def test_what_is_no_list_of_rates_is_refused(rates):
    with pytest.raises(InvalidArgumentError, match="`learning_rates` must"):
        given_grid(rates)


@pytest.mark.parametrize("rate", [0, -0.1, math.nan, math.inf, "0.1", None, True, 1e-46, 1e39])
def test_a_listed_rate_must_be_positive(rate):
    with pytest.raises(InvalidRangeError, match="`learning_rates` must be a positive number"):
        given_grid([1e-3, rate])


@pytest.mark.parametrize(
    ("grid", "edge", "added"),
    [
        ((1e-3, 1e-2, 0.1), "high", (1.0,)),
        ((1e-3, 1e-2, 0.1), "low", (1e-4,)),
        ((0.0316228, 0.1), "high", (0.316228, 1.0)),
        ((0.0215443, 0.0464159, 0.1), "high", (0.215443, 0.464159, 1.0)),
        ((1e-3,), "high", (0.01,)),
        ((1e-6, 1e-4, 1e-3), "low", (1e-8,)),
        ((1e-3, 2e-3), "high", (4e-3, 8e-3, 1.6e-2)),
    ],
)
def test_a_grid_goes_on_by_a_decade_in_its_own_step(grid, edge, added):
    assert extend_grid(grid, edge=edge) == added


def test_a_grid_does_not_go_on_beyond_float32():
    assert extend_grid((1e37, 1e38), edge="high") == ()
    assert extend_grid((1e-37, 1e-36), edge="low") == ()


@given(
    low=st.integers(-9, -3), decades=st.integers(1, 6), points=st.integers(1, 5), edge=st.sampled_from(["low", "high"])
)
def test_an_extended_grid_is_the_wider_grid(low, decades, points, edge):
    grid = log_grid(10.0**low, 10.0 ** (low + decades), points_per_decade=points)
    ends = (low - 1, low + decades) if edge == "low" else (low, low + decades + 1)
    wider = log_grid(10.0 ** ends[0], 10.0 ** ends[1], points_per_decade=points)
    assert tuple(sorted({*grid, *extend_grid(grid, edge=edge)})) == wider


def test_refinement_halves_the_gaps_that_touch_the_basin():
    grid = (1e-5, 1e-4, 1e-3, 1e-2, 0.1)
    assert refine_grid(grid, low=1e-3, high=1e-3) == (3.16228e-4, 3.16228e-3)
    assert refine_grid(grid, low=1e-3, high=1e-2) == (3.16228e-4, 3.16228e-3, 3.16228e-2)
    assert refine_grid(grid, low=0.1, high=0.1) == (3.16228e-2,)
    assert refine_grid((1e-3,), low=1e-3, high=1e-3) == ()


@given(low=st.integers(-9, -3), decades=st.integers(1, 6), points=st.integers(1, 4))
def test_a_refined_grid_is_the_finer_grid(low, decades, points):
    ends = 10.0**low, 10.0 ** (low + decades)
    grid = log_grid(*ends, points_per_decade=points)
    added = refine_grid(grid, low=ends[0], high=ends[1])
    finer = log_grid(*ends, points_per_decade=2 * points)
    np.testing.assert_allclose(sorted({*grid, *added}), finer, rtol=1e-5)
