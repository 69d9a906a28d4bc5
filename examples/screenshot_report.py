"""Picture the demo's report in light and in dark: `python examples/screenshot_report.py`.

Needs Chromium and the playwright package; writes `docs/report-light.png` and `docs/report-dark.png`.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

DOCS = Path(__file__).resolve().parent.parent / "docs"


def main():
    """Makes the report, or takes the one given, and pictures its first screen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", type=Path, help="a page to picture; the demo's own where not given")
    parser.add_argument("--output", type=Path, default=DOCS, help="the folder to write to")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        page = options.report or Path(folder, "report.html")
        if options.report is None:
            subprocess.run([sys.executable, "-m", "keras_lr", "demo", "--report", page], check=True)
        picture(page, options.output)


def picture(page, output):
    """Writes the two pictures, each of 1120 x 620 pixels."""
    output.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        for scheme in ("light", "dark"):
            tab = browser.new_page(color_scheme=scheme, viewport={"width": 1120, "height": 620})
            tab.goto(page.resolve().as_uri())
            tab.screenshot(path=output / f"report-{scheme}.png")
        browser.close()


if __name__ == "__main__":
    main()
