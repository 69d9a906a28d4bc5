"""Schedules against numbers that other libraries computed; references.json names the call behind each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_lr import schedules
from tests.schedules.conftest import rates_of

CASES = json.loads((Path(__file__).parent / "references.json").read_text(encoding="utf-8"))


def build(name: str, arguments: dict[str, Any]) -> Any:
    return getattr(schedules, name)(**{key: nested(value) for key, value in arguments.items()})


def nested(value: Any) -> Any:
    if isinstance(value, list):
        return [nested(item) for item in value]
    return build(value["class"], value["arguments"]) if isinstance(value, dict) else value


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_equals_the_other_library_to_step_one_million(case: dict[str, Any]) -> None:
    rates = rates_of(build(case["schedule"], case["arguments"]), case["steps"])
    # The others compute a half cosine as 1 + cos(x), which is itself off by 1e-16 of its peak.
    rounding = 3e-16 * max(case["learning_rates"])
    np.testing.assert_allclose(rates, case["learning_rates"], rtol=1e-6, atol=rounding, err_msg=case["source"])


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "momenta" in case])
def test_cycle_position_gives_the_momentum_of_torch(name: str) -> None:
    case = CASES[name]
    schedule = build(case["schedule"], case["arguments"])
    positions = np.asarray(schedule.cycle_position(np.array(case["steps"], "float64")))
    np.testing.assert_allclose(0.95 - 0.1 * positions, case["momenta"], rtol=1e-6)


@pytest.mark.parametrize(("model_dim", "warmup_steps"), [(512, 4000), (64, 10)])
def test_noam_is_the_formula_of_the_paper(model_dim: int, warmup_steps: int) -> None:
    steps = np.array([0, 1, warmup_steps - 2, warmup_steps - 1, warmup_steps, 10**5, 10**6])
    counted = steps + 1.0
    paper = model_dim**-0.5 * np.minimum(counted**-0.5, counted * warmup_steps**-1.5)  # arXiv:1706.03762, equation 3
    rates = rates_of(schedules.InverseSqrt.noam(model_dim, warmup_steps), steps)
    np.testing.assert_allclose(rates, paper, rtol=1e-6)


def test_scaled_is_the_schedule_times_its_factor() -> None:
    steps = np.array([0, 1, 5, 10**6])
    rates = rates_of(schedules.Scaled(schedules.InverseSqrt(0.1, 5), factor=0.25), steps)
    np.testing.assert_allclose(rates, [0, 0.005, 0.025, 0.025 * np.sqrt(5e-6)], rtol=1e-6)


def test_the_references_cover_every_schedule_to_step_one_million() -> None:
    furthest: dict[str, int] = {}
    for case in CASES.values():
        furthest[case["schedule"]] = max(furthest.get(case["schedule"], 0), *case["steps"])
    assert set(furthest) == {
        "OneCycle", "Cyclical", "Warmup", "WarmupStableDecay", "InverseSqrt", "Polynomial", "FlatCosine",
        "CosineRestarts", "Sequential",
    }  # fmt: skip
    assert min(furthest.values()) >= 999_999
