"""Whatever a file holds, reading it gives a result or a documented exception."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st

from keras_lr import analyze_history
from keras_lr.errors import KerasLRError, ResultFormatError
from keras_lr.report._sections import record_from_dict
from keras_lr.results import Diagnosis, RangeTestResult, SensitivityResult
from keras_lr.results._record import Record
from tests.fuzz.conftest import FUZZ
from tests.fuzz.strategies import JSON, mutated
from tests.result_records import make_range_test

CSV = "epoch,accuracy,loss,val_loss\n" + "".join(f"{n},0.{n},{1 / (n + 1)},NA\n" for n in range(9))
SPARSE = "epoch,step,train/loss,val/loss,lr\n" + "".join(
    f"{n},{9 * n},{1 / (n + 1)},,0.1\n{n},{9 * n},,{2 / (n + 1)},\n" for n in range(6)
)
CONSOLE = "".join(
    f"Epoch {n}/6\n\x1b[1m2/2\x1b[0m - 0s 5ms/step - loss: {1 / n}\b\b\r2/2 - 0s - loss: {1 / n} - val_loss: {2 / n}\n"
    for n in range(1, 7)
)
NOTEBOOK = {
    "nbformat": 4,
    "cells": [{"outputs": [{"text": [CONSOLE], "data": {"text/html": "<table><tr><th>epoch<th>loss<tr><td>1"}}]}],
}
RANGE_TEST = make_range_test(repeats=2, num_steps=20).to_dict()
DIAGNOSIS = analyze_history({"loss": [1.0, 0.6, 0.4, 0.3, 0.25], "val_loss": [1.1, 0.7, 0.6, 0.6, 0.7]}).to_dict()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def events(folder: Path) -> bytes:
    logs = folder / "written"
    writer = tf.summary.create_file_writer(str(logs))
    with writer.as_default():
        for epoch in range(6):
            tf.summary.scalar("epoch_loss", 1 / (epoch + 1), step=epoch)
    writer.close()
    return next(logs.iterdir()).read_bytes()


def edited(content: bytes, edits: list[tuple[int, bytes]]) -> bytes:
    for place, piece in edits:
        at = place % (len(content) + 1)
        content = content[:at] + piece + content[at + len(piece) // 2 :]
    return content


EDITS = st.lists(st.tuples(st.integers(0, 2**16), st.binary(max_size=8)), min_size=1, max_size=5)


def read(path: Path) -> None:
    with contextlib.suppress(KerasLRError):
        analyze_history(path)


@FUZZ
@given(st.sampled_from([CSV, SPARSE, CONSOLE]), EDITS)
def test_damaged_text(folder: Path, text: str, edits: list[tuple[int, bytes]]) -> None:
    path = folder / "run.csv"
    path.write_bytes(edited(text.encode(), edits))
    read(path)


@FUZZ
@given(mutated(NOTEBOOK))
def test_damaged_notebooks(folder: Path, notebook: Any) -> None:
    path = folder / "run.ipynb"
    path.write_text(json.dumps(notebook))
    read(path)


COUNTERS = st.lists(st.sampled_from([0, 1, 2, 3, 0.5, -1, 2**60, None, "nan", ""]), min_size=4, max_size=4)
SERIES = st.lists(st.sampled_from([0.1, 1, 2, 3, None, "nan", "inf", ""]), min_size=1, max_size=4)


@FUZZ
@given(
    st.dictionaries(st.sampled_from(["epoch", "step", "batch", "_step", "train/epoch"]), COUNTERS, max_size=2),
    st.dictionaries(
        st.sampled_from(["loss", "train_loss", "val_loss", "test/loss", "accuracy", "val_acc", "lr", "key", "value"]),
        SERIES,
        max_size=5,
    ),
    st.sampled_from([None, 1, 2, "run 1"]),
)
def test_any_columns(counters: dict[str, Any], series: dict[str, Any], run: str | int | None) -> None:
    with contextlib.suppress(KerasLRError):
        diagnosis = analyze_history({**counters, **series}, run=run)
        assert len(diagnosis.epochs) == len(diagnosis.losses)
        assert list(diagnosis.epochs) == sorted(set(diagnosis.epochs))


@FUZZ
@given(st.one_of(st.binary(max_size=200), JSON.map(lambda value: json.dumps(value).encode())))
def test_any_bytes(folder: Path, content: bytes) -> None:
    for name in ("run.csv", "run.json"):
        (folder / name).write_bytes(content)
        read(folder / name)


@FUZZ
@given(EDITS)
def test_damaged_event_files(folder: Path, events: bytes, edits: list[tuple[int, bytes]]) -> None:
    logs = folder / "logs"
    logs.mkdir(exist_ok=True)
    (logs / "events.out.tfevents.1").write_bytes(edited(events, edits))
    read(logs)


@FUZZ
@given(st.one_of(mutated(RANGE_TEST), mutated(DIAGNOSIS), JSON))
def test_stored_results_load_completely_or_not_at_all(stored: Any) -> None:
    for record in (RangeTestResult, Diagnosis, SensitivityResult):
        try:
            loaded = record.from_dict(stored)
        except ResultFormatError:
            continue
        assert json.loads(loaded.to_json())["kind"] == record.kind
    try:
        assert isinstance(record_from_dict(stored), Record)
    except ResultFormatError:
        return


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"kind":' * 50_000,
        '{"kind": "range_test", "schema_version": 999}',
        '{"kind": "range_test", "schema_version": 1' + "0" * 5000 + "}",
        '{"kind": "range_test", "schema_version": 1, "learning_rates": [1e999], "losses": [1]}',
        '{"kind": "range_test", "schema_version": 1, "losses": NaN}',
        '{"kind": {"__reduce__": "os.system"}, "schema_version": 1}',
        '{"py/object": "os.system"}',
        "",
        "null",
    ],
)
def test_malicious_json_is_refused(text: str) -> None:
    with pytest.raises(ResultFormatError, match=r"stored|Strict JSON|schema_version"):
        RangeTestResult.from_json(text)
