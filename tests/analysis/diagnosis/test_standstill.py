import numpy as np

from keras_lr.analysis import analyze_history
from keras_lr.analysis._diagnosis.facts import stands_still

GENERATOR = np.random.default_rng(3)
FLICKER = GENERATOR.normal(0, 0.01, 20)
GLIDE = np.linspace(0, -1e-4, 20)


def test_a_flickering_loss_over_a_gliding_validation_is_a_standstill_and_too_low():
    loss, val_loss = 2.3 + FLICKER, 2.31 + GLIDE
    assert stands_still(loss, val_loss)
    diagnosis = analyze_history({"loss": loss, "val_loss": val_loss, "learning_rate": [1e-6] * 20})
    assert diagnosis.verdict == "too_low"
    assert diagnosis.suggested_low > 1e-6
    assert "the weights are hardly moving" in diagnosis.reasons[0]


def test_a_network_that_died_in_its_first_epoch_stands_still_but_is_not_one_too_low():
    loss = 2.3 + FLICKER
    loss[0] += 5
    assert not stands_still(loss, 2.31 + GLIDE)


def test_a_validation_that_flickers_too_is_no_standstill():
    assert not stands_still(2.3 + FLICKER, 2.31 + FLICKER[::-1])


def test_without_validation_nothing_is_known():
    assert not stands_still(2.3 + FLICKER, 2.3 + FLICKER)
