"""Size of the demo's full report, and the time to build and to open it: `python benchmarks/report.py`.

The results are as large as those of `keras-lr demo` (six learning rates x three seeds x twelve epochs, a range test of
three sweeps, three diagnosed runs), but computed without training. Prints a table; `--output` also writes it.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
LIMITS = {
    "size, bytes": 300_000,
    "built, first in a process, seconds": 3.0,
    "built, seconds": 3.0,
    "opened, seconds": 2.0,
}


def build():
    """Seconds to build the report from existing results, and the page."""
    from keras_lr import Report, analyze_history
    from tests.report_samples import history
    from tests.result_records import make_range_test
    from tests.sensitivity_samples import sensitivity_frame, sensitivity_result

    results = [make_range_test(repeats=3, num_steps=200), sensitivity_result(sensitivity_frame(epochs=12, noise=0.05))]
    results += [analyze_history(history(rate, epochs=20)) for rate in (1e-4, 1e-2, 1.0)]
    start = time.perf_counter()
    report = Report("Handwritten digits")
    for result in results:
        report.add(result)
    page = report.to_html()
    return time.perf_counter() - start, page


def first_build():
    """Seconds of the first build in a fresh process, which includes the imports of matplotlib and Jinja2."""
    command = [sys.executable, __file__, "--once"]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def opening(page):
    """Seconds until a headless Chromium has loaded the page; None without Chromium."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        return None
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = Path(folder, "report.html")
        path.write_text(page, encoding="utf-8")
        browser = playwright.chromium.launch(executable_path=program)
        seconds = []
        for _ in range(5):
            tab = browser.new_page()
            tab.goto(path.as_uri())
            seconds.append(tab.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd") / 1000)
            tab.close()
        browser.close()
    return statistics.median(seconds)


def main():
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, help="also write the table to this file")
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    os.environ["SOURCE_DATE_EPOCH"] = "0"
    if options.once:
        print(build()[0])
        return
    first = statistics.median(first_build() for _ in range(3))
    built = [build() for _ in range(5)]
    measured = {
        "size, bytes": len(built[0][1].encode()),
        "built, first in a process, seconds": first,
        "built, seconds": statistics.median(seconds for seconds, _ in built),
        "opened, seconds": opening(built[0][1]),
    }
    lines = ["# The full demo report", "", "| what | measured | limit |", "|---|---|---|"]
    for name, value in measured.items():
        shown = "not measured" if value is None else f"{value:,}" if isinstance(value, int) else f"{value:.2f}"
        lines.append(f"| {name} | {shown} | {LIMITS[name]:,} |")
    same = len({page for _, page in built}) == 1
    lines += ["", f"Five builds byte-identical: {'yes' if same else 'no'}. Median of 5 (first in a process: of 3)."]
    text = "\n".join(lines) + "\n"
    print(text, end="")
    if options.output:
        options.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
