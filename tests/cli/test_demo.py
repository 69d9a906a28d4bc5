"""`keras-lr demo`."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import threading

import pytest

OFFLINE_DEMO = """
import socket, sys

def refuse(self, address):
    raise OSError(f"no network in this test: {address}")

socket.socket.connect = refuse
from keras_lr.cli import main
sys.exit(main(["demo", "--report", "page.html"]))
"""


@pytest.fixture
def start(tmp_path):
    """Starts the demo in a fresh process whose standard error is a terminal of 100 columns."""
    started = []

    def begin():
        master, terminal = pty.openpty()
        program = subprocess.Popen(
            [sys.executable, "-c", OFFLINE_DEMO],
            cwd=tmp_path,
            env=os.environ | {"TERM": "xterm", "COLUMNS": "100", "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE,
            stderr=terminal,
            text=True,
        )
        os.close(terminal)
        shown = []
        reader = threading.Thread(target=lambda: shown.append(read_all(master)))
        reader.start()
        started.append((program, reader))
        return program, shown

    yield begin
    for program, reader in started:
        if program.poll() is None:
            program.kill()
        program.stdout.close()
        program.wait()
        reader.join()


def read_all(descriptor):
    """What a program writes to its terminal until it ends."""
    parts = []
    while True:
        try:
            part = os.read(descriptor, 65536)
        except OSError:
            break
        if not part:
            break
        parts.append(part)
    os.close(descriptor)
    return b"".join(parts).decode(errors="replace")


def kinds_in(page):
    text = re.search(r'<script type="application/json" id="keras-lr-data">(.*?)</script>', page, re.S)[1]
    return [record["kind"] for record in json.loads(text)["records"]]


@pytest.mark.slow
def test_it_shows_everything_offline_in_a_fresh_process(start, tmp_path):
    demo, _ = start()
    printed = demo.communicate(timeout=240)[0]
    assert demo.returncode == 0, printed
    assert (
        len(re.findall(r"(?:Clear|Tentative): learning_rate=\S+  \(usable from \S+ to \S+\)\n\S.+\.\n", printed)) == 2
    )
    assert re.findall(r"learning_rate=\S+: judged ([a-z ]+),", printed) == ["too low", "good", "too high"]
    assert "Report: page.html" in printed
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert kinds_in(page) == ["sensitivity", "range_test", *["diagnosis"] * 3]
    assert len(page.encode()) <= 300_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html"]


@pytest.mark.slow
def test_ctrl_c_leaves_a_report_of_what_there_is(start, tmp_path):
    demo, shown = start()
    lines = iter(demo.stdout.readline, "")
    assert any(line.startswith("2. Search") for line in lines)
    demo.send_signal(signal.SIGINT)
    rest = demo.stdout.read()
    assert demo.wait(timeout=120) == 130, shown
    assert "Interrupted: the report holds what there is." in rest
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "range_test" in kinds_in(page)
    assert "diagnosis" not in kinds_in(page)
    assert "The demo was interrupted." in page
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html"]
