"""The result of a search as a record: its JSON, also as earlier versions wrote it, and what it refuses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from keras_lr.errors import ResultFormatError
from keras_lr.results import SensitivityResult
from tests.sensitivity_samples import sensitivity_result


def stored(**changes: Any) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(sensitivity_result().to_json())
    return data | changes


def test_saved_and_loaded_it_is_the_same(tmp_path: Path) -> None:
    result = sensitivity_result()
    loaded = SensitivityResult.load(result.save(tmp_path / "result.json"))
    pd.testing.assert_frame_equal(loaded.frame, result.frame)
    assert loaded.to_dict() == result.to_dict()


def test_a_result_stored_under_the_former_names_is_read() -> None:
    data = stored()
    data["tier"], data["tier_reason"] = data.pop("engine"), "The model has Dropout."
    data.pop("engine_reason")
    loaded = SensitivityResult.from_json(json.dumps(data))
    assert (loaded.engine, loaded.engine_reason) == ("stacked", "The model has Dropout.")
    assert loaded.to_dict() == stored(engine_reason="The model has Dropout.")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"best_learning_rate": 1.0}, "The rates must satisfy 0 < low <= learning rate <= high"),
        ({"confidence": "none"}, 'With confidence "none" all learning rates must be None'),
        ({"confidence": "sure"}, "`confidence` must be one of .* Received: 'sure'"),
        ({"direction": "down"}, "`direction` must be 'min' or 'max'. Received: 'down'"),
        ({"objective": "val_auc"}, r"`frame` must have the columns \['val_auc'\]"),
        ({"frame": [1.0]}, "expected an object of lists for `frame`"),
        ({"environment": []}, "expected an object for `environment`, received list"),
        ({"at_edge": 0}, "expected true or false for `at_edge`"),
        ({"engine": None}, "expected a string, received NoneType"),
    ],
)
def test_damaged_results_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ResultFormatError, match=message):
        SensitivityResult.from_dict(stored(**change))


def test_an_unknown_status_is_refused() -> None:
    result = sensitivity_result()
    with pytest.raises(ValueError, match=r"`status` must be one of .* Received: \['paused'\]"):
        dataclasses.replace(result, frame=result.frame.assign(status="paused"))
