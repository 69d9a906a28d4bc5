"""`AutoLR` after an interruption: a resumed fit equals one that was never interrupted."""

import json
import os
import signal

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

import keras_lr
from keras_lr.errors import ResultFormatError
from tests.fresh_process import run_fresh
from tests.training_models import all_values, plain_classifier

STEPS = 32
EPOCHS = 6


def train(callbacks, *, epochs=EPOCHS, initial_epoch=0, model=None):
    """A run that raises, rolls back and anneals; the data come in the same order each time."""
    images, labels = load_digits(return_X_y=True)
    images, labels = (images[:1024] / 16).astype("float32"), labels[:1024]
    if model is None:
        keras.utils.set_random_seed(0)
        # In its third epoch the schedule asks for a rate at which every step overflows.
        steps = [2 * STEPS - 1, 2 * STEPS]
        schedule = keras.optimizers.schedules.PiecewiseConstantDecay(steps, [1e-5, 1e38, 1e-5])
        model = plain_classifier(keras.optimizers.SGD(schedule, momentum=0.5), steps_per_execution=STEPS)
    history = model.fit(
        images,
        labels,
        epochs=epochs,
        initial_epoch=initial_epoch,
        shuffle=False,
        verbose=0,
        callbacks=callbacks,
    )
    return model, history.history


def auto_lr():
    return keras_lr.AutoLR(probe_steps=30, probe_repeats=1)


class Stop(keras.callbacks.Callback):
    """Ends the run as a fault would, at the beginning or the end of an epoch."""

    def __init__(self, epoch, end, fault):
        super().__init__()
        self.epoch, self.end, self.fault = epoch, end, fault

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch and not self.end:
            self.fault()

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch and self.end:
            self.fault()


def interrupt():
    raise KeyboardInterrupt


def kill():
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def uninterrupted():
    auto = auto_lr()
    model, history = train([auto])
    assert [action.kind for action in auto.log.actions].count("rollback") >= 1
    return auto.log, history, all_values(model)


def assert_as_uninterrupted(auto, model, history, uninterrupted):
    log, expected, values = uninterrupted
    assert auto.log.actions == log.actions
    np.testing.assert_array_equal(auto.log.learning_rates, log.learning_rates)
    np.testing.assert_array_equal(auto.log.losses, log.losses)
    assert history["learning_rate"] == expected["learning_rate"][-len(history["learning_rate"]) :]
    for one, other in zip(all_values(model), values, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("first", "epoch", "end"), [("auto_lr", 1, True), ("backup", 3, False), ("auto_lr", 5, False)])
def test_an_interrupted_fit_resumes_from_its_backup(tmp_path, uninterrupted, first, epoch, end):
    def callbacks(auto):
        backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
        return [auto, backup] if first == "auto_lr" else [backup, auto]

    with pytest.raises(KeyboardInterrupt):
        train([*callbacks(auto_lr()), Stop(epoch, end, interrupt)])
    auto = auto_lr()
    model, history = train(callbacks(auto))
    assert_as_uninterrupted(auto, model, history, uninterrupted)
    assert not (tmp_path / "backup").exists()


@pytest.mark.slow
def test_a_killed_fit_resumes_from_its_backup(tmp_path, uninterrupted):
    backup = str(tmp_path / "backup")
    script = (
        "import sys, keras; from tests.callbacks.test_auto_lr_resume import *; "
        "train([auto_lr(), keras.callbacks.BackupAndRestore(sys.argv[1]), Stop(4, False, kill)])"
    )
    killed = run_fresh("-c", script, backup)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    auto = auto_lr()
    model, history = train([auto, keras.callbacks.BackupAndRestore(backup)])
    assert len(history["loss"]) == 2
    assert_as_uninterrupted(auto, model, history, uninterrupted)


def test_the_state_passes_through_json(uninterrupted):
    first, second = auto_lr(), auto_lr()
    model, _ = train([first], epochs=3)
    second.set_state(json.loads(json.dumps(first.get_state(), allow_nan=False)))
    assert second.log.actions == first.log.actions
    assert second.get_state() == first.get_state()
    _, history = train([second], model=model, initial_epoch=3)
    assert second.log.epochs.tolist() == list(range(EPOCHS))
    assert len(history["loss"]) == EPOCHS - 3
    assert not [name for name in vars(model.optimizer) if "keras_lr" in name]
    train([second], model=model, epochs=1)
    assert second.log.epochs.tolist() == [0]


def test_a_foreign_state_is_refused():
    with pytest.raises(ResultFormatError, match=r"must be what `AutoLR\.get_state` returned"):
        auto_lr().set_state({"rows": 3})
