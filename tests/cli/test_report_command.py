"""`keras-lr report`."""

import os
import stat
import subprocess
import sys

import pytest

from keras_lr.cli import main
from tests.result_records import make_range_test


def test_stored_results_become_one_page(tmp_path, capsys):
    first, second = (str(make_range_test(repeats=k).save(tmp_path / f"with_{k}.json")) for k in (1, 2))
    page = tmp_path / "page.html"
    assert main(["report", first, second, "-o", str(page), "--title", "Two tests"]) == 0
    assert capsys.readouterr().out == f"Report: {page}\n"
    text = page.read_text(encoding="utf-8")
    assert "<h1>Two tests</h1>" in text
    assert all(f">Range test: with_{k}</h2>" in text for k in (1, 2))
    assert text.count("<h2") - text.count('id="method-heading"') >= 5


def test_results_in_files_of_the_same_name_are_named_by_their_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        make_range_test().save(f"{folder}/r.json")
    assert main(["report", "a/r.json", "b/r.json", "-o", "page.html"]) == 0
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert all(f">Range test: {folder}/r.json</h2>" in text for folder in ("a", "b"))


@pytest.mark.parametrize(
    ("text", "message"),
    [("not json", "must be JSON"), ('{"kind": "cake"}', "Received: 'cake'"), ("[1]", "no kind, in a list")],
)
def test_a_damaged_result_is_refused_and_nothing_is_written(text, message, tmp_path, capsys):
    stored = tmp_path / "stored.json"
    stored.write_text(text)
    assert main(["report", str(stored), "-o", str(tmp_path / "page.html")]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "`keras-lr analyze` judges training logs." in error
    assert not (tmp_path / "page.html").exists()


def test_a_folder_that_is_no_search_is_an_error_in_one_line(tmp_path):
    command = [sys.executable, "-m", "keras_lr", "report", str(tmp_path), "-o", str(tmp_path / "page.html")]
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 2
    (error,) = done.stderr.splitlines()
    assert error.startswith(f"keras-lr: error: {tmp_path}")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_full_device_is_a_full_disk_in_one_line_and_stays_a_device(tmp_path, capsys):
    stored = make_range_test().save(tmp_path / "stored.json")
    assert main(["report", str(stored), "-o", "/dev/full"]) == 2
    assert capsys.readouterr().err == "keras-lr: error: /dev/full: No space left on device\n"
    assert stat.S_ISCHR(os.stat("/dev/full").st_mode)
