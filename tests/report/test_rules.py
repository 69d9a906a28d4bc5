"""What holds of every page, whatever it shows."""

import base64
import hashlib
import html
import re
from importlib.resources import files

import matplotlib as mpl
import pytest

from keras_lr import Report
from keras_lr.analysis import analyze_history
from keras_lr.plots import _style
from keras_lr.report._sections import record_from_dict
from keras_lr.results._record import Record
from tests.report.page_reader import Page
from tests.report_samples import KINDS, page_of
from tests.verdict_words import contradictions, random_run

PAGES = [*KINDS, "everything"]


@pytest.fixture(params=PAGES)
def source(request):
    return page_of(request.param)


@pytest.fixture
def page(source):
    return Page(source)


def test_nothing_is_loaded_and_only_its_own_script_runs(page, source):
    allowed = {"a", "use"}
    for tag, attributes in page.elements:
        assert not {"src", "srcset", "style", "action", "background", "poster"} & set(attributes), tag
        assert not [name for name in attributes if name.startswith("on")], tag
        if "href" in attributes:
            assert tag in allowed
            assert attributes["href"].startswith(("#", "data:text/csv")), attributes["href"]
    assert "url(http" not in source
    assert [script.get("type") for script in page.all("script")] == ["application/json", None]


def test_the_policy_allows_only_the_pages_own_style_and_script(page, source):
    (policy,) = (meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy")
    style = re.search("<style>(.*?)</style>", source, re.S)[1]
    script = re.search("<script>(.*?)</script>", source, re.S)[1]
    styles, scripts = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script))
    assert policy.startswith(f"default-src 'none'; style-src 'sha256-{styles}'; script-src 'sha256-{scripts}';")
    assert "url(" not in style
    assert "@import" not in style


def test_the_style_sheet_takes_its_colours_from_the_plots(source):
    style = re.search("<style>(.*?)</style>", source, re.S)[1]
    template = files("keras_lr.report").joinpath("templates", "report.css.j2").read_text(encoding="utf-8")
    colors = {value for name, value in vars(_style).items() if name.isupper() and isinstance(value, str)}
    assert {_style.BLUE, _style.BLUE_ON_DARK, *_style.REGION_COLORS.values()} == colors
    assert not [color for color in colors if color in template]
    assert f'[stroke="{_style.BLUE}"] {{ stroke: {_style.BLUE_ON_DARK}; }}' in style
    for name, color in _style.REGION_COLORS.items():
        assert f".chip.{name.replace(' ', '-')}::before {{ background: {color}; }}" in style


def test_no_id_stands_twice_and_every_link_has_its_target(page):
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    targets = [attributes["href"][1:] for _, attributes in page.elements if attributes.get("href", "").startswith("#")]
    clips = re.findall(r"url\(#([^)]+)\)", str(page.elements))
    named = [name for _, attributes in page.elements for name in attributes.get("aria-labelledby", "").split()]
    assert set(targets + clips + named) <= set(ids)


def test_each_figure_says_what_it_shows(source):
    figures = re.findall(r"<svg.*?</svg>", source, re.S)
    assert figures
    for figure in figures:
        assert 'role="img"' in figure[:400]
        title, finding = (re.search(rf"<{tag} id=[^>]*>(.*?)</{tag}>", figure)[1] for tag in ("title", "desc"))
        assert len(title) > 4
        assert finding.endswith((".", " …", "…"))
        assert re.search(r"\d", finding)


def test_each_figure_leads_to_its_numbers(source):
    for caption in re.findall(r"<figcaption>.*?</figcaption>", source, re.S):
        target = re.search(r'<a href="#([^"]+)">Numbers</a>', caption)[1]
        section = source.split(f'id="{target}"')[1].split('class="numbers"')[0]
        assert "<table>" in section
        assert "download=" in section
        assert "<pre" in section


def test_tables_have_captions_and_headers(source):
    tables = re.findall(r"<table.*?</table>", source, re.S)
    assert tables
    for table in tables:
        assert re.search(r"<caption>[^<]{8,}</caption>", table)
        columns = re.findall(r'<th scope="col"', table)
        rows = re.split("<tbody[^>]*>", table)[1].split("</tr>")[:-1]
        assert all(row.count('<th scope="row"') == 1 for row in rows)
        assert all(row.count("<td") + 1 == len(columns) for row in rows)


def test_the_csv_to_download_is_the_csv_to_copy(page, source):
    from urllib.parse import unquote

    links = [unquote(link["href"].split(",", 1)[1]) for link in page.all("a") if "download" in link]
    names = [link["download"] for link in page.all("a") if "download" in link]
    copied = [html.unescape(text) for text in re.findall(r'<pre class="code tall"[^>]*>(.*?)</pre>', source, re.S)]
    assert links == copied
    assert len(set(names)) == len(names)


def test_all_results_are_embedded_and_load(page):
    stored = page.data()["records"]
    assert stored
    for record in stored:
        assert isinstance(record_from_dict(record), Record)


def test_every_page_ends_with_how_where_and_the_numbers(page):
    headings = [text for tag, text in page.texts if tag == "h2"]
    assert headings[-2:] == ["Reproduce", "Data"]
    assert "Method" in headings[-4:]
    assert len(set(headings)) == len(headings)


def test_the_sections_of_a_full_page_follow_by_weight():
    headings = [text for tag, text in Page(page_of("everything")).texts if tag == "h2"]
    assert headings == [
        *("Sensitivity", "Learning rate and batch size", "Training histories", "Range test", "AutoLR", "Diagnosis"),
        *("Schedule", "Method", "Environment", "Reproduce", "Data"),
    ]


def test_nothing_is_called_optimal_and_what_was_not_tried_is_said(page):
    text = page.text()
    assert "optimal" not in text.lower()
    assert "Not tried:" in text or "Not looked at:" in text


def test_scripts_to_reproduce_are_python(source):
    for script in re.findall(r'aria-label="Script \d+"><code>(.*?)</code>', source, re.S):
        compile(html.unescape(script), "script", "exec")


@pytest.mark.parametrize("kind", ["range test", "diagnoses", "AutoLR", "schedule"])
def test_the_same_results_give_the_same_bytes(kind):
    with mpl.rc_context({"lines.linewidth": 9, "axes.grid": True, "font.size": 30}):
        before = dict(mpl.rcParams)
        report = Report("Digits")
        for record in KINDS[kind]():
            report.add(record)
        assert report.to_html() == page_of(kind)
        assert dict(mpl.rcParams) == before


def test_pyplot_is_not_touched():
    import sys

    page_of("everything")
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or pyplot.get_fignums() == []


def test_no_sentence_points_against_the_verdict_of_the_run():
    one_of_each = {}
    for seed in range(40):
        columns, known = random_run(seed)
        diagnosis = analyze_history(columns, **known)
        one_of_each.setdefault(diagnosis.verdict, diagnosis)
    assert {"too_low", "good", "too_high"} <= one_of_each.keys()
    for diagnosis in one_of_each.values():
        assert not contradictions(diagnosis, Page(Report("A run").add(diagnosis).to_html()).text())
