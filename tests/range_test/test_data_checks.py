"""Faults of the data are named as such, and no learning rate is read off them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import keras_lr
from keras_lr.errors import DataError, InvalidArgumentError, ModelError
from keras_lr.range_test import _data_checks
from keras_lr.range_test._loop import size_of
from tests.training_models import CROSS_ENTROPY, all_values
from tests.versions import names_unknown_weights

RNG = np.random.default_rng(0)
X = RNG.normal(size=(320, 6)).astype("float32")
LABELS = (X.sum(1) > 0).astype("int32")
VALUES = X[:, :1] * 2


def network(activation: str = "tanh", classes: int = 2, **options: Any) -> keras.Model:
    layers = [keras.Input((6,)), keras.layers.Dense(8, activation), keras.layers.Dense(classes)]
    model = keras.Sequential(layers)
    model.compile("sgd", CROSS_ENTROPY, **options)
    return model


def regression(loss: Any = "mse") -> keras.Model:
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1)])
    model.compile("sgd", loss)
    return model


def broken(values: np.ndarray, row: int, value: float) -> np.ndarray:
    values = values.astype("float32")
    values.reshape(len(values), -1)[row, 0] = value
    return values


def batches(*parts: Any) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices(parts).batch(32)


def generator(*parts: Any) -> Any:
    return (tuple(part[start : start + 32] for part in parts) for start in range(0, len(parts[0]), 32))


class Reader(keras.utils.PyDataset):
    def __init__(self, *parts: Any) -> None:
        super().__init__()
        self.parts = parts

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> Any:
        return tuple(part[index * 32 : index * 32 + 32] for part in self.parts)


PLACES: dict[str, Any] = {
    "arrays": (lambda *parts: parts, "row 101"),
    "tensors": (lambda *parts: tuple(map(tf.constant, parts)), "row 101"),
    "frames": (lambda *parts: tuple(map(pd.DataFrame, parts)), "row 101"),
    "dataset": (lambda *parts: (batches(*parts),), "batch 3"),
    "PyDataset": (lambda *parts: (Reader(*parts),), "batch 3"),
    "generator": (lambda *parts: (generator(*parts),), "batch 3"),
}


@pytest.mark.filterwarnings("ignore:The range test could not restore:UserWarning")
@pytest.mark.parametrize("kind", PLACES)
def test_what_the_inputs_hold_is_said_with_its_place(kind: str) -> None:
    value, words = (math.inf, "infinite values") if kind in ("arrays", "dataset") else (math.nan, "NaN")
    wrap, place = PLACES[kind]
    result = keras_lr.find_lr(
        regression(), *wrap(broken(X, 101, value), VALUES), shuffle=False, num_steps=40, refine=True
    )
    assert result.suggestion.learning_rate is None
    assert result.suggestion.confidence == "none"
    assert result.suggestion.reason == f"The inputs hold {words}, first in {place} (counted from 0)."
    assert result.stop_detail == result.suggestion.reason
    assert len(result.losses) == (0 if "row" in place else 3)


@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("options", [{}, {"run_eagerly": True}, {"jit_compile": True}], ids=lambda one: "".join(one))
def test_a_model_that_hides_the_nan_in_its_loss_is_seen_through(activation: str, options: Any) -> None:
    model = network(activation, **options)
    before = all_values(model)
    for data in ((broken(X, 5, math.nan), LABELS), (batches(broken(X, 5, math.nan), LABELS),)):
        suggestion = keras_lr.find_lr(model, *data, shuffle=False, num_steps=25).suggestion
        assert suggestion.learning_rate is None
        assert "The inputs hold NaN, first in" in suggestion.reason
    for old, new in zip(before, all_values(model), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("as_set", [False, True])
def test_targets_and_weights_are_looked_at_too(as_set: bool) -> None:
    weights = np.ones(320, "float32")
    for parts, words in (
        ((X, broken(VALUES, 40, math.nan)), "targets hold NaN"),
        ((X, VALUES, broken(weights, 40, math.inf)), "sample weights hold infinite values"),
    ):
        if as_set:
            result = keras_lr.find_lr(regression(), batches(*parts), num_steps=25)
        else:
            x, y, *rest = parts
            result = keras_lr.find_lr(regression(), x, y, sample_weight=rest[0] if rest else None, num_steps=25)
        place = "batch 1" if as_set else "row 40"
        assert result.suggestion.reason == f"The {words}, first in {place} (counted from 0)."


@pytest.mark.parametrize("as_set", [False, True])
def test_a_loss_that_masks_missing_targets_is_measured_as_without_them(as_set: bool) -> None:
    def masked(target: Any, predicted: Any) -> Any:
        known = ~tf.math.is_nan(target)
        return tf.reduce_mean(tf.where(known, (tf.where(known, target, 0.0) - predicted) ** 2, 0.0))

    parts = (X, broken(VALUES, 40, math.nan))
    keras.utils.set_random_seed(0)
    model = regression(masked)
    data = (batches(*parts),) if as_set else parts
    result = keras_lr.find_lr(model, *data, shuffle=False, max_lr=1e-1, num_steps=60)
    assert result.suggestion.learning_rate is not None
    assert result.stop_reason == "completed"
    zeros = np.nan_to_num(parts[1])
    expected = masked(tf.constant(parts[1][32:64]), tf.constant(model.predict_on_batch(X[32:64])))
    assert zeros[40] == 0
    assert result.losses[1] == pytest.approx(float(expected), rel=1e-3)


def test_a_fit_with_a_range_test_says_it_as_well() -> None:
    finder = keras_lr.LRRangeTest(num_steps=25)
    network().fit(broken(X, 5, math.nan), LABELS, verbose=0, callbacks=[finder])
    assert finder.result.suggestion.reason == "The inputs hold NaN, first in row 5 (counted from 0)."
    with pytest.raises(ModelError, match=r"`apply=True` needs.* gave none: The inputs hold NaN, first in row 5"):
        network().fit(broken(X, 5, math.nan), LABELS, verbose=0, callbacks=[keras_lr.LRRangeTest(apply=True)])


@pytest.mark.parametrize(("label", "remedy"), [(7, "Give the last layer 8 units"), (-1, "Map the labels to 0, 1, 2")])
@pytest.mark.parametrize("kind", ["arrays", "dataset", "first batch of a dataset"])
def test_a_label_that_no_class_has_is_named(label: int, remedy: str, kind: str) -> None:
    labels = LABELS.copy()
    labels[0 if kind.startswith("first") else 200] = label
    data = (X, labels) if kind == "arrays" else (batches(X, labels),)
    model = network()
    before = all_values(model)
    with pytest.raises(DataError, match=rf"from 0 to 1, since the model has 2 outputs.*label {label}\. {remedy}"):
        keras_lr.find_lr(model, *data, num_steps=20)
    for old, new in zip(before, all_values(model), strict=True):
        np.testing.assert_array_equal(old, new)


def test_labels_that_the_loss_ignores_pass() -> None:
    labels = np.where(np.arange(320) % 5 == 0, 255, LABELS)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, ignore_class=255)
    model = network()
    model.compile("sgd", loss)
    assert keras_lr.find_lr(model, X, labels, num_steps=20, max_lr=1e-2).stop_reason == "completed"


def test_labels_of_several_outputs_are_compared_with_their_own_output() -> None:
    inputs = keras.Input((6,))
    heads = {name: keras.layers.Dense(units, name=name)(inputs) for name, units in (("two", 2), ("five", 5))}
    model = keras.Model(inputs, heads)
    model.compile("sgd", dict.fromkeys(heads, CROSS_ENTROPY))
    fine = {"two": LABELS, "five": LABELS * 4}
    assert _data_checks.find_label_fault(model, fine) is None
    assert "from 0 to 1, since the model has 2 outputs" in str(
        _data_checks.find_label_fault(model, {"two": LABELS * 4, "five": LABELS})
    )


def test_tokens_beyond_the_vocabulary_are_a_fault_of_the_data() -> None:
    model = keras.Sequential([keras.layers.Embedding(10, 4), keras.layers.Flatten(), keras.layers.Dense(2)])
    model.compile("sgd", CROSS_ENTROPY)
    with pytest.raises(DataError, match=r"The data must fit the model\..*indices\[.*\] = 10 is not in \[0, 10\)"):
        keras_lr.find_lr(model, np.full((320, 3), 10), LABELS, num_steps=20)


@pytest.mark.parametrize("as_set", [False, True])
def test_a_constant_target_gives_no_rate(as_set: bool) -> None:
    for model, y in ((regression(), np.full((320, 1), 3.0, "float32")), (network(), np.ones(320, "int32"))):
        data = (batches(X, y),) if as_set else (X, y)
        result = keras_lr.find_lr(model, *data, num_steps=40)
        assert result.suggestion.learning_rate is None
        assert result.suggestion.reason.startswith(f"All targets are {int(y.flat[0])}: the model can only learn this")
        assert len(result.losses) > 20


def test_a_dummy_target_of_a_loss_of_one_s_own_passes() -> None:
    class WithPenalty(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            self.add_loss(keras.ops.mean(inputs**2))
            return inputs

    zeros = np.zeros((320, 1), "float32")
    for model in (
        regression(lambda target, predicted: keras.ops.mean((predicted - 1) ** 2)),
        keras.Sequential([keras.Input((6,)), keras.layers.Dense(1), WithPenalty()]),
    ):
        model.compile("sgd", getattr(model, "loss", None) or "mse")
        for data in ((X, zeros), (batches(X, zeros),)):
            assert "All targets" not in keras_lr.find_lr(model, *data, num_steps=30).suggestion.reason


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_the_size_of_a_batch_tells_nan_from_infinity_and_both_from_large_values(dtype: str) -> None:
    most = float(tf.as_dtype(dtype).max)
    for values, right in (
        ([most] * 1000, math.isfinite),
        ([most, -math.inf, math.inf], math.isinf),
        ([0.0, math.inf, math.nan, -math.inf], math.isnan),
        ([], math.isfinite),
    ):
        assert right(float(size_of(tf.cast(tf.constant(values, tf.float64), dtype))))


@pytest.mark.parametrize("options", [{}, {"run_eagerly": True}], ids=["graph", "eager"])
def test_targets_of_a_dataset_are_judged_by_every_batch(options: dict[str, Any]) -> None:
    steady = network(**options)
    two_classes = np.repeat([0, 1], 160).astype("int32")
    assert "All targets" not in keras_lr.find_lr(steady, batches(X, two_classes), num_steps=10).suggestion.reason
    assert (
        "All targets are 3"
        in keras_lr.find_lr(network(classes=4, **options), batches(X, np.full(320, 3)), num_steps=10).suggestion.reason
    )
    wide = keras.Sequential([keras.Input((6,)), keras.layers.Dense(300)])
    wide.compile("sgd", "mse", **options)
    same = np.full((320, 300), 2.0, "float32")
    assert "All targets are 2" in keras_lr.find_lr(wide, batches(X, same), num_steps=10).suggestion.reason


@pytest.mark.parametrize("loss", ["binary_crossentropy", "binary_focal_crossentropy"])
@pytest.mark.parametrize("as_set", [False, True])
def test_binary_labels_outside_zero_and_one_give_no_rate(
    as_set: bool, loss: str, recwarn: pytest.WarningsRecorder
) -> None:
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(1, "sigmoid")])
    model.compile("sgd", loss)
    for labels, words in ((LABELS + 1, "from 1 to 2"), (LABELS * 2 - 1, "from -1 to 1")):
        data = (batches(X, labels),) if as_set else (X, labels)
        reason = keras_lr.find_lr(model, *data, num_steps=30).suggestion.reason
        assert reason.startswith(f"The targets reach {words}, but binary cross-entropy takes labels from 0 to 1.")
    assert "targets" not in keras_lr.find_lr(model, X, LABELS, num_steps=30).suggestion.reason
    assert not [warning for warning in recwarn if "activation" in str(warning.message)]


@pytest.mark.parametrize("loss", ["categorical_crossentropy", keras.losses.CategoricalFocalCrossentropy()])
def test_shares_of_classes_below_zero_give_no_rate(loss: Any) -> None:
    model = keras.Sequential([keras.Input((6,)), keras.layers.Dense(2, "softmax")])
    model.compile("sgd", loss)
    shares = np.eye(2, dtype="float32")[LABELS.reshape(-1)]
    suggestion = keras_lr.find_lr(model, X, 2 * shares - 1, num_steps=30).suggestion
    assert suggestion.learning_rate is None
    assert suggestion.reason.startswith("The targets reach from -1 to 1, but categorical cross-entropy takes shares")
    assert "shares" not in keras_lr.find_lr(model, X, shares, num_steps=30).suggestion.reason


@pytest.mark.parametrize("eager", [False, True])
def test_forgotten_targets_and_batches_are_named(eager: bool) -> None:
    whole = tf.data.Dataset.from_tensor_slices((X, LABELS))
    for data, error, words in (
        ((X,), DataError, r"`y` must be given, since.*Received none\. Pass the targets\.$"),
        (((X, LABELS),), DataError, r"`y` must be given.*Pass the targets as a second argument\."),
        ((batches(X).map(lambda x: x),), DataError, r"`x` must yield \(inputs, targets\), since the model"),
        ((whole,), DataError, r"`x` must yield batches\. Received single samples of shape \(6,\).*Add `\.batch\(32\)`"),
        ((None, LABELS), DataError, r"`x` must be training data, as for `model\.fit`\. Received: None"),
        ((X[:, :5], LABELS), DataError, r"have the size 6 on axis -1\. Received inputs of shape \(samples, 5\)"),
        ((batches(X[:, :5], LABELS),), DataError, r"the size 6 on axis -1\. Received inputs of shape \(samples, 5\)"),
        ((X, LABELS[:100]), DataError, "the same number of samples. Received `x` of 320, `y` of 100"),
        ((X.astype(object), LABELS), DataError, "must hold numbers. Received the dtype object"),
        ((X, np.array(["no", "yes"])[LABELS]), DataError, "must hold numbers. Received the dtype str"),
        ((X, np.eye(2)[LABELS]), DataError, r"`y` must hold labels as numbers for sparse .*`categorical_crossentropy`"),
        ((X, np.array(["no", "yes"], object)[LABELS]), DataError, r"`y` must hold numbers\. Received text\. Map the"),
        (
            (X, broken(LABELS[:, None], 5, np.nan)),
            DataError,
            "Received a missing one(, first in row 5|. Remove)",
        ),
        ((X, pd.Series(LABELS).astype("category")), DataError, "the dtype category. Pass the codes of the categories"),
        ((X[:0], LABELS[:0]), DataError, r"`x` must yield at least one batch"),
        ((Path("train.csv"),), DataError, r"`x` must hold data of a kind that `fit` reads.*PosixPath\('train.csv'\)"),
        (("train.csv",), DataError, "must hold arrays. Received the text 'train.csv'. Load the file first."),
        ((lambda: (X, LABELS),), DataError, "must hold data. Received a function. Call it, and pass what it returns."),
        ((iter(batches(X, LABELS)),), DataError, "Received an iterator over a dataset. Pass the dataset itself."),
    ):
        with pytest.raises(error, match=words):
            keras_lr.find_lr(network(run_eagerly=eager), *data, num_steps=20)
    with pytest.raises(InvalidArgumentError, match=r"`class_weight` must be a dict.*Received: list"):
        keras_lr.find_lr(network(), X, LABELS, class_weight=[1, 2])
    lossless = keras.Sequential([keras.Input((6,)), keras.layers.Dense(2)])
    lossless.compile("sgd", run_eagerly=eager)
    with pytest.raises(ModelError, match="`model` must have a loss to train by"):
        keras_lr.find_lr(lossless, X, LABELS, num_steps=20)
    with pytest.raises(DataError, match="Received `x` of 320, `y` of 320, `sample_weight` of 9"):
        keras_lr.find_lr(network(), X, LABELS, sample_weight=np.ones(9))
    unbuilt = keras.Sequential([keras.layers.Dense(2)])
    unbuilt.compile("sgd", CROSS_ENTROPY, run_eagerly=eager)
    with pytest.raises(DataError, match=r"`x` must yield batches\. Received single samples of shape \(6,\)"):
        keras_lr.find_lr(unbuilt, whole, num_steps=20)


def test_labels_of_several_classes_for_an_elementwise_loss_are_named() -> None:
    model = network()
    model.compile("sgd", "binary_crossentropy")
    words = r"as many axes as the model's output of shape \(None, 2\)\. Received targets of shape \(samples\)"
    with pytest.raises(DataError, match=words):
        keras_lr.find_lr(model, X, LABELS, num_steps=5)


def test_outputs_with_more_axes_than_labels_are_not_blamed_on_the_labels() -> None:
    model = keras.Sequential([keras.layers.Dense(2)])
    model.compile("sgd", CROSS_ENTROPY)
    with pytest.raises(DataError, match=r"Received one label per sample, while .* have the shape \(32, 6, 2\)"):
        keras_lr.find_lr(model, X[..., None], LABELS, num_steps=5)


def test_a_batch_size_of_zero_is_not_taken_for_the_default() -> None:
    with pytest.raises(InvalidArgumentError, match=r"`batch_size` must be an integer >= 1\. Received: 0"):
        keras_lr.find_lr(network(), X, LABELS, batch_size=0)


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        ((X[:8, :5], LABELS[:8]), "have the size 6 on axis -1. Received inputs of shape .samples, 5."),
        ((X[:8], LABELS[:7]), "Received `x` of 8, `y` of 7"),
        ((X[:8], LABELS[:8] + 1), "Received the label 2"),
        ((X[:8], np.eye(2)[LABELS[:8]]), "labels as numbers .* Prepare them as the training data"),
    ],
)
def test_a_validation_batch_that_does_not_fit_is_named(validation: Any, message: str) -> None:
    with pytest.raises(DataError, match=f"In `validation_data`: .*{message}"):
        keras_lr.find_lr(network(), X, LABELS, validation_data=validation, num_steps=5)


def test_a_validation_batch_with_nan_is_why_there_is_no_rate() -> None:
    targets = np.full((8, 1), np.nan, "float32")
    result = keras_lr.find_lr(regression(), X, LABELS, validation_data=(X[:8], targets), num_steps=25, verbose=0)
    assert result.suggestion.learning_rate is None
    assert result.suggestion.reason == "In `validation_data`: The targets hold NaN, first in row 0 (counted from 0)."


def test_labels_as_numbers_for_one_hot_labels_are_named() -> None:
    model = network()
    model.compile("sgd", "categorical_crossentropy")
    with pytest.raises(DataError, match=r"Received labels as numbers\. Compile .* `sparse_categorical_crossentropy`"):
        keras_lr.find_lr(model, X, LABELS, num_steps=20)


@names_unknown_weights
@pytest.mark.parametrize("eager", [False, True])
def test_a_layer_that_is_trainable_again_needs_a_new_compile(eager: bool) -> None:
    model = network(run_eagerly=eager)
    model.layers[0].trainable = False
    model.compile("sgd", CROSS_ENTROPY, run_eagerly=eager)
    model.fit(X, LABELS, verbose=0)
    model.layers[0].trainable = True
    with pytest.raises(ModelError, match=r"`model` must be compiled after its trainable weights have changed\..*again"):
        keras_lr.find_lr(model, X, LABELS, num_steps=20)
    model.compile("sgd", CROSS_ENTROPY, run_eagerly=eager)
    assert keras_lr.find_lr(model, X, LABELS, num_steps=20, max_lr=1e-3).stop_reason == "completed"


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_the_first_bad_row_of_any_structure_is_found(dtype: str) -> None:
    values = np.zeros((5000, 3), dtype)
    assert _data_checks.find_bad_value([values, {"a": values}], None, None) is None
    values[4321, 2] = np.inf
    other = values.copy()
    other[77, 1] = np.nan
    found = _data_checks.find_bad_value([values, {"a": other}])
    assert str(found) == "The inputs hold NaN, first in row 77 (counted from 0)."
    assert _data_checks.find_bad_value_in_batches([(values[:9], other[:9]), (values[9:], other[9:80])]) == (
        _data_checks.BadValue("inputs", "infinite values", "batch", 1)
    )
    assert _data_checks.find_bad_value(np.array(["a"]), np.arange(3), None) is None


def regressor(activation: str | None, units: int = 1, loss: str = "mse") -> keras.Model:
    layers = [keras.Input((6,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(units, activation)]
    model = keras.Sequential(layers)
    model.compile("sgd", loss)
    return model


@pytest.mark.parametrize(
    ("activation", "loss", "limits", "expected"),
    [
        ("softmax", "binary_crossentropy", (0.0, 1.0), "softmax over a single unit"),
        ("sigmoid", "mse", (-2.0, 2.0), "sigmoid gives only values from 0 to 1"),
        ("tanh", "mae", (0.0, 40.0), "tanh gives only values from -1 to 1"),
        ("relu", "huber", (-3.0, 3.0), "relu gives only values of at least 0"),
        (None, "mse", (0.0, 2e4), "reach 2e+04"),
        (None, "mse", (-3.0, 3.0), ""),
        ("sigmoid", "mse", (0.0, 1.0), ""),
        ("sigmoid", "binary_crossentropy", (0.0, 1.0), ""),
        ("tanh", "hinge", (-1.0, 1.0), ""),
    ],
)
def test_an_output_that_cannot_reach_its_targets_is_named(activation, loss, limits, expected):
    advice = _data_checks.output_advice(regressor(activation, loss=loss), limits)
    assert len(advice) == bool(expected)
    assert all(expected in text for text in advice)


@pytest.mark.skipif(not hasattr(keras.losses, "CategoricalGeneralizedCrossEntropy"), reason="newer Keras")
def test_the_labels_of_a_generalized_cross_entropy_need_not_be_reached():
    model = regressor("softmax", 10, loss=keras.losses.CategoricalGeneralizedCrossEntropy())
    assert not _data_checks.output_advice(model, (0.0, 9.0))


@pytest.mark.parametrize("as_set", [False, True], ids=["arrays", "dataset"])
def test_the_range_test_warns_once_of_an_output_that_cannot_reach_its_targets(as_set):
    data = (tf.data.Dataset.from_tensor_slices((X, VALUES)).batch(32),) if as_set else (X, VALUES)
    with pytest.warns(UserWarning, match="sigmoid gives only values from 0 to 1") as warned:
        keras_lr.find_lr(regressor("sigmoid"), *data, num_steps=20, verbose=False)
    assert len(warned) == 1


def test_a_longer_training_is_suggested_a_lower_rate():
    model = regressor(None)
    rates = [
        keras_lr.find_lr(model, X, VALUES, shuffle=False, num_steps=60, verbose=False, epochs=epochs).suggestion
        for epochs in (None, 6150)
    ]
    # 6,150 epochs of 10 steps are a hundred times 615.
    assert rates[1].learning_rate / rates[0].learning_rate == pytest.approx(10**-0.5, rel=1e-3)


def test_weights_that_the_first_step_breaks_are_no_flat_curve():
    keras.utils.set_random_seed(0)
    layers = [keras.layers.Dense(8, "relu"), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((3,)), *layers])
    model.compile(keras.optimizers.Adafactor(), "mse")
    inputs = np.where(np.arange(3) == 1, 0.0, X[:, :3]).astype("float32")
    layers[0].bias.assign([-100.0] + [0.0] * 7)
    before = model.get_weights()
    suggestion = keras_lr.find_lr(model, inputs, VALUES, num_steps=20, verbose=False).suggestion
    assert suggestion.learning_rate is None
    assert suggestion.reason.startswith("After the first step, at a learning rate of 1e-7, `")
    assert "kernel` holds NaN or infinity, although the data do not" in suggestion.reason
    assert all(map(np.array_equal, model.get_weights(), before))
    # The loss of `fit` need not show it: on some processors, relu(NaN) is 0.
    model.fit(inputs, VALUES, verbose=0)
    assert not np.isfinite(model.get_weights()[0]).all()


def with_own(name: str) -> keras.Model:
    """A model with a method `name` of its own, which does as that of Keras does."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return getattr(keras.Sequential, name)(self, *args, **kwargs)

    model: keras.Model = type("Own", (keras.Sequential,), {name: method})([keras.layers.Dense(2)])
    model.compile("sgd", CROSS_ENTROPY)
    return model


@pytest.mark.parametrize(
    ("name", "advice"),
    [("fit", "pass `LRRangeTest` to it as a callback"), ("make_train_function", "Compare the suggested rate")],
)
def test_a_training_that_a_range_test_does_not_call_is_named(name: str, advice: str) -> None:
    with pytest.warns(UserWarning, match=rf"`{name}` of its own, but .* `train_step`.* {advice}"):
        keras_lr.find_lr(with_own(name), X, LABELS, num_steps=5)


def test_a_range_test_within_a_fit_of_the_model_s_own_says_nothing_of_it(recwarn: pytest.WarningsRecorder) -> None:
    with_own("fit").fit(X, LABELS, callbacks=[keras_lr.LRRangeTest(num_steps=5)], verbose=0)
    assert not [one for one in recwarn if "of its own" in str(one.message)]
