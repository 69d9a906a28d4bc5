"""Small ReLU networks with unscaled targets, as in `benchmarks/constant_output.py`, do not die without a word."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import keras_lr


@pytest.fixture
def benchmark(monkeypatch: Any) -> Any:
    monkeypatch.setattr(sys, "path", [str(Path(keras_lr.__file__).parents[1] / "benchmarks"), *sys.path])
    import constant_output

    return constant_output


# The first has a clear suggestion; the units of the second die at every rate that gets anywhere in its epochs.
@pytest.mark.parametrize("seed", [47, 62])
@pytest.mark.filterwarnings("ignore:The (fit ends|targets reach)")
def test_no_clear_suggestion_kills_and_auto_lr_learns_or_says_that_it_has_not(benchmark, seed):
    row = benchmark.judge(seed, tentative=False)
    assert row.get("outcome", "learned") == "learned"
    assert (row["AutoLR outcome"] == "learned") != row["AutoLR says so"]
