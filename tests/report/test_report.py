"""The report as a whole."""

import ast
import dataclasses
import html
import json
import re

import keras
import numpy as np
import pytest

import keras_lr
from keras_lr import AutoLR, LogGridSearch, LRRangeTest, Report, analyze_histories, analyze_history
from keras_lr.errors import InvalidArgumentError
from keras_lr.report._components import KERAS_OPTIMIZERS
from keras_lr.report._sections import schedule
from keras_lr.results import RangeTestResult, Refinement, Suggestion
from tests.result_records import make_range_test


@pytest.fixture(scope="module")
def page():
    return Report("Digits").add(make_range_test(repeats=3)).to_html()


def embedded_json(page):
    text = re.search(r'<script type="application/json" id="keras-lr-data">(.*?)</script>', page, re.S)[1]

    def refuse(constant):
        raise ValueError(constant)

    return json.loads(text, parse_constant=refuse)


def test_the_first_screen_answers(page):
    answer = re.sub("<[^>]+>", "", page.split('aria-label="Answer"')[1].split("<svg")[0])
    for text in ("Clear", "learning_rate=3.2e-3", "1e-3 to 2.5e-2", "100 steps x 3 repeats, Adam, batch 32"):
        assert text in html.unescape(answer)
    assert "keras.optimizers.Adam(learning_rate=3.2e-3)" in answer


def test_the_sections_follow_in_order(page):
    headings = re.findall(r"<h2[^>]*>([^<]+)</h2>", page)
    assert headings == ["Range test", "Method", "Environment", "Reproduce", "Data"]


def test_no_answer_is_said_plainly():
    nothing = make_range_test(suggestion=Suggestion.refuse("The curve is flat.", rule="consensus"))
    page = Report("Flat").add(nothing).to_html()
    assert "No usable learning rate found" in page
    assert "The curve is flat." in page
    assert "learning_rate=" not in page.split("<svg")[0]


def test_two_runs_are_byte_identical(page):
    assert Report("Digits").add(make_range_test(repeats=3)).to_html() == page


def test_the_date_comes_from_the_environment_variable_and_never_from_the_clock(page, monkeypatch):
    assert "<time" not in page
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert '<time datetime="1970-01-02">' in Report("Digits").add(make_range_test()).to_html()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "today")
    with pytest.raises(InvalidArgumentError, match="`SOURCE_DATE_EPOCH` must be a number of seconds since 1970"):
        Report("Digits").add(make_range_test()).to_html()


def test_the_embedded_data_are_strict_json_and_load(page):
    record = embedded_json(page)["records"][0]
    assert RangeTestResult.from_dict(record).suggestion.learning_rate == 3.2e-3


def test_non_finite_losses_become_null():
    losses = make_range_test().losses.copy()
    losses[3], losses[-1] = float("nan"), float("inf")
    page = Report("Broken").add(make_range_test(losses=losses)).to_html()
    stored = embedded_json(page)["records"][0]["losses"]
    assert (stored[3], stored[-1]) == (None, None)


def test_hostile_names_stay_text():
    hostile = '</script><script>alert(1)</script>"><img src=x onerror=alert(1)>'
    result = make_range_test(
        monitor=hostile,
        stop_detail=hostile,
        environment={"optimizer": hostile, hostile: hostile},
        suggestion=Suggestion(1e-3, 1e-4, 1e-2, "tentative", hostile, hostile),
        stop_reason="interrupted",
        engine="per_batch",
        engine_reason=hostile,
    )
    page = Report(hostile).add(result).to_html()
    assert page.count("<script") == 2
    assert page.count("</script") == 2
    assert "<img" not in page
    assert embedded_json(page)["title"] == hostile
    assert "<img" not in Report(hostile).add(result)._repr_html_()


def test_nothing_is_loaded_from_elsewhere(page):
    assert not re.search(r"""(?:src|srcset)\s*=""", page)
    assert all(link.startswith(("#", "data:text/csv")) for link in re.findall(r'href="([^"]*)"', page))
    assert "style=" not in page
    assert re.search(r"default-src 'none'; style-src 'sha256-[^']+'", html.unescape(page))


def test_a_full_page_is_small(page):
    assert len(page.encode()) < 150_000


def test_the_script_of_a_range_test_asks_for_what_was_asked_for():
    plain = make_range_test()
    runs = Refinement(np.array([1e-3, 1e-2]), np.ones((2, 10)), plain.suggestion)
    asked = make_range_test(epochs=20, monitor="student_loss", refinement=runs, scored_on="validation")

    def arguments(result):
        scripts = re.findall(r'aria-label="Script \d+"><code>(.*?)</code>', Report().add(result).to_html(), re.S)
        calls = [node for node in ast.walk(ast.parse(html.unescape(scripts[0]))) if isinstance(node, ast.Call)]
        (found,) = [call.keywords for call in calls if len(call.args) == 3]
        return {one.arg: ast.unparse(one.value) for one in found}

    more = {"epochs": "20", "monitor": "'student_loss'", "refine": "True"}
    assert arguments(asked) == arguments(plain) | more | {"validation_data": "load_validation_batch()"}


def test_a_notebook_gets_a_small_fragment_without_scripts():
    fragment = Report("Digits").add(make_range_test())._repr_html_()
    assert fragment.split("<details>")[0].count("<svg") == 1
    assert "<script" not in fragment
    assert "<html" not in fragment


def test_the_page_is_written_whole(tmp_path, page):
    path = Report("Digits").add(make_range_test(repeats=3)).save(tmp_path / "page.html")
    assert path.read_text(encoding="utf-8") == page


@pytest.mark.parametrize("title", ["", "  ", None, 3])
def test_a_title_must_be_a_text(title):
    with pytest.raises(InvalidArgumentError, match="`title` must be a non-empty string"):
        Report(title)


def test_only_results_can_be_added():
    with pytest.raises(InvalidArgumentError, match=r"must be one of \[.*'RangeTestResult'.*\]\. Received: dict"):
        Report("x").add({"kind": "range_test"})


@pytest.mark.parametrize(
    ("received", "remedy"),
    [
        ([make_range_test()], "Add the results one by one."),
        ({"loss": [3.0, 2.0]}, "Pass `keras_lr.analyze_history\\(history\\)`."),
        (LRRangeTest(), "Pass its `result`, after `fit`."),
        (AutoLR(), "Pass its `log`, after `fit`."),
        (keras.callbacks.History(), "Pass `keras_lr.analyze_history\\(history\\)`."),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_holds_a_result_is_told_from_the_result(received, remedy):
    with pytest.raises(InvalidArgumentError, match=remedy):
        Report("x").add(received)


def test_a_search_is_told_from_its_result(tmp_path):
    with pytest.raises(InvalidArgumentError, match=r"Pass its `sensitivity\(\)`\."):
        Report("x").add(LogGridSearch(lambda: None, directory=tmp_path))


def test_an_empty_report_is_refused():
    with pytest.raises(InvalidArgumentError, match=r"The report is empty\. Call `add\(result\)` first"):
        Report("x").to_html()


def test_a_notebook_shows_an_empty_report_without_an_error():
    assert Report("x")._repr_html_() == "<p>The report is empty. Call <code>add(result)</code> first.</p>"
    assert repr(Report("x").add(make_range_test())) == "Report('x', 1 result)"


def test_a_notebook_gets_the_warnings_too():
    result = make_range_test(stop_reason="data_exhausted", stop_detail="The data ended")
    fragment = Report("x").add(result)._repr_html_()
    assert "The data ended. <strong>Repeat the dataset (<code>dataset.repeat()</code>) or ask" in fragment


def test_the_schedules_that_can_be_written_as_code_are_those_there_are():
    def schedules(home):
        base = keras.optimizers.schedules.LearningRateSchedule
        classes = {name: item for name, item in vars(home).items() if isinstance(item, type)}
        return {name for name, item in classes.items() if issubclass(item, base) and item is not base}

    assert schedules(keras_lr.schedules) == set(schedule.KERAS_LR_SCHEDULES)
    assert schedules(keras.optimizers.schedules) == set(schedule.KERAS_SCHEDULES)


def test_the_optimizers_that_can_be_written_as_code_are_those_there_are():
    classes = {name: item for name, item in vars(keras.optimizers).items() if isinstance(item, type)}
    given = {name for name, item in classes.items() if issubclass(item, keras.Optimizer)}
    assert given - {"Optimizer", "LossScaleOptimizer", "MultiOptimizer"} <= set(KERAS_OPTIMIZERS)
    for name in given & set(KERAS_OPTIMIZERS):
        assert classes[name](learning_rate=0.5).learning_rate == 0.5


def test_a_tentative_range_is_not_said_to_show_a_fall():
    clear = make_range_test()
    doubted = make_range_test(suggestion=dataclasses.replace(clear.suggestion, confidence="tentative"))
    falls = "The loss falls steadily."
    assert [falls in Report("x").add(result).to_html() for result in (clear, doubted)] == [True, False]


def test_named_results_are_told_apart():
    report = Report("Widths")
    for name in ("8 units", "<32 units>"):
        report.add(make_range_test(stop_reason="data_exhausted", stop_detail="The data ended"), name=name)
        report.add(analyze_history({"loss": [2.3, 2.2, 2.1, 2.05]}), name=name)
    page = html.unescape(re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", report.to_html())))
    for name in ("8 units", "<32 units>"):
        assert f" Range test: {name} " in page
        assert f"{name}: The data ended." in page
        assert f"{name}: unclear, the loss went from 2.3 to 2.05" in page
    assert "8 units: In this range test anything from" in page
    assert " Range test 1 " not in page
    with pytest.raises(InvalidArgumentError, match=r"`name` must be a string\. Received: 8"):
        report.add(make_range_test(), name=8)


def text_of(record):
    page = Report("Runs").add(record).to_html()
    return re.sub(r"\s+", " ", re.sub("<[^>]+>", " ", re.sub("<(svg|style|script).*?</\\1>", "", page, flags=re.S)))


def test_a_metric_that_should_grow_is_shown_as_it_was_recorded():
    rising = {"accuracy": [0.125, 0.5, 0.625, 0.75]}
    several = text_of(analyze_histories({"a": rising, "b": {"accuracy": [0.1, 0.2, 0.3, 0.4]}}))
    assert "The best run, a, reached accuracy 0.75." in several
    for words in (several, text_of(analyze_history(rising))):
        assert "accuracy went from 0.125 to 0.75 in 4 epochs" in words
        assert "-0.75" not in words.split("Numbers")[0]


def test_crosses_are_explained_only_where_the_figure_has_some():
    calm, wild = {"loss": [1.0, 0.5, 0.4, 0.3]}, {"loss": [1.0, 0.5, float("inf"), float("inf")]}
    assert "Crosses" not in text_of(analyze_history(calm))
    assert "Crosses" not in text_of(analyze_histories([calm, calm]))
    assert "Crosses at the upper edge" in text_of(analyze_history(wild))
    assert "Crosses at the upper edge" in text_of(analyze_histories([calm, wild]))
    falling = {"accuracy": [0.5, 0.6, 0.7, float("nan")]}
    assert "Crosses at the lower edge" in text_of(analyze_history(falling))


def test_a_comparison_of_steps_speaks_of_steps():
    fast, slow = ({"step": [10, 20, 30], "loss": losses} for losses in ([3.0, 2.0, 1.0], [3.0, 2.5, 2.4]))
    assert "It was ahead from step 20 on" in text_of(analyze_histories([slow, fast]))
