"""The default rule on synthetic curves whose answer is known."""

import re
from dataclasses import replace

import numpy as np
import pytest

import keras_lr
from keras_lr.analysis._suggestion.calibration import kind_of
from keras_lr.analysis._suggestion.suggest import RULES, allow_for_constant, suggest
from keras_lr.errors import CurveError, InvalidArgumentError

DESCENT, DIVERGENCE = -3.0, -0.5


def sweep(num_steps=300, low=-7, high=1):
    return np.logspace(low, high, num_steps)


def range_test(rates, *, noise=0.03, seed=0, fall=2.0, descent=DESCENT, divergence=DIVERGENCE):
    """A plateau, a fall centred on `descent` and a blow-up at `divergence`, with noise per step."""
    decades = np.log10(rates)
    level = 2.3 - fall / (1 + np.exp(-(decades - descent) * 6)) + 10 ** (4 * (decades - divergence))
    return level + np.random.default_rng(seed).normal(0, noise, rates.shape)


@pytest.mark.parametrize("num_steps", [100, 300, 1000])
def test_clear_curve_is_read_between_its_fall_and_its_blow_up(num_steps):
    rates = sweep(num_steps)
    advice = suggest(rates, range_test(rates))
    assert advice.confidence == "clear"
    assert DESCENT - 0.5 < np.log10(advice.learning_rate) < DIVERGENCE - 0.5
    assert advice.low < advice.learning_rate < advice.high
    assert advice.rule == "consensus"


def test_repeats_agree_with_their_single_sweeps():
    rates = sweep(100)
    losses = np.stack([range_test(rates, seed=seed, noise=0.2) for seed in range(5)])
    single = [np.log10(suggest(rates, row).learning_rate) for row in losses]
    joint = np.log10(suggest(rates, losses).learning_rate)
    assert min(single) <= joint <= max(single)


def test_repeats_may_stop_at_different_steps():
    rates = sweep(100)
    losses = np.stack([range_test(rates, seed=seed) for seed in range(3)])
    losses[0, 90:], losses[1, 85:] = np.nan, np.nan
    assert suggest(rates, losses).confidence == "clear"


def test_flat_curve_is_refused():
    advice = suggest(sweep(), np.full(300, 2.3))
    assert advice.confidence == "none"
    assert advice.learning_rate is None
    assert "flat" in advice.reason


@pytest.mark.parametrize("rule", ["consensus", "valley"])
def test_losses_of_exactly_zero_are_not_those_that_are_trained(rule):
    advice = suggest(sweep(), np.zeros(300), rule=rule)
    assert advice.confidence == "none"
    assert "not the one that is trained" in advice.reason


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("num_steps", [100, 300])
def test_pure_noise_is_never_clear(seed, num_steps):
    rates = sweep(num_steps)
    assert suggest(rates, np.random.default_rng(seed).normal(2.3, 0.1, rates.shape)).confidence != "clear"


def test_always_rising_curve_is_refused():
    rates = sweep()
    advice = suggest(rates, np.linspace(1, 5, 300) + np.random.default_rng(0).normal(0, 0.01, 300))
    assert advice.confidence == "none"
    assert "too high" in advice.reason


def test_fall_that_continues_at_the_end_of_the_range_is_tentative():
    rates = sweep(high=-2.9)
    advice = suggest(rates, range_test(rates))
    assert advice.confidence == "tentative"
    assert "Raise `max_lr`" in advice.reason


def test_weak_fall_is_tentative():
    rates = sweep(100)
    advice = suggest(rates, range_test(rates, noise=0.5, fall=0.5))
    assert advice.confidence == "tentative"


def test_fall_by_less_than_half_of_the_loss_is_tentative():
    rates = sweep()
    less, more = (suggest(rates, range_test(rates, fall=fall)) for fall in (0.44 * 2.3, 0.62 * 2.3))
    assert (less.confidence, more.confidence) == ("tentative", "clear")
    shown = re.search(r"fell by (\d+)% of its start; a clear fall has at least 50%", less.reason)
    assert 40 < int(shown[1]) < 50


def test_rise_without_a_fall_stays_below_the_rise():
    rates = sweep(100)
    advice = suggest(rates, range_test(rates, fall=0.0))
    assert advice.confidence == "tentative"
    assert advice.learning_rate < 10 ** (DIVERGENCE - 0.5)


def test_too_short_curve_is_refused():
    advice = suggest(sweep(12), range_test(sweep(12)))
    assert advice.confidence == "none"
    assert "too short" in advice.reason


def test_non_finite_tail_changes_nothing():
    rates = sweep()
    losses = range_test(rates)
    tail = np.where(rates > 10, np.nan, np.where(rates > 3, np.inf, losses))
    cut = suggest(rates[rates <= 3], losses[rates <= 3])
    assert suggest(rates, tail) == cut


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_names_itself(rule):
    rates = sweep()
    advice = suggest(rates, range_test(rates), rule=rule)
    assert advice.rule == rule
    assert advice.confidence in ("clear", "tentative")


def test_public_rule_refuses_what_it_cannot_trim():
    rates = sweep(24)
    advice = suggest(rates, range_test(rates), rule="valley")
    assert advice.confidence == "none"
    assert "trimming" in advice.reason


@pytest.mark.parametrize(
    ("rates", "losses", "match"),
    [
        ([1e-3, 1e-2], [1.0, 2.0, 3.0], r"`losses` must have shape"),
        ([[1e-3, 1e-2]], [1.0, 2.0], r"`learning_rates` must be one-dimensional"),
        ([1e-2, 1e-3], [1.0, 2.0], r"`learning_rates` must not decrease"),
        ([0.0, 1e-3], [1.0, 2.0], r"`learning_rates` must be positive and finite"),
        ([1e-3, np.nan], [1.0, 2.0], r"`learning_rates` must be positive and finite"),
        ([1e-3, 1e-2], [np.nan, np.inf], r"`losses` must contain a finite loss"),
        ([1e-3, 1e-2], ["a", "b"], r"`losses` must be an array of numbers"),
        ([], [], r"`losses` must contain a finite loss"),
    ],
)
def test_arrays_that_do_not_form_a_curve_are_refused(rates, losses, match):
    with pytest.raises(CurveError, match=match):
        suggest(rates, losses)


def test_unknown_rule_is_an_error():
    with pytest.raises(InvalidArgumentError, match=r"`rule` must be one of"):
        suggest(sweep(), range_test(sweep()), rule="magic")


RATES = np.geomspace(1e-6, 1.0, 100)


def _fall_to(level, start, noise=0.02):
    fall = 1 / (1 + np.exp(-4 * (np.log10(RATES) + 3)))
    return (start + (level - start) * fall) * (1 + np.random.default_rng(0).normal(0, noise, RATES.size))


def test_a_fall_to_the_loss_of_a_constant_output_is_no_clear_suggestion():
    curve = _fall_to(100.0, 500.0)
    plain = replace(keras_lr.suggest(RATES, curve), confidence="clear")
    allowed = allow_for_constant(plain, RATES, curve, 100.0)
    assert (allowed.learning_rate, allowed.confidence) == (plain.learning_rate, "tentative")
    assert "constant output" in allowed.reason


@pytest.mark.parametrize(
    ("rate", "optimizer", "lowered"), [(0.1, "sgd", True), (0.1, "adam", False), (0.01, "sgd", False)]
)
def test_a_rate_far_beyond_such_a_fall_is_taken_from_before_it(rate, optimizer, lowered):
    """Half of the way down is done at 1e-3; the loss then stays flat, as with units that died."""
    curve = _fall_to(100.0, 500.0)
    far = replace(keras_lr.suggest(RATES, curve), learning_rate=rate, low=rate / 3, high=rate * 3)
    allowed = allow_for_constant(far, RATES, curve, 100.0, kind=kind_of(optimizer))
    if lowered:
        assert 3e-5 < allowed.learning_rate < 3e-4
        assert allowed.low < allowed.learning_rate < allowed.high
        assert "before the fall" in allowed.reason
    else:
        assert allowed.learning_rate == rate


def test_a_network_that_dies_after_the_fall_gets_a_rate_from_before_it():
    """As with targets of 100 and more: it learns at 1e-4, dies at 1e-3, and only its bias learns from 1e-2 on."""
    decades = np.log10(RATES)
    curve = np.interp(decades, [-6, -5, -4, -3, -2.5, -1, 0], [500.0, 500, 200, 500, 480, 102, 100])
    curve *= 1 + np.random.default_rng(0).normal(0, 0.02, RATES.size)
    last_fall = replace(keras_lr.suggest(RATES, curve), learning_rate=0.1, low=0.03, high=0.3)
    assert allow_for_constant(last_fall, RATES, curve, 100.0, kind=kind_of("sgd")).learning_rate < 1e-4
    assert allow_for_constant(last_fall, RATES, curve / 100, 1.0, kind=kind_of("sgd")).learning_rate == 0.1


def test_a_curve_that_gets_clearly_below_a_constant_output_stays_as_it_is():
    curve = _fall_to(50.0, 500.0)
    plain = keras_lr.suggest(RATES, curve)
    for constant in (100.0, None):
        assert allow_for_constant(plain, RATES, curve, constant) == plain


@pytest.mark.parametrize("repeats", [1, 3])
@pytest.mark.parametrize(
    "noise", [lambda rng, shape: rng.normal(1, 0.1, shape), lambda rng, shape: rng.lognormal(-0.125, 0.5, shape)]
)
def test_noise_at_the_loss_of_a_constant_output_is_no_fall_below_it(noise, repeats):
    """Of the many blocks of such a curve, chance brings one two standard errors below in most cases."""
    rng, clear = np.random.default_rng(0), 0
    for _ in range(100):
        curves = _fall_to(100.0, 500.0, noise=0) * noise(rng, (repeats, RATES.size))
        plain = replace(keras_lr.suggest(RATES, curves), confidence="clear")
        clear += allow_for_constant(plain, RATES, curves, 100.0).confidence == "clear"
    assert clear <= 5


@pytest.mark.parametrize(("constant", "confidence"), [(-0.9, "tentative"), (-0.4, "clear")])
def test_a_loss_below_0_is_compared_with_a_constant_output_too(constant, confidence):
    """A cosine similarity or a Poisson loss that falls from 0.3 to -0.9."""
    curve = _fall_to(-0.9, 0.3)
    plain = replace(keras_lr.suggest(RATES, curve), confidence="clear")
    assert allow_for_constant(plain, RATES, curve, constant).confidence == confidence


def test_a_curve_that_starts_near_a_constant_output_keeps_its_rate_but_not_its_confidence():
    curve = _fall_to(100.0, 140.0)
    plain = replace(keras_lr.suggest(RATES, curve), confidence="clear")
    allowed = allow_for_constant(plain, RATES, curve, 100.0)
    assert (allowed.learning_rate, allowed.confidence) == (plain.learning_rate, "tentative")
