"""Writing a learning rate as a person would."""

from __future__ import annotations

import math
import unicodedata
from typing import Any

_REPLACED = "\N{REPLACEMENT CHARACTER}"
_KEPT = "\n\t"
# Embeddings, overrides and isolates turn the text that follows; letters of a right-to-left script need none of them.
_DIRECTIONS = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}


def format_rate(rate: float, *, digits: int = 2) -> str:
    """A learning rate in at most `digits` significant digits, as Python reads it: `3e-5`, `1e-2`, `0.1`, `10`."""
    if not math.isfinite(rate):
        return "not finite"
    if rate == 0 or 0.1 <= float(f"{abs(rate):.{digits}g}") < 1000:
        return f"{rate:.{digits}g}" if abs(rate) < 100 else f"{rate:.0f}"
    mantissa, exponent = f"{rate:.{digits - 1}e}".split("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}"


def format_number(value: float | None, *, digits: int = 4) -> str:
    """A number for a table; an empty mark where there is none."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.{digits}g}"


def shown(value: Any) -> Any:
    """`value`; in a text each control character, lone surrogate and mark of direction becomes a replacement mark."""
    if not isinstance(value, str) or (value.isascii() and value.isprintable()):
        return value
    return type(value)("".join(_REPLACED if _hides(char) else char for char in value))


def shortened(text: str, limit: int) -> str:
    """At most `limit` characters of `text`, with a mark where some are left out."""
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"


def _hides(char: str) -> bool:
    if char in _KEPT:
        return False
    return unicodedata.category(char) in ("Cc", "Cs") or ord(char) in _DIRECTIONS
