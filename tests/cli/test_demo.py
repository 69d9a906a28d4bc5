"""`keras-lr demo`."""

import html
import importlib.util
import json
import os
import pty
import re
import signal
import threading

import pytest

from keras_lr.cli import _demo, main
from keras_lr.cli._demo import keeping_results_so_far
from keras_lr.errors import SearchError
from tests.fresh_process import start_fresh

OFFLINE_DEMO = """
import socket, sys

def refuse(self, address):
    raise OSError(f"no network in this test: {address}")

socket.socket.connect = refuse
from keras_lr.cli import main
sys.exit(main(["demo", "--report", "page.html"]))
"""
# The demo, which stops once the first epoch of its search is recorded, and waits there for Ctrl-C.
STOPPING_DEMO = f"""
import os
import time
from keras_lr.search._recorder import Recorder

record = Recorder.record

def record_and_wait(*arguments):
    record(*arguments)
    # Past Python's own `sys.stdout`, which the progress line captures.
    os.write(1, b"an epoch is recorded\\n")
    while True:
        time.sleep(0.01)

Recorder.record = record_and_wait
{OFFLINE_DEMO}
"""


@pytest.fixture
def start(tmp_path, tmp_path_factory):
    """Starts the demo in a fresh process whose standard error is a terminal of 100 columns.

    Returns the process, its standard output and, once it has ended, what the terminal shows.
    """
    started = []

    def begin(program_text):
        master, terminal = pty.openpty()
        pipe = tmp_path_factory.mktemp("output") / "pipe"
        os.mkfifo(pipe)
        program = start_fresh(
            *("-c", program_text),
            cwd=tmp_path,
            environment={"TERM": "xterm", "COLUMNS": "100"},
            stdout=pipe,
            stderr=os.ttyname(terminal),
        )
        output = pipe.open(encoding="utf-8")
        shown = []
        reader = threading.Thread(target=lambda: shown.append(read_all(master)))
        reader.start()
        started.append((program, output, terminal, reader))
        return program, output, shown

    yield begin
    for program, output, terminal, reader in started:
        program.kill()
        program.join()
        output.close()
        os.close(terminal)
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


def records_in(page):
    text = re.search(r'<script type="application/json" id="keras-lr-data">(.*?)</script>', page, re.S)[1]
    return json.loads(text)["records"]


def kinds_in(page):
    return [record["kind"] for record in records_in(page)]


def measured(record):
    """A record without the environment, to which the demo adds what a script does not record."""
    return {name: value for name, value in record.items() if name != "environment"}


@pytest.mark.slow
def test_it_shows_everything_offline_in_a_fresh_process(start, tmp_path):
    demo, output, _ = start(OFFLINE_DEMO)
    printed = output.read()
    demo.join()
    assert demo.exitcode == 0, printed
    words = r"(?:Clear|Tentative): learning_rate=\S+  \(.*(usable|noise).*\)\n\S.+\.\n"
    assert re.findall(words, printed) == ["usable", "noise"]
    assert re.findall(r"learning_rate=\S+: judged ([a-z ]+),", printed) == ["too low", "good", "too high"]
    assert "Report: page.html" in printed
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert kinds_in(page) == ["sensitivity", "range_test", *["diagnosis"] * 3]
    assert len(page.encode()) <= 300_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html"]


@pytest.mark.slow
def test_ctrl_c_leaves_a_report_of_what_there_is(start, tmp_path):
    demo, output, shown = start(STOPPING_DEMO)
    lines = iter(output.readline, "")
    assert any(line.startswith("2. Search") for line in lines)
    assert any(line.startswith("an epoch is recorded") for line in lines)
    os.kill(demo.pid, signal.SIGINT)
    rest = output.read()
    demo.join()
    assert demo.exitcode == 130, shown
    assert "Interrupted. The report holds the results so far." in rest
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert kinds_in(page) == ["sensitivity", "range_test"]
    assert "The demo was interrupted." in page
    assert sorted(path.name for path in tmp_path.iterdir()) == ["page.html"]


def test_ctrl_c_before_anything_is_recorded_is_still_an_interrupt():
    def keep():
        raise SearchError("nothing is recorded")

    def search():
        with keeping_results_so_far(keep):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search()


@pytest.mark.slow
def test_the_script_in_the_report_gives_the_results_of_the_demo(tmp_path, monkeypatch):
    for name, few in {"NUM_STEPS": 30, "REPEATS": 1, "SEARCH_EPOCHS": 1, "EPOCHS": 3, "BATCH_SIZE": 64}.items():
        monkeypatch.setattr(_demo, name, few)
    monkeypatch.delitem(_demo.FACTORS, "too high")
    monkeypatch.chdir(tmp_path)
    assert main(["demo", "--report", "demo.html"]) == 0
    demo = (tmp_path / "demo.html").read_text(encoding="utf-8")
    assert _demo.script() in html.unescape(demo)
    exec(compile(_demo.script(), "script.py", "exec"), {"__name__": "__main__"})
    script = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert [measured(record) for record in records_in(script)] == [measured(record) for record in records_in(demo)]


def test_a_missing_scikit_learn_is_named_before_tensorflow_is_loaded(monkeypatch, capsys):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "sklearn" else found(name))
    assert main(["demo"]) == 2
    error = capsys.readouterr().err
    assert error == (
        "keras-lr: error: The demo needs scikit-learn, which is not installed. "
        'Install it with: pip install "keras-lr[examples]"\n'
    )
