"""Numbers and foreign text as people should see them in a plot, a page or a terminal."""

from __future__ import annotations

import math
import re
import unicodedata
from typing import Any

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_ALLOWED_CONTROLS = "\n\t"
_DIRECTION_MARKS = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}
"""Embeddings, overrides and isolates, which reorder the text that follows. Right-to-left scripts do not need them."""

_MAX_LENGTH = 300
_PYTHON_ERROR = re.compile(r"[\w.]*(Error|Exception|Interrupt): \S")
_HEADER = re.compile(
    r"Graph execution error|Detected at node|in user code:|([\w.]+: )?Exception encountered when calling|\[\["
    r"|<stack traces|Traceback|\(\d+\) "
)
_FRAME = re.compile(r"^ *File \".*(\n.*\S.*(\n[ ~^]+$)?)?", re.MULTILINE)
"""A stack frame with its line of code, if there is one, and the carets below it."""
_NODE = re.compile(r"^\{\{[^{}]*\}\} ")
_TAIL = re.compile(r" \[Op:\w+\].*$| You can attempt the following resolutions to the problem: .*$")
"""The operation that failed, or what TensorFlow advises whoever traces a function."""
_BOLD = re.compile(r"\x1b\[\d*m")


def format_rate(rate: float, *, digits: int = 2) -> str:
    """A learning rate in at most `digits` significant digits, as Python reads it: `3e-5`, `1e-1`, `1`, `10`."""
    if not math.isfinite(rate):
        return "not finite"
    if rate == 0 or 1 <= float(f"{abs(rate):.{digits}g}") < 1000:
        return f"{rate:.{digits}g}" if abs(rate) < 100 else f"{rate:.0f}"
    mantissa, exponent = f"{rate:.{digits - 1}e}".split("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}"


def format_number(value: float | None, *, digits: int = 4) -> str:
    """A number for a table cell; a dash for None and NaN."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.{digits}g}"


def counted(number: int, noun: str) -> str:
    """`1 step`, `2 steps`, `20,000 steps`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def with_article(name: str) -> str:
    """`a Dense`, `an Embedding`, `an LSTM`: a name after the article that its first sound takes."""
    spelled = name[:2].isupper()
    return f"{'an' if name[:1].upper() in ('AEFHILMNORSX' if spelled else 'AEIOU') else 'a'} {name}"


def shown(value: Any) -> Any:
    """`value` made safe to display: control characters, lone surrogates and direction marks in a text are replaced."""
    if not isinstance(value, str) or (value.isascii() and value.isprintable()):
        return value
    return type(value)("".join(_REPLACEMENT if _is_unsafe(char) else char for char in value))


def shortened(text: str, limit: int) -> str:
    """`text` cut to at most `limit` characters, the last of them an ellipsis if something was cut."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def _is_unsafe(char: str) -> bool:
    if char in _ALLOWED_CONTROLS:
        return False
    return unicodedata.category(char) in ("Cc", "Cs") or ord(char) in _DIRECTION_MARKS


def short_error_message(error: BaseException) -> str:
    """The cause of `error` on one line, without a full stop and with at most 300 characters.

    That is the Python error inside the message, else its first line that is neither a header nor a stack frame, else
    the name of the error's type.
    """
    lines = [line.strip() for line in _BOLD.sub("", _FRAME.sub("", str(error))).splitlines()]
    telling = [line for line in lines if line and not _HEADER.match(line)]
    first = telling[0] if telling else type(error).__name__
    cause = next((line for line in telling if _PYTHON_ERROR.match(line)), first)
    return _TAIL.sub("", _NODE.sub("", cause))[:_MAX_LENGTH].rstrip(".")
