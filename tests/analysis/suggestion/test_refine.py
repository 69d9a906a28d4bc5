"""Refining a suggestion by short runs at constant rates."""

import numpy as np
import pytest

from keras_lr.analysis._suggestion.calibration import (
    CALIBRATION,
    REFERENCE_PLAN_STEPS,
    OptimizerKind,
    RefinementCalibration,
)
from keras_lr.analysis._suggestion.refine import (
    allow_for_length,
    end_losses,
    middle_of_differing_runs,
    middle_of_runs,
    plan_runs,
    refine_suggestion,
    refined_decades,
)
from keras_lr.analysis._suggestion.suggest import landmarks_of, suggest
from keras_lr.results._range_test import Suggestion

RATES = np.geomspace(1e-7, 10, 300)
REFINEMENT = CALIBRATION.refinement
NOISE = 0.02


@pytest.fixture(scope="module")
def sweep():
    decades = np.log10(RATES)
    level = 2.3 - 2 / (1 + np.exp(-(decades + 3) * 6)) + 10 ** (4 * (decades + 0.5))
    losses = level + np.random.default_rng(0).normal(0, NOISE, len(RATES))
    return suggest(RATES, losses), landmarks_of(RATES, losses)


def runs(ends, *, steps=60, seed=0):
    """Runs that begin at 2.3 and end at `ends`."""
    fall = np.array([[2.3], *([end] for end in ends)])[1:] - 2.3
    progress = np.minimum(np.arange(steps) / (steps / 2), 1)
    return 2.3 + fall * progress + np.random.default_rng(seed).normal(0, NOISE, (len(ends), steps))


@pytest.mark.parametrize(("num_steps", "expected"), [(100, (3, 33)), (199, (3, 66)), (200, (4, 50)), (300, (4, 75))])
def test_plan_spends_no_more_than_its_budget(sweep, num_steps, expected):
    plan = plan_runs(sweep[0], num_steps=num_steps)
    assert (len(plan.learning_rates), plan.num_steps) == expected
    assert len(plan.learning_rates) * plan.num_steps <= num_steps
    assert np.diff(np.log10(plan.learning_rates)) == pytest.approx(0.75)
    assert plan.learning_rates[0] < sweep[0].learning_rate < plan.learning_rates[-1]


def test_nothing_is_planned_without_a_suggestion_or_steps(sweep):
    assert plan_runs(Suggestion.refuse("Flat.", rule="consensus"), num_steps=300) is None
    assert plan_runs(sweep[0], num_steps=29) is None


def test_one_good_run_pulls_the_suggestion_most_of_the_way(sweep):
    suggestion, landmarks = sweep
    plan = plan_runs(suggestion, num_steps=300)
    refined = refine_suggestion(
        suggestion, plan.learning_rates, runs([2.3, 2.3, 0.1, 2.3], steps=75), landmarks=landmarks
    )
    gap = np.log10(plan.learning_rates[2] / suggestion.learning_rate)
    expected = REFINEMENT.trust * (gap + REFINEMENT.offset(75))
    # The three bad runs weigh exp(-1 / tolerance) each, which is 0.7% of the good one.
    assert np.log10(refined.learning_rate / suggestion.learning_rate) == pytest.approx(expected, abs=0.02)
    assert refined.rule == "refined"
    assert np.log10(refined.high / refined.low) == pytest.approx(np.log10(suggestion.high / suggestion.low))


@pytest.mark.parametrize("kind", [OptimizerKind(), OptimizerKind(adaptive=True)])
def test_the_less_certain_the_fall_of_the_sweep_the_farther_the_runs_may_raise_the_rate(kind):
    """They point higher: a sweep that saw no fall leaves the rate to them, but not to lower ones."""
    sure, half, unseen = (refined_decades(-2.5, -1.0, kind, CALIBRATION, doubt=doubt) for doubt in (0.0, 0.5, 1.0))
    assert sure < half < unseen == -1.0
    assert half == pytest.approx((sure + unseen) / 2)
    lower = refined_decades(-2.5, -4.0, kind, CALIBRATION)
    assert refined_decades(-2.5, -4.0, kind, CALIBRATION, doubt=1.0) == lower


@pytest.mark.parametrize(("runs", "refined"), [(-2.6, -2.5), (-2.8, -2.6), (-4.0, -3.8)])
def test_runs_lower_the_rate_of_an_adaptive_optimizer_where_the_loss_fell_by_half(runs, refined):
    """They keep it if they agree within 0.2 decades, and wherever the sweep shows only how training begins."""
    kind = OptimizerKind(adaptive=True)
    assert refined_decades(-2.5, runs, kind, CALIBRATION, fall_share=0.5) == pytest.approx(refined)
    assert refined_decades(-2.5, runs, kind, CALIBRATION, fall_share=0.49) == -2.5


def test_the_longer_a_run_the_less_it_favours_a_large_rate():
    refinement = RefinementCalibration(offset_decades=-0.4, length_slope=0.5, trust=1.0)
    assert refinement.offset(33) == pytest.approx(-0.4)
    assert refinement.offset(104) == pytest.approx(-0.15, abs=0.001)
    assert refinement.offset(10_000) == 0


def test_runs_that_are_equally_good_meet_in_the_middle(sweep):
    rates = np.array([1e-3, 1e-2, 1e-1])
    assert middle_of_runs(rates, runs([0.5, 0.5, 0.5]), sweep[1]) == pytest.approx(-2, abs=0.05)
    assert middle_of_runs(rates, runs([0.5, 0.5, 2.3]), sweep[1]) == pytest.approx(-2.5, abs=0.05)


def test_a_run_that_ends_at_a_constant_output_is_not_close_to_one_that_learns(sweep):
    rates = np.array([1e-3, 1e-2, 1e-1])
    losses = runs([0.9, 0.4, 0.6])
    assert middle_of_runs(rates, losses, sweep[1], 0.6) == pytest.approx(-2, abs=0.05)
    for unlearned in (0.4, 0.1):
        assert middle_of_runs(rates, losses, sweep[1], unlearned) == middle_of_runs(rates, losses, sweep[1])


def test_a_stopped_run_counts_as_the_cap(sweep):
    rates = np.array([1e-3, 1e-2, 1e-1])
    losses = runs([1.5, 0.5, 0.5])
    losses[2, 12:] = np.nan
    high = runs([1.5, 0.5, 5.0])
    assert middle_of_runs(rates, losses, sweep[1]) == pytest.approx(middle_of_runs(rates, high, sweep[1]), abs=0.03)


def test_end_losses_average_the_last_third_below_a_ceiling():
    losses = np.array([[4.0] * 6 + [1, 2, 3], [4.0] * 6 + [1, 100, 3]])
    # The best median is 2, two below the start of 4, so each step is capped at 6.
    assert end_losses(losses, start=4.0).tolist() == [2.0, pytest.approx(10 / 3)]


@pytest.mark.parametrize(
    ("best", "decades", "reason"),
    [(0, -0.75 - 0.3 + 0.2, "disagree"), (2, 0.13, "agree"), (3, 0.13, "disagree")],
    ids=["lower", "higher", "highest"],
)
def test_an_adaptive_optimizers_usual_rate_decides_between_sweep_and_runs(sweep, best, decades, reason):
    """The sweep suggests 10^-2.13, the usual rate is 10^-2, and the runs point below the one or above the other.

    Below, the rate lies 0.2 decades above where the runs point, 0.3 below the only one that learned.
    """
    suggestion, landmarks = sweep
    plan = plan_runs(suggestion, num_steps=300)
    usual = 10**CALIBRATION.prior.usual_decades
    assert plan.learning_rates[0] < suggestion.learning_rate < usual < plan.learning_rates[2]
    ends = [0.1 if run == best else 2.3 for run in range(4)]
    refined = refine_suggestion(
        suggestion, plan.learning_rates, runs(ends), landmarks=landmarks, kind=OptimizerKind(adaptive=True)
    )
    assert refined.learning_rate == pytest.approx(suggestion.learning_rate * 10**decades, rel=0.01)
    assert refined.reason.startswith(f"Short runs {reason}")
    assert refined.confidence == ("clear" if reason == "agree" else "tentative")
    assert " 0.0 decades" not in refined.reason


def noisy_runs(ends, *, shared):
    """A trained model: noise of 1.5 about a loss of 1 hides what 40 steps gain, unless all runs share it."""
    generator = np.random.default_rng(3)
    noise = generator.normal(0, 1.5, 40) if shared else generator.normal(0, 1.5, (len(ends), 40))
    return np.linspace(1, ends, 40).T + noise - noise[..., -13:].mean(axis=-1, keepdims=True)


@pytest.mark.parametrize(
    ("ends", "shared", "middle"),
    [((0.4, 0.7, 1.6), True, -4), ((0.4, 0.7, 1.6), False, None), ((0.9, 0.95, 1.6), True, None)],
    ids=["same batches", "other batches", "no fall"],
)
def test_runs_whose_fall_is_noise_count_if_they_differ_on_the_same_batches(ends, shared, middle):
    losses = 1 + np.random.default_rng(0).normal(0, 1.5, len(RATES)) * (np.log10(RATES) < -3)
    landmarks = landmarks_of(RATES, losses + 10 ** (4 * (np.log10(RATES) + 2)))
    rates, runs = 10.0 ** np.array([-4, -3, -2]), noisy_runs(ends, shared=shared)
    assert middle_of_runs(rates, runs, landmarks) is None
    found = middle_of_differing_runs(rates, runs, landmarks)
    assert found == (None if middle is None else pytest.approx(middle, abs=0.2))
    swept = Suggestion(1e-3, 1e-4, 1e-2, "tentative", "Noise.", "consensus")
    refined = refine_suggestion(swept, rates, runs, landmarks=landmarks, kind=OptimizerKind(adaptive=True))
    moved = 0.0 if found is None else REFINEMENT.trust * (found + REFINEMENT.offset(40) + 3)
    assert np.log10(refined.learning_rate) + 3 == pytest.approx(moved)
    assert refined.confidence == "tentative"


def test_flat_runs_keep_the_suggestion_and_say_so(sweep):
    suggestion, landmarks = sweep
    plan = plan_runs(suggestion, num_steps=300)
    refined = refine_suggestion(suggestion, plan.learning_rates, runs([2.3] * 4), landmarks=landmarks)
    assert refined.learning_rate == suggestion.learning_rate
    assert refined.confidence == "tentative"
    assert "noise" in refined.reason


def test_agreement_keeps_a_clear_suggestion_clear_and_conflict_does_not(sweep):
    suggestion, landmarks = sweep
    plan = plan_runs(suggestion, num_steps=300)
    agreed = refine_suggestion(suggestion, plan.learning_rates, runs([0.1, 0.1, 0.1, 2.3]), landmarks=landmarks)
    torn = refine_suggestion(suggestion, plan.learning_rates, runs([2.3, 2.3, 2.3, 0.1]), landmarks=landmarks)
    assert (suggestion.confidence, agreed.confidence, torn.confidence) == ("clear", "clear", "tentative")
    assert "disagree" in torn.reason


@pytest.mark.parametrize(("scale", "shift"), [(1e-3, 0), (50, -20), (1, 100)])
def test_scaling_and_shifting_the_loss_changes_nothing(sweep, scale, shift):
    decades = np.log10(RATES)
    losses = 2.3 - 2 / (1 + np.exp(-(decades + 3) * 6)) + np.random.default_rng(0).normal(0, NOISE, len(RATES))
    short = runs([1.0, 0.5, 0.7, 2.0])
    rates = plan_runs(sweep[0], num_steps=300).learning_rates
    one = middle_of_runs(rates, short, landmarks_of(RATES, losses))
    other = middle_of_runs(rates, scale * short + shift, landmarks_of(RATES, scale * losses + shift))
    assert other == pytest.approx(one, abs=1e-6)


@pytest.mark.parametrize(
    ("steps", "decades"),
    [
        (REFERENCE_PLAN_STEPS, 0.0),
        (10 * REFERENCE_PLAN_STEPS, -0.25),
        (REFERENCE_PLAN_STEPS / 10, 0.15),
        (10**12, -1.0),
    ],
)
def test_a_longer_training_gets_a_lower_rate(sweep, steps, decades):
    suggestion = sweep[0]
    moved = allow_for_length(suggestion, round(steps))
    ends = np.log10([getattr(moved, name) / getattr(suggestion, name) for name in ("low", "learning_rate", "high")])
    assert ends == pytest.approx(decades, abs=2e-3)
    assert moved.confidence == suggestion.confidence
    assert (moved.reason == suggestion.reason) == (decades == 0)


def test_an_unknown_length_or_a_refusal_moves_nothing(sweep):
    refusal = Suggestion.refuse("Flat.", rule="none")
    assert allow_for_length(sweep[0], None) is sweep[0]
    assert allow_for_length(refusal, 10**6) is refusal
