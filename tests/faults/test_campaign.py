"""A short fault campaign; `python -m tests.faults.campaign` is the long one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from keras_lr._keras.snapshot import VariableSnapshot
from tests.faults.campaign import SHARES, Tally, campaign

pytestmark = pytest.mark.slow
SHORT = (
    "sweep.interrupt",
    "sweep.interrupt_twice",
    "sweep.interrupt_in_a_step",
    "sweep.data_generator",
    "sweep.eager_memory",
    "sweep.user_callback",
    "file.full_disk",
    "file.read_only",
    "file.killed",
    "search.second_process",
    "search.torn_record",
    "command.interrupt",
)


@pytest.fixture(scope="module")
def tallies(tmp_path_factory: Any) -> dict[str, Tally]:
    return campaign(dict.fromkeys(SHORT, 1), seed=5, folder=tmp_path_factory.mktemp("faults"))


@pytest.mark.parametrize("kind", SHORT)
def test_a_fault_leaves_everything_as_documented(tallies: dict[str, Tally], kind: str) -> None:
    if kind not in tallies:
        pytest.skip("mounting a small disk needs root")
    assert tallies[kind].failures == []
    assert tallies[kind].survived == tallies[kind].struck == 1


def test_a_changed_model_does_not_count_as_survived(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(VariableSnapshot, "restore", lambda self, **options: None)
    tally = campaign({"sweep.eager_step": 1}, seed=5, folder=tmp_path)["sweep.eager_step"]
    assert (tally.struck, tally.survived) == (1, 0)
    assert "AssertionError: changed: " in tally.failures[0]


def test_the_long_campaign_injects_200_faults() -> None:
    assert sum(SHARES.values()) >= 200
