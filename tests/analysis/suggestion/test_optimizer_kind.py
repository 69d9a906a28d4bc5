"""What is known about an optimizer, and how it moves a suggestion."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_lr.analysis._suggestion.calibration import CALIBRATION, UNKNOWN, OptimizerKind, kind_of
from keras_lr.analysis._suggestion.refine import plan_runs, refine_suggestion
from keras_lr.analysis._suggestion.suggest import landmarks_of, suggest, suggested_decades

PRIOR = CALIBRATION.prior
USUAL, LAG = PRIOR.usual_decades, PRIOR.lag_decades
ADAPTIVE = OptimizerKind(adaptive=True)


def curve(*, descent, decades=(-7, 1), steps=200, seed=0, noise=0.02):
    """A fall around `descent` and a blow-up two and a half decades above it."""
    places = np.linspace(*decades, steps)
    level = 2.3 - 2 / (1 + np.exp(-(places - descent) * 6)) + 10 ** np.minimum(4 * (places - descent - 2.5), 6)
    return 10**places, level + np.random.default_rng(seed).normal(0, noise, steps)


@pytest.mark.parametrize(
    ("optimizer", "adaptive", "momentum_free"),
    [
        (keras.optimizers.Adam(), True, False),
        (keras.optimizers.AdamW(), True, False),
        (keras.optimizers.Adamax(), True, False),
        (keras.optimizers.Nadam(), True, False),
        (keras.optimizers.RMSprop(), True, True),
        (keras.optimizers.RMSprop(momentum=0.9), True, False),
        (keras.optimizers.SGD(), False, True),
        (keras.optimizers.SGD(momentum=0.9), False, False),
        (keras.optimizers.Adagrad(), False, True),
        (keras.optimizers.Adadelta(), False, False),
        (keras.optimizers.Lion(), False, False),
        (keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD()), False, True),
        ("Adam", True, False),
        ("rmsprop", True, True),
        ("my_own", False, False),
        (None, False, False),
    ],
)
def test_traits(optimizer, adaptive, momentum_free):
    assert kind_of(optimizer) == OptimizerKind(adaptive, momentum_free)


def test_without_momentum_the_whole_range_is_higher_by_the_lag():
    rates, losses = curve(descent=-3)
    alone, known = suggest(rates, losses), suggest(rates, losses, optimizer="sgd")
    assert np.log10(known.learning_rate / alone.learning_rate) == pytest.approx(LAG)
    assert np.log10(known.low / alone.low) == pytest.approx(LAG)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(descent=st.floats(-5, -1), seed=st.integers(0, 99))
def test_the_usual_rate_moves_the_votes_no_farther_than_the_prior_allows(descent, seed):
    landmarks = landmarks_of(*curve(descent=descent, seed=seed, noise=0.1))[0]
    votes = [
        getattr(landmarks, name)
        + vote.offset_decades
        + vote.density_slope * np.log10(landmarks.steps_per_decade / 12.4)
        for name, vote in CALIBRATION.votes.items()
    ]
    assert landmarks.doubt == 0
    raises = PRIOR.raises_slow_decades if landmarks.fall_share < 0.5 else PRIOR.raises_decades
    ends = np.median(votes) - PRIOR.lowers_decades, np.median(votes) + raises
    assert suggested_decades(landmarks, CALIBRATION, ADAPTIVE) == pytest.approx(np.clip(USUAL, *ends))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("blow_up", "usual"), [(0.5, True), (-2.5, False)])
def test_without_a_visible_fall_the_usual_rate_wins_if_the_blow_up_is_far_above_it(seed, blow_up, usual):
    places = np.linspace(-7, 1, 300)
    rise = 2.3 + 10 ** np.minimum(4 * (places - blow_up), 6) + np.random.default_rng(seed).normal(0, 0.05, 300)
    known, alone = (suggest(10**places, rise, optimizer=optimizer) for optimizer in ("adam", None))
    assert np.log10(alone.learning_rate) < blow_up - 1
    raised = alone.learning_rate * 10**PRIOR.raises_unseen_decades
    assert known.learning_rate == pytest.approx(10**USUAL if usual else raised)
    assert alone.learning_rate != pytest.approx(10**USUAL)
    assert known.confidence == "tentative"


@pytest.mark.parametrize(("optimizer", "named"), [("adam", True), ("lion", False)])
def test_the_reason_names_the_usual_rate_if_it_won(optimizer, named):
    advice = suggest(*curve(descent=-2.7), optimizer=optimizer)
    assert advice.confidence == "clear"
    assert (advice.learning_rate == pytest.approx(10**USUAL)) == named
    assert ("usual for the optimizer" in advice.reason) == named


@pytest.mark.parametrize(
    ("optimizer", "descent", "steps", "clear"),
    [("adam", -4, 100, False), ("adam", -4, 300, True), ("adam", -2.7, 100, True), ("lion", -4, 100, True)],
)
def test_a_coarse_sweep_is_not_clear_about_a_rate_far_below_the_usual_one(optimizer, descent, steps, clear):
    advice = suggest(*curve(descent=descent, steps=steps), optimizer=optimizer)
    assert advice.confidence == ("clear" if clear else "tentative")
    assert ("far below the usual one" in advice.reason) != clear


@pytest.mark.parametrize(("best", "confidence"), [(1, "clear"), (2, "tentative")])
def test_short_runs_that_agree_confirm_a_rate_far_below_the_usual_one(best, confidence):
    rates, losses = curve(descent=-4, steps=100)
    landmarks, advice = landmarks_of(rates, losses), suggest(rates, losses, optimizer="adam")
    plan = plan_runs(advice, num_steps=100)
    ends = np.where(np.arange(3) == best, 0.1, 2.0)
    runs = np.linspace(2.3, ends, plan.num_steps).T
    refined = refine_suggestion(advice, plan.learning_rates, runs, landmarks=landmarks, kind=ADAPTIVE)
    assert refined.confidence == confidence


def test_a_flat_curve_gives_no_suggestion_even_if_the_optimizer_is_known():
    assert suggest(np.geomspace(1e-7, 10, 300), np.full(300, 2.3), optimizer="adam").confidence == "none"


@pytest.mark.parametrize("optimizer", [keras.optimizers.Lion(), "my_own", None])
def test_an_optimizer_that_the_rule_does_not_know_changes_nothing(optimizer):
    assert kind_of(optimizer) == UNKNOWN
    assert suggest(*curve(descent=-3), optimizer=optimizer) == suggest(*curve(descent=-3))


def test_public_rules_stay_as_they_are():
    rates, losses = curve(descent=-3)
    assert suggest(rates, losses, rule="valley", optimizer="sgd") == suggest(rates, losses, rule="valley")


@pytest.mark.parametrize("refine", [False, True])
def test_find_lr_passes_the_compiled_optimizer(refine):
    from keras_lr import find_lr

    keras.utils.set_random_seed(0)
    x = np.random.default_rng(0).normal(size=(256, 8)).astype("float32")
    y = (x @ np.linspace(-1, 1, 8))[:, None]
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, activation="relu"), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    result = find_lr(model, x, y, refine=refine, verbose=False)
    swept = result.refinement.sweep_suggestion if refine else result.suggestion
    assert swept == suggest(result.learning_rates, result.losses, optimizer="sgd")
    assert swept != suggest(result.learning_rates, result.losses)
