"""Progress bars on a terminal and in a log file."""

import pytest

from keras_lr._utils.progress import notice, progress_line, search_line


def test_a_log_file_keeps_the_bar_of_a_task(capsys):
    with progress_line("Range test", 4, show=True) as progress:
        progress(3)
    assert "Range test" in (written := capsys.readouterr().err)
    assert "3/4 steps" in written


def test_the_unit_is_named(capsys):
    with progress_line("Training", 4, show=True, unit="epochs") as progress:
        progress(4)
    assert "4/4 epochs" in capsys.readouterr().err


@pytest.mark.parametrize("show", ["auto", False, 0])
def test_nothing_is_shown_where_it_is_not_wanted(capsys, show):
    with progress_line("Range test", 4, show=show) as progress:
        progress(3)
    with search_line(verbose=show) as update:
        assert update is None
    assert capsys.readouterr().err == ""


def test_a_search_writes_plain_lines_to_a_log_file(capsys):
    with search_line(verbose=1, summary=lambda: "The best is 1e-3.") as update:
        for done in (1, 2, 3, 4):
            update(done, 20, done // 2, "none yet" if done < 2 else "1e-3 (loss 0.5)")
    assert capsys.readouterr().err.splitlines() == [
        "keras_lr: 1/20 epochs, 0 rates done, best none yet",
        "keras_lr: 2/20 epochs, 1 rates done, best 1e-3 (loss 0.5)",
        "keras_lr: 4/20 epochs, 2 rates done, best 1e-3 (loss 0.5)",
        "keras_lr: The best is 1e-3.",
    ]


def test_a_search_on_a_terminal_leaves_no_bar(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with search_line(verbose=1, summary=lambda: "The best is 1e-3.") as update:
        update(3, 12, 1, "0.5 at 1e-3")
    assert "The best" not in (written := capsys.readouterr().err)
    # The last thing that a terminal gets is to erase the line of the bar.
    assert written.endswith("\x1b[2K")


@pytest.mark.parametrize(
    ("verbose", "written"), [("auto", "keras_lr: Resumed.\n"), (1, "keras_lr: Resumed.\n"), (0, "")]
)
def test_a_notice_is_written_unless_it_is_hidden(capsys, verbose, written):
    notice("Resumed.", verbose=verbose)
    assert capsys.readouterr().err == written
