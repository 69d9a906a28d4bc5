"""`HistoryMonitor` on real fits."""

import json
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_lr
from keras_lr.callbacks._history_monitor import step_losses
from keras_lr.errors import InvalidArgumentError, ModelError

GENERATOR = np.random.default_rng(0)
X = GENERATOR.normal(size=(8000, 4)).astype("float32")
Y = X.sum(axis=1, keepdims=True)


def linear_model(learning_rate):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(learning_rate), "mse")
    return model


def fit(learning_rate, *callbacks, samples=256, epochs=4, **options):
    """Trains and returns the warnings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        linear_model(learning_rate).fit(
            X[:samples], Y[:samples], verbose=0, epochs=epochs, callbacks=list(callbacks), **options
        )
    return [str(warning.message) for warning in caught if "learning rate" in str(warning.message)]


def test_a_warm_up_from_zero_is_read():
    monitor = keras_lr.HistoryMonitor(max_cost=1.0)
    warm_up = keras.optimizers.schedules.CosineDecay(0.0, 6, warmup_target=0.1, warmup_steps=2)
    assert fit(warm_up, monitor, samples=64) == []
    assert monitor.diagnosis is not None
    assert "learning_rate" not in monitor.known


def test_divergence_over_epochs_is_warned_about_once_and_names_a_rate():
    monitor = keras_lr.HistoryMonitor(max_cost=1.0)
    messages = fit(10.0, monitor, epochs=8)
    assert len(messages) == 1
    assert messages[0].startswith("Divergence, epoch")
    assert "Try a learning rate of 1 to 3." in messages[0]
    assert [finding.kind for finding in monitor.findings] == ["divergence"]
    assert monitor.diagnosis.verdict == "too_high"
    assert monitor.diagnosis.learning_rate == 10.0


def test_divergence_within_the_first_epoch_is_warned_about_before_the_epoch_ends():
    seen = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(list(monitor.findings))

    monitor = keras_lr.HistoryMonitor(max_cost=1.0)
    with pytest.warns(UserWarning, match=r"Divergence, steps? \d+( to \d+)? of epoch 0"):
        linear_model(10.0).fit(X, Y, verbose=0, callbacks=[Watch(), monitor])
    assert [finding.kind for finding in seen[0]] == ["divergence"]


def test_a_good_run_is_silent():
    monitor = keras_lr.HistoryMonitor(max_cost=1.0)
    assert fit(0.05, monitor, epochs=6, validation_split=0.25) == []
    assert monitor.diagnosis.n_epochs == 6
    assert monitor.diagnosis.val_losses


def test_slow_learning_is_warned_about_only_at_the_end():
    findings = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            findings.append(len(monitor.findings))

    monitor = keras_lr.HistoryMonitor(max_cost=1.0)
    with pytest.warns(UserWarning, match="Slow learning"):
        linear_model(1e-3).fit(X[:256], Y[:256], epochs=10, verbose=0, callbacks=[monitor, Watch()])
    assert findings == [0] * 10


def test_a_resumed_fit_continues_and_a_new_one_starts_over():
    first, second = keras_lr.HistoryMonitor(), keras_lr.HistoryMonitor()
    fit(0.05, first, epochs=3)
    second.set_state(json.loads(json.dumps(first.get_state())))
    fit(0.05, second, epochs=5, initial_epoch=3)
    assert second.diagnosis.epochs == (0, 1, 2, 3, 4)
    assert second.diagnosis.losses[:3] == first.diagnosis.losses
    fit(0.05, second, epochs=3)
    assert second.diagnosis.epochs == (0, 1, 2)


@pytest.mark.parametrize("place", [0, 1])
def test_a_fit_resumed_from_a_backup_diagnoses_the_whole_run_and_warns_once(place, tmp_path):
    def train(*others):
        monitor = keras_lr.HistoryMonitor(max_cost=1.0)
        callbacks = list(others)
        callbacks.insert(place, monitor)
        return monitor, fit(10.0, *callbacks, epochs=8, shuffle=False, validation_split=0.25)

    def backup():
        return keras.callbacks.BackupAndRestore(tmp_path / "backup")

    def interrupt(epoch, logs):
        if epoch == 5:
            raise KeyboardInterrupt

    whole, (message,) = train()
    assert message.startswith("Divergence")
    assert None in whole.diagnosis.losses
    with pytest.raises(KeyboardInterrupt):
        train(backup(), keras.callbacks.LambdaCallback(on_epoch_begin=interrupt))
    resumed, messages = train(backup())
    assert messages == []
    assert resumed.findings == whole.findings
    assert resumed.diagnosis.to_dict() == whole.diagnosis.to_dict()


def test_the_model_trains_as_without_it():
    plain = linear_model(0.05).fit(X[:256], Y[:256], epochs=3, verbose=0)
    watched = linear_model(0.05).fit(X[:256], Y[:256], epochs=3, verbose=0, callbacks=[keras_lr.HistoryMonitor()])
    assert watched.history == plain.history


@pytest.mark.parametrize("max_cost", [0, -1, 2, "all", True])
def test_a_wrong_cost_is_refused(max_cost):
    with pytest.raises(InvalidArgumentError, match="`max_cost` must be"):
        keras_lr.HistoryMonitor(max_cost=max_cost)


def test_step_losses_undo_a_float32_running_mean():
    losses = np.random.default_rng(1).gamma(2.0, 0.5, 5000)
    steps = np.arange(1, 5001)
    means = (np.cumsum(losses) / steps).astype(np.float32)
    ends, recovered = step_losses(steps, means, max_points=5000)
    np.testing.assert_allclose(recovered, losses, atol=5000 * 6e-8 * 2)
    ends, recovered = step_losses(steps, means, max_points=100)
    np.testing.assert_array_equal(ends, np.arange(50, 5001, 50))
    np.testing.assert_allclose(recovered, losses.reshape(100, 50).mean(axis=1), rtol=1e-4)


def test_an_unknown_loss_is_refused_at_the_end_of_the_first_epoch():
    with pytest.raises(ModelError, match=r"`monitor` must name a loss in the logs.*'cost'; the logs hold \['loss'\]"):
        fit(0.1, keras_lr.HistoryMonitor(monitor="cost"), epochs=1)


def test_a_metric_that_is_better_when_higher_is_refused():
    model = linear_model(0.1)
    model.compile("sgd", "mse", metrics=[keras.metrics.R2Score()])
    with pytest.raises(ModelError, match=r"`monitor` must name a loss.*'r2_score', which is better when higher"):
        model.fit(X, Y, verbose=0, callbacks=[keras_lr.HistoryMonitor(monitor="r2_score")])


def test_the_verdict_knows_the_untrained_loss_the_optimizer_and_the_loss():
    monitor = keras_lr.HistoryMonitor(max_cost=1.0)
    untrained = linear_model(0.01).evaluate(X[:32], Y[:32], verbose=0)
    fit(0.01, monitor, shuffle=False)
    assert monitor.diagnosis.untrained_loss == pytest.approx(untrained, rel=1e-5)
    assert monitor.diagnosis.optimizer == "sgd"
    kept = json.loads(json.dumps(monitor.get_state()))
    again = keras_lr.HistoryMonitor()
    again.set_state(kept)
    assert again.get_state() == kept


def test_every_callback_stores_what_makes_a_later_verdict_surer(tmp_path):
    model = linear_model(0.01)
    first = model.evaluate(X[:32], Y[:32], verbose=0)
    monitor, recorder = keras_lr.HistoryMonitor(), keras_lr.LRRecorder()
    report, auto_lr = keras_lr.ReportCallback(tmp_path / "r.html"), keras_lr.AutoLR(probe_steps=0, verbose=False)
    log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    history = model.fit(
        X[:256], Y[:256], epochs=3, shuffle=False, verbose=0, callbacks=[monitor, recorder, report, auto_lr, log]
    )
    expected = {
        "untrained_loss": pytest.approx(first, rel=1e-5),
        "baseline_loss": pytest.approx(np.var(Y[:256]), rel=1e-5),
        "optimizer": "sgd",
        "learning_rate": pytest.approx(0.01),
        "loss": "mse",
        "batch_size": 32,
        "steps_per_epoch": 8,
    }
    for source in (monitor, recorder, report, auto_lr):
        known = source.log.known if source is auto_lr else source.known
        assert known == expected, type(source)
    for source in (monitor, recorder, report, auto_lr, history, tmp_path / "log.csv"):
        diagnosis = keras_lr.analyze_history(source)
        assert diagnosis.untrained_loss == expected["untrained_loss"], type(source)
        assert diagnosis.baseline_loss == expected["baseline_loss"], type(source)
        if not isinstance(source, Path):
            assert diagnosis.optimizer == "sgd", type(source)


@pytest.mark.parametrize(
    "weights",
    [{"sample_weight": np.full(256, 0.1)}, {"class_weight": {0: 0.1, 1: 0.1}}, {"in_dataset": np.full(256, 0.1)}],
    ids=lambda weights: next(iter(weights)),
)
def test_losses_of_weighted_samples_are_not_stored_for_a_comparison_with_the_validation_loss(weights, tmp_path):
    """A tenth of the loss before the first step is below every validation loss, which is not weighted."""
    labels = (Y[:320] > np.median(Y)).astype("float32")
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input(X.shape[1:]), keras.layers.Dense(1, "sigmoid")])
    model.compile("adam", "binary_crossentropy")
    monitor, recorder = keras_lr.HistoryMonitor(), keras_lr.LRRecorder()
    report, auto_lr = keras_lr.ReportCallback(tmp_path / "r.html"), keras_lr.AutoLR(probe_steps=20, verbose=False)
    callbacks = [monitor, recorder, report, auto_lr]
    given = {"x": X[:256], "y": labels[:256], **weights}
    if "in_dataset" in given:
        given = {"x": tf.data.Dataset.from_tensor_slices(tuple(given.values())).batch(32)}
    model.fit(**given, validation_data=(X[256:320], labels[256:]), epochs=3, verbose=0, callbacks=callbacks)
    for source in callbacks:
        known = source.log.known if source is auto_lr else source.known
        assert not known.keys() & {"untrained_loss", "baseline_loss"}, type(source)
        assert keras_lr.analyze_history(source).untrained_loss is None, type(source)


def test_a_history_without_callbacks_shows_its_optimizer_until_it_is_trained_further():
    model = linear_model(0.01)
    first, second = (model.fit(X[:64], Y[:64], epochs=3, verbose=0) for _ in range(2))
    assert keras_lr.analyze_history(second).optimizer == "sgd"
    assert keras_lr.analyze_history(second).learning_rate == pytest.approx(0.01)
    assert keras_lr.analyze_history(first).optimizer is None
