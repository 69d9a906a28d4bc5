"""The command line as a whole: help, version, exit codes, and what it imports."""

import os
import subprocess
import sys

import pytest

import keras_lr
from keras_lr.cli import main


@pytest.mark.parametrize("arguments", [["--help"], ["find", "--help"], ["demo", "--help"], ["report", "--help"]])
def test_help_exits_with_zero(arguments, capsys):
    assert main(arguments) == 0
    assert "usage: keras-lr" in capsys.readouterr().out


def test_version_is_that_of_the_package(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"keras-lr {keras_lr.__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["guess"], "invalid choice: 'guess'"),
        (["find", "train.py:build"], "required: --data"),
        (["find", "a:b", "--data", "a:c", "--min-lr", "-1"], "must be a positive number such as 1e-3, got '-1'"),
        (["find", "a:b", "--data", "a:c", "--max-lr", "inf"], "must be a positive number such as 1e-3, got 'inf'"),
        (["find", "a:b", "--data", "a:c", "--num-steps", "0"], "must be an integer >= 1, got '0'"),
        (["find", "a:b", "--data", "a:c", "--sweep", "cosine"], "invalid choice: 'cosine'"),
        (["find", "a:b", "--data", "a:c", "--json", "absent/r.json"], "--json: must be a file in a writable directory"),
        (["search", "a:b", "--data", "a:c", "--report", "."], "--report: must be a file in a writable directory"),
        (["report", "missing.json", "-o", "page.html"], "missing.json: No such file"),
    ],
)
def test_bad_input_is_one_line_on_stderr_and_exit_code_2(arguments, message, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert message in captured.err


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["find", "--help"], ["report", "x.json", "-o", "y"]])
def test_tensorflow_is_not_imported(arguments):
    code = (
        f"import sys; from keras_lr.cli import main; main({arguments!r});"
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras')))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_the_module_runs_as_a_program():
    done = subprocess.run([sys.executable, "-m", "keras_lr", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"keras-lr {keras_lr.__version__}\n"


@pytest.mark.parametrize("lines", [10, 10_000])
def test_a_reader_that_leaves_early_is_no_error(tmp_path, lines):
    history = tmp_path / "history.csv"
    history.write_text("loss\n" + "".join(f"{1 / (k + 1)}\n" for k in range(lines)))
    command = [sys.executable, "-m", "keras_lr", "analyze", str(history), "--json"]
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")
