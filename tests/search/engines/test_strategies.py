"""A search over models built under a distribution strategy or with a precision of their own."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from tests.fresh_process import run_fresh

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def searched(tmp_path_factory: Any) -> Any:
    done = run_fresh(
        "-m", "tests.search.engines.strategy_runs", tmp_path_factory.mktemp("searched"), sets_up_devices=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [
        ("mirrored within build", 1e-4),
        ("mirrored by argument", 1e-4),
        ("one device by argument", 1e-4),
        ("mixed_bfloat16", 0.05),
    ],
)
def test_a_search_finds_what_one_on_a_single_device_does(searched: Any, name: str, tolerance: float) -> None:
    plain, found = searched["plain"], searched[name]
    assert found["keys"] == plain["keys"]
    assert found["status"] == ["ok"] * len(plain["keys"])
    for column in ("loss", "val_loss"):
        np.testing.assert_allclose(found[column], plain[column], rtol=tolerance)


def test_a_model_under_a_strategy_is_trained_by_fit(searched: Any) -> None:
    assert searched["plain"]["engine"] == "stacked"
    assert searched["mirrored within build"]["engine"] == "reuse"
    assert searched["mirrored within build"]["reason"] == "the model is built under a distribution strategy"
    assert searched["mirrored by argument"]["engine"] == searched["one device by argument"]["engine"] == "rebuild"
