"""`keras-lr`: reads the arguments, runs one command, turns errors into exit codes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version

from keras_lr.cli import analyze, demo, devices, find, report
from keras_lr.errors import KerasLRError

BAD_INPUT = 2
INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        arguments: The command line without the program's name; `sys.argv` where None.

    Returns:
        The exit code: 0, 2 for bad input, 130 after Ctrl-C.
    """
    parsed = build_parser().parse_args(arguments)
    try:
        return int(parsed.run(parsed))
    except KeyboardInterrupt:
        print("keras-lr: interrupted.", file=sys.stderr)
        return INTERRUPTED
    except (KerasLRError, OSError) as err:
        if parsed.traceback:
            raise
        print(f"keras-lr: error: {' '.join(str(err).split())}", file=sys.stderr)
        return BAD_INPUT


def build_parser() -> argparse.ArgumentParser:
    """The parser with every command."""
    parser = argparse.ArgumentParser(
        prog="keras-lr", description="Choose, diagnose and explain the learning rate of a Keras model."
    )
    parser.add_argument("--version", action="version", version=f"keras-lr {version('keras-lr')}")
    parser.add_argument("--traceback", action="store_true", help="show the whole traceback of an error")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (demo, find, analyze, report, devices):
        command.add_parser(commands)
    return parser
