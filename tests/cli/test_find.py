"""`keras-lr find` on a user's own file and module."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest

from keras_lr import RangeTestResult
from keras_lr.cli import main
from tests.fresh_process import run_fresh

TRAIN = """
import keras
import numpy as np

images = np.random.default_rng(0).normal(size=(200, 8)).astype("float32")
targets = images @ np.arange(8.0, dtype="float32")

def build():
    model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(), "mse")
    return model

def frozen():
    model = build()
    model.trainable = False
    return model

def interrupting():
    class Interrupting(keras.Model):
        def __init__(self):
            super().__init__()
            self.layer = keras.layers.Dense(1)
        def call(self, inputs):
            return self.layer(inputs)
        def train_step(self, data):
            raise KeyboardInterrupt
    model = Interrupting()
    model.compile("sgd", "mse", run_eagerly=True)
    return model

def data():
    return images, targets

def held_out():
    return images[:50], targets[:50]
"""


@pytest.fixture(autouse=True)
def _project(tmp_path: Any, monkeypatch: Any) -> Any:
    (tmp_path / "user_project.py").write_text(TRAIN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("user_project", None)


def test_a_file_path_gives_suggestion_result_and_report(tmp_path: Any, capsys: Any) -> None:
    target = "user_project.py"
    options = ["--min-lr", "1e-4", "--max-lr", "10", "--num-steps", "60", "--json", "r.json", "--report", "r.html"]
    assert main(["find", f"{target}:build", "--data", f"{target}:data", *options]) == 0
    captured = capsys.readouterr()
    result = RangeTestResult.load("r.json")
    printed = re.search(r"learning_rate=(\S+)", captured.out)
    assert printed is not None
    assert float(printed.group(1)) == pytest.approx(result.suggestion.learning_rate, rel=0.05)
    assert result.suggestion.reason in captured.out
    assert "Report: r.html" in captured.out
    assert result.learning_rates[0] == pytest.approx(1e-4)
    assert result.environment["seed"] == 0
    assert "<html" in (tmp_path / "r.html").read_text()


def test_the_length_of_the_training_lowers_the_suggestion() -> None:
    words = ["find", "user_project.py:build", "--data", "user_project.py:data"]
    for name, options in (("short.json", []), ("long.json", ["--epochs", "10000"])):
        assert main([*words, *options, "--json", name]) == 0
    short, long = (RangeTestResult.load(name).suggestion.learning_rate for name in ("short.json", "long.json"))
    # 0.25 decades per factor of 10 above 615 steps, as docs/suggestion.md says; an epoch has 7 steps.
    assert long / short == pytest.approx((7 * 10_000 / 615) ** -0.25, rel=0.02)


def test_a_module_and_a_validation_batch(capsys: Any) -> None:
    words = ["find", "user_project:build", "--data", "user_project:data", "--validation-data", "user_project:held_out"]
    given = ["--num-steps", "12", "--sweep", "linear", "--max-lr", "0.01", "--json", "r.json"]
    assert main([*words, *given]) == 1, "a curve of 12 steps gives no answer"
    assert main([*words, *given, "--fail-on", "never"]) == 0
    result = RangeTestResult.load("r.json")
    assert result.scored_on == "validation"
    assert result.sweep == "linear"
    assert len(result.losses) == 12


def test_device_options_reach_the_run_and_its_report() -> None:
    target = "user_project.py"
    words = ["find", f"{target}:build", "--data", f"{target}:data", "--min-lr", "1e-4", "--num-steps", "60", "--refine"]
    assert main([*words, "--strategy", "mirrored", "--json", "r.json", "--report", "r.html"]) == 0
    result = RangeTestResult.load("r.json")
    assert result.environment["strategy"] == "MirroredStrategy"
    assert result.refinement is not None
    assert "--refine --seed 0 --device auto --strategy mirrored" in Path("r.html").read_text()


def test_a_missing_gpu_is_reported_in_one_line(capsys: Any) -> None:
    words = ["find", "user_project.py:build", "--data", "user_project.py:data"]
    assert main([*words, "--device", "gpu:64"]) == 2
    assert re.search(r"`device` must name a GPU .* Received: 'gpu:64'", capsys.readouterr().err)


def test_the_same_seed_gives_the_same_curve() -> None:
    words = ["find", "user_project.py:build", "--data", "user_project.py:data", "--num-steps", "12"]
    losses = []
    for seed in ("3", "3", "4"):
        assert main([*words, "--seed", seed, "--json", "r.json", "--fail-on", "clear"]) == 0
        losses.append(RangeTestResult.load("r.json").losses.tolist())
    assert losses[0] == losses[1] != losses[2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["user_project.py:frozen", "--data", "user_project.py:data"], "`model` must have trainable weights"),
        (
            ["user_project.py:build", "--data", "user_project.py:absent"],
            "must name something in user_project.py. Received: 'absent', which it does not define",
        ),
        (
            ["user_project.py:build", "--data", "user_project.py:data", "--validation-data", "user_project.py:absent"],
            "`--validation-data` must name something",
        ),
        (["user_project.py:build", "--data", "user_project.py:data", "--min-lr", "20"], "`max_lr` must be greater"),
        (["user_project.py:build", "--data", "user_project.py:data", "--num-steps", "1"], "`num_steps` must be"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(words: list[str], message: str, capsys: Any) -> None:
    assert main(["find", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert message in captured.err


def test_json_on_the_standard_output_is_alone_there(capsys: Any) -> None:
    words = ["find", "user_project:build", "--data", "user_project:data", "--num-steps", "30", "--json", "-"]
    main([*words, "--fail-on", "never"])
    captured = capsys.readouterr()
    result = RangeTestResult.from_json(captured.out)
    assert result.suggestion.reason in captured.err


def test_ctrl_c_ends_with_130(capsys: Any) -> None:
    assert main(["find", "user_project.py:interrupting", "--data", "user_project.py:data"]) == 130
    assert capsys.readouterr().err == "keras-lr: interrupted.\n"


def test_a_warning_is_one_line_without_a_place_in_the_package(tmp_path: Any) -> None:
    (tmp_path / "raw.py").write_text(TRAIN.replace("size=(200, 8)", "size=(200, 8), loc=128, scale=60"))
    words = ["-m", "keras_lr", "find", "raw.py:build", "--data", "raw.py:data", "--num-steps", "20"]
    done = run_fresh(*words, cwd=tmp_path)
    (line,) = [line for line in done.stderr.splitlines() if "warning" in line.lower() and "absl" not in line]
    assert line.startswith("keras-lr: warning: The inputs reach ")
    assert "warnings.warn" not in done.stderr
