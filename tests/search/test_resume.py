"""A search resumes where its records end, whatever it is asked for next."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest

from keras_lr.errors import SearchError
from keras_lr.search._engines.stacked_program import StackedProgram
from tests.search.small_search import EPOCHS, RATES, classifier, iris, run_small, small_search

KEY = ["learning_rate", "repeat", "batch_size", "epoch"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[str], pd.DataFrame]:
    """The lines and the frame of an unbroken search."""
    directory = tmp_path_factory.mktemp("whole")
    frame = run_small(small_search(classifier(), directory))
    return lines_of(directory), frame


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Numbers of copies of each stacked program that trains."""
    counts: list[int] = []
    original = StackedProgram.epoch

    def counted(self: Any, copies: Any, *args: Any, **kwargs: Any) -> Any:
        if "max_steps" not in kwargs:
            counts.append(self.count)
        return original(self, copies, *args, **kwargs)

    monkeypatch.setattr(StackedProgram, "epoch", counted)
    return counts


def lines_of(directory: Path) -> list[str]:
    return (directory / "lr" / "records" / "tuner0.jsonl").read_text().splitlines(keepends=True)


def begun(directory: Path, lines: list[str], *, cut: int = 0) -> None:
    """A project as a kill leaves it: some lines, the last one cut."""
    records = directory / "lr" / "records"
    records.mkdir(parents=True)
    text = "".join(lines)
    (records / "tuner0.jsonl").write_text(text[: len(text) - cut])


@pytest.mark.parametrize("kept", [0, 1, 2, 3, 5, 9])
def test_a_killed_search_ends_as_the_unbroken_one(tmp_path: Path, whole: Any, kept: int) -> None:
    lines, expected = whole
    begun(tmp_path, lines[:kept], cut=3 if kept else 0)
    frame = run_small(small_search(classifier(), tmp_path))
    assert not frame.duplicated(KEY).any()
    pd.testing.assert_frame_equal(frame, expected, rtol=1e-4)
    assert len([line for line in lines_of(tmp_path) if '"status"' in line]) == len(expected)


def test_a_finished_search_trains_nothing_more(tmp_path: Path, whole: Any, programs: list[int]) -> None:
    begun(tmp_path, whole[0])
    tuner = small_search(classifier(), tmp_path)
    pd.testing.assert_frame_equal(tuner.sensitivity().frame, whole[1])
    assert tuner.get_best_hyperparameters()[0].values == {"learning_rate": RATES[1]}
    run_small(tuner)
    assert programs == []
    assert lines_of(tmp_path) == whole[0]


def test_a_wider_grid_and_more_repeats_train_what_is_new(tmp_path: Path, whole: Any, programs: list[int]) -> None:
    begun(tmp_path, whole[0])
    tuner = small_search(classifier(), tmp_path, learning_rates=[*RATES, 3e-2], repeats=3)
    frame = run_small(tuner)
    # Five runs are missing, and each of the three rates has a twin that shows whether it is chaotic.
    assert programs == [5 + 3] * EPOCHS
    assert frame.groupby("learning_rate")["repeat"].nunique().tolist() == [3, 3, 3]
    merged = frame.merge(whole[1], on=KEY, suffixes=("", "_before"))
    assert len(merged) == len(whole[1])
    assert (merged["loss"] == merged["loss_before"]).all()


def test_more_epochs_add_to_each_curve(tmp_path: Path, whole: Any) -> None:
    begun(tmp_path, whole[0])
    frame = run_small(small_search(classifier(), tmp_path), epochs=EPOCHS + 1)
    assert frame.groupby(["learning_rate", "repeat"])["epoch"].apply(list).tolist() == [[0, 1, 2]] * 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"build": classifier(keras.optimizers.SGD)}, "`hypermodel` builds another model"),
        ({"seed": 7}, "`seed` differs"),
        ({"data": 2.0}, "the training data differs"),
        ({"validation": 2.0}, "the validation data differs"),
    ],
)
def test_the_records_of_another_search_are_left_alone(
    tmp_path: Path, whole: Any, change: dict[str, Any], message: str
) -> None:
    begun(tmp_path, whole[0])
    tuner = small_search(change.get("build", classifier()), tmp_path, seed=change.get("seed", 0))
    x, y, (x_val, y_val) = iris()
    validation = x_val * change.get("validation", 1.0), y_val
    with pytest.raises(SearchError, match=message):
        tuner.search(x * change.get("data", 1.0), y, validation_data=validation, epochs=EPOCHS, verbose=0)
    assert lines_of(tmp_path) == whole[0]


def test_a_search_goes_on_without_its_validation_data(tmp_path: Path, whole: Any) -> None:
    begun(tmp_path, whole[0])
    frame = run_small(small_search(classifier(), tmp_path, objective="loss"), validation_data=None)
    assert frame["status"].tolist() == ["ok"] * 4 * EPOCHS


def test_records_that_call_the_engine_a_tier_are_read(tmp_path: Path, whole: Any, programs: list[int]) -> None:
    lines, expected = whole
    begun(tmp_path, [line.replace('"engine"', '"tier"') for line in lines])
    assert '"event": "tier", "tier": "stacked"' in "".join(lines_of(tmp_path))
    tuner = small_search(classifier(), tmp_path)
    assert run_small(tuner).equals(expected)
    assert tuner.sensitivity().engine == "stacked"
    assert programs == []


def test_overwrite_starts_over(tmp_path: Path, whole: Any) -> None:
    begun(tmp_path, whole[0])
    tuner = small_search(classifier(), tmp_path, overwrite=True)
    with pytest.raises(SearchError, match=r"No epochs are recorded in .*lr yet\. Call `search` first"):
        tuner.sensitivity()


def test_each_line_is_on_disk_before_the_next_epoch(tmp_path: Path) -> None:
    seen: list[int] = []

    class Reader(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            path = tmp_path / "lr" / "records" / "tuner0.jsonl"
            rows = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
            seen.append(sum("status" in row for row in rows))

    run_small(small_search(classifier(), tmp_path, repeats=1), callbacks=[Reader()])
    np.testing.assert_array_equal(seen, range(4))
