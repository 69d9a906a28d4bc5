"""Each loss is that of its own batch, compared with an untrained model's prediction on that batch."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_lr
from tests.training_models import CROSS_ENTROPY, plain_classifier

VANISHING = {"min_lr": 1e-30, "max_lr": 1e-29, "num_steps": 23}


def expected_losses(model: Any, batches: list[Any]) -> list[float]:
    losses = []
    for batch in batches:
        weights = batch[2] if len(batch) == 3 else None
        loss = CROSS_ENTROPY(batch[1], model.predict_on_batch(batch[0]), sample_weight=weights)
        losses.append(float(loss) + float(sum(model.losses)))
    return losses


def batches_of(digits: Any, *, weights: Any = None) -> list[Any]:
    parts = [*digits, *([] if weights is None else [weights])]
    return [tuple(part[start : start + 32] for part in parts) for start in range(0, 23 * 32, 32)]


def dataset(batches: list[Any]) -> Any:
    return tf.data.Dataset.from_tensor_slices(
        tuple(np.concatenate(parts) for parts in zip(*batches, strict=True))
    ).batch(32)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"steps_per_execution": 10},
        {"optimizer": keras.optimizers.SGD(gradient_accumulation_steps=4)},
        {"jit_compile": True},
        {"run_eagerly": True},
    ],
    ids=lambda options: "-".join(options) or "plain",
)
def test_losses_are_each_batch_s_own(options: Any, digits: Any) -> None:
    model = plain_classifier(**options)
    batches = batches_of(digits)
    result = keras_lr.find_lr(model, dataset(batches), **VANISHING)
    np.testing.assert_allclose(result.losses, expected_losses(model, batches), rtol=1e-4)


@pytest.mark.parametrize("eager", [False, True])
def test_sequences_of_other_lengths_in_each_batch(eager: bool) -> None:
    random = np.random.default_rng(0)
    images = [random.normal(size=(8, length, 3)).astype("float32") for length in [5, 7, 5, 9] * 6]
    batches = [(image, image.sum(-1)) for image in images]
    layers = keras.layers
    model = keras.Sequential([keras.Input((None, 3)), layers.Dense(1), layers.Reshape((-1,))])
    model.compile("sgd", "mse", run_eagerly=eager)
    shapes = (tf.TensorSpec((None, None, 3)), tf.TensorSpec((None, None)))
    data = tf.data.Dataset.from_generator(lambda: iter(batches), output_signature=shapes)
    result = keras_lr.find_lr(model, data, **VANISHING)
    expected = [np.mean((model.predict_on_batch(image) - target) ** 2) for image, target in batches]
    np.testing.assert_allclose(result.losses, expected[:23], rtol=1e-4)


def test_class_weights(digits: Any) -> None:
    weight = {digit: 0.5 + digit / 5 for digit in range(10)}
    model = plain_classifier()
    batches = batches_of(digits, weights=np.array([weight[int(label)] for label in digits[1]], "float32"))
    images, labels = (np.concatenate([batch[part] for batch in batches]) for part in (0, 1))
    result = keras_lr.find_lr(model, images, labels, shuffle=False, class_weight=weight, **VANISHING)
    np.testing.assert_allclose(result.losses, expected_losses(model, batches), rtol=1e-4)


def test_regularisation_counts(digits: Any) -> None:
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(10, kernel_regularizer="l2")])
    model.compile("sgd", CROSS_ENTROPY)
    batches = batches_of(digits)
    result = keras_lr.find_lr(model, dataset(batches), **VANISHING)
    assert float(sum(model.losses)) > 0.01
    np.testing.assert_allclose(result.losses, expected_losses(model, batches), rtol=1e-4)


def test_validation_mode_scores_a_fixed_batch(digits: Any) -> None:
    images, labels = digits
    model = plain_classifier()
    held_out = (images[-100:], labels[-100:])
    result = keras_lr.find_lr(model, images, labels, validation_data=held_out, **VANISHING)
    assert result.scored_on == "validation"
    np.testing.assert_allclose(result.losses, expected_losses(model, [held_out] * 23), rtol=1e-4)
    unweighted = keras_lr.find_lr(model, images, labels, validation_data=(*held_out, None), **VANISHING)
    np.testing.assert_array_equal(unweighted.losses, result.losses)
    for other in ((images[:100], labels[:100]), (images[:7], labels[:7]), None):
        again = keras_lr.find_lr(model, images, labels, shuffle=False, validation_data=other, **VANISHING)
        batches = [other] * 23 if other else batches_of(digits)
        np.testing.assert_allclose(again.losses, expected_losses(model, batches), rtol=1e-4)


@pytest.mark.parametrize("kind", ["arrays", "dataset", "weighted dataset"])
def test_the_loss_of_a_constant_output_is_the_entropy_of_the_labels(kind: str, digits: Any) -> None:
    images, labels = (part[: 23 * 32] for part in digits)
    weights = np.ones(len(labels), "float32") if kind == "weighted dataset" else None
    data = (images, labels) if kind == "arrays" else (dataset(batches_of((images, labels), weights=weights)),)
    shares = np.bincount(labels) / len(labels)
    result = keras_lr.find_lr(plain_classifier(), *data, **VANISHING)
    entropy = -float((shares * np.log(shares)).sum())
    assert result.constant_loss == (None if weights is not None else pytest.approx(entropy, rel=1e-4))


def test_another_value_is_not_compared_with_the_loss_of_a_constant_output(digits: Any) -> None:
    model = plain_classifier(metrics=[keras.metrics.SparseCategoricalCrossentropy("entropy", from_logits=True)])
    assert keras_lr.find_lr(model, *digits, monitor="entropy", **VANISHING).constant_loss is None


@pytest.mark.parametrize("eager", [False, True])
def test_a_metric_that_is_better_when_higher_is_no_loss(eager: bool, digits: Any) -> None:
    model = plain_classifier(metrics=["accuracy"], run_eagerly=eager)
    with pytest.raises(keras_lr.errors.ModelError, match=r"`monitor` must name a loss.*'accuracy'"):
        keras_lr.find_lr(model, *digits, monitor="accuracy", **VANISHING)


@pytest.mark.parametrize("eager", [False, True])
def test_weights_that_shrink_are_no_learning(eager: bool) -> None:
    """The inputs say nothing about the targets, so only what regularizers cost falls."""
    random = np.random.default_rng(0)
    inputs = random.normal(size=(1024, 8)).astype("float32")
    noise, sums = random.normal(size=(1024, 1)), inputs.sum(axis=1, keepdims=True) / 3
    found = {}
    for name, targets in (("noise", noise), ("sums", sums)):
        keras.utils.set_random_seed(1)
        layers = [keras.layers.Dense(64, "relu", kernel_regularizer=keras.regularizers.L2(0.03)) for _ in range(2)]
        model = keras.Sequential([keras.Input((8,)), *layers, keras.layers.Dense(1)])
        model.compile("adam", "mse", run_eagerly=eager)
        found[name] = keras_lr.find_lr(model, inputs, targets, batch_size=64)
    assert found["noise"].losses.min() < 0.6 * found["noise"].losses[0]
    assert found["noise"].suggestion.confidence == "tentative"
    assert found["sums"].suggestion.confidence == "clear"
