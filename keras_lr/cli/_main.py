"""`keras-lr`: reads the arguments, runs one command, turns errors into exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from typing import NoReturn

from keras_lr.cli import _analyze, _demo, _devices, _find, _report, _search
from keras_lr.errors import InvalidArgumentError, KerasLRError

BAD_INPUT = 2
INTERRUPTED = 130
PIPE_CLOSED = 141


class Parser(argparse.ArgumentParser):
    """A parser whose errors are raised, so that every bad input is told in the same one line."""

    def error(self, message: str) -> NoReturn:
        """Raises `InvalidArgumentError`."""
        raise InvalidArgumentError(f"{message}. See: {self.prog} --help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: The command line without the program's name; `sys.argv` where None.

    Returns:
        The exit code: 0, 2 for bad input, 130 after Ctrl-C, 141 where the output's reader has gone.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    try:
        parsed = _parse(words)
        code = 0 if parsed is None else int(parsed.run(parsed))
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("keras-lr: interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has had enough, as `head` has; what is still held back must not be told as an error at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except (KerasLRError, OSError) as err:
        if "--traceback" in words:
            raise
        print(f"keras-lr: error: {_one_line(err)}", file=sys.stderr)
        return BAD_INPUT


def _one_line(err: Exception) -> str:
    text = str(err)
    if isinstance(err, OSError) and err.filename is not None and err.strerror:
        text = f"{err.filename}: {err.strerror}"
    return " ".join(text.split())


def _parse(words: Sequence[str]) -> argparse.Namespace | None:
    """The arguments, or None where `--help` or `--version` has been answered."""
    try:
        return build_parser().parse_args(words)
    except SystemExit:
        return None


def build_parser() -> Parser:
    """The parser with every command."""
    parser = Parser(prog="keras-lr", description="Choose, diagnose and explain the learning rate of a Keras model.")
    parser.add_argument("--version", action="version", version=f"keras-lr {version('keras-lr')}")
    parser.add_argument("--traceback", action="store_true", help="show the whole traceback of an error")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (_demo, _find, _search, _analyze, _report, _devices):
        command.add_parser(commands)
    return parser
