"""`AutoLR` on real fits."""

import dataclasses
import re

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_lr
from keras_lr import AutoLR
from keras_lr._utils import progress
from keras_lr.callbacks._auto_lr_controller import Controller, Fit
from keras_lr.callbacks._auto_lr_state import AutoLRState, Segment
from keras_lr.errors import InvalidArgumentError, InvalidRangeError, ModelError
from tests.callbacks.regression import WarmsUp, WarmsUpInStep, X, Y, regression
from tests.training_models import all_values, classifier, plain_classifier, two_outputs

SCHEDULES = keras.optimizers.schedules
STEPS = 32


def data(digits):
    """One batch size divides it: every epoch has 32 steps."""
    images, labels = digits
    return images[:1024], labels[:1024]


def fit(model, digits, callback, *, epochs=6, seed=0, **options):
    """Trains from fixed seeds and returns the history."""
    keras.utils.set_random_seed(seed)
    callbacks = [callback] if isinstance(callback, keras.callbacks.Callback) else callback
    return model.fit(*data(digits), epochs=epochs, verbose=0, callbacks=callbacks, **options).history


def seeded(build, *arguments, **options):
    keras.utils.set_random_seed(1)
    return build(*arguments, **options)


def kinds(auto):
    return [action.kind for action in auto.log.actions]


class Watch(keras.callbacks.Callback):
    """Records all variables but the learning rate after each epoch; to be listed after `AutoLR`."""

    def __init__(self):
        super().__init__()
        self.values = []

    def read(self):
        skip = {id(self.model.optimizer.learning_rate)} if hasattr(self.model.optimizer, "learning_rate") else set()
        variables = [*self.model.variables, *self.model.optimizer.variables]
        return [
            keras.ops.convert_to_numpy(variable)
            for variable in variables
            if id(variable) not in skip and not variable.path.endswith(("learning_rate", "seed_generator_state"))
        ]

    def on_train_begin(self, logs=None):
        self.values.append(self.read())

    def on_epoch_end(self, epoch, logs=None):
        self.values.append(self.read())


def assert_same(first, second):
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def adjusted(digits):
    """A whole run from a rate that learns nothing: its callback and its history."""
    auto = keras_lr.AutoLR()
    history = fit(seeded(plain_classifier, keras.optimizers.Adam(1e-6)), digits, auto, epochs=8)
    return auto, history


def test_a_bad_start_ends_near_the_best_rate(digits, adjusted):
    auto, history = adjusted
    best = min(fit(seeded(plain_classifier, keras.optimizers.Adam(1e-2)), digits, [], epochs=8)["loss"])
    assert history["loss"][-1] < best + 0.02 * (2.3 - best)
    assert kinds(auto) == ["probe", "anneal"]
    assert auto.log.start_learning_rate == pytest.approx(1e-6)


@pytest.mark.parametrize("verbose", ["auto", 1])
def test_by_default_a_silent_fit_shows_nothing(verbose, capsys, monkeypatch):
    monkeypatch.setattr(progress, "_FIRST_PAUSE_SECONDS", 0.0)
    auto = keras_lr.AutoLR(probe_steps=20, probe_repeats=1, verbose=verbose)
    regression("sgd").fit(X, Y, epochs=2, verbose=0, callbacks=[auto])
    lines = capsys.readouterr().err.splitlines()
    counts = [line for line in lines if line.startswith("keras_lr: Range test: ")]
    assert bool(lines) == bool(counts) == (verbose == 1)
    for count in counts:
        done, _, total = count.removeprefix("keras_lr: Range test: ").removesuffix(" steps").partition("/")
        assert int(done) <= int(total or done)


def test_the_rate_of_each_epoch_is_in_the_history_and_in_the_log(digits):
    auto = keras_lr.AutoLR(probe_steps=0, anneal_fraction=0.5)
    history = fit(plain_classifier(keras.optimizers.Adam(1e-2)), digits, auto, epochs=4, validation_split=0.23)
    np.testing.assert_array_equal(auto.log.learning_rates, history["learning_rate"])
    np.testing.assert_array_equal(auto.log.losses, history["loss"])
    np.testing.assert_array_equal(auto.log.val_losses, history["val_loss"])
    # The decay takes two epochs of 25 steps, in ticks of two steps and one of the last step, each at the rate of its
    # middle.
    expected = [1e-2, 1e-2, 1e-2 * (2 - 24.5 / 25) / 2, 1e-2 * (1 - 24.5 / 25) / 2]
    np.testing.assert_allclose(history["learning_rate"], expected, rtol=1e-5)
    assert auto.log.actions[-1].learning_rate_after == pytest.approx(expected[-1])


def test_a_dry_run_trains_bit_for_bit_as_without_it(digits):
    auto = keras_lr.AutoLR(dry_run=True)
    plain, watched = seeded(classifier, keras.optimizers.Adam(1e-6)), seeded(classifier, keras.optimizers.Adam(1e-6))
    expected = fit(plain, digits, [])
    history = fit(watched, digits, auto)
    assert history.pop("learning_rate") == pytest.approx([1e-6] * 6)
    assert history == expected
    assert_same(all_values(watched), all_values(plain))
    assert kinds(auto) == ["probe", "anneal"]
    assert not any(action.applied for action in auto.log.actions)
    assert auto.log.dry_run


def test_the_range_test_leaves_no_trace(digits):
    auto = keras_lr.AutoLR(anneal_fraction=0.0)
    model = seeded(classifier, keras.optimizers.Adam(1e-6))
    history = fit(model, digits, auto, epochs=2)
    suggested = auto.log.actions[0].learning_rate_after
    plain = seeded(classifier, keras.optimizers.Adam(suggested))
    expected = fit(plain, digits, [], epochs=2)
    # 1e-6 times a factor is the suggested rate up to float32.
    np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-4)
    assert history["learning_rate"] == pytest.approx([suggested] * 2, rel=1e-6)


@pytest.mark.parametrize("wrapped", [False, True])
def test_divergence_rolls_back_to_the_last_good_epoch_and_at_once_again_to_the_one_before(digits, wrapped):
    # From the third epoch on the schedule asks for a rate at which every step overflows.
    schedule = SCHEDULES.PiecewiseConstantDecay([2 * STEPS - 1], [0.1, 1e30])
    optimizer = keras.optimizers.SGD(schedule, momentum=0.9)
    optimizer = keras.optimizers.LossScaleOptimizer(optimizer) if wrapped else optimizer
    auto, watch = keras_lr.AutoLR(probe_steps=0, anneal_fraction=0.0), Watch()
    model = seeded(classifier, optimizer, steps_per_execution=STEPS)
    fit(model, digits, [auto, watch], epochs=4)
    assert kinds(auto) == ["rollback", "rollback"]
    first, second = auto.log.actions
    assert (first.epoch, second.epoch) == (3, 4)
    assert first.learning_rate_after / first.learning_rate_before == pytest.approx(10**-0.5)
    assert second.learning_rate_before == first.learning_rate_after
    assert second.learning_rate_after / second.learning_rate_before == pytest.approx(10**-1.0)
    _, before, good, after, again = watch.values
    assert all(np.isfinite(value).all() for value in [*before, *good])
    assert_same(after, good)
    assert_same(again, before)
    assert not np.isfinite(auto.log.losses[2])


def test_divergence_within_an_epoch_rolls_back_at_once_and_the_run_continues(digits):
    # Steps 10 to 13 of 64 overflow; the loss is checked every fourth step.
    schedule = SCHEDULES.PiecewiseConstantDecay([9, 13], [0.1, 1e30, 0.1])
    auto = keras_lr.AutoLR(probe_steps=0)
    model = seeded(plain_classifier, keras.optimizers.SGD(schedule))
    history = fit(model, digits, auto, epochs=1, batch_size=16)
    assert (auto.log.actions[0].kind, auto.log.actions[0].epoch) == ("rollback", 0)
    assert kinds(auto).count("rollback") < 8
    assert np.isfinite(history["loss"]).all()
    assert all(np.isfinite(value).all() for value in all_values(model))


def breaks_from_epoch(first):
    """A data set of 32 steps whose targets are fine until an epoch from which on the loss is NaN, whatever the rate."""
    passes = iter(range(100))

    def batches():
        number = next(passes)
        for _ in range(STEPS):
            yield np.ones((8, 2), "float32"), np.full((8, 1), 1.0 if number < first else np.nan, "float32")

    signature = (tf.TensorSpec((8, 2)), tf.TensorSpec((8, 1)))
    return tf.data.Dataset.from_generator(batches, output_signature=signature)


@pytest.mark.parametrize(("first", "rollbacks"), [(0, 5), (2, 3)])
def test_a_loss_that_stays_nan_at_lower_rates_is_left_alone_with_a_warning(first, rollbacks):
    # Three rollbacks are enough if an epoch was good at a higher rate.
    auto = keras_lr.AutoLR(probe_steps=0, anneal_fraction=0.0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.1), "mse", steps_per_execution=STEPS)
    with pytest.warns(UserWarning, match=f"`loss` diverged {rollbacks + 1} times in a row .* so the rate is not the"):
        model.fit(breaks_from_epoch(first), epochs=8, verbose=0, callbacks=[auto])
    assert kinds(auto) == ["rollback"] * rollbacks
    assert "so the rate is not the cause" in auto.log.notes[-1]
    # What was good before the rollbacks is good again.
    assert auto.log.learning_rates[-1] == pytest.approx(0.1)


def test_no_rollback_goes_below_the_lowest_rate_of_the_sweep():
    auto = keras_lr.AutoLR(probe_steps=0, anneal_fraction=0.0, min_lr=1e-3)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01), "mse", steps_per_execution=STEPS)
    with pytest.warns(UserWarning, match=r"at a learning rate of 1e-3, and `min_lr` allows no lower one"):
        model.fit(breaks_from_epoch(0), epochs=6, verbose=0, callbacks=[auto])
    assert [action.learning_rate_after for action in auto.log.actions] == pytest.approx([0.01 / 10**0.5, 1e-3])


def test_a_compiled_rate_at_the_lowest_of_the_sweep_is_not_rolled_back():
    auto = keras_lr.AutoLR(probe_steps=0, min_lr=0.01)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01), "mse", steps_per_execution=STEPS)
    with pytest.warns(UserWarning, match=r"at a learning rate of 1e-2, and `min_lr` allows no lower one"):
        model.fit(breaks_from_epoch(0), epochs=2, verbose=0, callbacks=[auto])
    assert kinds(auto) == ["anneal"]


def test_a_rate_that_only_a_lower_min_lr_allows_is_not_called_innocent():
    """With inputs of 1e5, the curvature of squared errors is about 1e10, and rates above 1e-10 diverge."""
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32") * 1e5
    model = regression(keras.optimizers.SGD(1e-6))
    auto = AutoLR(probe_steps=0, verbose=0)
    with pytest.warns(UserWarning, match="lower `min_lr`"):
        model.fit(x, x[:, :1], epochs=8, verbose=0, callbacks=[auto])
    assert "not the cause" not in " ".join(auto.log.notes)
    lower = AutoLR(probe_steps=0, min_lr=1e-30, verbose=0)
    losses = regression(keras.optimizers.SGD(1e-6)).fit(x, x[:, :1], epochs=8, verbose=0, callbacks=[lower])
    assert np.isfinite(losses.history["loss"][-1])


@pytest.mark.parametrize("of_dataset", [False, True])
def test_nan_in_the_validation_data_alone_is_said_once(of_dataset):
    spoilt = Y[:20].copy()
    spoilt[3] = np.nan
    given = tf.data.Dataset.from_tensor_slices((X[:20], spoilt)).batch(10) if of_dataset else (X[:20], spoilt)
    auto = AutoLR(probe_steps=0, verbose=0)
    with pytest.warns(UserWarning, match="`val_loss` is not finite, although `loss` is") as caught:
        history = regression("sgd").fit(X, Y, validation_data=given, epochs=3, verbose=0, callbacks=[auto])
    assert len([one for one in caught if "val_loss" in str(one.message)]) == 1
    where = "Check the validation data." if of_dataset else "The targets hold NaN, first in row 3 (counted from 0)."
    assert where in auto.log.notes[-1]
    assert kinds(auto) == ["anneal"]
    assert np.isfinite(history.history["loss"]).all()


def test_a_rehearsal_that_kills_the_network_is_said_and_not_chosen():
    generator = np.random.default_rng(0)
    inputs = generator.normal(size=(128, 3)).astype("float32")
    targets = (100 + 20 * np.tanh(inputs[:, 0])).astype("float32")
    keras.utils.set_random_seed(0)
    hidden = keras.layers.Dense(4, "relu")
    model = keras.Sequential([keras.Input((3,)), hidden, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(30.0), "mse")
    auto = keras_lr.AutoLR(verbose=0, probe_steps=40, probe_repeats=1)
    model.fit(inputs, targets, epochs=5, verbose=0, callbacks=[auto])
    assert re.search(r"as compiled [\d.]+ with the same output for every input, at", auto.log.notes[0])
    assert kinds(auto)[0] == "probe"
    assert hidden(inputs).numpy().any()


def test_slow_learning_raises(digits):
    auto = keras_lr.AutoLR(probe_steps=0)
    history = fit(seeded(plain_classifier, keras.optimizers.SGD(1e-5)), digits, auto, epochs=10)
    raised = [action for action in auto.log.actions if action.kind == "raise"]
    assert raised
    assert raised[0].learning_rate_after == pytest.approx(1e-4)
    assert history["learning_rate"][raised[0].epoch] >= 9e-5


def test_a_schedule_keeps_its_shape_and_is_left_unannealed(digits):
    schedule = SCHEDULES.PiecewiseConstantDecay([STEPS], [1e-6, 5e-7])
    model = seeded(plain_classifier, keras.optimizers.Adam(schedule))
    auto = keras_lr.AutoLR()
    # More steps than are rehearsed, after which the anneal might be left out.
    history = fit(model, digits, auto, epochs=6)
    probed = auto.log.actions[0]
    assert probed.learning_rate_before == pytest.approx(1e-6)
    assert history["learning_rate"][1] == pytest.approx(probed.learning_rate_after / 2, rel=1e-5)
    assert history["learning_rate"][-1] < 0.05 * probed.learning_rate_after
    assert float(model.optimizer.learning_rate) == pytest.approx(probed.learning_rate_after / 2, rel=1e-5)


def test_a_schedule_that_falls_by_itself_is_not_annealed(digits):
    model = seeded(plain_classifier, keras.optimizers.Adam(SCHEDULES.CosineDecay(1e-6, 4 * STEPS)))
    auto = keras_lr.AutoLR()
    fit(model, digits, auto, epochs=4)
    assert kinds(auto) == ["probe"]


def test_an_optimizer_s_own_factor_on_the_rate_is_not_taken_out():
    trained = []
    for kind in (WarmsUp, WarmsUpInStep):
        model = regression(kind(1e-4))
        model.fit(X, Y, batch_size=10, epochs=3, shuffle=False, verbose=0, callbacks=[AutoLR(verbose=False)])
        trained.append(model.get_weights())
    for left, right in zip(*trained, strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-6)


def test_a_schedule_counts_the_steps_that_were_accumulated(digits):
    schedule = SCHEDULES.PiecewiseConstantDecay([STEPS - 1], [1e-4, 1e-3])
    model = seeded(plain_classifier, keras.optimizers.SGD(schedule, gradient_accumulation_steps=4))
    fit(model, digits, [], epochs=1)
    auto = keras_lr.AutoLR(probe_steps=0, dry_run=True)
    fit(model, digits, auto, epochs=1)
    assert auto.log.start_learning_rate == pytest.approx(1e-3)


@pytest.mark.parametrize("hook", ["on_train_batch_end", "on_test_batch_end", "on_epoch_end"])
def test_an_error_during_the_anneal_leaves_the_rate_from_before_it(digits, hook):
    auto = keras_lr.AutoLR(probe_steps=0, anneal_fraction=1.0)
    model = plain_classifier(keras.optimizers.SGD(0.05))
    rates = []

    def breaks(*arguments, **options):
        rates.append(float(model.optimizer.learning_rate))
        if len(rates) == (2 if hook == "on_epoch_end" else 40):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(model, digits, [auto, keras.callbacks.LambdaCallback(**{hook: breaks})], epochs=3, validation_split=0.5)
    assert rates[-1] < 0.04
    assert float(model.optimizer.learning_rate) == pytest.approx(0.05)
    assert auto.log.actions[-1].kind == "anneal"


def generator(images, labels):
    while True:
        for start in range(0, len(images), 32):
            yield images[start : start + 32], labels[start : start + 32]


@pytest.mark.parametrize("kind", ["dataset", "generator", "two outputs"])
def test_any_data_and_any_outputs(digits, kind):
    images, labels = data(digits)
    auto = keras_lr.AutoLR(probe_steps=60, probe_repeats=1)
    model = (two_outputs if kind == "two outputs" else plain_classifier)(keras.optimizers.Adam(1e-6))
    options = {"epochs": 2, "verbose": 0, "callbacks": [auto]}
    if kind == "dataset":
        history = model.fit(tf.data.Dataset.from_tensor_slices((images, labels)).shuffle(99).batch(32), **options)
    elif kind == "generator":
        history = model.fit(generator(images, labels), steps_per_epoch=32, **options)
    else:
        history = model.fit(images, {"digit": labels, "odd": labels[:, np.newaxis] % 2}, **options)
    assert history.history["loss"][-1] < history.history["loss"][0]
    assert auto.log.probe.suggestion.learning_rate > 1e-4


def test_the_log_survives_a_round_trip(adjusted):
    auto, _ = adjusted
    text = auto.log.to_json()
    read = keras_lr.AutoLRLog.from_json(text)
    assert read.actions == auto.log.actions
    assert read.to_json() == text


@pytest.mark.parametrize(
    ("option", "value"),
    [("probe_steps", 5), ("probe_steps", 1.5), ("probe_steps", True), ("probe_repeats", 0)]
    + [("anneal_fraction", value) for value in (-0.1, 1.1, "half", True)],
)
def test_a_wrong_argument_is_refused(option, value):
    with pytest.raises(InvalidArgumentError, match=r"must be"):
        keras_lr.AutoLR(**{option: value})


def test_a_wrong_range_is_refused():
    with pytest.raises(InvalidRangeError, match="`max_lr` must be greater than `min_lr`"):
        keras_lr.AutoLR(min_lr=1.0, max_lr=0.1)


def test_a_rate_of_zero_is_left_alone_with_a_warning(digits):
    model, plain = (seeded(plain_classifier, keras.optimizers.SGD(0.0)) for _ in range(2))
    auto = keras_lr.AutoLR()
    with pytest.warns(UserWarning, match=r"`AutoLR` only records this fit .*the compiled learning rate is 0\. Compile"):
        history = fit(model, digits, auto, epochs=2)
    assert history.pop("learning_rate") == [0.0, 0.0]
    assert history == fit(plain, digits, [], epochs=2)
    assert_same(all_values(model), all_values(plain))
    assert auto.log.actions == ()
    assert auto.log.losses.tolist() == history["loss"]


def test_an_unknown_monitor_is_refused(digits):
    with pytest.raises(ModelError, match="`monitor` must name"):
        fit(plain_classifier(), digits, keras_lr.AutoLR(probe_steps=0, monitor="cost"))


def test_a_metric_that_is_better_when_higher_is_refused(digits):
    with pytest.raises(ModelError, match=r"`monitor` must name a loss.*'accuracy', which is better when higher"):
        fit(plain_classifier(metrics=["accuracy"]), digits, AutoLR(probe_steps=0, monitor="accuracy"))


class KillsItsUnits(keras.callbacks.Callback):
    """Sets the hidden units of a network to 0 for every input, as a far too large step does."""

    def __init__(self, epochs=(0,)):
        super().__init__()
        self.epochs = epochs

    def on_epoch_begin(self, epoch, logs=None):
        if epoch in self.epochs:
            kernel, bias = self.model.layers[0].weights
            kernel.assign(keras.ops.zeros_like(kernel))
            bias.assign(keras.ops.full_like(bias, -1.0))


@pytest.mark.parametrize("of_dataset", [False, True], ids=["arrays", "dataset"])
def test_a_network_whose_units_died_starts_again_from_its_initial_weights(of_dataset):
    model = regression(keras.optimizers.SGD(0.01))
    auto_lr = AutoLR(probe_steps=20, probe_repeats=1, anneal_fraction=0.2, verbose=False)
    data = (tf.data.Dataset.from_tensor_slices((X, Y)).batch(4),) if of_dataset else (X, Y)
    options = {} if of_dataset else {"batch_size": 4}
    model.fit(*data, epochs=10, verbose=0, callbacks=[auto_lr, KillsItsUnits()], **options)
    actions = [action for action in auto_lr.log.actions if "starts again from its initial weights" in action.reason]
    assert [action.epoch for action in actions] in ([1], [2]), auto_lr.log.actions
    assert np.std(model.predict(X, verbose=0)) > 0.01 * np.std(Y)


def controller_of(state, **options):
    """The controller of a model that is built and that nothing trains."""
    model = regression(keras.optimizers.SGD(0.01))
    model.optimizer.build(model.trainable_variables)
    fit = Fit(
        planned_epochs=20,
        monitor="loss",
        dry_run=False,
        passive=False,
        min_lr=1e-7,
        rivals=False,
        data_fault=lambda: "",
        outputs_are_constant=lambda: False,
        output_remedy=lambda: "",
    )
    return Controller(model, state, dataclasses.replace(fit, **options))


@pytest.mark.parametrize(("best", "factor"), [(8.2, 10**-0.5), (8.8, 0.1)], ids=["learned", "never learned"])
def test_a_network_that_dies_starts_again_lower_and_decays_at_the_end_of_what_is_left(best, factor):
    state = AutoLRState(0, 0.01, 0.01, steps=100, segment=Segment(anneal_from=0.6), known={"baseline_loss": 9.5})
    controller = controller_of(state, outputs_are_constant=lambda: len(state.rows) == 4)
    for epoch, loss in enumerate([10.0, 9.0, best, 8.9]):
        controller.end_epoch(epoch, loss, np.nan)
    (action,) = state.actions
    assert (action.kind, action.epoch) == ("rollback", 4)
    assert action.learning_rate_after == pytest.approx(0.01 * factor)
    # 16 epochs are left, of which 0.6 are trained at this rate.
    for epoch, share in [(13, 1.0), (15, (20 - 15.5) / 6.4)]:
        controller.update_rate(epoch, 0.5, last=1.0)
        assert controller.learning_rate == pytest.approx(share * 0.01 * factor)


def test_a_fit_that_ends_with_a_dead_network_says_so_and_what_to_do():
    model, auto_lr = regression(keras.optimizers.SGD(0.01)), AutoLR(probe_steps=0, verbose=False)
    with pytest.warns(UserWarning, match="ends with nearly the same output for every input.*Scale the inputs and the"):
        model.fit(X, Y, batch_size=4, epochs=6, verbose=0, callbacks=[auto_lr, KillsItsUnits(set(range(6)))])
    assert any("ends with nearly the same output" in note for note in auto_lr.log.notes)


def test_no_raise_reaches_a_rate_that_was_rolled_back():
    state = AutoLRState(0, 0.01, 0.01, steps=100)
    controller = controller_of(state)
    for epoch, loss in enumerate([10.0, np.nan, np.nan, 9.0, 8.0, 7.0, 6.0]):
        controller.end_epoch(epoch, loss, np.nan)
    rates = [action.learning_rate_after for action in state.actions]
    assert rates == pytest.approx([10**-2.5, 10**-3.5, 1e-3])
