"""Names that try to break out of the page stay text."""

import csv
import io
from functools import cache
from urllib.parse import unquote

import pytest

from keras_lr import Report
from tests.report.page_reader import Page
from tests.report_samples import HOSTILE, hostile_records


@cache
def hostile_page():
    report = Report(HOSTILE)
    for record in hostile_records():
        report.add(record)
    return report.to_html()


@pytest.fixture(scope="module")
def page():
    return Page(hostile_page())


def test_it_becomes_no_element_and_no_handler(page):
    assert not page.all("img")
    assert len(page.all("script")) == 2
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert page.text().count("<img src=x onerror=alert(1)>") > 20


def test_it_can_be_written_and_nothing_in_it_hides(page):
    source = hostile_page().encode("utf-8").decode("utf-8")
    assert not {"\u202e", "\x07", "\x00", "\ud800"} & set(source)
    assert "\ufffd" in source
    assert "שלום 🧑‍🔬" in page.text()


def test_the_data_hold_it_as_it_was(page):
    stored = page.data()
    assert stored["title"] == HOSTILE
    assert stored["records"][0]["objective"] == HOSTILE


def test_no_cell_of_a_csv_can_become_a_formula(page):
    for link in (link["href"] for link in page.all("a") if "download" in link):
        for row in csv.reader(io.StringIO(unquote(link.split(",", 1)[1]))):
            for cell in row:
                for part in cell.replace(";", "\t").replace("|", "\t").split("\t"):
                    assert not part.strip().startswith(("=", "+", "@")), cell
                    assert not part.startswith("-") or float(part) < 0, cell


def test_code_to_paste_and_scripts_hold_no_name_from_elsewhere():
    source = hostile_page()
    for code in source.split('<pre class="code')[1:]:
        shown = code.split("</pre>")[0]
        if "tall" not in code[:20]:
            assert "cmd()" not in shown.replace("objective=", "", 1) or "objective=&#34;" in shown


def test_a_fragment_is_as_safe():
    for record in hostile_records():
        fragment = Report(HOSTILE).add(record)._repr_html_()
        page = Page(fragment)
        assert not page.all("img")
        assert not page.all("script")
        assert fragment.encode("utf-8")


def test_very_long_names_are_cut_where_they_are_shown():
    report = Report("t" * 10_000)
    for record in hostile_records("n" * 10_000):
        report.add(record)
    page = Page(report.to_html())
    headings = [text for tag, text in page.texts if tag in ("h1", "title", "h2", "th", "caption")]
    assert max(len(text) for text in headings) <= 1000
    assert page.data()["title"] == "t" * 10_000
