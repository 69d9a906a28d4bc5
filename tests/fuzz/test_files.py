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
@given(EDITS)
def test_damaged_csv(folder: Path, edits: list[tuple[int, bytes]]) -> None:
    path = folder / "run.csv"
    path.write_bytes(edited(CSV.encode(), edits))
    read(path)


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
