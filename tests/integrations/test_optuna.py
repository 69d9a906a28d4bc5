"""A search as an Optuna study, read by Optuna itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import optuna
import pytest

from keras_lr.analysis import analyze_sensitivity
from keras_lr.integrations import to_optuna
from tests.integrations.searched import EPOCHS, RATES, raced, searched, values
from tests.sensitivity_samples import sensitivity_frame


def test_a_trial_is_what_was_trained_at_a_rate() -> None:
    result = searched()
    study = to_optuna(result)
    trials = {trial.params["learning_rate"]: trial for trial in study.get_trials()}
    assert sorted(trials) == list(RATES)
    for rate in RATES[:-1]:
        measured = values(result.frame, rate, "val_loss")
        assert trials[rate].state.name == "COMPLETE"
        assert trials[rate].value == pytest.approx(sorted(measured.min(axis=1))[1])
        between = trials[rate].intermediate_values
        assert [between[epoch] for epoch in range(EPOCHS)] == pytest.approx(np.sort(measured, axis=0)[1])
    assert (trials[1.0].state.name, trials[1.0].user_attrs["status"]) == ("FAIL", "diverged")
    assert study.best_params == {"learning_rate": result.best_learning_rate}
    assert study.user_attrs["keras_lr"]["confidence"] == result.confidence


def test_a_run_that_stopped_early_is_pruned() -> None:
    stopped, winner = to_optuna(raced()).get_trials()
    assert (stopped.state.name, sorted(stopped.intermediate_values)) == ("PRUNED", [0, 1])
    assert (winner.state.name, sorted(winner.intermediate_values)) == ("COMPLETE", [0, 1, 2, 3])


def test_the_higher_value_wins_where_it_is_better() -> None:
    result = searched(objective="val_accuracy", direction="max")
    study = result.to_optuna(study_name="accuracy")
    assert (study.direction.name, study.study_name) == ("MAXIMIZE", "accuracy")
    assert study.best_value == max(np.median(values(result.frame, rate, "val_accuracy").max(axis=1)) for rate in RATES)


def test_optuna_goes_on_with_the_study() -> None:
    study = to_optuna(searched())
    study.sampler = optuna.samplers.TPESampler(seed=0, n_startup_trials=1)
    study.optimize(lambda trial: abs(np.log10(trial.suggest_float("learning_rate", 1e-4, 1.0, log=True))), n_trials=2)
    assert len(study.get_trials()) == len(RATES) + 2


def test_the_dashboard_finds_the_study_in_its_storage(tmp_path: Path) -> None:
    file = optuna.storages.journal.JournalFileBackend(str(tmp_path / "journal.log"))
    storage = optuna.storages.JournalStorage(file)
    result = analyze_sensitivity(sensitivity_frame((1e-3, 1e-2), repeats=1, epochs=2, batch_sizes=(16, 64)))
    to_optuna(result, study_name="lr", storage=storage)
    loaded = optuna.load_study(study_name="lr", storage=storage)
    assert [trial.params for trial in loaded.get_trials()] == [
        {"learning_rate": rate, "batch_size": size} for size in (16, 64) for rate in (1e-3, 1e-2)
    ]
