"""One callback over two stages of training: what belongs to the first stage stays there."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import keras_lr
from keras_lr._keras.callback_state import TrainingSetup
from tests.callbacks.regression import STEPS_PER_EPOCH, fit, regression


def another_optimizer(model: keras.Model) -> None:
    model.compile(keras.optimizers.SGD(1e-5), "mse")


def another_loss(model: keras.Model) -> None:
    model.compile(model.optimizer, "mae")


def other_weights(model: keras.Model) -> None:
    model.get_layer("stem").trainable = False


CHANGES: dict[str, Callable[[keras.Model], None]] = {
    "the optimizer was replaced": another_optimizer,
    "the model was compiled again": another_loss,
    "the trainable weights changed": other_weights,
}


@pytest.fixture
def trained() -> keras.Model:
    model = regression(keras.optimizers.SGD(0.01))
    fit(model, epochs=1)
    return model


@pytest.mark.parametrize("change", CHANGES)
def test_a_setup_knows_what_changed(trained: keras.Model, change: str) -> None:
    setup = TrainingSetup(trained)
    fit(trained, epochs=1)
    trained.optimizer.learning_rate = 0.5
    trained.set_weights([2 * weight for weight in trained.get_weights()])
    assert setup.change(trained) is None
    CHANGES[change](trained)
    assert setup.change(trained) == change


def test_a_setup_keeps_no_optimizer_in_memory(trained: keras.Model) -> None:
    setup = TrainingSetup(trained)
    trained.compile("sgd", "mse")
    assert setup.change(trained) == "the optimizer was replaced"
    assert setup._optimizer() is None


def two_stages(callback: Any, change: Callable[[keras.Model], None], *further: Any) -> tuple[dict[str, Any], list[str]]:
    """The history of the second stage, of epochs 3 to 5, and the warnings that it gave."""
    model = regression(keras.optimizers.SGD(0.05))
    fit(model, callback, *further, epochs=3)
    change(model)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = fit(model, callback, *further, epochs=6, initial_epoch=3)
    return history, [str(one.message) for one in caught if "starts over" in str(one.message)]


@pytest.mark.parametrize("change", CHANGES)
def test_auto_lr_starts_over_with_a_range_test_and_says_so(change: str) -> None:
    auto = keras_lr.AutoLR(probe_steps=40, probe_repeats=1, anneal_fraction=0.0)
    history, said = two_stages(auto, CHANGES[change])
    assert said == [f"`AutoLR` starts over at epoch 3, because {change} after the last fit."]
    assert auto.log.epochs.tolist() == [3, 4, 5]
    assert auto.log.actions[0].kind == "probe"
    assert auto.log.actions[0].epoch == 3
    assert auto.log.actions[0].reason.startswith(said[0])
    assert auto.log.notes[0] == said[0]
    assert history["learning_rate"][0] == pytest.approx(auto.log.actions[0].learning_rate_after, rel=1e-5)
    assert auto.log.probe.num_steps == 40


def test_the_rate_of_the_first_stage_is_not_given_to_the_optimizer_of_the_second() -> None:
    auto = keras_lr.AutoLR(probe_steps=0, anneal_fraction=0.0)
    history, said = two_stages(auto, another_optimizer)
    assert history["learning_rate"] == pytest.approx([1e-5] * 3)
    assert len(said) == 1
    assert auto.log.start_learning_rate == pytest.approx(1e-5)


def test_auto_lr_continues_the_same_training() -> None:
    auto = keras_lr.AutoLR(probe_steps=40, probe_repeats=1)
    _, said = two_stages(auto, lambda model: None)
    assert said == []
    assert auto.log.epochs.tolist() == list(range(6))


def test_a_dry_run_starts_over_too() -> None:
    auto = keras_lr.AutoLR(probe_steps=40, probe_repeats=1, dry_run=True)
    history, said = two_stages(auto, another_optimizer)
    assert len(said) == 1
    assert history["learning_rate"] == pytest.approx([1e-5] * 3)
    assert auto.log.epochs.tolist() == [3, 4, 5]


@pytest.mark.parametrize("change", CHANGES)
def test_a_monitor_judges_the_second_stage_alone(change: str) -> None:
    monitor = keras_lr.HistoryMonitor(max_cost=1.0)
    _, said = two_stages(monitor, CHANGES[change])
    assert said == [f"`HistoryMonitor` starts over at epoch 3, because {change} after the last fit."]
    assert list(monitor.diagnosis.epochs) == [3, 4, 5]


def test_a_jump_between_two_stages_is_no_finding() -> None:
    def harder(model: keras.Model) -> None:
        model.compile(keras.optimizers.SGD(0.05), lambda y, out: 1e6 * keras.losses.mean_squared_error(y, out))

    monitor = keras_lr.HistoryMonitor(max_cost=1.0)
    model = regression(keras.optimizers.SGD(0.01))
    fit(model, monitor, epochs=6)
    harder(model)
    model.optimizer.learning_rate = 1e-9
    fit(model, monitor, epochs=12, initial_epoch=6)
    assert "divergence" not in [finding.kind for finding in monitor.findings]


def test_a_report_begins_with_the_second_stage_and_says_so(tmp_path: Path) -> None:
    report = keras_lr.ReportCallback(tmp_path / "page.html")
    _, said = two_stages(report, another_optimizer)
    assert len(said) == 1
    assert report.report is not None
    page = (tmp_path / "page.html").read_text()
    assert "Judged from 3 epochs" in page
    assert "starts over at epoch 3, because the optimizer was replaced" in page


@pytest.mark.parametrize("frequency", ["epoch", "step"])
def test_a_recorder_goes_on_with_the_rates_of_each_stage(frequency: str) -> None:
    recorder = keras_lr.LRRecorder(frequency=frequency)
    history, said = two_stages(recorder, another_optimizer)
    assert said == []
    assert history["learning_rate"] == pytest.approx([1e-5] * 3)
    frame = recorder.to_frame()
    rows = 1 if frequency == "epoch" else STEPS_PER_EPOCH
    assert frame["epoch"].tolist() == np.repeat(np.arange(6), rows).tolist()
    assert frame["learning_rate"].to_numpy() == pytest.approx(np.repeat([0.05, 1e-5], 3 * rows), rel=1e-5)


def test_a_plateau_is_one_of_its_own_stage() -> None:
    plateau = keras_lr.ReduceOnPlateau("loss", factor=0.5, patience=2, min_delta=1e3)
    history, _ = two_stages(plateau, another_optimizer, keras_lr.LRRecorder())
    assert history["learning_rate"] == pytest.approx([1e-5, 1e-5, 1e-5])
    assert plateau.total_factor == 0.5


def test_the_momentum_of_each_stage_is_restored() -> None:
    def change(model: keras.Model) -> None:
        assert model.optimizer.momentum == 0.0 or model.optimizer.momentum == 0.9
        model.compile(keras.optimizers.Adam(0.01, beta_1=0.8), "mse")

    cycle = keras_lr.MomentumCycle(rate_range=(1e-3, 0.1))
    model = regression(keras.optimizers.SGD(0.05, momentum=0.9))
    fit(model, cycle, epochs=3)
    change(model)
    fit(model, cycle, epochs=6, initial_epoch=3)
    assert model.optimizer.beta_1 == 0.8
    assert type(model.optimizer.beta_1) is float


def test_a_range_test_measures_each_stage_anew() -> None:
    finder = keras_lr.LRRangeTest(num_steps=60, apply=True)
    model = regression(keras.optimizers.SGD(0.05))
    fit(model, finder, epochs=1)
    first = finder.result
    another_optimizer(model)
    fit(model, finder, epochs=2, initial_epoch=1)
    assert finder.result is not first
    suggested = finder.result.suggestion.learning_rate
    assert float(model.optimizer.learning_rate) == pytest.approx(suggested, rel=1e-5)
