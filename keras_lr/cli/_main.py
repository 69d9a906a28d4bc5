"""`keras-lr`: reads the arguments, runs one command, turns errors into exit codes."""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any, NoReturn

import keras_lr
from keras_lr.cli import _analyze, _demo, _devices, _find, _report, _search
from keras_lr.cli._output import BAD_INPUT, INTERRUPTED, PIPE_CLOSED, print_error
from keras_lr.errors import InvalidArgumentError, KerasLRError


class Parser(argparse.ArgumentParser):
    """A parser that raises its errors, so that they are printed like all others, in one line."""

    def error(self, message: str) -> NoReturn:
        """Raises `InvalidArgumentError`."""
        raise InvalidArgumentError(f"{message}. See: {self.prog} --help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: The command line without the program's name; None reads `sys.argv`.

    Returns:
        The exit code: 0; 1 if something that `--fail-on` names was found; 2 for an error; 130 after Ctrl-C; 141 if
        the reader of the output is gone.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    with _open_streams(), _warnings_in_one_line():
        return _main(words)


def _main(words: list[str]) -> int:
    try:
        parsed = _parse(words)
        code = 0 if parsed is None else _run(parsed)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print("keras-lr: interrupted.", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The reader stopped early, as `head` does. Python would report the output that is still buffered as an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except (KerasLRError, OSError) as err:
        if "--traceback" in words:
            raise
        print_error(err)
        return BAD_INPUT


@contextmanager
def _open_streams() -> Iterator[None]:
    """Discards what is written to a standard stream that was closed, as by `>&-`. Python leaves None in its place.

    Otherwise what is meant for the standard error would be printed to the standard output.
    """
    with ExitStack() as streams:
        for number, name, redirect in ((1, "stdout", redirect_stdout), (2, "stderr", redirect_stderr)):
            if getattr(sys, name) is None:
                nowhere = streams.enter_context(open(os.devnull, "w", encoding="utf-8"))
                if not _is_open(number):
                    os.dup2(nowhere.fileno(), number)
                streams.enter_context(redirect(nowhere))
        yield


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """Shows a warning of this package like an error, without the place in its code."""
    former, package = warnings.formatwarning, str(Path(__file__).parents[1])

    def plain(message: Any, category: type[Warning], filename: str, lineno: int, line: str | None = None) -> str:
        if filename.startswith(package):
            return f"keras-lr: warning: {message}\n"
        return former(message, category, filename, lineno, line)

    warnings.formatwarning = plain
    try:
        yield
    finally:
        warnings.formatwarning = former


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


def _run(parsed: argparse.Namespace) -> int:
    from keras_lr._utils.progress import no_summaries

    # A command prints its result itself.
    with no_summaries():
        return int(parsed.run(parsed))


_PRINTING_JSON = ("analyze", "devices")
"""The commands whose `--json` may stand alone."""


def _command(words: Sequence[str]) -> str:
    return next((word for word in words if not word.startswith("-")), "")


def _with_own_value(words: Sequence[str]) -> list[str]:
    """The words with a file for `--json` joined to it, and "-" where `analyze` and `devices` were given none.

    Their `--json` may stand alone before a RUN, which must not be taken for the file to write.
    """
    if _command(words) not in _PRINTING_JSON:
        return list(words)
    joined: list[str] = []
    for word in words:
        if word == "-" and joined and joined[-1] == "--json":
            joined[-1] = "--json=-"
        else:
            joined.append(word)
    return ["--json=-" if word == "--json" else word for word in joined]


def _parse(words: Sequence[str]) -> argparse.Namespace | None:
    """The arguments, or None after `--help` or `--version`."""
    try:
        parsed, unknown = build_parser().parse_known_args(_with_own_value(words))
    except SystemExit:
        return None
    if not unknown:
        return parsed
    command = _command(words)
    remedy = f"See: keras-lr {command} --help"
    if command in _PRINTING_JSON and ("--json", unknown[0]) in itertools.pairwise(words):
        remedy = f"To write JSON to a file, use: --json={unknown[0]}"
    raise InvalidArgumentError(f"unrecognized arguments: {' '.join(unknown)}. {remedy}")


def build_parser() -> Parser:
    """The parser with every command."""
    parser = Parser(
        prog="keras-lr",
        description="Choose, diagnose and explain the learning rate of a Keras model.",
        epilog="Exit codes: 0 success; 1 something that --fail-on names was found (find, search and race: no answer); "
        "2 an error; 130 interrupted by Ctrl-C.",
    )
    parser.add_argument("--version", action="version", version=f"keras-lr {keras_lr.__version__}")
    parser.add_argument("--traceback", action="store_true", help="show the full traceback of an error")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add_parser in (
        *(_demo.add_parser, _find.add_parser, _search.add_race_parser, _search.add_parser),
        *(_analyze.add_parser, _report.add_parser, _devices.add_parser),
    ):
        add_parser(commands)
    return parser
