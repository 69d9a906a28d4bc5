"""Every kind of model, and every optimizer of Keras."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer
from sklearn.preprocessing import StandardScaler

import keras_lr
from keras_lr._keras.learning_rate import set_learning_rate
from keras_lr.errors import ModelError
from tests.training_models import CROSS_ENTROPY, all_values, custom_step, plain_classifier
from tests.versions import needs_multi_optimizer, needs_muon

OPTIMIZERS = sorted(
    name
    for name, value in vars(keras.optimizers).items()
    if isinstance(value, type) and issubclass(value, keras.Optimizer) and name not in {"Optimizer", "MultiOptimizer"}
)
SPECIAL = {
    "LossScaleOptimizer": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1)),
    "Muon": lambda: keras.optimizers.Muon(0.1, exclude_layers=["dense"]),
}
SWEEP = {"num_steps": 12, "min_lr": 1e-4, "max_lr": 1e-2, "stop_on_divergence": False}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=needs_muon) if name == "Muon" else name for name in OPTIMIZERS]
)
def test_every_optimizer_is_swept_and_restored(name: str, digits: Any) -> None:
    images, labels = digits[0][:96], digits[1][:96]
    model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(10)])
    model.compile(SPECIAL.get(name, getattr(keras.optimizers, name))(), CROSS_ENTROPY)
    model.optimizer.build(model.trainable_variables)
    before, rate = all_values(model), float(model.optimizer.learning_rate)
    result = keras_lr.find_lr(model, images, labels, shuffle=False, **SWEEP)
    assert result.stop_reason == "completed"
    assert len(np.unique(result.losses)) == 12
    assert float(model.optimizer.learning_rate) == rate
    for old, new in zip(before, all_values(model), strict=True):
        np.testing.assert_array_equal(old, new)


def test_the_rate_of_each_step_is_the_one_of_the_sweep() -> None:
    # SGD on the mean of 1 - w has the gradient -1, so that w grows by exactly the learning rate at each step.
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
    for rate in (0.5, keras.optimizers.schedules.ExponentialDecay(0.5, 1, 0.5)):
        model.compile(keras.optimizers.SGD(rate), lambda target, predicted: target - predicted)
        ones = np.ones((64, 1), "float32")
        result = keras_lr.find_lr(model, ones, ones, min_lr=0.01, max_lr=0.1, num_steps=10, stop_on_divergence=False)
        passed = np.concatenate([[0.0], np.cumsum(result.learning_rates)[:-1]])
        np.testing.assert_allclose(result.losses, 1 - passed, rtol=1e-5)
        assert float(model.optimizer.learning_rate) == 0.5


@needs_multi_optimizer
@pytest.mark.parametrize(
    ("scheduled", "steps_done"),
    [
        (float, 0),
        (lambda rate: keras_lr.schedules.Warmup(rate, 100), 0),
        (lambda rate: keras.optimizers.schedules.PolynomialDecay(rate, 10, 0.0), 10),
    ],
    ids=["constant", "warmup from 0", "decay that has ended at 0"],
)
def test_several_optimizers_keep_their_ratio(scheduled: Any, steps_done: int) -> None:
    inputs = keras.Input((1,))
    outputs = [keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros", name=name)(inputs) for name in "ab"]
    model = keras.Model(inputs, keras.layers.Add()(outputs))
    rates = {"a": 0.5, "b": 0.05}
    chosen = {name: keras.optimizers.SGD(scheduled(rate)) for name, rate in rates.items()}
    optimizer = keras.optimizers.MultiOptimizer(lambda variable: chosen[variable.path[0]])
    model.compile(optimizer, lambda target, predicted: target - predicted)
    for part in chosen.values():
        part.iterations.assign(steps_done)
    before = {name: float(part.learning_rate) for name, part in chosen.items()}
    ones = np.ones((64, 1), "float32")
    result = keras_lr.find_lr(model, ones, ones, min_lr=0.01, max_lr=0.1, num_steps=10, stop_on_divergence=False)
    passed = np.concatenate([[0.0], np.cumsum(result.learning_rates)[:-1]])
    np.testing.assert_allclose(result.losses, 1 - 1.1 * passed, rtol=1e-5)
    assert {name: float(part.learning_rate) for name, part in chosen.items()} == pytest.approx(before)


def test_a_fixed_rate_that_replaces_warmups_keeps_their_ratio() -> None:
    parts = [keras.optimizers.SGD(keras_lr.schedules.Warmup(rate, 100)) for rate in (0.5, 0.05)]
    set_learning_rate(SimpleNamespace(optimizers=parts), 0.1)
    assert [float(part.learning_rate) for part in parts] == pytest.approx([0.1, 0.01])


class Subclassed(keras.Model):
    """Has several named inputs and a list of outputs, and is built at its first call."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = keras.layers.Dense(8)
        self.heads = [keras.layers.Dense(10), keras.layers.Dense(1)]

    def call(self, inputs: Any) -> Any:
        hidden = self.hidden(keras.ops.concatenate([inputs["left"], inputs["right"]], axis=-1))
        return [head(hidden) for head in self.heads]


class CountsSamples(keras.layers.Layer):
    """Reads the number of samples while it is traced, as layers of whole graphs do."""

    def call(self, inputs: Any) -> Any:
        return inputs / float(inputs.shape[0])


def test_a_layer_that_needs_the_number_of_samples_has_it_as_in_fit(digits: Any) -> None:
    images, labels = digits[0][:64].astype("float32"), digits[1][:64].astype("float32")
    model = keras.Sequential([CountsSamples(), keras.layers.Dense(1, kernel_initializer="ones")])
    model.compile(keras.optimizers.SGD(), "mse")
    rates = {"min_lr": 1e-30, "max_lr": 2e-30, "num_steps": 4}
    result = keras_lr.find_lr(model, images, labels, batch_size=16, shuffle=False, **rates)
    errors = (images.sum(axis=1) / 16 - labels) ** 2
    np.testing.assert_allclose(result.losses, errors.reshape(4, 16).mean(axis=1), rtol=1e-5)
    assert result.engine == "graph"


def test_a_subclassed_model_of_several_inputs_and_outputs(digits: Any) -> None:
    images, labels = digits
    parts = {"left": images[:, :32], "right": images[:, 32:]}
    targets = [labels, (labels % 2).astype("float32")]
    model = Subclassed()
    model.compile("sgd", [CROSS_ENTROPY, "mse"])
    result = keras_lr.find_lr(model, parts, targets, shuffle=False, min_lr=1e-30, max_lr=1e-29, num_steps=5)
    for step in range(5):
        rows = slice(step * 32, step * 32 + 32)
        first, second = model.predict_on_batch({name: part[rows] for name, part in parts.items()})
        expected = float(CROSS_ENTROPY(labels[rows], first)) + np.mean((second[:, 0] - targets[1][rows]) ** 2)
        assert result.losses[step] == pytest.approx(expected, rel=1e-4)


def test_a_custom_step_by_its_own_loss_and_by_another_name(digits: Any) -> None:
    class Renamed(type(custom_step())):  # type: ignore[misc]
        def train_step(self, data: Any) -> Any:
            return {"total": super().train_step(data)["loss"]}

    model = Renamed()
    model.compile("sgd")
    keras.utils.set_random_seed(0)
    result = keras_lr.find_lr(model, *digits, monitor="total", **SWEEP)
    assert result.monitor == "total"
    assert result.stop_reason == "completed"
    assert 1.5 < result.losses[0] < 4.0


def test_a_step_with_an_optimizer_of_its_own_is_refused(digits: Any) -> None:
    class OwnOptimizer(type(custom_step())):  # type: ignore[misc]
        def train_step(self, data: Any) -> Any:
            compiled, self.optimizer = self.optimizer, self.own
            try:
                return super().train_step(data)
            finally:
                self.optimizer = compiled

    model = OwnOptimizer()
    model.own = keras.optimizers.Adam(0.01)
    model.compile("sgd")
    model(digits[0][:1])
    model.own.build(model.trainable_variables)
    before = model.get_weights()
    with pytest.raises(ModelError, match=r"`train_step` must train with `model\.optimizer`.*compiled SGD unused"):
        keras_lr.find_lr(model, *digits, **SWEEP)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_divergence_stops_the_sweep_whatever_the_loss_s_sign(sign: float, digits: Any) -> None:
    def shifted(target: Any, predicted: Any) -> Any:
        return CROSS_ENTROPY(target, predicted) + sign * 5.0

    keras.utils.set_random_seed(0)
    model = plain_classifier("sgd")
    model.compile("sgd", shifted)
    result = keras_lr.find_lr(model, *digits, min_lr=1e-4, max_lr=1e4, num_steps=100)
    assert result.stop_reason in {"diverged", "non_finite"}
    assert 30 < len(result.losses) < 100
    assert "learning rate of" in result.stop_detail
    assert result.learning_rates[-1] > 0.05


def test_a_loss_that_is_not_finite_stops_the_sweep(digits: Any) -> None:
    model = plain_classifier("sgd")
    model.compile("sgd", lambda target, predicted: keras.ops.exp(100 * keras.ops.max(keras.ops.abs(predicted))))
    result = keras_lr.find_lr(model, *digits, min_lr=1e-6, max_lr=1e3, num_steps=60, stop_on_divergence=False)
    assert result.stop_reason == "non_finite"
    assert len(result.losses) < 60
    assert np.isfinite(result.losses).all()


@pytest.mark.parametrize(
    "rate",
    [0.01, keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.9), lambda: 0.01],
    ids=["constant", "schedule", "callable"],
)
def test_a_traced_loop_is_reused_until_the_model_is_compiled_again(digits: Any, capsys: Any, rate: Any) -> None:
    class Speaking(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            print("traced")
            return inputs

    def traces_of(**sweep: Any) -> int:
        capsys.readouterr()
        keras_lr.find_lr(model, *digits, **SWEEP | sweep)
        return int(capsys.readouterr().out.count("traced\n"))

    model = keras.Sequential([keras.Input((64,)), Speaking(), keras.layers.Dense(10)])
    model.compile(keras.optimizers.SGD(rate), CROSS_ENTROPY)
    assert [traces_of(), traces_of(num_steps=7), traces_of()] == [1, 0, 0]
    validation, other = (tuple(part[start : start + 50] for part in digits) for start in (0, 50))
    assert traces_of(validation_data=validation) > 0
    assert [traces_of(validation_data=other), traces_of()] == [0, 0]
    model.optimizer.iterations.assign(3)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.0729 if type(rate).__name__[0] == "E" else 0.01)
    model.compile(keras.optimizers.SGD(rate), CROSS_ENTROPY, metrics=["accuracy"])
    assert traces_of() == 1


def set_dropout(model: Any) -> None:
    model.layers[1].rate = 0.7


def set_momentum(model: Any) -> None:
    model.optimizer.inner_optimizer.momentum = 0.0


def replace_the_loss(model: Any) -> None:
    def size_of_output(
        x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        return keras.ops.mean(y_pred**2)

    model.compute_loss = size_of_output


@pytest.mark.parametrize("change", [set_dropout, set_momentum, replace_the_loss])
def test_a_setting_that_was_changed_between_two_tests_counts(digits: Any, change: Any) -> None:
    def losses(*, tested_before: bool) -> np.ndarray:
        keras.utils.set_random_seed(0)
        layers = [keras.Input((64,)), keras.layers.Dense(16, "relu"), keras.layers.Dropout(0.1), keras.layers.Dense(10)]
        model = keras.Sequential(layers)
        optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(momentum=0.9))
        model.compile(optimizer, CROSS_ENTROPY)
        before = keras_lr.find_lr(model, *digits, num_steps=15, verbose=0).losses if tested_before else None
        change(model)
        after = keras_lr.find_lr(model, *digits, num_steps=15, verbose=0).losses
        assert before is None or not np.array_equal(before, after)
        return after

    np.testing.assert_array_equal(losses(tested_before=True), losses(tested_before=False))


@pytest.mark.parametrize("name", ["Ftrl", "Lamb"])
def test_what_the_test_cannot_judge_is_not_clear(name: str) -> None:
    """Ftrl's first steps barely move the weights; the weights of Lamb grow long after a sweep has ended."""
    x, y = load_breast_cancer(return_X_y=True)
    x = StandardScaler().fit_transform(x).astype("float32")

    def trained(rate: float | None) -> float:
        model = build()
        if rate is not None:
            model.optimizer.learning_rate = rate
            model.fit(x, y, epochs=20, verbose=0)
        return float(model.evaluate(x, y, verbose=0))

    def build() -> keras.Model:
        keras.utils.set_random_seed(0)
        model = keras.Sequential([keras.Input((30,)), keras.layers.Dense(1)])
        loss = keras.losses.BinaryCrossentropy(from_logits=True)
        model.compile(getattr(keras.optimizers, name)(), loss, steps_per_execution=18)
        return model

    suggestion = keras_lr.find_lr(build(), x, y, verbose=0).suggestion
    assert suggestion.confidence != "clear"
    untrained, good = trained(None), trained(0.1 if name == "Ftrl" else 0.01)
    if suggestion.learning_rate is None:
        assert good < 0.2 * untrained
    else:
        # The rate costs much of what a lower one gains, and the reason names that lower one.
        assert trained(suggestion.learning_rate) - good > 0.05 * (untrained - good)
        assert "train at a tenth of this rate" in suggestion.reason
        assert trained(suggestion.learning_rate / 10) - good < 0.05 * (untrained - good)


class Called(keras.Model):
    """Has a `call` alone, so that `build` makes no weights and yet marks the model as built."""

    def __init__(self) -> None:
        super().__init__()
        self.head = keras.layers.Dense(10)

    def call(self, inputs: Any) -> Any:
        return self.head(inputs)


@pytest.mark.filterwarnings("ignore:.*was called on layer:UserWarning")
def test_a_model_that_is_only_marked_as_built_is_tested_as_one_that_is_not(digits: Any) -> None:
    def made(*, marked: bool) -> keras.Model:
        keras.utils.set_random_seed(0)
        model = Called()
        model.compile("sgd", CROSS_ENTROPY)
        if marked:
            model.build((None, 64))
        return model

    results = []
    for marked in (False, True):
        steered = keras_lr.AutoLR(probe_steps=0, verbose=0)
        fitted = made(marked=marked).fit(*digits, epochs=1, verbose=0, callbacks=[steered])
        assert not steered.log.notes
        results.append([*fitted.history["loss"], *keras_lr.find_lr(made(marked=marked), *digits, **SWEEP).losses])
    np.testing.assert_array_equal(*results)
