"""Options that commands share, and the command line that a worker and the report get."""

from __future__ import annotations

import argparse
import os
from typing import Any

import pytest

from keras_lr.cli._find import find_argv
from keras_lr.cli._main import build_parser
from keras_lr.cli._options import learning_rate, output_file, positive_int
from keras_lr.cli._search import race_argv, search_argv

ARGV = {"find": find_argv, "race": race_argv, "search": search_argv}
DROPPED = {name: {"title", "report", "json", "fail_on"} for name in ARGV}
for _command in ("race", "search"):
    DROPPED[_command] |= {"workers", "cluster", "resources", "wait"}
REQUIRED = ["train.py:build", "--data", "train.py:data"]


def options_of(command: str) -> list[argparse.Action]:
    """Every option of a command but `--help` and the required ones."""
    (commands,) = (action for action in build_parser()._actions if isinstance(action, argparse._SubParsersAction))
    actions = commands.choices[command]._actions
    return [action for action in actions if action.option_strings and action.dest not in ("help", "data")]


def words_for(option: argparse.Action) -> list[str]:
    """The words that set an option to something other than its default."""
    name = option.option_strings[-1]
    if option.nargs == 0:
        return [name]
    candidates = option.choices or ("0.25", "7", "tentative", "other", "GPU=1")
    for word in candidates:
        try:
            value = option.type(word) if callable(option.type) else word
        except (ValueError, argparse.ArgumentTypeError):
            continue
        if value != option.default:
            return [name, word, word] if option.nargs == "+" else [name, word]
    raise AssertionError(f"no value was found for {name}")


def parsed(command: str, words: list[str]) -> dict[str, Any]:
    return vars(build_parser().parse_args([command, *words]))


@pytest.mark.parametrize("command", ARGV)
def test_every_option_survives_the_way_through_the_command_line(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = options_of(command)
    assert len(options) > 15
    words = [*REQUIRED, *(word for option in options for word in words_for(option))]
    given, default = parsed(command, words), parsed(command, REQUIRED)
    assert all(given[option.dest] != default[option.dest] for option in options)
    program, name, *argv = ARGV[command](argparse.Namespace(**given))
    assert (program, name) == ("keras-lr", command)
    again = parsed(command, argv)
    assert again == {**given, **{name: default[name] for name in DROPPED[command]}}


@pytest.mark.parametrize("command", ARGV)
def test_options_that_are_not_given_keep_their_defaults(command):
    given = parsed(command, REQUIRED)
    argv = ARGV[command](argparse.Namespace(**given))
    assert parsed(command, argv[2:]) == given


def test_zero_is_passed_on():
    given = parsed("search", [*REQUIRED, "--seed", "0"])
    argv = search_argv(argparse.Namespace(**given))
    assert argv[argv.index("--seed") + 1] == "0"


@pytest.mark.parametrize("text", ["0", "-1", "inf", "nan", "x", ""])
def test_a_learning_rate_is_positive_and_finite(text):
    with pytest.raises(argparse.ArgumentTypeError, match=f"must be a positive number such as 1e-3. Received: '{text}'"):
        learning_rate(text)


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "x", ""])
def test_a_count_is_an_integer_of_at_least_1(text):
    with pytest.raises(argparse.ArgumentTypeError, match=f"must be an integer >= 1. Received: '{text}'"):
        positive_int(text)


def test_an_output_file_can_be_written(tmp_path):
    assert output_file(str(tmp_path / "r.json")) == tmp_path / "r.json"
    for path in (tmp_path, tmp_path / "absent" / "r.json"):
        with pytest.raises(argparse.ArgumentTypeError, match=r"must be a file in a writable directory\. Received"):
            output_file(str(path))


@pytest.mark.skipif(os.name != "posix", reason="links and pipes of POSIX")
def test_an_output_file_may_be_a_pipe_or_a_link(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("r.json")
    (tmp_path / "astray").symlink_to("absent/r.json")
    for name in ("pipe", "link"):
        assert output_file(str(tmp_path / name)) == tmp_path / name
    with pytest.raises(argparse.ArgumentTypeError, match=r"must be a file in a writable directory\. Received"):
        output_file(str(tmp_path / "astray"))
