"""The rules by which `AutoLR` changes a rate, on planted losses."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_lr.analysis._auto_lr_rules import (
    LossTrend,
    Rehearsal,
    anneal_factor,
    choose_rehearsal,
    epochs_per_judgement,
    find_change,
    is_level,
    judgements_per_point,
    mean_error,
    read_baseline,
    rounding_of,
)
from keras_lr.analysis._statistics import beats_constant

LOWER = 10**-0.5


def trend(losses, *, start=None, best=None, reach=0.0):
    losses = np.asarray(losses, dtype=float)
    return LossTrend(losses[0] if start is None else start, losses.min() if best is None else best, losses, reach)


@given(st.floats(1.0, 100.0))
def test_an_exponential_decay_is_slow_only_where_it_is_long(time_constant):
    # The last of three falls is exp(-2 / time constant) of the first; 0.8 is the limit.
    losses = np.exp(-np.arange(4) / time_constant)
    ratio = math.exp(-2 / time_constant)
    change = find_change(trend(losses))
    if abs(ratio - 0.8) > 1e-6 and abs(ratio - 0.95) > 1e-6:
        expected = None if ratio < 0.8 else 10.0 if ratio > 0.95 else 10**0.5
        assert (change and change.factor) == expected
        assert change is None or change.kind == "raise"


def test_a_plateau_that_ends_is_not_slow():
    assert find_change(trend([2.31, 2.25, 1.4, 0.64])) is None


def test_an_oscillation_lowers_and_a_single_rise_does_not():
    change = find_change(trend([1.0, 0.5, 0.7, 0.4, 0.6]))
    assert (change.kind, change.factor) == ("lower", LOWER)
    assert "rose 2 times" in change.reason
    assert find_change(trend([1.0, 0.5, 0.6, 0.3, 0.2])) is None


def test_noise_about_a_level_is_a_plateau_not_an_oscillation():
    change = find_change(trend([0.104, 0.1, 0.103, 0.1, 0.102], start=1.0))
    assert (change.kind, change.factor) == ("anneal", 1.0)


def test_a_decay_that_levels_off_anneals_only_at_its_level():
    losses = np.exp(-np.arange(12) / 1.5)
    decisions = [find_change(trend(losses[:size], best=losses[size - 1])) for size in range(1, 13)]
    assert [change.kind if change else None for change in decisions[:7]] == [None] * 7
    assert decisions[-1].kind == "anneal"


def test_too_few_epochs_or_no_fall_say_nothing():
    assert find_change(trend([1.0, 0.9, 0.8])) is None
    assert find_change(trend([1.0, 1.0, 1.0, 1.0])) is None


@given(
    st.lists(st.floats(0.0, 1.0), min_size=4, max_size=12),
    st.sampled_from([1e-6, 1e3]),
    st.sampled_from([-100.0, 0.0, 7.0]),
)
def test_scaling_and_shifting_the_loss_change_nothing(losses, scale, shift):
    # Quarters, so that a shift leaves every difference exact.
    losses = np.round(np.array(losses) * 64) / 64
    plain, moved = find_change(trend(losses)), find_change(trend(losses * scale + shift * scale))
    near = _near_a_limit(losses)
    assert near or (plain and (plain.kind, plain.factor)) == (moved and (moved.kind, moved.factor))


def _near_a_limit(losses):
    """Whether rounding may carry a ratio over one of the rules' limits."""
    fall = losses[0] - losses.min()
    falls = -np.diff(losses[-4:])
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.concatenate(
            [-np.diff(losses[-5:]) / fall / 0.05, falls / falls.max() / 0.8, falls / falls.max() / 0.95]
        )
        move = abs(losses[-4:-2].mean() - losses[-2:].mean()) / fall / 0.01
    return bool(np.isclose(np.append(ratios, move), 1.0, rtol=1e-6).any())


def test_the_anneal_is_a_straight_line_to_zero():
    factors = [anneal_factor(progress, 0.5) for progress in (0.0, 0.5, 0.75, 0.9, 1.0)]
    assert factors == pytest.approx([1, 1, 0.5, 0.2, 0])
    assert anneal_factor(0.99, 0.0) == 1.0


def test_long_runs_are_read_in_twentieths():
    assert [judgements_per_point(planned) for planned in (1, 20, 100, 1000)] == [1, 1, 5, 50]


def test_epochs_of_few_steps_are_judged_together():
    assert [epochs_per_judgement(steps) for steps in (1, 2, 4, 15, 16, 32)] == [16, 8, 4, 2, 1, 1]


@given(
    st.lists(st.floats(-1.0, 1.0), min_size=4, max_size=12),
    st.sampled_from([0.25, 2.3, 4e3, -50.0]),
)
def test_differences_of_the_size_of_rounding_change_nothing(wobble, level):
    losses = level * (1 + 1e-7 * np.array(wobble))
    assert find_change(trend(losses, start=level, best=losses.min())) is None
    # Nor do they after a fall: the loss has then levelled off.
    change = find_change(trend(losses, start=level + abs(level), best=losses.min()))
    assert change.kind == "anneal"


def test_rounding_is_that_of_float32():
    one_third = float(np.float32(1) / np.float32(3)) * 3
    assert abs(one_third - 1) < rounding_of(1.0) < 1e-5


def test_rises_that_are_small_beside_the_fall_of_the_range_test_are_no_oscillation():
    losses = [0.7066, 0.7060, 0.7063, 0.7055, 0.7058]
    assert find_change(trend(losses)).kind == "lower"
    assert find_change(trend(losses, reach=0.3)) is None


def test_a_loss_that_has_not_fallen_as_far_as_in_the_range_test_has_not_levelled_off():
    losses = [0.9, 0.9, 0.9, 0.9]
    assert find_change(trend(losses, start=1.0)).kind == "anneal"
    assert find_change(trend(losses, start=1.0, reach=0.15)).kind == "anneal"
    assert find_change(trend(losses, start=1.0, reach=0.3)) is None


def test_two_losses_are_level_within_a_hundredth_of_the_fall():
    assert is_level([1.0, 0.5, 0.496], start=1.0, reach=0.0)
    assert not is_level([1.0, 0.5, 0.49], start=1.0, reach=0.0)
    assert is_level([1.0, 0.5, 0.49], start=1.0, reach=2.0)
    assert not is_level([0.5], start=1.0, reach=0.0)


def rehearsals(*ends):
    """Rehearsals that end in a loss, in several ones, or diverged."""
    tails = [np.empty(0) if end is None else np.broadcast_to(end, 4) for end in ends]
    return [Rehearsal(float(place), False, tail, 1.0) for place, tail in enumerate(tails)]


def chosen(*ends, whole=True):
    return choose_rehearsal(rehearsals(*ends), start=1.0, whole=whole).factor


@pytest.mark.parametrize("whole", [True, False])
def test_the_rehearsal_that_ended_lowest_is_chosen(whole):
    assert chosen(0.5, 0.3, 0.2, None, whole=whole) == 2


def test_among_rehearsals_that_ended_as_well_the_first_is_chosen():
    # The best one gains 0.8, of which a hundredth is 0.008 and a twentieth 0.04.
    assert chosen(0.207, 0.2) == 0
    assert chosen(0.209, 0.2) == 1
    assert chosen(0.239, 0.2, whole=False) == 0
    assert chosen(0.241, 0.2, whole=False) == 1


def test_a_difference_within_its_error_is_none_unless_much_is_lost():
    # The differences are 0.02 and 0.04 on average, with a standard deviation of 0.02: two standard errors are 0.02.
    noise = 0.02 * np.array([-1, 1, -1, 1])
    assert chosen(0.2199 + noise, 0.2) == 0
    assert chosen(0.2201 + noise, 0.2) == 1
    # The same noise in both is no error of their difference.
    assert chosen(0.2199 + noise, 0.2 + noise) == 1
    # However noisy, 5% of the gain may not be lost.
    assert chosen(0.241 + 10 * noise, 0.2) == 1


def test_if_every_rehearsal_diverged_the_first_is_chosen():
    assert chosen(None, None) == 0


@pytest.mark.parametrize(
    ("loss", "constant", "beats"), [(0.8, 1.0, True), (0.95, 1.0, False), (-0.42, -0.4, False), (-0.9, -0.4, True)]
)
def test_a_loss_beats_a_constant_output_by_a_tenth_of_what_that_costs(loss, constant, beats):
    assert beats_constant(loss, constant) == beats


@pytest.mark.parametrize("whole", [True, False])
def test_a_rehearsal_that_ends_like_a_constant_output_is_not_as_good_as_one_that_learned(whole):
    ends = rehearsals(1.0, 0.5, 0.49)
    # From 1000 down to 1.0 is more than 99.9% of the gain, and none of it was learned from the inputs.
    assert choose_rehearsal(ends, start=1000.0, whole=whole).factor == 0
    assert choose_rehearsal(ends, start=1000.0, whole=whole, constant=1.0).factor == (2 if whole else 1)
    # Above the loss of a constant output the way down to it counts.
    assert choose_rehearsal(rehearsals(501.0, 500.0), start=1000.0, whole=whole, constant=1.0).factor == 0


def test_a_rehearsal_that_killed_the_network_is_chosen_only_if_there_is_no_other():
    alive, dead = rehearsals(2.0, 1.0)
    dead = dataclasses.replace(dead, collapsed=True)
    assert choose_rehearsal([dead, alive], start=1000.0, whole=True, constant=1.0) is alive
    (exploded,) = rehearsals(1e6)
    assert choose_rehearsal([exploded, dead], start=1000.0, whole=True, constant=1.0) is dead
    (diverged,) = rehearsals(None)
    assert choose_rehearsal([diverged, dead], start=1000.0, whole=True, constant=1.0) is dead


def test_the_error_of_a_mean_is_that_of_its_noise():
    losses = 1.0 + np.random.default_rng(0).normal(0, 0.2, 4000)
    assert mean_error(losses) == pytest.approx(0.2 / np.sqrt(4000), rel=0.1)
    assert mean_error([1.0, 2.0]) == 0.0


def test_rises_within_the_error_of_a_point_are_no_oscillation():
    losses = np.array([1.0, 0.5, 0.7, 0.4, 0.6])
    for error, kind in ((0.05, "lower"), (0.08, None)):
        change = find_change(LossTrend(1.0, 0.4, losses, error=error))
        assert (change and change.kind) == kind


def test_the_baseline_is_the_level_and_the_noise_before_the_fall():
    generator = np.random.default_rng(0)
    level = 2.0 + generator.normal(0, 0.1, (3, 400))
    fall = np.where(np.arange(400) < 100, 0.0, np.linspace(1.0, -2.0, 400))
    baseline = read_baseline(level + fall)
    assert baseline.start == pytest.approx(2.0, abs=4 * 0.1 * 1.25 / np.sqrt(120))
    assert baseline.noise == pytest.approx(0.1, rel=0.25)
    # The fall ends 2 below the level.
    assert baseline.reach == pytest.approx(2.0, abs=0.2)


def test_a_sweep_that_ended_at_once_is_no_baseline():
    assert read_baseline(np.full((3, 5), 2.0)) is None
    assert read_baseline(np.full((3, 20), np.nan)) is None
