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
from keras_lr.results._sensitivity import basins_in_words
from tests.sensitivity_samples import sensitivity_frame, sensitivity_result


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
    ("changes", "words"),
    [
        ({"low": 1e-3, "high": 2.15e-3}, "as good within noise from 1e-3 to 2.15e-3"),
        ({"low": 1e-3, "high": 1e-3}, "every other rate is worse than noise explains"),
        ({"low": 1e-3, "high": 1e-3, "basin_by": "gain"}, "every other rate loses more than 5% of the gain"),
    ],
)
def test_a_basin_of_a_single_rate_has_no_ends(changes: dict[str, Any], words: str) -> None:
    assert basins_in_words(SensitivityResult.from_dict(stored(best_learning_rate=1e-3, **changes))) == words


@pytest.mark.parametrize(
    ("usable", "words"),
    [
        ((1e-3, 1e-2), "as good within noise and at most 5% of the gain lost from 1e-3 to 1e-2"),
        ((1e-4, 1e-1), "as good within noise from 1e-3 to 1e-2; at most 5% of the gain lost from 1e-4 to 1e-1"),
        ((1e-3, 1e-3), "as good within noise from 1e-3 to 1e-2; every other rate loses more than 5% of the gain"),
        ((None, None), "as good within noise from 1e-3 to 1e-2"),
    ],
)
def test_both_ranges_are_told_apart(usable: tuple[float | None, float | None], words: str) -> None:
    low, high = usable
    result = stored(best_learning_rate=1e-3, low=1e-3, high=1e-2, usable_low=low, usable_high=high)
    assert basins_in_words(SensitivityResult.from_dict(result)) == words


def test_a_best_rate_alone_in_both_ranges_is_said_once() -> None:
    result = stored(best_learning_rate=1e-3, low=1e-3, high=1e-3, usable_low=1e-3, usable_high=1e-3)
    said = "every other rate is worse than noise explains and loses more than 5% of the gain"
    assert basins_in_words(SensitivityResult.from_dict(result)) == said


NEW_FIELDS = ("basin_by", "usable_low", "usable_high", "lr_sensitivity", "doubts")


@pytest.mark.parametrize(("repeats", "basin_by"), [(3, "noise"), (1, "gain")])
def test_a_result_of_an_earlier_version_is_read(repeats: int, basin_by: str) -> None:
    """Its basin was within noise, or with a single repeat what lost at most 5% of the gain."""
    data = json.loads(sensitivity_result(sensitivity_frame(repeats=repeats)).to_json())
    for name in NEW_FIELDS:
        del data[name]
    loaded = SensitivityResult.from_json(json.dumps(data))
    assert [getattr(loaded, name) for name in NEW_FIELDS] == [basin_by, None, None, None, ()]


def test_the_two_ranges_and_the_sensitivity_are_stored() -> None:
    changes = {"usable_low": 1e-4, "usable_high": 1e-1, "lr_sensitivity": 0.25, "basin_by": "noise"}
    loaded = SensitivityResult.from_dict(stored(**changes))
    assert {name: getattr(loaded, name) for name in changes} == changes
    assert loaded.to_frame().attrs == {"lr_sensitivity": 0.25}
    assert loaded.frame.attrs == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"usable_low": 1e-2, "usable_high": 1e-1}, "The rates must satisfy 0 < low <= learning rate <= high"),
        ({"usable_low": 1e-4}, "The rates must satisfy 0 < low <= learning rate <= high"),
        ({"basin_by": "luck"}, r"`basin_by` must be one of \('noise', 'gain'\)\. Received: 'luck'"),
        ({"lr_sensitivity": "high"}, "expected a number or null, received str"),
        ({"best_learning_rate": 1.0}, "The rates must satisfy 0 < low <= learning rate <= high"),
        ({"confidence": "none"}, 'With confidence "none" all learning rates must be None'),
        ({"confidence": "sure"}, "`confidence` must be one of .* Received: 'sure'"),
        ({"direction": "down"}, "`direction` must be 'min' or 'max'. Received: 'down'"),
        ({"objective": "val_auc"}, r"`frame` must have the columns \['val_auc'\]"),
        ({"frame": [1.0]}, "expected an object of lists for `frame`"),
        ({"environment": []}, "expected an object for `environment`, received list"),
        ({"at_edge": 0}, "expected true or false for `at_edge`"),
        ({"engine": None}, "expected a string, received NoneType"),
        ({"doubts": [1]}, "expected a string, received int"),
    ],
)
def test_damaged_results_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ResultFormatError, match=message):
        SensitivityResult.from_dict(stored(**change))


def test_an_unknown_status_is_refused() -> None:
    result = sensitivity_result()
    with pytest.raises(ValueError, match=r"`status` must be one of .* Received: \['paused'\]"):
        dataclasses.replace(result, frame=result.frame.assign(status="paused"))
