"""`AutoLR(start="race")`: rates that train side by side before the first epoch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_lr
from keras_lr.errors import InvalidArgumentError
from tests.training_models import all_values, classifier, plain_classifier

EPOCHS = 4


def fit(model: Any, digits: Any, callbacks: list[Any], **options: Any) -> dict[str, list[float]]:
    """Trains on 512 images from a fixed seed, and validates on 256 others."""
    images, labels = digits
    keras.utils.set_random_seed(0)
    given = {"validation_data": (images[512:768], labels[512:768]), "validation_batch_size": 256, **options}
    history = model.fit(images[:512], labels[:512], epochs=EPOCHS, verbose=0, callbacks=callbacks, **given)
    return dict(history.history)


def new_model(learning_rate: float, build: Any = plain_classifier) -> Any:
    keras.utils.set_random_seed(1)
    return build(keras.optimizers.Adam(learning_rate))


def test_the_rate_that_wins_is_better_than_one_ten_times_as_high_or_low(digits: Any) -> None:
    auto = keras_lr.AutoLR(start="race", probe_repeats=1, anneal_fraction=0.0)
    history = fit(new_model(1e-6), digits, [auto])
    assert auto.log is not None
    (action,) = auto.log.actions
    expected = r"A race chose \S+ Of \d rates that raced for up to \d of 4 epochs, it had the lowest"
    assert re.match(expected, action.reason)
    for factor in (0.1, 10.0):
        other = fit(new_model(factor * action.learning_rate_after), digits, [])
        assert min(history["val_loss"]) < min(other["val_loss"])


@pytest.mark.parametrize("as_dataset", [False, True])
def test_the_race_leaves_no_trace(digits: Any, as_dataset: bool) -> None:
    """The classifier has dropout, normalization and metrics."""
    images, labels = digits
    held = (images[512:640], labels[512:640])
    options: dict[str, Any] = {"validation_data": held}
    if as_dataset:
        options = {"validation_data": tf.data.Dataset.from_tensor_slices(held).batch(64)}
        options["validation_batch_size"] = None
    plain, raced = new_model(1e-4, classifier), new_model(1e-4, classifier)
    expected = fit(plain, digits, [], **options)
    auto = keras_lr.AutoLR(start="race", probe_repeats=1, dry_run=True)
    history = fit(raced, digits, [auto], **options)
    assert auto.log is not None
    assert auto.log.actions[0].reason.startswith("A race chose")
    assert history.pop("learning_rate") == pytest.approx([1e-4] * EPOCHS)
    assert history == expected
    for one, other in zip(all_values(plain), all_values(raced), strict=True):
        np.testing.assert_array_equal(one, other)


def batches(digits: Any) -> Iterator[Any]:
    while True:
        yield digits[0][:32], digits[1][:32]


REFUSALS = {
    "no validation data": (
        lambda d: {"x": d[0][:64], "y": d[1][:64]},
        "needs validation data.*Received: a fit without",
    ),
    "a generator": (
        lambda d: {"x": batches(d), "steps_per_epoch": 2, "validation_data": (d[0][:64], d[1][:64])},
        "can be read again.*Received: a generator",
    ),
    "a generator to validate on": (
        lambda d: {"x": d[0][:64], "y": d[1][:64], "validation_data": batches(d), "validation_steps": 1},
        "can be read again.*Received: a generator",
    ),
    "an unknown length": (
        lambda d: {
            "x": tf.data.Dataset.from_tensor_slices((d[0][:64], d[1][:64])).batch(32).filter(lambda *_: True),
            "validation_data": (d[0][:64], d[1][:64]),
        },
        "number of batches per epoch.*unknown length.*`steps_per_epoch`",
    ),
}


@pytest.mark.parametrize("kind", REFUSALS)
def test_data_that_do_not_allow_a_race_are_refused_before_any_training(digits: Any, kind: str) -> None:
    make, message = REFUSALS[kind]
    model = new_model(1e-3)
    before = all_values(model)
    with pytest.raises(InvalidArgumentError, match=message):
        model.fit(**make(digits), epochs=2, verbose=0, callbacks=[keras_lr.AutoLR(start="race")])
    for one, other in zip(before, all_values(model), strict=True):
        np.testing.assert_array_equal(one, other)


def test_arguments_that_contradict_a_race_are_refused() -> None:
    with pytest.raises(InvalidArgumentError, match=r"`start` must be one of .*'fast'"):
        keras_lr.AutoLR(start="fast")  # type: ignore[arg-type]
    with pytest.raises(InvalidArgumentError, match='`probe_steps` must be above 0 with start="race"'):
        keras_lr.AutoLR(start="race", probe_steps=0)
