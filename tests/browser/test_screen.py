"""The page on a screen: silent, accessible, and readable with little."""

import re

import pytest

from tests.report_samples import page_of

pytestmark = pytest.mark.browser

SCREENS = [(scheme, width) for scheme in ("light", "dark") for width in (1280, 360)]


@pytest.mark.parametrize(("scheme", "width"), SCREENS)
def test_it_opens_in_silence_asks_for_nothing_and_axe_finds_no_violation(open_page, full_page, scheme, width):
    from axe_playwright_python.sync_playwright import Axe

    watched = open_page(full_page, scheme=scheme, width=width)
    watched.open_details()
    assert watched.messages == []
    assert watched.requests == []
    # Axe runs as a script of its own; the page's policy keeps out all others.
    violations = Axe().run(watched.page).response["violations"]
    assert [(rule["id"], rule["nodes"][0]["html"][:200]) for rule in violations] == []
    assert watched.sideways() == 0


# The others stand on the full page as they do alone.
@pytest.mark.parametrize("kind", ["diagnosis", "comparison"])
def test_axe_finds_no_violation_in_a_page_of_one_kind(open_page, kind):
    from axe_playwright_python.sync_playwright import Axe

    watched = open_page(page_of(kind), width=360, scheme="dark")
    watched.open_details()
    violations = Axe().run(watched.page).response["violations"]
    assert [(rule["id"], rule["nodes"][0]["html"][:200]) for rule in violations] == []
    assert watched.messages == []
    assert watched.sideways() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_figures_are_seen_on_their_card(open_page, full_page, scheme):
    watched = open_page(full_page, scheme=scheme)
    watched.open_details()
    texts = watched.contrasts(":is(.wide, .panels) svg text", "fill")
    strokes = watched.contrasts(":is(.wide, .panels) svg :is(path, use, line)", "stroke")
    assert len(texts) > 10
    assert len(strokes) > 10
    assert min(texts) >= (4.5, "")
    assert min(strokes) >= (3.0, "")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_follows_the_readers_colour_scheme(open_page, full_page, scheme):
    watched = open_page(full_page, scheme=scheme)
    red, green, blue = map(
        int, re.findall(r"\d+", watched.page.evaluate("getComputedStyle(document.body).backgroundColor"))
    )
    assert (red + green + blue > 600) == (scheme == "light")


def test_nothing_scrolls_sideways_in_between(open_page, full_page):
    watched = open_page(full_page, width=768)
    watched.open_details()
    assert watched.sideways() == 0


@pytest.mark.parametrize("width", [340, 360])
def test_no_rate_is_broken_over_two_lines(open_page, full_page, width):
    watched = open_page(full_page, width=width)
    watched.open_details()
    assert watched.broken_rates() == []


def test_the_rows_of_a_table_of_numbers_have_one_height_on_a_telephone(open_page, full_page):
    """A text in a last column, off the screen, must not make its row taller."""
    watched = open_page(full_page, width=360)
    heights = watched.page.evaluate(
        "[...document.querySelectorAll('section > .scroll > table:not(.cards) tbody')]"
        ".map(body => [...body.rows].map(row => row.clientHeight))"
    )
    assert any(len(rows) > 3 for rows in heights)
    assert [rows for rows in heights if len(set(rows)) > 1] == []


@pytest.mark.parametrize(("width", "drawn"), [(1280, "wide"), (360, "narrow")])
def test_one_drawing_of_each_figure_is_shown(open_page, full_page, width, drawn):
    watched = open_page(full_page, width=width)
    shown = watched.page.locator(".answer .figure svg:visible")
    assert shown.count() == 1
    assert shown.locator("xpath=..").get_attribute("class").split()[0] == drawn


def test_letters_in_figures_stay_readable_on_a_telephone(open_page, full_page):
    watched = open_page(full_page, width=360)
    heights = watched.page.evaluate(
        "[...document.querySelectorAll('.answer .narrow svg text')].map(text => text.getBoundingClientRect().height)"
    )
    assert min(heights) >= 8.5


def test_it_can_be_read_without_scripts(open_page, full_page):
    watched = open_page(full_page, scripts=False)
    assert watched.page.locator(".lead").inner_text().startswith("Use learning_rate=1e-3")
    watched.page.locator("summary", has_text="Table: Range test").click()
    assert watched.page.get_by_role("rowheader", name="1e-7", exact=True).first.is_visible()


def test_it_can_be_read_without_its_style_sheet(open_page, full_page):
    watched = open_page(re.sub("<style>.*?</style>", "", full_page, flags=re.S))
    text = watched.page.inner_text("body")
    order = [
        "Use learning_rate=1e-3",
        "Sensitivity",
        "Range test",
        "AutoLR",
        "Diagnosis",
        "Schedule",
        "Method",
        "Environment",
        "Reproduce",
        "Data",
    ]
    places = [text.index(part, text.index("Use learning_rate")) for part in order]
    assert places == sorted(places)
    assert watched.page.locator(".answer svg:visible").count() == 1


def test_the_keyboard_reaches_everything_that_can_be_used(open_page, full_page):
    watched = open_page(full_page)
    watched.open_details()
    usable = watched.page.locator(":is(a, summary, button, [tabindex]):visible").count()
    reached = set()
    for _ in range(usable):
        watched.page.keyboard.press("Tab")
        reached.add(watched.page.evaluate("[...document.querySelectorAll('*')].indexOf(document.activeElement)"))
    assert len(reached) == usable


def test_the_numbers_can_be_downloaded(open_page, full_page):
    watched = open_page(full_page)
    with watched.page.expect_download() as waiting:
        watched.page.get_by_role("link", name="Download range_test.csv").click()
    assert waiting.value.suggested_filename == "range_test.csv"
    lines = waiting.value.path().read_text().splitlines()
    assert lines[0].startswith("learning_rate,loss,")
    assert len(lines) == 101
