"""Every example runs on its own, offline, and stays short enough to read."""

import runpy
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from keras_lr.results._diagnosis import FINDING_KINDS
from tests.fresh_process import run_fresh
from tests.versions import needs_multi_optimizer

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
# Runs a script as a program in which any connection beyond this machine fails.
OFFLINE = """
import runpy, socket, sys

connect = socket.socket.connect

def refuse(self, address):
    if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1", "localhost"):
        raise OSError(f"no network in this test: {address}")
    return connect(self, address)

socket.socket.connect = refuse
sys.path[0] = sys.argv[1].rpartition("/")[0]
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run_example(name, folder, *arguments):
    return run_script(EXAMPLES / name, folder, *arguments)


def run_script(path, folder, *arguments):
    """What a script prints."""
    done = run_fresh("-c", OFFLINE, path, *arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_a_script_fits_on_a_screen(script):
    assert len(script.read_text(encoding="utf-8").splitlines()) <= 60


@pytest.mark.slow
def test_range_test(tmp_path):
    printed = run_example("range_test.py", tmp_path)
    assert printed.startswith(("clear: ", "tentative: "))
    assert "% of the test images recognised" in printed
    assert (tmp_path / "range_test.html").stat().st_size < 200_000


@pytest.mark.slow
def test_auto_lr(tmp_path):
    printed = run_example("auto_lr.py", tmp_path)
    without, with_auto_lr = (float(line.split(": ")[1].split("%")[0]) for line in printed.splitlines()[:2])
    assert without < 30 < 90 < with_auto_lr
    assert "epoch 0, probe, 1e-06 to " in printed
    assert (tmp_path / "auto_lr.html").stat().st_size < 200_000


@pytest.mark.slow
def test_one_cycle(tmp_path):
    printed = run_example("one_cycle.py", tmp_path)
    assert "suggested learning rate" in printed
    constant, one_cycle = (float(line.split(": ")[1].split("%")[0]) for line in printed.splitlines()[-2:])
    assert min(constant, one_cycle) > 95


def test_schedule_pictures(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["schedule_pictures.py", "--output", str(tmp_path)])
    runpy.run_path(str(EXAMPLES / "schedule_pictures.py"), run_name="__main__")
    drawn = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert set(drawn) == {path.name for path in (EXAMPLES.parent / "docs" / "schedules").iterdir()}
    assert max(drawn.values()) < 10_000


def test_finding_pictures(tmp_path, monkeypatch, capsys):
    """The pictures in the documentation are those that the script draws now, but for antialiasing."""
    monkeypatch.setattr(sys, "argv", ["finding_pictures.py", "--output", str(tmp_path)])
    runpy.run_path(str(EXAMPLES / "finding_pictures.py"), run_name="__main__")
    assert capsys.readouterr().out.startswith("7 of 7 pictures in ")
    drawn = {path.stem: path.stat().st_size for path in tmp_path.iterdir()}
    assert set(drawn) == set(FINDING_KINDS)
    assert max(drawn.values()) < 10_000
    for kind in FINDING_KINDS:
        shown, now = (
            plt.imread(folder / f"{kind}.png") for folder in (EXAMPLES.parent / "docs" / "findings", tmp_path)
        )
        assert shown.shape == now.shape
        assert abs(shown - now).mean() < 0.01, f"draw {kind}.png again: python examples/finding_pictures.py"


@pytest.mark.slow
@pytest.mark.browser
def test_screenshot_report(tmp_path):
    pytest.importorskip("playwright")
    page = tmp_path / "report.html"
    page.write_text("<!DOCTYPE html><title>A page</title><p>Some text", encoding="utf-8")
    run_example("screenshot_report.py", tmp_path, "--report", str(page), "--output", str(tmp_path / "pictures"))
    pictures = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert pictures == ["report-dark.png", "report-light.png"]


@needs_multi_optimizer
@pytest.mark.slow
def test_lora(tmp_path):
    """The suggested rate is higher for the low-rank updates than for all weights."""
    printed = run_example("lora.py", tmp_path).splitlines()
    rates = [float(line.split("learning rate ")[1].split(" ")[0]) for line in printed[:2]]
    shares = [float(line.split(": ")[1].split("%")[0]) for line in printed[2:]]
    assert rates[1] > 1.5 * rates[0]
    assert min(shares) > 70


@pytest.mark.slow
@needs_multi_optimizer
def test_transfer_learning(tmp_path):
    printed = run_example("transfer_learning.py", tmp_path)
    shares = [float(line.split(", ")[1].split("%")[0]) for line in printed.splitlines()]
    assert [line.split(":")[0] for line in printed.splitlines()] == ["one rate", "slow stem"]
    assert min(shares) > 80
