"""The command line as a whole: help, version, exit codes, and what it imports."""

import os
import subprocess
import sys

import pytest

import keras_lr
from keras_lr.cli import _find, _search, main
from keras_lr.cli._loading import check_targets


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
        (["find", "a:b", "--data", "a:c", "--min-lr", "-1"], "must be a positive number such as 1e-3. Received: '-1'"),
        (
            ["find", "a:b", "--data", "a:c", "--max-lr", "inf"],
            "must be a positive number such as 1e-3. Received: 'inf'",
        ),
        (["find", "a:b", "--data", "a:c", "--num-steps", "0"], "must be an integer >= 1. Received: '0'"),
        (["find", "a:b", "--data", "a:c", "--sweep", "cosine"], "invalid choice: 'cosine'"),
        (["find", "a:b", "--data", "a:c", "--json", "absent/r.json"], "--json: must be a file in a writable directory"),
        (["search", "a:b", "--data", "a:c", "--report", "."], "--report: must be a file in a writable directory"),
        (["report", "missing.json", "-o", "page.html"], "Received: missing.json. Check the path."),
        (["find", "a:b", "--data", "a:c", "--fold", "3"], "arguments: --fold 3. See: keras-lr find --help"),
        (["analyze", "a.csv", "--json", "b.json"], "arguments: b.json. To write JSON to a file, use: --json=b.json"),
    ],
)
def test_bad_input_is_one_line_on_stderr_and_exit_code_2(arguments, message, capsys):
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert message in captured.err


FIND = ["find", "train.py:build", "--data", "train.py:data"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["find", "gone.py:build", "--data", "train.py:data"], "must name an existing file. Received: gone.py"),
        (["find", "train.py", "--data", "train.py:data"], "must be MODULE:NAME, for example train.py:build"),
        (["find", "train.py:biuld", "--data", "train.py:data"], "which it does not define. Did you mean build?"),
        (["search", "train.py:build", "--data", "train.py:date"], "which it does not define. Did you mean data?"),
        (["find", "train:build", "--data", "no_such_package.x:data"], "There is no module no_such_package."),
        (["find", "damaged.py:build", "--data", "train.py:data"], "must name a Python file. Received: damaged.py"),
        ([*FIND, "--min-lr", "1", "--max-lr", "0.1"], "`max_lr` must be greater than `min_lr`"),
        ([*FIND, "--num-steps", "1"], "`num_steps` must be an integer >= 2"),
        (["search", *FIND[1:], "--min-lr", "1", "--max-lr", "1"], "`max_lr` must be greater than `min_lr`"),
        ([*FIND, "--fail-on", "wrong"], "argument --fail-on"),
    ],
)
def test_what_cannot_work_is_refused_before_the_user_s_code_runs(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_find, "start_tensorflow", pytest.fail)
    monkeypatch.setattr(_search, "start_tensorflow", pytest.fail)
    (tmp_path / "train.py").write_text("raise RuntimeError\ndef build(): pass\nx = data = 1, 2\n")
    (tmp_path / "damaged.py").write_text("def build(:\n")
    assert main(arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("last", ["from numpy import *", "globals()['build'] = 1", "if True:\n    build = 1"])
def test_a_name_that_only_running_the_file_would_show_is_not_refused(last, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(f"data = 1\n{last}\n")
    check_targets({"MODULE:BUILD": "train.py:build", "--data": "train.py:data", "--validation-data": None})


@pytest.mark.parametrize(
    ("last", "line"),
    [
        ("history = model.fit(x, y)", 3),
        ("for rate in rates:\n    model.fit(x, y)", 4),
        ("if __name__ == '__main__':\n    model.fit(x, y)", None),
        ("def train():\n    model.fit(x, y)", None),
    ],
)
def test_a_script_that_trains_when_it_is_imported_is_named(last, line, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "train.py").write_text(f"def build(): pass\ndata = 1\n{last}\n")
    check_targets({"MODULE:BUILD": "train.py:build", "--data": "train.py:data"})
    said = capsys.readouterr().err
    assert said.count("\n") == (line is not None)
    assert line is None or f"train.py calls `fit` at line {line} as soon as it is imported" in said


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["find", "--help"],
        ["report", "x.json", "-o", "y"],
        ["find", "a.py:b", "--data", "a:c"],
    ],
)
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


@pytest.mark.parametrize(
    ("run", "closed", "code"), [("run.csv", "1", 0), ("gone.csv", "2", 2), ("run.csv", "0 1 2", 0)]
)
def test_a_stream_that_the_caller_has_closed_is_written_to_nowhere(tmp_path, run, closed, code):
    (tmp_path / "run.csv").write_text("loss\n3\n2\n1\n")
    closing = "".join(f"os.close({number}); " for number in closed.split())
    caller = (
        f"import os, sys; {closing}os.execv(sys.executable, [sys.executable, '-m', 'keras_lr', 'analyze', '{run}'])"
    )
    done = subprocess.run([sys.executable, "-c", caller], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", "")
