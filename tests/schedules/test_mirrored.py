"""Two replicas train with the rates of a single device."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tests.callbacks.regression import STEPS_PER_EPOCH
from tests.fresh_process import run_fresh
from tests.schedules.conftest import EXAMPLES


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    """What `mirrored_rates.py` printed: logical devices must be set before TensorFlow starts."""
    done = run_fresh("-m", "tests.schedules.mirrored_rates", sets_up_devices=True)
    assert done.returncode == 0, done.stderr
    results: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert results["replicas"] == 2
    return results


@pytest.mark.slow
@pytest.mark.parametrize("name", [*EXAMPLES, "own"])
def test_the_rates_are_those_of_eager_steps(seen: dict[str, Any], name: str) -> None:
    schedule = EXAMPLES["sequential" if name == "own" else name]()
    expected = [float(schedule(step)) for step in range(3 * STEPS_PER_EPOCH)]
    np.testing.assert_allclose(seen["rates"][name], expected, rtol=1e-6)


@pytest.mark.slow
def test_the_callbacks_record_and_change_the_same(seen: dict[str, Any]) -> None:
    mirrored, single = seen["mirrored"], seen["single"]
    assert mirrored["history"]["learning_rate_steps"] == single["history"]["learning_rate_steps"]
    for name in ("loss", "val_loss", "learning_rate"):
        assert mirrored["history"][name] == pytest.approx(single["history"][name], rel=1e-4)
    for left, right in zip(mirrored["weights"], single["weights"], strict=True):
        np.testing.assert_allclose(left, right, atol=1e-5)
