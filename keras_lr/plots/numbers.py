"""Writing numbers as a person would."""

from __future__ import annotations

import math


def format_rate(rate: float, *, digits: int = 2) -> str:
    """A learning rate in at most `digits` significant digits, as Python code reads it: `3.2e-3`, `0.1`, `10`."""
    if not math.isfinite(rate):
        return "not finite"
    if rate == 0 or 0.1 <= abs(rate) < 1000:
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
