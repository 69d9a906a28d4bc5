"""The first screen: one sentence, a badge with its reason, code, one picture, at most three warnings."""

import dataclasses
import re

import pytest

from keras_lr import Report, analyze_histories, analyze_history
from keras_lr.analysis._sensitivity import analyze_sensitivity
from keras_lr.results import Suggestion
from tests.report.page_reader import Page, first_screen
from tests.report_samples import KINDS, auto_lr_log, history, page_of, schedule_preview
from tests.result_records import make_range_test
from tests.sensitivity_samples import sensitivity_frame, sensitivity_result

ANSWERS = {
    "sensitivity": [
        "Clear",
        "Use learning_rate=1e-3.",
        "Anything from 1e-3 to 1e-2 is as good within noise. Trained with Adam at batch size 32.",
        "optimizer = keras.optimizers.Adam(learning_rate=1e-3) batch_size = 32",
    ],
    "batch sizes": ["Use learning_rate=1e-3.", "Trained with Adam at batch size 32."],
    "range test": ["Clear", "Use learning_rate=3.2e-3.", "from 1e-3 to 2.5e-2 was usable (100 steps x 3 repeats"],
    "diagnosis": ["The learning rate 1e-2 was", "Judged from 30 epochs of loss."],
    "diagnoses": ["3 runs judged: "],
    "comparison": [
        "The best run, 0.01, reached val_loss 0.179. It was ahead from epoch 1 on. Of 3 runs of 30 epochs, the one at "
        "1e-2 has the lowest val_loss.",
        "keras_lr.find_lr(model, x, y)",
    ],
    "AutoLR": [
        "AutoLR settled on learning_rate=1e-2.",
        "It started at a learning rate of 3 and made 2 changes in 12 epochs.",
    ],
    "schedule": [
        "A plan",
        "OneCycle over 500 steps, with a peak of learning_rate=3e-3.",
        "keras_lr.schedules.OneCycle(",
    ],
    "everything": ["Use learning_rate=1e-3."],
}


def small_search(*, repeats=3, **changes):
    """Three rates, of which the highest diverged."""
    found = sensitivity_result(sensitivity_frame((1e-5, 1e-3, 1.0), repeats=repeats, epochs=3))
    return dataclasses.replace(found, **({"high": 1e-3} | changes))


def words(*results):
    report = Report("Digits")
    for result in results:
        report.add(result)
    return first_screen(report.to_html())


@pytest.mark.parametrize("kind", [*KINDS, "everything"])
def test_it_answers_in_words(kind):
    shown = first_screen(page_of(kind))
    for text in ANSWERS[kind]:
        assert text in shown


@pytest.mark.parametrize("kind", [*KINDS, "everything"])
def test_it_has_one_badge_one_picture_and_at_most_three_warnings(kind):
    answer = page_of(kind).split('aria-label="Answer"')[1].split("</section>")[0]
    assert re.fullmatch(r"[A-Z][a-z ]+", re.search(r'<p class="badge [a-z]+">(.*?)</p>', answer)[1])
    assert answer.count("<figure") == 1
    assert answer.count("<li>") <= 3
    assert answer.count("<li>") == answer.count("</strong></li>")


def test_the_search_decides_before_the_range_test():
    shown = words(make_range_test(), small_search())
    assert "Use learning_rate=1e-3." in shown
    assert "3.2e-3" not in shown


def test_a_search_without_an_answer_leaves_the_word_to_the_range_test():
    refused = small_search(best_learning_rate=None, low=None, high=None, confidence="none", reason="All diverged.")
    assert "Use learning_rate=3.2e-3." in words(make_range_test(), refused)
    alone = words(refused)
    assert "No answer" in alone
    assert "No usable learning rate found." in alone
    assert "All diverged." in alone


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"usable_low": 1e-4, "usable_high": 1e-1},
            "Anything from 1e-3 to 1e-2 is as good within noise. Anything from 1e-4 to 1e-1 loses at most 5% of the",
        ),
        (
            {"usable_low": 1e-3, "usable_high": 1e-2},
            "Anything from 1e-3 to 1e-2 is as good within noise and loses at most 5% of the gain.",
        ),
        (
            {"high": 1e-3, "usable_low": 1e-4, "usable_high": 1e-3},
            "Every other rate that was tried is worse than noise explains. Anything from 1e-4 to 1e-3 loses at",
        ),
        ({"basin_by": "gain"}, "Anything from 1e-3 to 1e-2 loses at most 5% of the gain. Trained with"),
    ],
)
def test_what_is_as_good_within_noise_and_what_loses_little_are_said_apart(changes, said):
    assert f"Use learning_rate=1e-3. {said}" in words(dataclasses.replace(sensitivity_result(), **changes))


def test_the_pictures_of_a_comparison_are_not_cut_off():
    page = page_of("comparison")
    (classes,) = re.findall(r'<section class="card (answer[^"]*)"', page)
    limited = set(re.findall(r"\.([\w-]+) \{ max-height: \d", page))
    assert limited == {"tall"}, "only the boxes of long code scroll"
    assert not limited & set(classes.split())
    assert ".answer.stacked {" in page
    assert "stacked" in classes.split()


@pytest.mark.parametrize(("verdict", "rate"), [("good", "1e-2"), ("too_low", "3.2e-2")])
def test_a_best_run_that_was_good_is_named_instead_of_the_middle_of_the_range(verdict, rate):
    comparison = analyze_histories({"slow": history(1e-4), "quick": history(1e-2)})
    runs = {**comparison.diagnoses, "quick": dataclasses.replace(comparison.diagnoses["quick"], verdict=verdict)}
    wide = dataclasses.replace(comparison, diagnoses=runs, best_run="quick", suggested_low=1e-2, suggested_high=1e-1)
    assert f"Try learning_rate={rate}." in words(wide)


def test_the_reasons_of_a_single_run_are_not_repeated_in_the_table():
    assert ">Why</th>" in page_of("diagnoses")
    assert ">Why</th>" not in page_of("diagnosis")


def test_a_tentative_answer_says_try():
    suggestion = Suggestion(1e-3, 1e-4, 1e-2, "tentative", "The landmarks disagree.", "consensus")
    shown = words(make_range_test(suggestion=suggestion))
    assert "Try learning_rate=1e-3." in shown
    assert "Tentative" in shown


WARNINGS = {
    "edge above": (
        lambda: small_search(best_learning_rate=1.0, low=1.0, high=1.0, at_edge=True),
        "The best rate is the highest one tried, so a better one may lie beyond. Widen the grid to 10.",
    ),
    "edge below": (
        lambda: small_search(best_learning_rate=1e-5, low=1e-5, high=1e-5, at_edge=True),
        "The best rate is the lowest one tried, so a better one may lie beyond. Widen the grid to 1e-6.",
    ),
    "one repeat": (
        lambda: small_search(repeats=1),
        "Fewer than 3 repeats leave the noise uncertain. Search again with repeats=3.",
    ),
    "diverged inside": (
        lambda: small_search(high=1.0),
        "3 runs within the range diverged. Stay below 1.",
    ),
    "failed": (
        lambda: small_search(frame=small_search().frame.replace({"status": {"diverged": "failed"}})),
        "3 runs failed with an exception. Read the message in the project's records folder.",
    ),
    "data ended": (
        lambda: make_range_test(stop_reason="data_exhausted", stop_detail="The data ended"),
        "The data ended. Repeat the dataset (dataset.repeat()) or ask for fewer steps.",
    ),
    "broken run": (lambda: auto_lr_log(), "The run broke down in epoch 3. Start the next one below 3."),
    "unfinished run": (lambda: auto_lr_log(planned_epochs=50), "Only 12 of 50 epochs were trained."),
}


@pytest.mark.parametrize(("make", "warning"), WARNINGS.values(), ids=WARNINGS)
def test_a_warning_says_what_to_do(make, warning):
    assert warning in words(make())


def test_a_doubt_with_a_warning_of_its_own_is_not_in_the_reason_too():
    frame = sensitivity_frame((1e-5, 1e-3, 1e-2), repeats=1, epochs=3)
    result = analyze_sensitivity(frame[frame["learning_rate"] < 1e-2])
    assert result.reason.endswith("uncertain. The best rate is the highest one tried, so a better one may lie beyond.")
    shown = words(result)
    assert all(shown.count(doubt) == 1 for doubt in ("leave the noise uncertain.", "a better one may lie beyond."))


def test_a_race_has_no_grid_to_widen():
    race = {"epochs": 3, "budget": 1.0, "cost": 1.0, "finished": True, "dropped": [], "comparisons": []}
    edge = small_search(repeats=1, best_learning_rate=1.0, low=1.0, high=1.0, at_edge=True, race=race)
    assert "Widen the grid" not in words(edge)
    assert "repeats=3" not in words(edge)


def test_a_finding_in_the_run_is_a_warning_with_its_epochs():
    diagnosis = analyze_history(history(1.0))
    finding = next(finding for finding in diagnosis.findings if finding.severity in ("critical", "warning"))
    shown = words(diagnosis)
    kind = finding.kind.replace("_", " ").capitalize()
    assert f"{kind}, epochs {finding.start_epoch} to {finding.end_epoch}. {finding.advice}" in shown


def test_ones_own_warning_stands_first():
    report = Report("Digits").warn("The training was interrupted.", "Finish it.").add(auto_lr_log())
    assert re.search(r"interrupted\. Finish it\..*The run broke down", first_screen(report.to_html()))


def test_the_code_to_paste_follows_what_is_known():
    assert "keras.optimizers.Lion(learning_rate=3.2e-3)" in words(make_range_test(environment={"optimizer": "Lion"}))
    assert "model.optimizer.learning_rate = 3.2e-3" in words(make_range_test(environment={}))
    for name, line in (
        ("MyAdam", "model.optimizer.learning_rate = 3.2e-3"),
        ("MultiOptimizer", "learning_rate = 3.2e-3 # of"),
    ):
        shown = words(make_range_test(environment={"optimizer": name}))
        assert line in shown
        assert f"keras.optimizers.{name}(" not in shown
    sized = words(make_range_test(environment={"optimizer": "Lion", "batch_size": 64}))
    assert "keras.optimizers.Lion(learning_rate=3.2e-3) batch_size = 64" in sized
    for environment, lines in (({}, 0), ({"batch_size": 64}, 1)):
        html = Report("Digits").add(make_range_test(environment=environment)).to_html()
        assert html.count("    batch_size=64,") == lines
    known = words(dataclasses.replace(auto_lr_log(), known={"batch_size": 64}))
    assert "batch_size = 64" in known
    assert "max_learning_rate=3e-3," in words(schedule_preview())
    assert "max_learning_rate=3e-3," not in words(schedule_preview(name="Mystery"))
    assert "keras.optimizers.schedules.CosineDecay( decay_steps=9, )" in words(
        schedule_preview(name="CosineDecay", config={"decay_steps": 9, "warmup_target": None})
    )


def test_a_history_alone_advises_a_measurement_before_a_guess():
    answer = words(analyze_history(history(1.0)))
    assert answer.index("result = keras_lr.find_lr(model, x, y)") < answer.index("model.optimizer.learning_rate =")


def test_a_range_test_without_a_search_speaks_of_no_search():
    page = Page(page_of("range test")).text()
    assert "search decides" not in page
    assert "train a few of these rates to the end" in page
