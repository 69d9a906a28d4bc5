"""What must not move the suggestion from any falling curve, and what must never look clear."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from keras_lr.analysis._suggestion.suggest import suggest

MOST_MOVE_DECADES = 0.1
QUICK = settings(max_examples=40, deadline=None, derandomize=True)


@st.composite
def curves(draw):
    """A plateau, a fall, a valley and mostly a blow-up, as a sweep of 60 to 400 steps over six to nine decades."""
    low = draw(st.floats(-8, -6))
    steps = draw(st.integers(60, 400))
    decades = np.linspace(low, low + draw(st.floats(6, 9)), steps)
    descent = draw(st.floats(low + 2.5, low + 4))
    steepness = draw(st.floats(2, 8))
    fall, noise = draw(st.floats(0.3, 5)), draw(st.floats(0.005, 0.2))
    blow_up = descent + draw(st.floats(1, 3))
    level = 2.3 - fall / (1 + np.exp(-(decades - descent) * steepness))
    level = level + fall * 10 ** np.minimum(4 * (decades - blow_up), 6)
    return 10**decades, level + np.random.default_rng(draw(st.integers(0, 99))).normal(0, noise, steps)


def moved(before, after):
    assert before.learning_rate is not None
    assert after.learning_rate is not None
    return abs(np.log10(after.learning_rate / before.learning_rate))


@QUICK
@given(curve=curves(), scale=st.floats(1e-4, 1e4), shift=st.floats(-100, 100))
def test_scaling_and_shifting_the_loss(curve, scale, shift):
    rates, losses = curve
    before, after = suggest(rates, losses), suggest(rates, scale * (losses + shift))
    assert moved(before, after) <= MOST_MOVE_DECADES
    assert suggest(rates, scale * losses).confidence == before.confidence


@QUICK
@given(curve=curves(), shift=st.floats(0, 100))
def test_a_constant_that_training_cannot_lower_never_makes_the_curve_clearer(curve, shift):
    rates, losses = curve
    assume(losses[:20].mean() > 0)
    if suggest(rates, losses + shift).confidence == "clear":
        assert suggest(rates, losses).confidence == "clear"


@QUICK
@given(curve=curves())
def test_a_fall_that_is_small_beside_the_loss_is_tentative(curve):
    rates, losses = curve
    advice = suggest(rates, losses + 100)
    assert advice.confidence == "tentative"


@QUICK
@given(curve=curves(), factor=st.floats(1e-3, 1e3))
def test_scaling_all_learning_rates(curve, factor):
    rates, losses = curve
    before, after = suggest(rates, losses), suggest(rates * factor, losses)
    assert abs(np.log10(after.learning_rate / before.learning_rate / factor)) <= MOST_MOVE_DECADES
    assert abs(np.log10(after.high / before.high / factor)) <= MOST_MOVE_DECADES


@QUICK
@given(curve=curves(), times=st.integers(2, 5))
def test_duplicating_steps(curve, times):
    rates, losses = curve
    before = suggest(rates, losses)
    assert moved(before, suggest(np.repeat(rates, times), np.repeat(losses, times))) <= MOST_MOVE_DECADES


@QUICK
@given(curve=curves(), height=st.floats(1, 1e6), decades=st.floats(0.3, 3), seed=st.integers(0, 99))
def test_a_diverged_tail(curve, height, decades, seed):
    rates, losses = curve
    assume(np.median(losses[-10:]) > np.median(losses[:20]) + 4 * losses[:20].std())
    beyond = np.diff(np.log10(rates)).mean() * np.arange(1, int(decades / np.diff(np.log10(rates)).mean()) + 1)
    tail = losses.max() * (1 + height * np.random.default_rng(seed).uniform(0.5, 1, len(beyond)))
    longer = np.concatenate([rates, rates[-1] * 10**beyond]), np.concatenate([losses, tail])
    assert moved(suggest(rates, losses), suggest(*longer)) <= MOST_MOVE_DECADES


@QUICK
@given(curve=curves(), decades=st.floats(0.1, 3), value=st.sampled_from([np.nan, np.inf, -np.inf]))
def test_a_tail_that_is_not_finite(curve, decades, value):
    rates, losses = curve
    tail = rates[-1] * np.logspace(0.02, decades, 20)
    longer = np.concatenate([rates, tail]), np.concatenate([losses, np.full(20, value)])
    assert suggest(*longer) == suggest(rates, losses)


@QUICK
@given(curve=curves(), cut=st.floats(0.0, 1.0))
def test_where_a_diverged_sweep_is_stopped(curve, cut):
    rates, losses = curve
    lowest = int(np.argmin(losses))
    risen = np.flatnonzero(losses > losses[:20].mean() + 3 * (losses[:20].mean() - losses[lowest]))
    assume(len(risen[risen > lowest]) > 5)
    stop = risen[risen > lowest][5] + 1
    stop = int(stop + cut * (len(losses) - stop))
    assert moved(suggest(rates, losses), suggest(rates[:stop], losses[:stop])) <= MOST_MOVE_DECADES


@QUICK
@given(steps=st.integers(100, 400), seed=st.integers(0, 9999), level=st.floats(-5, 5), noise=st.floats(1e-3, 10))
def test_pure_noise_is_never_clear(steps, seed, level, noise):
    losses = np.random.default_rng(seed).normal(level, noise, steps)
    advice = suggest(np.geomspace(1e-7, 10, steps), losses)
    assert advice.confidence in ("none", "tentative")
    assert advice.reason.endswith(".")


@QUICK
@given(steps=st.integers(60, 400), level=st.floats(-1e3, 1e3))
def test_a_flat_curve_is_refused(steps, level):
    advice = suggest(np.geomspace(1e-7, 10, steps), np.full(steps, level))
    assert advice.confidence == "none"
    assert ("flat" if level else "exactly 0") in advice.reason


@QUICK
@given(steps=st.integers(60, 400), power=st.floats(0.5, 3), noise=st.floats(0, 0.02), seed=st.integers(0, 99))
def test_a_curve_that_only_rises_is_never_clear(steps, power, noise, seed):
    rise = np.linspace(0, 1, steps) ** power + np.random.default_rng(seed).normal(0, noise, steps)
    advice = suggest(np.geomspace(1e-7, 10, steps), 2 + 3 * rise)
    assert advice.confidence in ("none", "tentative")
    assert "rose" in advice.reason


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_a_rise_from_the_first_rate_on_is_refused(noise):
    losses = np.linspace(1, 5, 300) + np.random.default_rng(0).normal(0, noise, 300)
    assert suggest(np.geomspace(1e-7, 10, 300), losses).confidence == "none"
