"""The result of a range test as a record: its frame, its JSON, what it refuses."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from keras_lr.errors import ResultFormatError
from keras_lr.results import RangeTestResult, Suggestion
from tests.result_records import make_range_test


def test_the_frame_has_a_row_per_step_and_repeat() -> None:
    result = make_range_test(repeats=3, num_steps=20)
    frame = result.to_frame()
    assert list(frame.columns) == ["step", "learning_rate", "repeat", "loss"]
    assert len(frame) == 60
    np.testing.assert_array_equal(frame.pivot(index="repeat", columns="step", values="loss"), result.repeat_losses)
    np.testing.assert_array_equal(frame.learning_rate[:20], result.learning_rates)


def test_points_that_a_stopped_repeat_lacks_have_no_row() -> None:
    result = make_range_test(repeats=2, num_steps=20)
    result.repeat_losses[1, 15:] = np.nan
    assert len(result.to_frame()) == 35


def test_saved_and_loaded_it_is_the_same(tmp_path: Any) -> None:
    result = make_range_test(repeats=2)
    loaded = RangeTestResult.load(result.save(tmp_path / "result.json"))
    for field in dataclasses.fields(RangeTestResult):
        one, other = getattr(result, field.name), getattr(loaded, field.name)
        if isinstance(one, np.ndarray):
            assert other.dtype == np.float64
            np.testing.assert_array_equal(one, other)
        else:
            assert one == other, field.name
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_json_is_strict_and_versioned() -> None:
    result = make_range_test(repeats=2)
    result.repeat_losses[0, -1] = np.nan
    stored = json.loads(result.to_json())
    assert stored["kind"] == "range_test"
    assert stored["schema_version"] == 1
    assert stored["repeat_losses"][0][-1] is None
    assert np.isnan(RangeTestResult.from_json(result.to_json()).repeat_losses[0, -1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "sensitivity"}, r"The stored `kind` must be 'range_test'\. Received: 'sensitivity'"),
        ({"schema_version": 2}, r"`schema_version` must be at most 1\. Received: 2\. Update keras_lr"),
        ({"schema_version": "1"}, r"`schema_version` must be a positive integer"),
        ({"losses": [1.0]}, r"field of the wrong type: `learning_rates` and `losses` must have the same shape"),
        ({"losses": "many"}, r"field of the wrong type"),
        ({"suggestion": {"kind": "suggestion"}}, r"schema_version"),
        ({"surprise": 1}, r"has no fields \['surprise'\]"),
    ],
)
def test_damaged_results_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ResultFormatError, match=message):
        RangeTestResult.from_dict({**make_range_test(num_steps=5).to_dict(), **change})


def test_a_missing_field_and_a_file_of_another_kind_are_refused(tmp_path: Any) -> None:
    stored = make_range_test(num_steps=5).to_dict()
    del stored["suggestion"]
    with pytest.raises(ResultFormatError, match=r"must have the fields \['suggestion'\]"):
        RangeTestResult.from_dict(stored)
    path = tmp_path / "notes.json"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ResultFormatError, match=r"`path` must be a UTF-8 JSON file"):
        RangeTestResult.load(path)
    path.write_text('{"losses": [NaN]}')
    with pytest.raises(ResultFormatError, match="Strict JSON has no NaN"):
        RangeTestResult.load(path)


def test_it_shows_itself(tmp_path: Any) -> None:
    result = make_range_test()
    assert "suggestion=3.2e-3, confidence='clear'" in repr(result)
    page = result.to_html(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page
    assert "<svg" in result._repr_html_()
    axes = result.plot()
    assert axes.get_xscale() == "log"


@pytest.mark.parametrize(
    ("numbers", "confidence"),
    [((0.1, 0.2, 0.3), "clear"), ((0.1, 0.01, None), "clear"), ((0.1, 0.01, 1.0), "none"), ((None,) * 3, "sure")],
)
def test_a_suggestion_that_contradicts_itself_is_refused(numbers: Any, confidence: Any) -> None:
    with pytest.raises(ValueError, match=r"must|Without"):
        Suggestion(*numbers, confidence, "why", "rule")
