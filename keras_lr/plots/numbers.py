"""Writing numbers as a person would."""

from __future__ import annotations

import math

from keras_lr.records import rate_words


def format_rate(rate: float, *, digits: int = 2) -> str:
    """A learning rate beside others of its grid, the tenths and above alone as decimals: `3.2e-3`, `1e-2`, `0.1`."""
    return rate_words.format_rate(rate, digits=digits, decimals_from=0.1)


def format_number(value: float | None, *, digits: int = 4) -> str:
    """A number for a table; an empty mark where there is none."""
    if value is None or math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return f"{value:.{digits}g}"
