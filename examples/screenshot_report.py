"""Take screenshots of the demo's report in light and dark mode: `python examples/screenshot_report.py`.

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
    """Takes screenshots of the first screen of the demo's report, or of the given one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--report", type=Path, help="the page to show (default: the report of the demo)")
    parser.add_argument("--output", type=Path, default=DOCS, help="the directory to write to")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        page = options.report or Path(folder, "report.html")
        if options.report is None:
            subprocess.run([sys.executable, "-m", "keras_lr", "demo", "--report", page], check=True)
        picture(page, options.output)


def picture(page, output):
    """Writes the two pictures, 1120 x 620 pixels each."""
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
