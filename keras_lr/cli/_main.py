"""`keras-lr`: reads the arguments, runs one command, turns errors into exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import NoReturn

import keras_lr
from keras_lr.cli import _analyze, _demo, _devices, _find, _report, _search
from keras_lr.cli._output import BAD_INPUT, INTERRUPTED, PIPE_CLOSED
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
    with _open_streams():
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
        print(f"keras-lr: error: {_one_line(err)}", file=sys.stderr)
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


def _one_line(err: Exception) -> str:
    text = str(err)
    if isinstance(err, OSError) and err.filename is not None and err.strerror:
        text = f"{err.filename}: {err.strerror}"
    return " ".join(text.split())


def _with_own_value(words: Sequence[str]) -> list[str]:
    """The words with a file for `--json` joined to it, and "-" where `analyze` and `devices` were given none.

    Their `--json` may stand alone before a RUN, which must not be taken for the file to write.
    """
    command = next((word for word in words if not word.startswith("-")), "")
    if command not in ("analyze", "devices"):
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
        return build_parser().parse_args(_with_own_value(words))
    except SystemExit:
        return None


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
