"""Writing a learning rate as a person would."""

from __future__ import annotations

import math


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
