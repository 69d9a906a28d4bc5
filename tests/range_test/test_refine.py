"""`refine=True` on real models: its budget, its result, and what is restored."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import load_digits

from keras_lr import LRRangeTest, RangeTestResult, find_lr

X, Y = load_digits(return_X_y=True)
X = (X / 16).astype("float32")


class CountSteps(keras.layers.Layer):
    """Counts the training batches it sees, in an attribute that is not a weight."""

    seen = 0

    def call(self, inputs, training=False):
        if training:
            inputs = tf.numpy_function(self._count, [inputs], tf.float32)
            inputs.set_shape((None, 64))
        return inputs

    @staticmethod
    def _count(batch):
        CountSteps.seen += 1
        return batch


def classifier(*first, optimizer="adam"):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((64,)), *first, keras.layers.Dense(32, "relu"), keras.layers.Dense(10)])
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


@pytest.fixture(scope="module")
def refined():
    return find_lr(classifier(), X, Y, num_steps=100, refine=True)


def test_suggestion_is_refined_with_evidence(refined):
    assert refined.suggestion.rule == "refined"
    assert refined.refinement.sweep_suggestion.rule == "consensus"
    assert refined.refinement.losses.shape == (3, 33)
    assert "hort run" in refined.suggestion.reason
    moved = np.log10(refined.suggestion.learning_rate / refined.refinement.sweep_suggestion.learning_rate)
    assert abs(moved) < 1.1


def test_the_sweep_is_the_same_as_without(refined):
    plain = find_lr(classifier(), X, Y, num_steps=100)
    assert plain.refinement is None
    assert plain.suggestion == refined.refinement.sweep_suggestion
    np.testing.assert_array_equal(plain.losses, refined.losses)


def test_runs_share_their_start_and_their_batches(refined):
    first = refined.refinement.losses[:, 0]
    assert first == pytest.approx(np.full(3, first[0]), rel=1e-6)
    assert np.ptp(refined.refinement.losses[:, 20]) > 0


def test_a_run_is_what_plain_training_at_that_rate_gives():
    model = classifier(optimizer="sgd")
    start = model.get_weights()
    result = find_lr(model, X, Y, batch_size=len(X), num_steps=90, refine=True)
    runs = result.refinement
    for rate, losses in zip(runs.learning_rates, runs.losses, strict=True):
        model.set_weights(start)
        model.optimizer.learning_rate = rate
        history = model.fit(X, Y, batch_size=len(X), epochs=5, shuffle=False, verbose=0)
        assert losses[:5] == pytest.approx(history.history["loss"], rel=1e-4)


def test_no_more_steps_than_the_sweep():
    CountSteps.seen = 0
    result = find_lr(classifier(CountSteps()), X, Y, num_steps=60, stop_on_divergence=False, refine=True)
    assert result.refinement.losses.shape == (3, 20)
    assert CountSteps.seen <= 2 * 60


@pytest.mark.parametrize("as_dataset", [False, True])
def test_model_and_training_afterwards_are_untouched(as_dataset):
    def history(*, refine):
        model = classifier(keras.layers.Dropout(0.2))
        data = (tf.data.Dataset.from_tensor_slices((X, Y)).shuffle(512, seed=1).batch(32),) if as_dataset else (X, Y)
        if refine:
            find_lr(model, *data, num_steps=60, refine=True)
        return model.fit(*data, epochs=2, verbose=0).history["loss"]

    assert history(refine=True) == history(refine=False)


def test_callback_applies_the_refined_rate():
    model = classifier()
    finder = LRRangeTest(num_steps=60, apply=True, refine=True)
    model.fit(X, Y, epochs=1, verbose=0, callbacks=[finder])
    assert finder.result.suggestion.rule == "refined"
    assert float(model.optimizer.learning_rate) == pytest.approx(finder.result.suggestion.learning_rate, rel=1e-6)


def test_a_sweep_without_a_suggestion_is_not_refined():
    result = find_lr(classifier(), X, Y, min_lr=1e-12, max_lr=1e-9, num_steps=60, refine=True)
    assert result.suggestion.confidence == "none"
    assert result.refinement is None


@pytest.mark.parametrize("count", [60, 70])
def test_runs_that_the_data_cut_short_refine_nothing(count):
    def batches():
        for step in range(count):
            rows = slice(step % 56 * 32, step % 56 * 32 + 32)
            yield X[rows], Y[rows]

    result = find_lr(classifier(), batches(), num_steps=60, stop_on_divergence=False, refine=True)
    assert result.stop_reason == "completed"
    assert result.suggestion.rule == "consensus"
    assert result.refinement is None


def test_refined_result_survives_its_file(refined, tmp_path):
    loaded = RangeTestResult.load(refined.save(tmp_path / "result.json"))
    assert loaded.suggestion == refined.suggestion
    assert loaded.refinement.sweep_suggestion == refined.refinement.sweep_suggestion
    np.testing.assert_allclose(loaded.refinement.losses, refined.refinement.losses)


def test_a_file_without_refinement_is_still_read(refined):
    old = {name: value for name, value in refined.to_dict().items() if name != "refinement"}
    assert RangeTestResult.from_dict(old).refinement is None


def test_several_sweeps_are_refined_together():
    result = find_lr(classifier(), X, Y, num_steps=60, repeats=2, refine=True)
    assert result.refinement.losses.shape == (3, 40)
    assert result.suggestion.spread_decades >= 0


def test_the_warning_about_unscaled_inputs_points_at_the_callers_line():
    with pytest.warns(UserWarning, match=r"reach 16: they are neither near \[0, 1\] nor standardised") as caught:
        find_lr(classifier(), X * 16, Y, num_steps=20)
    assert [one.filename for one in caught if "neither near" in str(one.message)] == [__file__]


def test_a_run_that_only_finds_the_level_of_the_targets_does_not_draw_the_suggestion_to_its_rate():
    """It ends at their variance: beside the loss before the first step, that is near the end of the best run."""
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(1024, 8)).astype("float32")
    targets = 5 + inputs @ generator.normal(size=8) / np.sqrt(8)

    def network(rate):
        keras.utils.set_random_seed(7)
        hidden = [keras.layers.Dense(32, "relu", kernel_initializer="he_normal") for _ in range(4)]
        model = keras.Sequential([keras.Input((8,)), *hidden, keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(rate), "mse")
        return model

    found = find_lr(network(0.01), inputs, targets, batch_size=64, repeats=3, refine=True)
    ends = found.refinement.losses[:, -10:].mean(axis=1)
    assert np.any(np.abs(ends - targets.var()) < 0.1 * targets.var()), "a run ends at the constant"
    model = network(found.suggestion.learning_rate)
    model.fit(inputs, targets, batch_size=64, epochs=8, verbose=0)
    assert model.evaluate(inputs, targets, verbose=0) < 0.5 * targets.var()
