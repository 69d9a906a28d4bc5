"""The basin compared with results by hand, and with curves whose best rate is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_lr.analysis._sensitivity import expected_lost_share, find_basin, lost_shares

RATES = np.array([1e-3, 1e-2, 1e-1])
NAN, INF = np.nan, np.inf
SEEDS = np.array([0.0, 9.0, -4.0])
"""What each seed adds to the score of every rate: it cancels in the pairs, and no rate's repeats are all worse."""


def places(basin):
    return basin.low, basin.best, basin.high


def usable(basin):
    return basin.usable_low, basin.best, basin.usable_high


def test_the_threshold_by_hand():
    """Differences from the best: mean 0.2 with variance 0.01, and mean 3 with variance 1.

    The neighbourhood's median variance is 0.505, on 0.5 x 4 degrees of freedom. Drawn towards it: 0.2575 and 0.7525, on
    4 degrees. The table's t for 1% (2% over two neighbours) is 3.747, so noise alone may reach
    3.747 sqrt(0.2575 / 3) = 1.098 and 3.747 sqrt(0.7525 / 3) = 1.877.
    """
    basin = find_basin(RATES, np.array([[1.1, 1.2, 1.3], [1.0, 1.0, 1.0], [3.0, 4.0, 5.0]]) + SEEDS)
    assert places(basin) == (0, 1, 1)
    assert basin.noise == pytest.approx(np.median([np.sqrt(0.2575 / 3), np.sqrt(0.7525 / 3)]))


@pytest.mark.parametrize(("mean", "low"), [(1.097, 0), (1.099, 1)])
def test_the_threshold_is_where_the_table_puts_it(mean, low):
    differences = np.array([-0.1, 0.0, 0.1]) + mean
    basin = find_basin(RATES, np.array([1 + differences, [1.0, 1.0, 1.0], [3.0, 4.0, 5.0]]) + SEEDS)
    assert basin.low == low


def test_an_unreliable_rate_is_excluded_if_even_its_luckiest_repeat_is_worse():
    """At 0.03 the differences 0.5, 1 and 4 scatter too much for their mean, 1.83 of at most 2.5, to tell.

    The other rates scatter by 0.01, so that noise alone does not reach 0.5; it does reach 0.02.
    """
    rates = np.array([1e-3, 3e-3, 1e-2, 3e-2])
    scores = np.array([[1.01, 1.0, 1.02], [1.01, 1.02, 1.0], [1.0, 1.0, 1.0], [1.5, 2.0, 5.0]])
    assert places(find_basin(rates, scores + SEEDS)) == (0, 2, 2)
    scores[3, 0] = 1.02
    assert places(find_basin(rates, scores + SEEDS)) == (0, 2, 3)


def test_a_rate_whose_repeats_are_all_worse_is_excluded_however_it_scatters():
    """Digits at one rate per decade. At 0.1 no repeat comes near the best, but they scatter too much for their mean.

    At 1e-3 the repeats are all worse, too, by a median of 0.033. That is 1.5% of a gain of 2.2: little, but not noise.
    """
    rates = np.array([1e-4, 1e-3, 1e-2, 1e-1, 1.0])
    scores = np.array(
        [[1.3, 1.4, 1.35], [0.13, 0.135, 0.125], [0.097, 0.1, 0.08], [0.42, 0.41, 0.83], [2.3, 2.35, 2.34]]
    )
    assert places(find_basin(rates, scores, gain=2.2)) == (2, 2, 2)
    assert usable(find_basin(rates, scores, gain=2.2)) == (1, 2, 2)
    one_ties = scores.copy()
    one_ties[1, 0] = one_ties[3, 0] = 0.09
    assert places(find_basin(rates, one_ties, gain=2.2)) == (1, 2, 3)
    assert usable(find_basin(rates, one_ties, gain=2.2)) == (1, 2, 2)


def test_two_repeats_that_are_both_worse_are_left_to_the_test():
    """Differences of 0.05 and 0.35 scatter more than their mean; with a third like them they are all worse."""
    scores = np.array([[1.05, 1.35], [1.0, 1.0], [1.4, 1.9]])
    assert places(find_basin(RATES, scores)) == (0, 1, 2)
    third = np.array([[1.2], [1.0], [1.6]])
    assert places(find_basin(RATES, np.hstack([scores, third]))) == (1, 1, 1)


def test_what_loses_little_and_what_is_within_noise_are_two_ranges():
    """Repeats 0.1 apart hide a loss of 0.06, which is 6% of a gain of 1; of a gain of 2 it is 3%."""
    scores = np.array([[1.06, 1.16, 0.96], [1.0, 0.9, 1.1], [1.5, 1.6, 1.4]])
    for gain, low in ((1.0, 1), (2.0, 0)):
        basin = find_basin(RATES, scores, gain=gain)
        assert places(basin) == (0, 1, 1)
        assert usable(basin) == (low, 1, 1)


def test_the_share_of_the_gain_that_each_rate_loses_by_hand():
    """From 3 down to 1: a rate that reaches 1.5 loses a quarter, one that rises to 4 all, and not more."""
    medians = np.array([3.0, 1.5, 1.0, 4.0, INF, NAN])
    np.testing.assert_array_equal(lost_shares(medians, 2, 2.0), [1, 0.25, 0, 1, 1, NAN])
    assert np.isnan(lost_shares(medians, 2, 0.0)).all()


def test_the_sensitivity_by_hand():
    """Over a V of one decade on each side the mean share is a half; over one decade at nothing, as well, a third."""
    decades = np.array([1e-4, 1e-3, 1e-2, 1e-1])
    assert expected_lost_share(decades[:3], np.array([1.0, 0.0, 1.0])) == pytest.approx(0.5)
    assert expected_lost_share(decades, np.array([1.0, 0.0, 0.0, 1.0])) == pytest.approx(1 / 3)
    assert expected_lost_share(decades, np.array([1.0, NAN, NAN, 0.0])) == pytest.approx(0.5)
    assert expected_lost_share(decades, np.zeros(4)) == 0.0
    assert expected_lost_share(decades, np.array([NAN, 0.0, NAN, NAN])) is None


def test_further_points_on_the_same_curve_leave_the_sensitivity_as_it_is():
    """As refinement adds them: the grid is no longer even, but the searched range and the curve are the same."""
    even, shares = np.array([1e-4, 1e-3, 1e-2]), np.array([0.8, 0.0, 0.4])
    refined = np.sort(np.append(even, [2e-3, 5e-3, 9e-3]))
    between = np.interp(np.log10(refined), np.log10(even), shares)
    assert expected_lost_share(refined, between) == pytest.approx(expected_lost_share(even, shares)) == 0.3


def test_what_a_seed_adds_to_every_rate_cancels():
    scores = np.array([[1.1, 1.2, 1.3], [1.0, 1.0, 1.0], [3.0, 4.0, 5.0]]) + SEEDS
    lucky = scores + np.array([0.0, 100.0, -40.0])
    plain, shifted = find_basin(RATES, scores), find_basin(RATES, lucky)
    assert places(shifted) == places(plain)
    assert shifted.noise == pytest.approx(plain.noise)


def test_an_excluded_rate_ends_the_basin():
    """The lowest rate alone would pass; the one between, which is far worse in every repeat, does not."""
    scores = np.array([[1.0, 1.01, 1.02], [2.0, 2.01, 2.02], [1.0, 1.0, 1.0], [1.01, 1.0, 1.02]])
    assert places(find_basin(np.array([1e-4, 1e-3, 1e-2, 1e-1]), scores)) == (2, 2, 3)


def test_a_rate_with_a_diverged_repeat_is_not_in_the_basin_of_another():
    assert places(find_basin(RATES, np.array([[1.0, 1.1, 1.2], [1.0, 1.0, 1.1], [1.0, 1.0, INF]]))) == (0, 1, 1)


def test_a_stable_rate_is_preferred_if_it_costs_little():
    scores = np.array([[2.0, 2.1, 2.2], [1.05, 1.03, 1.04], [1.0, 1.0, INF]])
    assert find_basin(RATES, scores, gain=1.5).best == 1


def test_a_rate_with_a_diverged_repeat_is_best_if_every_stable_one_is_far_worse():
    scores = np.array([[2.3, 2.3, 2.3], [2.2, 2.1, 2.2], [0.1, 0.1, INF]])
    assert places(find_basin(RATES, scores, gain=2.2)) == (2, 2, 2)


def test_a_rate_whose_repeats_mostly_diverged_is_never_the_best():
    scores = np.array([[2.3, 2.3, 2.3], [2.2, 2.1, 2.2], [0.1, INF, INF]])
    assert find_basin(RATES, scores, gain=2.2).best == 1


def test_a_rate_whose_runs_are_unknown_ends_the_basin():
    scores = np.array([[1.0, 1.1, 1.0], [NAN, NAN, NAN], [0.9, 1.0, 0.9]])
    assert places(find_basin(RATES, scores)) == (2, 2, 2)


def test_a_missing_repeat_is_left_out_of_the_pairs():
    """Against the second and third repeats alone, 0.1 lies 0.1 above the best; the missing first one does not count."""
    scores = np.array([[3.0, 2.5, 3.1], [0.2, 1.0, 1.0], [NAN, 1.1, 1.1]])
    assert places(find_basin(RATES, scores)) == (1, 1, 2)


def test_with_single_repeats_the_basin_is_what_loses_little():
    basin = find_basin(RATES, np.array([[1.04], [1.0], [1.06]]), gain=1.0)
    assert places(basin) == usable(basin) == (0, 1, 1)
    assert np.isnan(basin.noise)


@pytest.mark.parametrize("scores", [[[INF], [INF], [INF]], [[NAN], [NAN], [NAN]], [[NAN], [INF], [NAN]]])
def test_no_score_no_basin(scores):
    assert find_basin(RATES, np.array(scores)) is None


def test_one_rate_is_its_own_basin():
    assert places(find_basin(RATES[:1], np.array([[1.0, 1.1, 1.2]]))) == (0, 0, 0)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10_000), scale=st.floats(1e-3, 1e3), shift=st.floats(-10, 10))
def test_units_do_not_matter(seed, scale, shift):
    scores = np.random.default_rng(seed).normal(size=(8, 3)) + (np.arange(8)[:, None] - 4) ** 2 / 4
    rates = np.geomspace(1e-4, 1e-1, 8)
    plain = find_basin(rates, scores, gain=6.0)
    changed = find_basin(10 * rates, shift + scale * scores, gain=scale * 6.0)
    assert places(changed) == places(plain)
    assert usable(changed) == usable(plain)
    assert changed.noise == pytest.approx(scale * plain.noise, rel=1e-5)


def u_curve(generator, *, repeats, noise, rates):
    """A parabola in log rate with its minimum at 10**-2.4, plus noise per repeat and per run."""
    truth = (np.log10(rates) + 2.4) ** 2
    luck = generator.normal(size=repeats) + generator.normal(size=(len(rates), repeats))
    return truth, truth[:, None] + noise * luck


@pytest.mark.parametrize("noise", [0.02, 0.1, 0.3])
def test_three_repeats_cover_the_true_best_nineteen_times_of_twenty(noise):
    rates = np.geomspace(1e-5, 1, 16)
    generator, covered, widths = np.random.default_rng(0), 0, {3: [], 10: []}
    for _ in range(300):
        for repeats, width in widths.items():
            truth, scores = u_curve(generator, repeats=repeats, noise=noise, rates=rates)
            basin = find_basin(rates, scores)
            width.append(np.log10(rates[basin.high] / rates[basin.low]))
            covered += repeats == 3 and basin.low <= np.argmin(truth) <= basin.high
    assert covered >= 0.95 * 300
    assert np.mean(widths[10]) < np.mean(widths[3])
