"""Every result shows itself: as a table, a plot, a cell of a notebook and, if it can stand alone, a page."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from keras_lr import LogGridSearch, Report, analyze_histories, analyze_history, results
from keras_lr.results import AutoLRAction, Refinement, Suggestion
from keras_lr.results._auto_lr import action_in_words
from keras_lr.results._record import PageRecord, Record
from tests.report_samples import auto_lr_log, history, schedule_preview
from tests.result_records import make_range_test
from tests.sensitivity_samples import sensitivity_result

RUNS = {"low": history(1e-4), "high": history(1.0)}
SHOWN: dict[str, tuple[Callable[[], Any], int]] = {
    "AutoLRLog": (auto_lr_log, 12),
    "Diagnosis": (lambda: analyze_history(history(1e-2)), 30),
    "HistoryComparison": (lambda: analyze_histories(RUNS), 2),
    "RangeTestResult": (lambda: make_range_test(repeats=3, num_steps=100), 300),
    "SchedulePreview": (schedule_preview, 500),
    "SensitivityResult": (sensitivity_result, len(sensitivity_result().frame)),
    "Suggestion": (lambda: make_range_test().suggestion, 1),
}
"""A result of each class, and the rows of its frame."""


def test_every_result_is_tested_here() -> None:
    records = {name for name in results.__all__ if issubclass(getattr(results, name), Record)}
    assert set(SHOWN) == records - {"Refinement"}


@pytest.mark.parametrize("name", SHOWN)
def test_it_is_a_table(name: str) -> None:
    make, rows = SHOWN[name]
    assert len(make().to_frame()) == rows


@pytest.mark.parametrize("name", SHOWN)
def test_it_draws_on_a_figure_of_pyplot_or_on_the_axes_it_is_given(name: str) -> None:
    result = SHOWN[name][0]()
    drawn = result.plot()
    first = drawn[0] if isinstance(drawn, list) else drawn
    assert [plt.figure(number) for number in plt.get_fignums()] == [first.figure]
    plt.close("all")
    figure = Figure()
    given = list(figure.subplots(len(drawn))) if isinstance(drawn, list) else figure.subplots()
    assert result.plot(given) == given
    assert plt.get_fignums() == []


@pytest.mark.parametrize("name", SHOWN)
def test_a_notebook_shows_it(name: str) -> None:
    result = SHOWN[name][0]()
    assert "<strong>" in result._repr_html_()
    assert isinstance(result, PageRecord) == ("<svg" in result._repr_html_())


def test_a_page_of_its_own_says_what_it_shows() -> None:
    assert "<h1>Training history</h1>" in analyze_history(history(1e-2)).to_html()


def test_the_table_of_a_diagnosis_holds_what_was_recorded() -> None:
    recorded = history(1e-2)
    frame = analyze_history(recorded).to_frame()
    for name in ("loss", "val_loss", "learning_rate"):
        assert frame[name].tolist() == recorded[name]
    assert list(analyze_history({"loss": [3.0, 2.0, 1.0]}).to_frame()) == ["epoch", "loss"]


def test_the_table_of_a_comparison_has_the_best_loss_of_each_run() -> None:
    frame = analyze_histories(RUNS).to_frame().set_index("run")
    assert frame["best_loss"].to_dict() == {name: min(run["val_loss"]) for name, run in RUNS.items()}
    assert frame.loc["high", "verdict"] == "too_high"


def test_a_suggestion_without_a_rate_shows_its_reason_as_text() -> None:
    refusal = Suggestion.refuse("Flat <b>& noisy</b>.", rule="consensus")
    assert "&lt;b&gt;&amp; noisy&lt;/b&gt;" in refusal._repr_html_()
    assert "no usable learning rate" in refusal._repr_html_()
    assert not refusal.plot().lines


def test_the_table_of_short_runs_leaves_out_the_steps_after_a_run_stopped() -> None:
    losses = np.array([[3.0, 2.0], [3.0, np.nan]])
    frame = Refinement(np.array([0.1, 1.0]), losses, make_range_test().suggestion).to_frame()
    assert frame.to_numpy().tolist() == [[0.1, 0.0, 3.0], [0.1, 1.0, 2.0], [1.0, 0.0, 3.0]]


def test_a_report_shows_its_other_parts_folded() -> None:
    report = Report("Digits").add(sensitivity_result()).add(make_range_test())._repr_html_()
    shown, *folded = report.split("<details>")
    assert shown.count("<svg") == 1
    assert any("Range test" in part.split("</summary>")[0] and "<svg" in part for part in folded)


def test_a_change_by_auto_lr_is_one_line() -> None:
    action = AutoLRAction("rollback", 3, 3.0, 0.01, "The loss became NaN.")
    assert action_in_words(action) == "AutoLR, epoch 3 (rollback): learning rate 3 to 1e-2. The loss became NaN."
    only_said = dataclasses.replace(action, applied=False)
    assert "(rollback, not applied)" in action_in_words(only_said)
    unchanged = dataclasses.replace(action, kind="probe", learning_rate_after=3.0)
    assert "(probe): learning rate stays 3." in action_in_words(unchanged)


def test_a_search_without_records_has_nothing_to_show(tmp_path: Any) -> None:
    tuner = LogGridSearch(lambda: None, directory=tmp_path)
    assert tuner._repr_html_() is None
