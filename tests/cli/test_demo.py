"""`keras-lr demo`."""

import os
import pty
import re
import subprocess
import sys
import time

import pytest

OFFLINE_DEMO = """
import socket, sys

def refuse(self, address):
    raise OSError(f"no network in this test: {address}")

socket.socket.connect = refuse
from keras_lr.cli import main
sys.exit(main(["demo", "--report", "page.html"]))
"""


@pytest.mark.slow
def test_it_runs_offline_in_a_fresh_process_and_says_what_it_found(tmp_path):
    master, terminal = pty.openpty()
    start = time.monotonic()
    demo = subprocess.Popen(
        [sys.executable, "-c", OFFLINE_DEMO],
        cwd=tmp_path,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "100"},
        stdout=subprocess.PIPE,
        stderr=terminal,
        text=True,
    )
    os.close(terminal)
    shown = read_all(master)
    printed = demo.communicate()[0]
    assert demo.returncode == 0, shown
    assert time.monotonic() - start < 120
    assert re.search(r"(Clear|Tentative): learning_rate=\S+  \(usable from \S+ to \S+\)\n\S.+\.\n", printed)
    assert "Report: page.html" in printed
    assert re.search(r"\d+/\d+.* steps", shown)
    assert "<h1>Handwritten digits" in (tmp_path / "page.html").read_text(encoding="utf-8")


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
