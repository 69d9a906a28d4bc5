"""Callbacks in a fit that is resumed, or into which weights are loaded."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import keras
import pytest

import keras_lr
from tests.callbacks.killed_fits import EPOCHS, FITS, resumable_fit
from tests.callbacks.regression import STEPS_PER_EPOCH, fit, regression
from tests.fresh_process import run_fresh


def run(folder: Path, task: str) -> subprocess.CompletedProcess[str]:
    return run_fresh("-m", "tests.callbacks.killed_fits", folder, task)


@pytest.mark.slow
def test_a_killed_and_resumed_fit_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    killed = run(tmp_path, "kill")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FITS)
    resumed = run(tmp_path, "resume")
    assert resumed.returncode == 0, resumed.stderr
    results: dict[str, Any] = json.loads(resumed.stdout.splitlines()[-1])
    for name in FITS:
        whole = resumable_fit(name, None)
        assert results[name]["epochs_trained"] == EPOCHS - 3
        assert len(whole["rates"]) == EPOCHS * STEPS_PER_EPOCH
        # The steps before the kill come from the recorder's state.
        assert results[name]["rates"] == whole["rates"]
        assert results[name]["total_factor"] == whole["total_factor"] == 0.125
        assert results[name]["weights"] == pytest.approx(whole["weights"], rel=1e-5)
        assert len(whole["diagnosed_losses"]) == EPOCHS
        assert results[name]["diagnosed_losses"] == pytest.approx(whole["diagnosed_losses"], rel=1e-5)
        assert results[name]["findings"] == whole["findings"]


@pytest.mark.parametrize("name", ["HistoryMonitor", "LRRecorder", "ReportCallback"])
def test_weights_that_are_loaded_during_a_fit_do_not_erase_its_epochs(name: str, tmp_path: Path) -> None:
    path = {"path": tmp_path / "page.html"} if name == "ReportCallback" else {}
    callback = getattr(keras_lr, name)(**path)
    model = regression(keras.optimizers.SGD(0.01))

    def save_and_load(epoch: int, logs: Any) -> None:
        if epoch == 0:
            model.save_weights(tmp_path / "first.weights.h5")
        if epoch == 2:
            model.load_weights(tmp_path / "first.weights.h5")

    fit(model, callback, keras.callbacks.LambdaCallback(on_epoch_end=save_and_load), epochs=4)
    assert model.optimizer.iterations == 2 * STEPS_PER_EPOCH
    (epochs,) = (value for key, value in callback.get_state().items() if key in ("rows", "epochs"))
    assert [row["epoch"] for row in epochs] == [0, 1, 2, 3]
