"""Schedules against numbers that other libraries printed; references.json names the call behind each."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from keras_lr import schedules
from keras_lr.schedules.evaluate import compiled

CASES = json.loads((Path(__file__).parent / "references.json").read_text(encoding="utf-8"))


def build(case: dict) -> object:
    arguments = dict(case.get("arguments", {}))
    if "schedules" in arguments:
        arguments["schedules"] = [
            build({"schedule": item["class"], "arguments": item["arguments"]}) if isinstance(item, dict) else item
            for item in arguments["schedules"]
        ]
    return getattr(schedules, case["schedule"])(**arguments)


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_equals_the_other_library_to_1e6_steps(case: dict) -> None:
    rates = compiled(build(case))(np.array(case["steps"]))
    # Half a cosine computed as 1 + cos(x), as the others do, is itself off by 1e-16 of its peak.
    rounding = 3e-16 * max(case["learning_rates"])
    np.testing.assert_allclose(rates, case["learning_rates"], rtol=1e-6, atol=rounding, err_msg=case["source"])


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "momenta" in case])
def test_cycle_position_gives_the_momentum_of_torch(name: str) -> None:
    case = CASES[name]
    positions = np.array([float(build(case).cycle_position(np.float64(step))) for step in case["steps"]])
    np.testing.assert_allclose(0.95 - 0.1 * positions, case["momenta"], rtol=1e-6)


def test_the_references_reach_step_one_million() -> None:
    assert max(max(case["steps"]) for case in CASES.values()) >= 999_999
    assert {case["schedule"] for case in CASES.values()} >= {
        "OneCycle", "Cyclical", "Warmup", "WarmupStableDecay", "InverseSqrt", "Polynomial", "FlatCosine",
        "CosineRestarts", "Sequential",
    }  # fmt: skip
