"""`keras-lr analyze`."""

import io
import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from keras_lr.cli import main
from keras_lr.results import Diagnosis, HistoryComparison
from tests.verdict_words import contradictions, random_run

TIME = np.arange(20)
RUNS = {
    "diverged": [2.0, 1.5, 4.0, np.nan],
    "slow": 2.3 - 0.001 * TIME,
    "fast": 0.1 + 2.2 * np.exp(-TIME / 2),
}


@pytest.fixture
def runs(tmp_path):
    paths = {}
    for name, losses in RUNS.items():
        path = tmp_path / f"{name}.csv"
        rows = "".join(f"{epoch},{loss},0.1\n" for epoch, loss in enumerate(losses))
        path.write_text("epoch,loss,learning_rate\n" + rows)
        paths[name] = str(path)
    return paths


def test_a_diverged_run_names_the_rates_to_try(runs, capsys):
    assert main(["analyze", runs["diverged"]]) == 0
    out = capsys.readouterr().out
    assert "The learning rate was too high (4 epochs)." in out
    assert "Divergence, epoch 3: " in out
    assert "1e-2 to 3e-2" in out


def test_json_is_the_record(runs, capsys):
    assert main(["analyze", runs["diverged"], "--json"]) == 0
    assert Diagnosis.from_json(capsys.readouterr().out).verdict == "too_high"


def test_several_runs_are_compared(runs, capsys):
    assert main(["analyze", runs["slow"], runs["fast"]]) == 0
    out = capsys.readouterr().out
    assert f"Best: {runs['fast']} (loss 0.1002, ahead from epoch 1 on)." in out


def test_json_of_several_runs_is_the_comparison(runs, capsys):
    assert main(["analyze", runs["slow"], runs["fast"], "--json"]) == 0
    text = capsys.readouterr().out
    assert HistoryComparison.from_json(text).best_run == runs["fast"]
    assert set(json.loads(text)["diagnoses"]) == {runs["slow"], runs["fast"]}


@pytest.mark.parametrize(
    ("words", "code"), [("divergence", 1), ("too_high,overfitting", 1), ("too_low", 0), ("oscillation,good", 0)]
)
def test_fail_on_sets_the_exit_code(runs, words, code):
    assert main(["analyze", runs["diverged"], "--fail-on", words]) == code


def piped(monkeypatch, content):
    stream = io.TextIOWrapper(io.BytesIO(content))
    monkeypatch.setattr(sys, "stdin", stream)


@pytest.mark.parametrize("words", [[], ["-"]])
def test_the_standard_input_is_read(runs, words, capsys, monkeypatch):
    piped(monkeypatch, Path(runs["diverged"]).read_bytes())
    assert main(["analyze", *words, "--fail-on", "divergence"]) == 1
    assert "too high" in capsys.readouterr().out


def test_the_standard_input_is_a_run_beside_others(runs, capsys, monkeypatch):
    piped(monkeypatch, Path(runs["slow"]).read_bytes())
    assert main(["analyze", "-", runs["fast"], "--json", "-"]) == 0
    assert set(json.loads(capsys.readouterr().out)["diagnoses"]) == {"standard input", runs["fast"]}


def test_a_run_after_json_is_read_and_not_overwritten(runs, capsys):
    before = Path(runs["fast"]).read_bytes()
    assert main(["analyze", "--json", runs["fast"]]) == 0
    assert json.loads(capsys.readouterr().out)["kind"] == "diagnosis"
    assert Path(runs["fast"]).read_bytes() == before


def test_json_goes_to_the_file_that_is_joined_to_it(runs, capsys, tmp_path):
    assert main(["analyze", runs["fast"], f"--json={tmp_path / 'd.json'}"]) == 0
    assert Diagnosis.load(tmp_path / "d.json").n_epochs == 20
    assert capsys.readouterr().out == f"Result: {tmp_path / 'd.json'}\n"


def test_nothing_to_read_is_refused(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(isatty=lambda: True))
    assert main(["analyze"]) == 2
    assert "`RUN` must name at least one history" in capsys.readouterr().err


def test_no_condition_is_never_met(runs):
    assert main(["analyze", runs["diverged"], "--fail-on", "never"]) == 0


@pytest.mark.parametrize("words", ["explosion", "", "too_high,explosion"])
def test_unknown_conditions_are_refused(runs, words, capsys):
    assert main(["analyze", runs["fast"], "--fail-on", words]) == 2
    error = capsys.readouterr().err
    assert (
        "a list of verdicts, findings and confidences (clear, divergence, early_plateau, good, noisy_validation, "
        in error
    )
    assert f"). Received: {words!r}" in error


def test_a_broken_file_is_one_line_and_exit_code_2(tmp_path, capsys):
    (tmp_path / "run.csv").write_text("epoch,weight\n0,1\n")
    assert main(["analyze", str(tmp_path / "run.csv")]) == 2
    assert "must have a `loss` column" in capsys.readouterr().err


def test_tensorflow_is_not_imported(runs):
    code = (
        f"import sys; from keras_lr.cli import main; main(['analyze', {runs['slow']!r}, {runs['fast']!r}, '--json']);"
        "sys.exit(any(name in sys.modules for name in ('tensorflow', 'keras', 'matplotlib', 'seaborn')))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_metrics_that_should_grow_are_printed_as_they_are(tmp_path, capsys):
    epochs = np.arange(12)
    for name, pace in (("quick", 0.5), ("slow", 0.2)):
        pd.DataFrame({"epoch": epochs, "accuracy": 0.9 - 0.8 * np.exp(-pace * epochs)}).to_csv(tmp_path / f"{name}.csv")
    assert main(["analyze", str(tmp_path / "quick.csv"), str(tmp_path / "slow.csv")]) == 0
    assert "quick.csv (accuracy 0.8967" in capsys.readouterr().out.replace("\n", " ")


def test_runs_of_different_series_have_no_best_one(tmp_path, capsys):
    epochs = np.arange(12)
    pd.DataFrame({"epoch": epochs, "accuracy": 0.9 - 0.8 * np.exp(-0.5 * epochs)}).to_csv(tmp_path / "one.csv")
    pd.DataFrame({"epoch": epochs, "loss": np.exp(-0.5 * epochs)}).to_csv(tmp_path / "other.csv")
    assert main(["analyze", str(tmp_path / "one.csv"), str(tmp_path / "other.csv")]) == 0
    assert "No best run: the runs were judged by different series." in capsys.readouterr().out


def test_no_line_points_against_the_verdict(tmp_path, capsys):
    for seed in range(12):
        columns, known = random_run(seed)
        path = tmp_path / f"{seed}.csv"
        pd.DataFrame({**columns, **known}).to_csv(path, index_label="epoch", na_rep="nan")
        main(["analyze", str(path), "--json"])
        diagnosis = Diagnosis.from_json(capsys.readouterr().out)
        main(["analyze", str(path)])
        assert not contradictions(diagnosis, capsys.readouterr().out.replace("\n", " "))


@pytest.fixture
def folder(runs, tmp_path):
    """The runs, one of them below, beside files that hold no history."""
    (tmp_path / "below" / "train").mkdir(parents=True)
    Path(runs["fast"]).rename(tmp_path / "below" / "fast.log")
    (tmp_path / "notes.txt").write_text("Buy milk.\n")
    (tmp_path / "empty.csv").write_text("")
    (tmp_path / "weights.h5").write_bytes(b"\x89HDF\0\0")
    (tmp_path / ".hidden.csv").write_text("loss\n")
    return tmp_path


def test_every_log_in_a_directory_is_judged(folder, capsys):
    assert main(["analyze", str(folder), "--json"]) == 0
    captured = capsys.readouterr()
    judged = {Path(name).relative_to(folder).as_posix() for name in json.loads(captured.out)["diagnoses"]}
    assert judged == {"diverged.csv", "slow.csv", "below/fast.log"}
    left_out = captured.err.partition("judged: ")[2].strip().split(", ")
    assert {Path(name).name for name in left_out} == {"notes.txt", "empty.csv"}


def test_a_directory_without_logs_is_refused(tmp_path, capsys):
    assert main(["analyze", str(tmp_path)]) == 2
    assert f"`RUN` must hold logs. Received: {tmp_path}, in which no file" in capsys.readouterr().err


def test_a_log_that_cannot_be_judged_hides_no_other(folder, runs, capsys):
    names = [runs["slow"], str(folder / "empty.csv"), str(folder / "notes.txt"), runs["diverged"]]
    assert main(["analyze", *names, "--fail-on", "too_high"]) == 2
    captured = capsys.readouterr()
    assert [line.split(":")[0] for line in captured.err.splitlines()] == ["keras-lr", "keras-lr"]
    assert "empty.csv, which is empty" in captured.err
    assert "notes.txt: A history must have a `loss` column" in captured.err
    rows = captured.out.partition("Run ")[2].splitlines()
    assert [row.split()[:3] for row in rows[1:3]] == [[runs["slow"], "Too", "low"], [runs["diverged"], "Too", "high"]]


def test_runs_side_by_side_in_one_file_are_all_judged(tmp_path, capsys):
    rows = [f"{name},loss,{loss},{step}" for name in ("a1", "b2") for step, loss in enumerate(RUNS["fast"])]
    (tmp_path / "mlflow.csv").write_text("run_id,key,value,step\n" + "\n".join(rows))
    assert main(["analyze", str(tmp_path / "mlflow.csv"), "--json"]) == 0
    diagnoses = json.loads(capsys.readouterr().out)["diagnoses"]
    assert [name.rpartition(", ")[2] for name in diagnoses] == ["a1", "b2"]


def test_the_report_names_the_files_and_the_command(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["analyze", "slow.csv", "fast.csv", "--optimizer", "adam", "--report", "page.html"]) == 0
    page = (tmp_path / "page.html").read_text()
    assert "slow.csv: too high, the loss went from 2.3 to 2.28" in page
    assert "keras-lr analyze slow.csv fast.csv --optimizer adam" in page
    assert "run 1" not in page


@pytest.mark.parametrize(("name", "remedy"), [("solw.csv", "Did you mean {}/slow.csv?"), ("x.json", "Check the path.")])
def test_a_misspelt_path_is_compared_with_its_neighbours(runs, tmp_path, name, remedy, capsys):
    assert main(["analyze", f"{tmp_path}/{name}"]) == 2
    assert capsys.readouterr().err.endswith(f"Received: {tmp_path}/{name}. {remedy.format(tmp_path)}\n")


def test_an_error_on_the_standard_input_names_it(monkeypatch, capsys):
    piped(monkeypatch, b"")
    assert main(["analyze"]) == 2
    assert "`RUN` must hold a history. Received: standard input, which is empty." in capsys.readouterr().err


def test_what_is_known_is_not_asked_for(runs, capsys):
    surer = []
    for options in ([], ["--optimizer", "adam"], ["--optimizer", "adam", "--untrained-loss", "2.3"]):
        assert main(["analyze", runs["slow"], *options]) == 0
        surer.append(capsys.readouterr().out.partition("surer with ")[2].split(".")[0])
    assert surer == [
        "a validation loss, `--untrained-loss` and `--optimizer`",
        "a validation loss and `--untrained-loss`",
        "a validation loss",
    ]


def test_an_unknown_optimizer_is_named(runs, capsys):
    assert main(["analyze", runs["slow"], "--optimizer", "adm"]) == 0
    captured = capsys.readouterr()
    assert "the usual learning rates of adm are not known" in captured.err
    assert "`--optimizer`" not in captured.out


def test_one_good_rate_is_no_range(runs, capsys):
    assert main(["analyze", runs["fast"], runs["fast"].replace("fast", "./fast")]) == 0
    assert "Try a learning rate of 1e-1.\nThis learning rate was judged good.\n" in capsys.readouterr().out


def test_without_a_rate_the_table_says_how_far_to_go(tmp_path, capsys):
    for name in ("slow", "diverged"):
        pd.DataFrame({"loss": RUNS[name]}).to_csv(tmp_path / f"{name}.csv", index_label="epoch", na_rep="nan")
    assert main(["analyze", str(tmp_path)]) == 0
    rows = capsys.readouterr().out.partition("Run ")[2].splitlines()
    assert [row.split("  ")[-1].strip() for row in rows[1:3]] == ["3 to 10 times lower", "3 to 10 times higher"]
