"""What went wrong in a compiled step, in one line."""

from __future__ import annotations

import re

_PYTHON_ERROR = re.compile(r"[\w.]*(Error|Exception|Interrupt): \S")
_NOISE = re.compile(r"Graph execution error|Detected at node|File \"|\[\[|<stack traces|Traceback|\(\d+\) ")


def short_error_message(error: BaseException) -> str:
    """The cause in TensorFlow's message of many lines: the Python error in it, or else its first telling line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = next((line for line in lines if _PYTHON_ERROR.match(line)), None)
    if telling is None:
        telling = next((line for line in lines if not _NOISE.match(line)), type(error).__name__)
    return re.sub(r"^.*?\}\} ", "", telling).rstrip(".")
