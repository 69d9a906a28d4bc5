"""A search that goes beyond the grid it was given, and one that stops early."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import pytest

from keras_lr.analysis._grid import MAX_EXTENSIONS, next_growth
from tests.search.small_search import classifier, run_small, small_search
from tests.sensitivity_samples import sensitivity_frame

COMMON: dict[str, Any] = {"objective": "val_loss", "direction": "min", "extend": True, "refine": False}


def sgd() -> keras.Model:
    return classifier(keras.optimizers.SGD)()


def grown(directory: Path) -> list[Any]:
    lines = [json.loads(line) for line in (directory / "lr" / "records" / "tuner0.jsonl").read_text().splitlines()]
    return [(line["why"], line["learning_rates"]) for line in lines if line.get("event") == "grown"]


def test_a_grid_below_the_best_rate_grows_upwards_and_says_so_in_the_records(tmp_path: Path) -> None:
    tuner = small_search(sgd, tmp_path, learning_rates=[1e-5, 1e-4], extend=True)
    frame = run_small(tuner, epochs=1)
    assert grown(tmp_path) == [("high edge", [1e-3]), ("high edge", [1e-2])]
    assert sorted(frame["learning_rate"].unique()) == [1e-5, 1e-4, 1e-3, 1e-2]
    again = small_search(sgd, tmp_path, learning_rates=[1e-5, 1e-4], extend=True)
    pd.testing.assert_frame_equal(run_small(again, epochs=1), frame)
    assert [hp.get("learning_rate") for hp in again.get_best_hyperparameters()] == [1e-2]


def test_growth_goes_on_after_a_cut_with_the_points_it_had_decided_on(tmp_path: Path) -> None:
    whole = run_small(small_search(sgd, tmp_path / "a", learning_rates=[1e-5, 1e-4], extend=True), epochs=1)
    path = tmp_path / "a" / "lr" / "records" / "tuner0.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    first = next(number for number, line in enumerate(lines) if "grown" in line)
    path.write_text("".join(lines[: first + 1]))
    frame = run_small(small_search(sgd, tmp_path / "a", learning_rates=[1e-5, 1e-4], extend=True), epochs=1)
    pd.testing.assert_frame_equal(frame, whole, rtol=1e-4)


def test_growth_ends_after_its_decades_and_inside_the_grid() -> None:
    frame = sensitivity_frame([1e-5, 1e-4], best=1.0)
    event = next_growth(frame, [], **COMMON)
    assert event == {"why": "high edge", "learning_rates": [1e-3]}
    assert next_growth(frame, [event] * MAX_EXTENSIONS, **COMMON) is None
    assert next_growth(sensitivity_frame(), [], **COMMON) is None
    assert next_growth(frame, [], **{**COMMON, "extend": False}) is None


def test_refinement_adds_points_around_the_basin_once() -> None:
    frame = sensitivity_frame()
    event = next_growth(frame, [], **{**COMMON, "refine": True})
    assert event is not None
    assert event["why"] == "basin"
    assert all(1e-4 < rate < 1e-1 for rate in event["learning_rates"])
    assert next_growth(frame, [event], **{**COMMON, "refine": True}) is None


@pytest.mark.parametrize("engine", ["stacked", "function"])
def test_pruning_stops_rates_that_cannot_win_and_keeps_the_best(tmp_path: Path, engine: Any) -> None:
    rates = [1e-6, 1e-5, 1e-2, 3e-2]
    whole = run_small(small_search(classifier(), tmp_path / "whole", learning_rates=rates), epochs=8)
    tuner = small_search(classifier(), tmp_path / "pruned", learning_rates=rates[::-1], pruning=True, engine=engine)
    frame = run_small(tuner, epochs=8)
    last = frame.groupby(["learning_rate", "repeat"])[["epoch", "status"]].last()
    assert (last["status"] == "pruned").loc[[1e-6, 1e-5]].any()
    assert last.loc[3e-2]["epoch"].tolist() == [7, 7]
    merged = frame.merge(whole, on=["learning_rate", "repeat", "epoch"], suffixes=("", "_whole"))
    np.testing.assert_allclose(merged["val_loss"], merged["val_loss_whole"], rtol=1e-3)
    lines = (tmp_path / "pruned" / "lr" / "records" / "tuner0.jsonl").read_text()
    run_small(tuner, epochs=8)
    assert (tmp_path / "pruned" / "lr" / "records" / "tuner0.jsonl").read_text() == lines
