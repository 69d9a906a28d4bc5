"""`keras-lr search`, from the command line to the files."""

import importlib.util
import socket
import sys

import pytest

import keras_lr
from keras_lr.cli import main
from tests.fresh_process import run_fresh, start_fresh

MODULE = """
import keras
import numpy as np
from sklearn.datasets import load_iris

flowers, kinds = load_iris(return_X_y=True)
order = np.random.default_rng(0).permutation(150)
data = flowers[order[:100]].astype("float32"), kinds[order[:100]]
validation = flowers[order[100:]].astype("float32"), kinds[order[100:]]

def build():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(3)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    return model

def no_model():
    return 3

def at_rate(learning_rate):
    model = build()
    model.optimizer.learning_rate = learning_rate
    print("built at", learning_rate)
    return model
"""


@pytest.fixture
def script(tmp_path, monkeypatch):
    """The folder of a user's module; the working directory of the test."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "flowers_to_search.py").write_text(MODULE)
    monkeypatch.delitem(sys.modules, "flowers_to_search", raising=False)
    return "flowers_to_search.py"


def words(script, *more):
    return [
        "search",
        f"{script}:build",
        "--data",
        f"{script}:data",
        "--validation-data",
        f"{script}:validation",
        "--learning-rates",
        "1e-3",
        "1e-2",
        "1e-1",
        "--repeats",
        "2",
        "--epochs",
        "3",
        "--no-extend",
        *more,
    ]


def test_a_search_prints_its_best_writes_its_files_and_trains_nothing_twice(script, tmp_path, capsys):
    command = words(script, "--json", "r.json", "--project", "flowers")
    assert main(command) == 0
    printed = capsys.readouterr().out
    result = keras_lr.SensitivityResult.load("r.json")
    assert len(result.frame) == 3 * 2 * 3
    assert f"learning_rate={result.best_learning_rate:g}" in printed.replace("1e-2", "0.01").replace("1e-1", "0.1")
    assert result.reason in " ".join(printed.split())
    assert "Trained by: stacked" in printed
    (journal,) = (tmp_path / "runs" / "flowers" / "records").glob("*.jsonl")
    before = journal.read_bytes()
    assert main(command) == 0
    assert journal.read_bytes() == before


@pytest.mark.parametrize("command", ["search", "race"])
@pytest.mark.parametrize("place", [["--workers", "2"], ["--cluster", "tcp://10.0.0.1:8786"]])
def test_a_missing_dask_is_named_before_tensorflow_is_loaded(script, monkeypatch, capsys, command, place):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "distributed" else found(name))
    assert main([command, f"{script}:build", "--data", f"{script}:data", *place]) == 2
    error = capsys.readouterr().err
    assert error == (
        "keras-lr: error: Training in workers needs Dask, which is not installed. "
        'Install it with: pip install "keras-lr[dask]"\n'
    )


def test_a_race_prints_its_winner_and_resumes(script, tmp_path, capsys):
    some = ["race", f"{script}:build", "--data", f"{script}:data", "--validation-data", f"{script}:validation"]
    some += ["--learning-rates", "1e-3", "1e-2", "1e-1", "--epochs", "4", "--json", "r.json", "--report", "r.html"]
    assert main(some) == 0
    result = keras_lr.SensitivityResult.load("r.json")
    printed = capsys.readouterr().out
    assert result.race["finished"]
    assert result.reason in " ".join(printed.split())
    assert f"Cost of the other rates: {result.race['cost']:.2g} complete run" in printed
    assert "keras-lr race flowers_to_search.py:build" in (tmp_path / "r.html").read_text()
    weights = next(line for line in printed.splitlines() if line.startswith("Weights: "))
    assert (tmp_path / weights.removeprefix("Weights: ")).is_file()
    (journal,) = (tmp_path / "runs" / "race" / "records").glob("*.jsonl")
    before = journal.read_bytes()
    assert main(some) == 0
    assert journal.read_bytes() == before


@pytest.mark.parametrize(
    ("more", "named"), [(["--budget", "-1"], "`budget`"), (["--workers", "2", "--cluster", "tcp://h:1"], "`cluster`")]
)
def test_a_race_that_cannot_be_is_refused_in_one_line(more, named, script, capsys):
    assert main(["race", f"{script}:build", "--data", f"{script}:data", *more]) == 2
    assert named in capsys.readouterr().err


def test_without_validation_data_the_training_loss_is_judged(script):
    some = words(script, "--json", "r.json")
    del some[4:6]
    assert main(some) == 0
    assert keras_lr.SensitivityResult.load("r.json").objective == "loss"


def test_a_build_that_takes_the_rate_is_given_it(script, capsys):
    some = words(script, "--json", "r.json")
    some[1] = f"{script}:at_rate"
    assert main(some) == 0
    assert {line for line in capsys.readouterr().out.splitlines() if line.startswith("built at")} == {
        "built at 0.001",
        "built at 0.01",
        "built at 0.1",
    }


def test_several_batch_sizes_are_an_axis(script, capsys):
    assert main(words(script, "--batch-sizes", "16", "50", "--json", "r.json")) == 0
    assert keras_lr.SensitivityResult.load("r.json").batch_sizes == (16, 50)
    assert "Best batch size: " in capsys.readouterr().out


def test_one_batch_size_is_the_batch_size(script):
    assert main(words(script, "--batch-sizes", "25", "--json", "r.json")) == 0
    assert keras_lr.SensitivityResult.load("r.json").batch_sizes == (25,)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--min-lr", "0"], "must be a positive number such as 1e-3. Received: '0'"),
        (["--learning-rates", "x"], "must be a positive number such as 1e-3. Received: 'x'"),
        (["--epochs", "0"], "must be an integer >= 1. Received: '0'"),
        (["--workers", "none"], "must be an integer >= 1. Received: 'none'"),
        (["--resources", "GPU"], "must be NAME=AMOUNT such as GPU=1. Received: 'GPU'"),
        (["--resources", "GPU=1"], "`resources` must be what a worker of `cluster` declares"),
        (["--workers", "2", "--cluster", "tcp://h:1"], "`workers` and `cluster` exclude each other"),
        (["--objective", "val_auc"], "val_auc"),
    ],
)
def test_bad_arguments_are_reported_in_one_line(script, capsys, more, message):
    assert main(words(script, *more)) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


def test_an_impossible_grid_is_reported(script, capsys):
    some = ["search", f"{script}:build", "--data", f"{script}:data", "--min-lr", "0.1", "--max-lr", "0.01"]
    assert main(some) == 2
    assert "`max_lr` must be greater than `min_lr`" in capsys.readouterr().err


def test_a_build_that_returns_no_model_is_reported(script, capsys):
    some = words(script)
    some[1] = f"{script}:no_model"
    assert main(some) == 2
    assert "int" in capsys.readouterr().err


def test_workers_cannot_be_combined_with_keras_tuner_s_variables(script, capsys, monkeypatch):
    for name, value in {"IP": "127.0.0.1", "PORT": "1"}.items():
        monkeypatch.setenv(f"KERASTUNER_ORACLE_{name}", value)
    monkeypatch.setenv("KERASTUNER_TUNER_ID", "worker0")
    assert main(words(script, "--workers", "2")) == 2
    assert "`workers` cannot be combined with" in capsys.readouterr().err


@pytest.mark.slow
def test_a_worker_that_knows_no_file_of_the_user_s_finds_the_numbers_of_one_process(script, tmp_path):
    assert main(words(script, "--project", "one", "--json", "one.json")) == 0
    done = run_fresh("-m", "keras_lr", *words(script, "--project", "two", "--json", "two.json", "--workers", "1"))
    assert done.returncode == 0, done.stderr
    assert "on 1 worker" in done.stdout
    one, two = (keras_lr.SensitivityResult.load(f"{name}.json") for name in ("one", "two"))
    keys = ["learning_rate", "repeat", "batch_size", "epoch", "seed", "status"]
    assert one.frame[keys].equals(two.frame[keys])
    assert abs(one.frame["val_loss"] / two.frame["val_loss"] - 1).max() < 1e-4
    assert two.environment["workers"] == 1
    # The search is too small for the start of a worker to pay.
    assert "is faster without `workers`" in done.stderr


@pytest.mark.slow
def test_the_same_command_is_a_chief_or_a_worker_by_keras_tuner_s_variables(script, tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    place = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(port)}
    processes = {
        name: start_fresh(
            *("-m", "keras_lr"),
            *words(script, "--directory", name, "--json", f"{name}.json"),
            environment={**place, "KERASTUNER_TUNER_ID": name},
        )
        for name in ("worker1", "chief")
    }
    for process in processes.values():
        process.join(200)
    assert {name: process.exitcode for name, process in processes.items()} == {"worker1": 0, "chief": 0}
    assert len(keras_lr.SensitivityResult.load("chief.json").frame) == 3 * 2 * 3
    assert not (tmp_path / "worker1").exists()
