"""The loss of the best constant output against its closed forms."""

import keras
import numpy as np
import pytest

from keras_lr._keras.constant_output import constant_output_loss

GENERATOR = np.random.default_rng(0)
LABELS = GENERATOR.choice(3, 60, p=[0.6, 0.3, 0.1])


@pytest.mark.parametrize(("loss", "convert"), [("mse", np.var), ("mae", lambda y: np.abs(y - np.median(y)).mean())])
def test_a_regression_has_its_closed_form(loss, convert):
    targets = GENERATOR.gamma(2.0, 30.0, 61).astype("float32")
    assert constant_output_loss(loss, targets) == pytest.approx(convert(targets), rel=1e-4)


@pytest.mark.parametrize(
    ("loss", "targets"),
    [
        ("sparse_categorical_crossentropy", LABELS),
        (keras.losses.SparseCategoricalCrossentropy(from_logits=True), LABELS),
        ("categorical_crossentropy", np.eye(3)[LABELS]),
    ],
)
def test_a_cross_entropy_of_classes_costs_the_entropy_of_their_frequencies(loss, targets):
    part = np.bincount(LABELS) / LABELS.size
    assert constant_output_loss(loss, targets) == pytest.approx(-np.sum(part * np.log(part)), rel=1e-4)


def test_a_binary_cross_entropy_costs_the_entropy_of_its_labels():
    labels = np.repeat([1, 0], [15, 45])
    expected = -(0.25 * np.log(0.25) + 0.75 * np.log(0.75))
    assert constant_output_loss("binary_crossentropy", labels) == pytest.approx(expected, rel=1e-4)
    logits = keras.losses.BinaryCrossentropy(from_logits=True)
    assert constant_output_loss(logits, labels) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("loss", "targets"),
    [
        (lambda y, output: output, np.ones(4)),
        ("poisson", np.ones(4)),
        ("mse", np.array([1.0, np.nan])),
        ("mse", np.array(["a", "b"])),
        ("mse", []),
    ],
)
def test_what_is_not_known_is_none(loss, targets):
    assert constant_output_loss(loss, targets) is None
