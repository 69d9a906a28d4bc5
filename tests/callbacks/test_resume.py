"""A fit that was killed and resumed gives what an unbroken one gives."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.callbacks.killed_fits import EPOCHS, FITS, resumable_fit
from tests.callbacks.regression import STEPS_PER_EPOCH

ROOT = Path(__file__).resolve().parents[2]


def run(folder: Path, task: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.callbacks.killed_fits", str(folder), task]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "2"}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=250, check=False)


@pytest.mark.slow
def test_a_killed_fit_goes_on_with_the_same_rates(tmp_path: Path) -> None:
    killed = run(tmp_path, "kill")
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FITS)
    resumed = run(tmp_path, "resume")
    assert resumed.returncode == 0, resumed.stderr
    results: dict[str, Any] = json.loads(resumed.stdout.splitlines()[-1])
    for name in FITS:
        unbroken = resumable_fit(name, None)
        assert results[name]["epochs_trained"] == EPOCHS - 3
        assert len(unbroken["rates"]) == EPOCHS * STEPS_PER_EPOCH
        # Of the steps before the kill the recorder has its state, of those after it what was trained.
        assert results[name]["rates"] == unbroken["rates"]
        assert results[name]["total_factor"] == unbroken["total_factor"] == 0.125
        assert results[name]["weights"] == pytest.approx(unbroken["weights"], rel=1e-5)
