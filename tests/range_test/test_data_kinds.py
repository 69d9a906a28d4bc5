"""Every kind of data that `fit` accepts, for exactly the requested number of steps."""

from __future__ import annotations

import warnings
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import keras_lr
from keras_lr.errors import DataError, InvalidArgumentError, InvalidRangeError, ModelError
from tests.training_models import CROSS_ENTROPY, plain_classifier


class Batches(keras.utils.PyDataset):
    """Six batches, shuffled at each epoch's end."""

    def __init__(self, images: Any, labels: Any, **options: Any) -> None:
        super().__init__(**options)
        self.images, self.labels = images, labels
        self.order = np.arange(6)

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Any:
        rows = slice(self.order[index] * 16, self.order[index] * 16 + 16)
        return self.images[rows], self.labels[rows]

    def on_epoch_end(self) -> None:
        np.random.default_rng(0).shuffle(self.order)


def generator(images: Any, labels: Any, count: int) -> Any:
    for index in range(count):
        rows = slice(index % 50 * 16, index % 50 * 16 + 16)
        yield images[rows], labels[rows]


KINDS: dict[str, Any] = {
    "numpy": lambda x, y: (x[:100], y[:100]),
    "pandas": lambda x, y: (pd.DataFrame(x[:100]), pd.Series(y[:100])),
    "finite set": lambda x, y: (tf.data.Dataset.from_tensor_slices((x, y)).take(100).batch(16),),
    "tensors": lambda x, y: (tf.constant(x[:100]), tf.constant(y[:100])),
    "infinite set": lambda x, y: (tf.data.Dataset.from_tensor_slices((x, y)).repeat().batch(16),),
    "PyDataset": lambda x, y: (Batches(x, y),),
    "PyDataset with workers": lambda x, y: (Batches(x, y, workers=2),),
    "generator": lambda x, y: (generator(x, y, 100),),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_gives_all_steps(kind: str, digits: Any) -> None:
    result = keras_lr.find_lr(plain_classifier(), *KINDS[kind](*digits), max_lr=1e-3, num_steps=40)
    assert result.stop_reason == "completed"
    assert result.losses.shape == result.learning_rates.shape == (40,)
    assert np.isfinite(result.losses).all()
    known = 32 if kind in ("numpy", "pandas", "tensors") else None
    assert result.environment.get("batch_size") == known


def test_an_endless_py_dataset_is_read_without_a_warning(digits: Any) -> None:
    class Endless(Batches):
        num_batches = None

        def __getitem__(self, index: int) -> Any:
            return super().__getitem__(index % 6)

    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        result = keras_lr.find_lr(plain_classifier(), Endless(*digits), max_lr=1e-3, num_steps=20)
    assert result.stop_reason == "completed"


def test_sparse_tensors_give_the_losses_of_dense_ones(digits: Any) -> None:
    images, labels = digits[0][:96], digits[1][:96]
    keras.utils.set_random_seed(0)
    model = plain_classifier("sgd")
    losses = [
        keras_lr.find_lr(
            model, tf.data.Dataset.from_tensor_slices((inputs, labels)).batch(16), max_lr=1e-2, num_steps=12
        ).losses
        for inputs in (tf.sparse.from_dense(images), images)
    ]
    np.testing.assert_allclose(*losses, rtol=1e-5)


def test_data_that_runs_out_keeps_the_points(digits: Any) -> None:
    result = keras_lr.find_lr(plain_classifier(), generator(*digits, 7), num_steps=40)
    assert result.stop_reason == "data_exhausted"
    assert len(result.losses) == 7
    assert result.stop_detail == "The data ran out after 7 of 40 steps."


@pytest.mark.parametrize("count", [40, 47])
def test_data_that_runs_out_in_a_later_sweep_keeps_the_whole_ones(count: int, digits: Any) -> None:
    model = plain_classifier()
    once = keras_lr.find_lr(model, generator(*digits, 40), num_steps=40)
    result = keras_lr.find_lr(model, generator(*digits, count), num_steps=40, repeats=3)
    np.testing.assert_allclose(result.losses, once.losses, rtol=1e-6)
    assert result.suggestion == once.suggestion
    assert result.stop_reason == "data_exhausted"
    assert f"{count - 40} of 40 steps of sweep 2" in result.stop_detail


def test_training_after_the_test_sees_every_generated_batch(digits: Any) -> None:
    keras.utils.set_random_seed(0)
    model = plain_classifier()
    finder = keras_lr.LRRangeTest(num_steps=48, min_lr=1e-5, max_lr=1.0, apply=True)
    seen = []
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
    model.fit(generator(*digits, 50), verbose=0, callbacks=[finder, count])
    assert len(seen) == 50


def test_training_after_the_test_sees_a_whole_py_dataset(digits: Any) -> None:
    keras.utils.set_random_seed(0)
    model = plain_classifier()
    finder = keras_lr.LRRangeTest(num_steps=60, min_lr=1e-5, max_lr=1.0, apply=True)
    model.fit(Batches(*digits, workers=2), epochs=2, verbose=0, callbacks=[finder])
    assert finder.result.stop_reason in {"completed", "diverged"}
    assert int(model.optimizer.iterations) == 12


def test_training_after_the_test_sees_what_an_image_generator_draws(digits: Any) -> None:
    x, y = digits
    images = tf.keras.preprocessing.image.ImageDataGenerator(width_shift_range=0.3)

    def losses(*, tested: bool) -> Any:
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
        model.compile("adam", CROSS_ENTROPY)
        data = images.flow(x[:96].reshape(-1, 8, 8, 1), y[:96], batch_size=32)
        if tested:
            keras_lr.find_lr(model, data, num_steps=20, verbose=0)
        return model.fit(data, epochs=2, verbose=0).history["loss"]

    assert losses(tested=True) == losses(tested=False)


def test_sample_weights_count(digits: Any) -> None:
    images, labels = digits[0][:64], digits[1][:64]
    weights = np.linspace(0.1, 2.0, 64).astype("float32")
    model = plain_classifier()
    result = keras_lr.find_lr(
        model, images, labels, sample_weight=weights, shuffle=False, min_lr=1e-30, max_lr=1e-29, num_steps=2
    )
    expected = [
        float(CROSS_ENTROPY(labels[rows], model.predict_on_batch(images[rows]), sample_weight=weights[rows]))
        for rows in (slice(0, 32), slice(32, 64))
    ]
    np.testing.assert_allclose(result.losses, expected, rtol=1e-4)


def test_lists_and_dicts_of_inputs(digits: Any) -> None:
    images, labels = digits
    left, right = keras.Input((32,), name="left"), keras.Input((32,), name="right")
    model = keras.Model([left, right], keras.layers.Dense(10)(keras.layers.Concatenate()([left, right])))
    model.compile("sgd", CROSS_ENTROPY)
    halves = [images[:, :32], images[:, 32:]]
    by_list = keras_lr.find_lr(model, halves, labels, shuffle=False, max_lr=1e-3, num_steps=20)
    by_name = keras_lr.find_lr(
        model, {"left": halves[0], "right": halves[1]}, labels, shuffle=False, max_lr=1e-3, num_steps=20
    )
    np.testing.assert_allclose(by_list.losses, by_name.losses, rtol=1e-5)


def test_repeats_see_other_batches_from_the_same_start(digits: Any) -> None:
    result = keras_lr.find_lr(plain_classifier(), *digits, max_lr=1e-3, num_steps=20, repeats=3)
    assert result.repeat_losses.shape == (3, 20)
    assert len(np.unique(result.repeat_losses[:, 0])) == 3
    np.testing.assert_allclose(result.losses, np.median(result.repeat_losses, axis=0))


def test_apply_trains_all_epochs_at_the_suggestion(digits: Any) -> None:
    model = plain_classifier(keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, 10)))
    finder = keras_lr.LRRangeTest(apply=True)
    history = model.fit(*digits, epochs=2, verbose=0, callbacks=[finder])
    assert len(history.history["loss"]) == 2
    assert float(model.optimizer.learning_rate) == pytest.approx(finder.result.suggestion.learning_rate)
    assert int(model.optimizer.iterations) == 2 * 57


def test_linear_sweep_has_equal_differences(digits: Any) -> None:
    result = keras_lr.find_lr(plain_classifier(), *digits, min_lr=0.01, max_lr=0.05, num_steps=5, sweep="linear")
    np.testing.assert_allclose(result.learning_rates, [0.01, 0.02, 0.03, 0.04, 0.05])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"min_lr": 0.1, "max_lr": 0.01}, InvalidRangeError, "`max_lr` must be greater than `min_lr`.*Swap them"),
        ({"min_lr": 0.0}, InvalidRangeError, "`min_lr` must be a finite number above 0"),
        ({"max_lr": float("nan")}, InvalidRangeError, "`max_lr` must be a finite number above 0"),
        ({"num_steps": 1}, InvalidArgumentError, "`num_steps` must be an integer >= 2. Received: 1"),
        ({"sweep": "cubic"}, InvalidArgumentError, "`sweep` must be"),
        ({"repeats": 0}, InvalidArgumentError, "`repeats` must be an integer >= 1. Received: 0"),
        ({"validation_data": 3}, InvalidArgumentError, "`validation_data` must be a tuple"),
        ({"monitor": "cost"}, ModelError, "`monitor` must name"),
        ({"batch_size": -3}, InvalidArgumentError, "`batch_size` must be an integer >= 1. Received: -3"),
        ({"batch_size": 2.5}, InvalidArgumentError, "`batch_size` must be an integer >= 1"),
    ],
)
def test_bad_arguments(options: Any, error: Any, message: str, digits: Any) -> None:
    with pytest.raises(error, match=message):
        keras_lr.find_lr(plain_classifier(), *digits, **options)


def test_bad_models_and_data(digits: Any) -> None:
    with pytest.raises(ModelError, match="`model` must be compiled"):
        keras_lr.find_lr(keras.Sequential([keras.Input((64,)), keras.layers.Dense(10)]), *digits)
    with pytest.raises(ModelError, match=r"`model` must be a keras\.Model"):
        keras_lr.find_lr("model", *digits)
    frozen = plain_classifier()
    frozen.trainable = False
    with pytest.raises(ModelError, match="must have trainable weights"):
        keras_lr.find_lr(frozen, *digits)
    empty = tf.data.Dataset.from_tensor_slices(digits).batch(16).take(0)
    with pytest.raises(DataError, match="must yield at least one batch"):
        keras_lr.find_lr(plain_classifier(), empty)

    class Nothing(keras.utils.PyDataset):
        def __len__(self) -> int:
            return 0

    with pytest.raises(
        DataError, match=r"must yield at least one batch\. Received a `PyDataset` of length 0\. Pass data"
    ):
        keras_lr.find_lr(plain_classifier(), Nothing())


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([[0.5, 1.0]] * 8, "Received: list of float"),
        (
            pd.DataFrame({"day": pd.date_range("2026-01-01", periods=8)}),
            "must hold numbers. Received the dtype datetime",
        ),
        (pd.DataFrame({"kind": pd.Categorical(["a", "b"] * 4)}), "Received the dtype category"),
        (
            pd.DataFrame({"size": [0.5] * 8, "new": [True] * 8, "kind": ["a"] * 8}),
            r"Received the dtype bool in the column 'new' and 1 more\. Convert it with `astype\(\"float32\"\)`",
        ),
    ],
)
def test_what_keras_does_not_take_is_said(x: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        keras_lr.find_lr(plain_classifier(), x, np.zeros(8))
