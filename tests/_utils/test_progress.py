"""Progress on a terminal, in a notebook and in a log file, and the line at the end."""

from __future__ import annotations

import builtins
import io
from typing import Any

import pytest
from rich.console import Console

from keras_lr._utils import progress
from keras_lr._utils.progress import no_summaries, notice, progress_line, search_line, shown_in_fit, summary


class Clock:
    """A clock that moves only when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: Any) -> Clock:
    moved = Clock()
    monkeypatch.setattr(progress, "time", moved)
    return moved


def at_console(monkeypatch: Any, **options: Any) -> io.StringIO:
    """Has the progress go to a console of this kind."""
    written = io.StringIO()
    monkeypatch.setattr("rich.console.Console", lambda stderr: Console(file=written, **options))
    return written


@pytest.mark.parametrize("show", ["auto", True, 1, 2])
def test_a_log_file_gets_fewer_lines_the_longer_a_task_takes(capsys: Any, clock: Clock, show: Any) -> None:
    with progress_line("Range test", 600, show=show) as update:
        for second in range(600):
            clock.now = 1000.0 + second
            update(second)
    lines = capsys.readouterr().err.splitlines()
    seconds = [int(line.removeprefix("keras_lr: Range test: ").split("/600 steps")[0]) for line in lines]
    assert seconds == [3, 9, 21, 45, 93, *range(153, 600, 60)]


def test_a_search_says_how_far_it_is(capsys: Any, clock: Clock) -> None:
    with search_line(verbose=1) as update:
        assert update is not None
        update(1, 12, 0, "none yet")
        clock.now += 4
        update(3, 12, 1, "0.5 at 1e-3")
    assert capsys.readouterr().err == "keras_lr: Learning rates: 3/12 epochs, 1 rate done, best 0.5 at 1e-3\n"


@pytest.mark.parametrize("show", [False, 0])
def test_nothing_is_shown_where_it_is_not_wanted(capsys: Any, clock: Clock, show: Any) -> None:
    with progress_line("Range test", 4, show=show) as update:
        clock.now += 100
        update(3)
    with search_line(verbose=show) as updated:
        assert updated is None
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_a_terminal_shows_a_bar_with_its_unit_and_clears_it(monkeypatch: Any) -> None:
    written = at_console(monkeypatch, force_terminal=True, force_jupyter=False, width=100)
    with progress_line("Training", 4, show="auto", unit="epochs") as update:
        update(4)
    assert "4/4" in written.getvalue()
    assert "epochs" in written.getvalue()
    assert written.getvalue().endswith("\x1b[2K")


def test_a_notebook_shows_one_line_and_clears_it(monkeypatch: Any, capsys: Any, clock: Clock) -> None:
    at_console(monkeypatch, force_jupyter=True)
    with progress_line("Training", 12, show="auto") as update:
        update(10)
        update(11)
        clock.now += 1
        update(9)
    width = len("Training: 10/12 steps")
    out = capsys.readouterr().out
    assert out == f"\rTraining: 10/12 steps\rTraining: 9/12 steps \r{' ' * (width - 1)}\r"


@pytest.mark.parametrize(
    ("verbose", "written"), [("auto", "keras_lr: Resumed.\n"), (1, "keras_lr: Resumed.\n"), (0, "")]
)
def test_a_notice_is_written_unless_it_is_hidden(capsys: Any, verbose: Any, written: str) -> None:
    notice("Resumed.", verbose=verbose)
    assert capsys.readouterr().err == written


def test_a_notebook_gets_a_notice_in_the_output_of_the_cell(monkeypatch: Any, capsys: Any) -> None:
    """It shows stderr on red, like an error."""
    monkeypatch.setattr(builtins, "get_ipython", None, raising=False)
    monkeypatch.setattr("rich.console.Console", lambda: Console(force_jupyter=True))
    notice("Resumed.", verbose=1)
    assert capsys.readouterr() == ("keras_lr: Resumed.\n", "")


def test_who_shows_the_result_itself_leaves_the_summary_out(capsys: Any) -> None:
    with no_summaries():
        summary("first", verbose=1)
        notice("notice", verbose=1)
    summary("second", verbose="auto")
    summary("third", verbose=0)
    assert capsys.readouterr().err == "keras_lr: notice\nkeras_lr: second\n"


@pytest.mark.parametrize(
    ("verbose", "of_fit", "shown"),
    [("auto", 0, False), ("auto", 1, True), ("auto", "auto", True), (1, 0, True), (False, 1, False)],
)
def test_auto_follows_the_fit(verbose: Any, of_fit: Any, shown: bool) -> None:
    assert shown_in_fit(verbose, {"verbose": of_fit}) is shown
