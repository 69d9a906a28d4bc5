"""The smallest, the largest and the most broken results: shown, and what was left out is said."""

from functools import cache

import pytest

from keras_lr import Report
from tests.report.page_reader import Page
from tests.report_samples import extreme_records

RECORDS = cache(extreme_records)
NAMES = ["2,000 rates", "a million steps", "a million epochs", "one epoch, one rate", "nothing finite"]


@cache
def source_of(name):
    report = Report(name)
    for record in RECORDS()[name]:
        report.add(record)
    return report.to_html()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", NAMES)
def test_the_page_stays_small_and_draws_without_a_warning(name):
    assert len(source_of(name).encode()) < 500_000


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("2,000 rates", "120 of 2,000 learning rates are drawn."),
        ("2,000 rates", "12 of 2,000 learning rates are shown."),
        ("2,000 rates", "the best epoch and the spikes of each run are kept."),
        ("2,000 rates", "of 2,000 rows"),
        ("a million steps", "Thinned from 1,000,000 steps to 1,000 on this page"),
        ("a million epochs", "Thinned from 1,000,000 epochs to 1,000 on this page"),
        ("a million epochs", "Thinned from 1,000,000 steps to"),
    ],
)
def test_what_was_left_out_is_said(name, note):
    assert note in Page(source_of(name)).text()


def test_the_best_rate_stays_among_those_kept():
    rates = RECORDS()["2,000 rates"][0]
    stored = Page(source_of("2,000 rates")).data()["records"][0]
    assert rates.best_learning_rate == pytest.approx(stored["best_learning_rate"], rel=1e-8)
    assert any(rate == pytest.approx(rates.best_learning_rate, rel=1e-8) for rate in stored["frame"]["learning_rate"])


def test_nothing_finite_is_said_plainly():
    text = Page(source_of("nothing finite")).text()
    assert "No usable learning rate found" in text
    assert "No run trained to a finite number." in text
    assert "No step had a finite loss" in text
    assert "The run ended without a finite loss" in text


def test_a_single_epoch_and_rate_has_its_point():
    page = source_of("one epoch, one rate")
    assert "<use" in page.split("<figure")[1].split("</figure>")[0]
    assert "nan" not in Page(page).text().lower().replace("finance", "")
