"""Writing numbers as a person would."""

from __future__ import annotations

import math


def format_number(value: float | None, *, digits: int = 4) -> str:
    """A number for a table; an empty mark where there is none."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.{digits}g}"
