"""What is wrong with the data is said of the data, not of the learning rates."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from keras_lr.errors import DataError, ModelError
from keras_lr.search import LogGridSearch, RaceSearch
from tests.search.small_search import classifier, iris, run_small, small_search
from tests.versions import names_unknown_weights

ENGINES = ("stacked", "function", "reuse", "rebuild")
X = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
Y = X[:, :1].copy()


def spoilt(array: np.ndarray, row: int, value: float = np.nan) -> np.ndarray:
    array = array.copy()
    array[row, 0] = value
    return array


def regression(activation: str | None = None, *first: Callable[[], Any]) -> Callable[[], keras.Model]:
    def build() -> keras.Model:
        layers = [*(make() for make in first), keras.layers.Dense(8, activation), keras.layers.Dense(1)]
        model = keras.Sequential([keras.Input((4,)), *layers])
        model.compile("sgd", "mse")
        return model

    return build


def searched(directory: Path, build: Any, x: Any, y: Any = None, **arguments: Any) -> LogGridSearch:
    engine = arguments.pop("engine", "auto")
    objective = "val_loss" if "validation_data" in arguments else "loss"
    tuner = small_search(build, directory, repeats=1, engine=engine, objective=objective)
    tuner.search(x, y, **{"epochs": 1, "verbose": 0, **arguments})
    return tuner


@pytest.mark.parametrize(
    ("x", "y", "validation", "message"),
    [
        (spoilt(X, 40), Y, None, "The inputs hold NaN, first in row 40 "),
        (spoilt(X, 40, np.inf), Y, None, "The inputs hold infinite values, first in row 40 "),
        (X, spoilt(Y, 7), None, "The targets hold NaN, first in row 7 "),
        (X, Y, (X, spoilt(Y, 3)), "In `validation_data`: The targets hold NaN, first in row 3 "),
    ],
)
def test_values_that_are_not_finite_are_named_and_nothing_is_trained(
    tmp_path: Path, x: Any, y: Any, validation: Any, message: str
) -> None:
    given = {} if validation is None else {"validation_data": validation}
    with pytest.warns(UserWarning, match=message):
        tuner = searched(tmp_path, regression(), x, y, **given)
    result = tuner.sensitivity()
    assert result.reason.startswith(message)
    assert (result.best_learning_rate, result.confidence) == (None, "none")
    assert result.frame["status"].tolist() == ["failed", "failed"]
    assert {trial.status for trial in tuner.oracle.trials.values()} == {"FAILED"}


@pytest.mark.parametrize("validation", [{}, {"validation_split": 0.25}], ids=["whole", "split"])
def test_a_column_of_text_is_named(tmp_path: Path, validation: dict[str, Any]) -> None:
    frame = pd.DataFrame(X, columns=list("abcd")).assign(d="text")
    with pytest.raises(DataError, match=r"Received the dtype \w+ in the column 'd'\. Map text to numbers"):
        searched(tmp_path, regression(), frame, Y, **validation)


def test_a_race_on_such_data_advises_no_other_rates(tmp_path: Path) -> None:
    race = RaceSearch(regression(), learning_rates=[1e-3, 1e-2], directory=str(tmp_path))
    with pytest.warns(UserWarning, match="The targets hold NaN"):
        race.search(X, Y, validation_data=(X, spoilt(Y, 3)), epochs=2, verbose=0)
    assert race.sensitivity().reason.startswith("In `validation_data`: The targets hold NaN, first in row 3 ")
    assert "lower rates" not in race.sensitivity().reason


@pytest.mark.parametrize("engine", ENGINES)
def test_the_engines_agree_on_nan_where_an_activation_hides_it(tmp_path: Path, engine: str) -> None:
    with pytest.warns(UserWarning, match="The inputs hold NaN"):
        result = searched(tmp_path, regression("relu"), spoilt(X, 40), Y, engine=engine).sensitivity()
    assert result.frame["status"].tolist() == ["failed", "failed"]


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_nan_in_a_dataset_is_found_once_every_run_has_diverged(tmp_path: Path, activation: str) -> None:
    data = tf.data.Dataset.from_tensor_slices((spoilt(X, 40), Y)).batch(16)
    with pytest.warns(UserWarning, match=r"The inputs hold NaN, first in batch 2 \(counted from 0\)"):
        result = searched(tmp_path, regression(activation), data).sensitivity()
    assert result.frame["status"].tolist() == ["diverged", "diverged"]
    assert result.best_learning_rate is None
    assert result.reason.startswith("The inputs hold NaN, first in batch 2 ")


@keras.saving.register_keras_serializable("tests")
class Filled(keras.layers.Layer):
    """Replaces NaN by 0."""

    def call(self, inputs: Any) -> Any:
        return tf.where(tf.math.is_nan(inputs), tf.zeros_like(inputs), inputs)


def test_a_model_that_copes_with_nan_is_trained(tmp_path: Path) -> None:
    x = spoilt(X, 40)
    frame = searched(tmp_path, regression(None, Filled), x, Y, batch_size=64).sensitivity().frame
    for rate, loss in zip(frame["learning_rate"], frame["loss"], strict=True):
        keras.utils.set_random_seed(0)
        model = regression()()
        model.optimizer.learning_rate = rate
        assert loss == pytest.approx(model.fit(np.nan_to_num(x), Y, batch_size=64, verbose=0).history["loss"][0])


def test_a_rate_that_diverges_on_good_data_is_still_blamed(tmp_path: Path) -> None:
    data = tf.data.Dataset.from_tensor_slices((X, Y)).batch(16)
    tuner = LogGridSearch(
        regression(), "loss", learning_rates=[1e30, 1e31], repeats=1, extend=False, directory=tmp_path
    )
    tuner.search(data, epochs=1, verbose=0)
    assert "Lower the learning rates" in tuner.sensitivity().reason


def test_targets_that_are_all_equal_are_said(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="All targets are 1"):
        result = searched(tmp_path, regression(), X, np.ones_like(Y)).sensitivity()
    assert "All targets are 1: the model can only learn this constant" in result.doubts[-1]
    assert result.reason.endswith(result.doubts[-1])


@pytest.mark.parametrize("of_dataset", [False, True])
@pytest.mark.parametrize(("shift", "label"), [(1, 3), (-1, -1)])
def test_labels_outside_the_classes_are_named(tmp_path: Path, shift: int, label: int, *, of_dataset: bool) -> None:
    x, y, _ = iris()
    data = (tf.data.Dataset.from_tensor_slices((x, y + shift)).batch(20),) if of_dataset else (x, y + shift)
    tuner = small_search(classifier(), tmp_path, objective="loss", repeats=1)
    with pytest.raises(
        DataError, match=f"labels from 0 to 2, since the model has 3 outputs. Received the label {label}"
    ):
        tuner.search(*data, epochs=1, verbose=0)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ((X,), "`y` must be given, since the model is compiled with a loss"),
        ((X[:, :3], Y), r"have the size 4 on axis -1\. Received inputs of shape \(samples, 3\)"),
        ((X, Y[:9]), "the same number of samples. Received `x` of 64, `y` of 9"),
        ((tf.data.Dataset.from_tensor_slices(X).batch(16),), r"`x` must yield \(inputs, targets\)"),
        ((tf.data.Dataset.from_tensor_slices((X, Y)),), r"`x` must yield batches. .*shape \(4,\).*`.batch\(32\)`"),
        (
            (tf.data.Dataset.from_tensor_slices((X, Y[:, 0])),),
            r"`x` must yield batches. .*shape \(4,\).*`.batch\(32\)`",
        ),
        ((tf.data.Dataset.from_tensor_slices((X, Y)).batch(16), Y), "`y` must be part of the batches"),
        ((X.tolist(), Y), r"`x` must hold arrays\. Received: list of float\. Convert it with `np\.array\(x\)`"),
        ((X, Y[:, 0].tolist()), "`y` must hold arrays"),
        ((tf.data.Dataset.from_tensor_slices((X, Y)).batch(16).repeat(),), "`x` must end.*Pass `steps_per_epoch`, or"),
        (("train.csv",), "`x` must hold arrays. Received the text 'train.csv'. Load the file first."),
    ],
)
def test_what_is_forgotten_is_said(tmp_path: Path, data: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        searched(tmp_path, regression(), *data)
    assert not (tmp_path / "lr").exists()


class Reader(keras.utils.PyDataset):
    def __init__(self, *parts: Any) -> None:
        super().__init__()
        self.parts = parts

    def __len__(self) -> int:
        return 1

    def __getitem__(self, index: int) -> Any:
        return self.parts


WIDTH = r"`x` must hold inputs .* have the size 4 on axis -1\. Received inputs of shape \(samples, 3\)"


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        ((X[:, :3], Y), WIDTH),
        (tf.data.Dataset.from_tensor_slices((X[:, :3], Y)).batch(16), WIDTH),
        (Reader(X[:, :3], Y), WIDTH),
        ((X[:, None, :], Y), r"have the shape \(None, 4\)\. Received inputs of shape \(samples, 1, 4\)"),
        ((X,), "`y` must be given"),
        (X, "`y` must be given"),
    ],
)
def test_validation_data_that_does_not_fit_is_said_before_training(
    tmp_path: Path, validation: Any, message: str
) -> None:
    with pytest.raises(DataError, match=f"In `validation_data`: .*{message}"):
        searched(tmp_path, regression(), X, Y, validation_data=validation)
    assert not (tmp_path / "lr").exists()


def test_validation_data_of_another_kind_that_fits_trains(tmp_path: Path) -> None:
    given = {"validation_data": Reader(X.astype("float64"), Y, np.ones(64)), "epochs": 1}
    frame = searched(tmp_path, regression(), X, Y, **given).sensitivity().frame
    plain = searched(tmp_path / "plain", regression(), X, Y, validation_data=(X, Y)).sensitivity().frame
    np.testing.assert_allclose(frame["val_loss"], plain["val_loss"], rtol=1e-4)


@pytest.mark.parametrize(("weights", "known"), [({}, True), ({"sample_weight": np.full(64, 0.1)}, False)])
def test_the_untrained_loss_of_weighted_samples_is_not_stored_beside_that_of_the_validation(
    tmp_path: Path, weights: dict[str, Any], known: bool
) -> None:
    result = searched(tmp_path, regression(), X, Y, validation_data=(X, Y), **weights).sensitivity()
    assert ("untrained_loss" in result.known, "baseline_loss" in result.known) == (known, known)


def with_first_layer(trainable: bool, *, fitted: bool) -> keras.Model:
    """A model whose last layer was frozen when it was compiled; if it was not fitted, so was its first."""
    model = regression()()
    for layer in model.layers:
        layer.trainable = fitted and layer is model.layers[0]
    model.compile("sgd", "mse")
    if fitted:
        model.fit(X, Y, verbose=0)
    for layer in model.layers:
        layer.trainable = trainable
    return model


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: with_first_layer(False, fitted=False),
            "`model` must have trainable weights. Received a model without",
        ),
        pytest.param(
            lambda: with_first_layer(True, fitted=True),
            "`model` must be compiled after its trainable weights have chang",
            marks=names_unknown_weights,
        ),
    ],
)
def test_a_model_that_cannot_train_is_refused(tmp_path: Path, build: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        searched(tmp_path, build, X, Y)


@cache
def validation_losses(rate: float) -> list[float]:
    """What `evaluate` finds after each of four epochs of `fit`, on the batches that a search documents."""
    x, y, validation = iris()
    keras.utils.set_random_seed(0)
    model = classifier()()
    model.optimizer.learning_rate = rate
    losses = []
    for epoch in range(4):
        order = np.random.default_rng([0, epoch]).permutation(len(x))
        model.fit(x[order], y[order], batch_size=16, shuffle=False, verbose=0)
        losses.append(model.evaluate(*validation, verbose=0, return_dict=True)["loss"])
    return losses


@pytest.mark.parametrize(("frequency", "validated"), [(2, [1, 3]), ([1, 3], [0, 2])])
def test_epochs_without_validation_have_no_value_of_it(tmp_path: Path, frequency: Any, validated: list[int]) -> None:
    tuner = small_search(classifier(), tmp_path, repeats=1)
    frame = run_small(tuner, epochs=4, validation_freq=frequency)
    for rate, rows in frame.groupby("learning_rate"):
        expected = np.full(4, np.nan)
        expected[validated] = np.array(validation_losses(rate))[validated]
        np.testing.assert_allclose(rows["val_loss"], expected, rtol=1e-4)
        assert tuner.oracle.trials[f"lr{rate:g}"].score == pytest.approx(np.nanmin(expected), rel=1e-4)
    assert tuner.sensitivity().best_learning_rate is not None
    lines = (tmp_path / "lr" / "records" / "tuner0.jsonl").read_text()
    run_small(tuner, epochs=4, validation_freq=frequency)
    assert (tmp_path / "lr" / "records" / "tuner0.jsonl").read_text() == lines
