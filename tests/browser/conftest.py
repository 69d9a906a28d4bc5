"""A real Chromium, the one the system has."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.browser.watched_page import WatchedPage
from tests.report_samples import page_of

_NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="package")
def browser() -> Iterator[Any]:
    """Chromium; without one the tests are skipped, or fail if `KERAS_LR_REQUIRE_BROWSER` is 1."""
    program = next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        _give_up(f"no {' or '.join(_NAMES)} on the PATH")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _give_up("the playwright package is not installed")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program)
        yield chromium
        chromium.close()


@pytest.fixture(scope="package")
def full_page() -> str:
    """A page with every section."""
    return page_of("everything")


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Callable[..., WatchedPage]]:
    """Opens HTML text as a file, as a reader would, and watches what the browser says and asks for."""
    with ExitStack() as opened:

        def open_html(html: str, *, scheme: str = "light", width: int = 1280, scripts: bool = True) -> WatchedPage:
            path = tmp_path / "page.html"
            path.write_text(html, encoding="utf-8")
            context = browser.new_context(
                color_scheme=scheme, viewport={"width": width, "height": 900}, java_script_enabled=scripts
            )
            opened.callback(context.close)
            return WatchedPage(context.new_page(), path)

        yield open_html


def _give_up(reason: str) -> None:
    if os.environ.get("KERAS_LR_REQUIRE_BROWSER") == "1":
        pytest.fail(f"A browser is required: {reason}")
    pytest.skip(reason)
