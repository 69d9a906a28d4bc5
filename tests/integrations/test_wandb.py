"""A search in Weights & Biases, written offline and read from the files that would be uploaded."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_lr.integrations import to_wandb
from tests.integrations.searched import raced, values

wandb = pytest.importorskip("wandb", reason="W&B takes 60 MB and is no part of the test extra")
pb = pytest.importorskip("wandb.proto.wandb_internal_pb2")

HEADER, BLOCK = 7, 32768
"""Bytes before the blocks of a file, and before each piece in it; bytes per block."""


def records(folder: Path) -> list[Any]:
    """The records of a run: in blocks, as in a log of LevelDB, where a long one is cut into pieces."""
    (path,) = folder.glob("*.wandb")
    data, place, found, pieces = path.read_bytes(), HEADER, [], b""
    while place + HEADER <= len(data):
        left = BLOCK - place % BLOCK
        if left < HEADER:
            place += left
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + HEADER])
        pieces += data[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind in (1, 4):
            found.append(pb.Record.FromString(pieces))
            pieces = b""
    return found


def history(found: list[Any]) -> list[dict[str, float]]:
    rows = [record.history.item for record in found if record.WhichOneof("record_type") == "history"]
    return [{".".join(one.nested_key) or one.key: json.loads(one.value_json) for one in row} for row in rows]


def summary(found: list[Any]) -> dict[str, Any]:
    updates = [one for record in found for one in record.summary.update]
    return {".".join(one.nested_key) or one.key: json.loads(one.value_json) for one in updates}


@pytest.mark.slow
def test_each_rate_is_a_run_of_the_group(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("WANDB_SILENT", "true")
    result = raced()
    ids = to_wandb(result, group="rates", project="digits", mode="offline", dir=str(tmp_path))
    wandb.teardown()  # W&B writes in a process of its own, which may be behind.
    files = [records(next((tmp_path / "wandb").glob(f"offline-run-*-{one}"))) for one in ids]
    runs = [next(record.run for record in found if record.WhichOneof("record_type") == "run") for found in files]
    assert [(run.display_name, run.run_group, run.project) for run in runs] == [
        (name, "rates", "digits") for name in ("lr_0.0001", "lr_0.001", "rates")
    ]
    for rate, found, status in zip((1e-4, 1e-3), files, ("pruned", "ok"), strict=False):
        measured = values(result.frame, rate, "val_loss")[0]
        assert [row["val_loss"] for row in history(found)] == pytest.approx(measured)
        assert [row["epoch"] for row in history(found)] == list(range(len(measured)))
        assert summary(found)["status"] == status
    assert summary(files[1])["best_val_loss"] == pytest.approx(np.min(values(result.frame, 1e-3, "val_loss")))
    assert summary(files[2])["best_learning_rate"] == 1e-3
    (report,) = (tmp_path / "wandb").rglob(f"*{ids[-1]}/**/*.html")
    assert "<title>rates</title>" in report.read_text(encoding="utf-8")
