"""One line for an error that Keras or TensorFlow reports in many."""

from __future__ import annotations

import re

_MAX_LENGTH = 300
_PYTHON_ERROR = re.compile(r"[\w.]*(Error|Exception|Interrupt): \S")
_HEADER = re.compile(
    r"Graph execution error|Detected at node|in user code:|([\w.]+: )?Exception encountered when calling|\[\["
    r"|<stack traces|Traceback|\(\d+\) "
)
_FRAME = re.compile(r"^ *File \".*(\n.*\S.*(\n[ ~^]+$)?)?", re.MULTILINE)
"""A stack frame with its line of code, if there is one, and the carets below it."""
_NODE = re.compile(r"^\{\{[^{}]*\}\} ")
_OPERATION = re.compile(r" \[Op:\w+\].*$")
_BOLD = re.compile(r"\x1b\[\d*m")


def short_error_message(error: BaseException) -> str:
    """The cause of `error` on one line, without a full stop and with at most 300 characters.

    That is the Python error inside the message, else its first line that is neither a header nor a stack frame, else
    the name of the error's type.
    """
    lines = [line.strip() for line in _BOLD.sub("", _FRAME.sub("", str(error))).splitlines()]
    telling = [line for line in lines if line and not _HEADER.match(line)]
    first = telling[0] if telling else type(error).__name__
    cause = next((line for line in telling if _PYTHON_ERROR.match(line)), first)
    return _OPERATION.sub("", _NODE.sub("", cause))[:_MAX_LENGTH].rstrip(".")
