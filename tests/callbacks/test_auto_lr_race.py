"""`AutoLR` with a race: rates that train side by side before the first epoch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_lr
from keras_lr._keras.batches import data_of
from keras_lr.callbacks._auto_lr_start import PlannedRace, Raced
from keras_lr.errors import InvalidArgumentError
from keras_lr.range_test._sweep import Sweep
from keras_lr.results import Suggestion
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


def has_raced(auto: keras_lr.AutoLR) -> bool:
    assert auto.log is not None
    return any(note.startswith("A race chose") for note in auto.log.notes)


def test_the_rate_that_wins_is_better_than_one_ten_times_as_high_or_low(digits: Any) -> None:
    auto = keras_lr.AutoLR(start="race", probe_repeats=1, anneal_fraction=0.0)
    history = fit(new_model(1e-6), digits, [auto])
    assert auto.log is not None
    (action,) = auto.log.actions
    expected = r"A race chose \S+ Of \d rates that raced for up to 4 epochs, it had the lowest"
    assert re.match(expected, action.reason)
    for factor in (0.1, 10.0):
        other = fit(new_model(factor * action.learning_rate_after), digits, [])
        assert min(history["val_loss"]) < min(other["val_loss"])


def test_a_short_fit_that_validates_on_arrays_races_by_itself(digits: Any) -> None:
    default = keras_lr.AutoLR(probe_steps=40, probe_repeats=1)
    asked = keras_lr.AutoLR(start="race", probe_steps=40, probe_repeats=1)
    assert fit(new_model(1e-6), digits, [default]) == fit(new_model(1e-6), digits, [asked])
    assert has_raced(default)


@pytest.mark.parametrize("kind", ["no race wanted", "long", "no validation", "validation in batches"])
def test_another_fit_does_not(digits: Any, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    images, labels = digits
    start = "range_test" if kind == "no race wanted" else "auto"
    options: dict[str, Any] = {}
    if kind == "long":
        monkeypatch.setattr("keras_lr.callbacks._auto_lr.MOST_RACED_STEPS", EPOCHS * 16 - 1)
    elif kind == "no validation":
        options = {"validation_data": None, "validation_batch_size": None}
    elif kind == "validation in batches":
        held = tf.data.Dataset.from_tensor_slices((images[512:640], labels[512:640])).batch(64)
        options = {"validation_data": held, "validation_batch_size": None}
    auto = keras_lr.AutoLR(start=start, probe_steps=40, probe_repeats=1)
    fit(new_model(1e-6), digits, [auto], **options)
    assert not has_raced(auto)


def test_a_compiled_rate_far_from_those_that_raced_is_kept_if_it_is_better(digits: Any) -> None:
    images, labels = digits
    model = new_model(0.01)

    def validate() -> float:
        return float(model.evaluate(images[512:], labels[512:], batch_size=512, verbose=0))

    planned = PlannedRace([np.full(16, 0.01)] * 3, 0.01, validate)
    data = data_of(model, 48, x=images[:512], y=labels[:512], sample_weight=None, batch_size=32)
    with Sweep(model, data) as test:
        too_low = planned.run(test, Suggestion(1e-6, 1e-7, 1e-5, "tentative", "", "basin"))
        near = planned.run(test, Suggestion(0.01, 1e-3, 0.1, "tentative", "", "basin"))
    assert isinstance(too_low, Raced)
    assert isinstance(near, Raced)
    assert too_low.learning_rate == 0.01
    assert near.learning_rate is not None
    assert near.learning_rate != 1e-6


def test_small_epochs_are_compared_several_at_a_time(digits: Any) -> None:
    images, labels = digits
    model = new_model(1e-3)
    evaluate, times = model.evaluate, []

    def counted(*arguments: Any, **options: Any) -> Any:
        if not options.get("_use_cached_eval_dataset"):
            times.append(1)
        return evaluate(*arguments, **options)

    model.evaluate = counted
    auto = keras_lr.AutoLR(probe_steps=20, probe_repeats=1)
    options: dict[str, Any] = {"epochs": 20, "batch_size": 32, "validation_data": (images[64:128], labels[64:128])}
    model.fit(images[:64], labels[:64], verbose=0, callbacks=[auto], **options)
    assert has_raced(auto)
    # Forty steps, sixteen per comparison: at most five rates compared twice.
    assert 2 <= len(times) <= 10


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
    auto = keras_lr.AutoLR(start="race", probe_steps=60, probe_repeats=1, dry_run=True)
    history = fit(raced, digits, [auto], **options)
    assert auto.log is not None
    assert has_raced(auto)
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
