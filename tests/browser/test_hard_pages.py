"""Pages that are hard on a browser: hostile, huge, broken."""

import pytest

from tests.report.test_extremes import NAMES, source_of
from tests.report.test_hostile import hostile_page

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("name", NAMES)
def test_an_extreme_page_opens_soon_and_in_silence(open_page, name):
    watched = open_page(source_of(name))
    watched.open_details()
    assert watched.messages == []
    assert watched.requests == []
    assert watched.sideways() == 0
    assert watched.loaded_milliseconds() < 2000


def test_a_hostile_page_runs_nothing_and_shows_its_text(open_page):
    watched = open_page(hostile_page(), width=360)
    watched.open_details()
    assert watched.dialogs == []
    assert watched.messages == []
    assert watched.requests == []
    assert watched.page.locator("img").count() == 0
    assert "<img src=x onerror=alert(1)>" in watched.page.inner_text("h1")
    assert watched.sideways() == 0
