"""Text from elsewhere, made fit to be shown: nothing in it can hide, or turn the text around it."""

from __future__ import annotations

import unicodedata
from typing import Any

_REPLACED = "\N{REPLACEMENT CHARACTER}"
_KEPT = "\n\t"
# Embeddings, overrides and isolates turn the text that follows; letters of a right-to-left script need none of them.
_DIRECTIONS = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}


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
