"""Which learning rates to try next."""

from __future__ import annotations

from keras_lr._utils.formatting import format_rate

LOWER = (0.1, 0.3)
HIGHER = (3.0, 10.0)


def next_rates(learning_rate: float | None, factors: tuple[float, float]) -> tuple[float, float] | None:
    """The range `factors` times the rate, None where the rate is unknown."""
    return None if learning_rate is None else (learning_rate * factors[0], learning_rate * factors[1])


def try_rates(learning_rate: float | None, factors: tuple[float, float]) -> str:
    """The range in words: "Try a learning rate of 3e-4 to 1e-3." """
    rates = next_rates(learning_rate, factors)
    if rates is not None:
        return try_between(*rates)
    times = (
        f"{factors[0]:g} to {factors[1]:g} times as high"
        if factors[0] > 1
        else f"{1 / factors[1]:.0f} to {1 / factors[0]:.0f} times lower"
    )
    return f"Try a learning rate {times}."


def try_between(low: float, high: float) -> str:
    """A known range in words."""
    return f"Try a learning rate of {format_rate(low)} to {format_rate(high)}."


def try_both_ways(learning_rate: float | None) -> str:
    """Words for a loss that does not move: a rate far too low and one far too high look alike."""
    if learning_rate is None:
        return "Try a learning rate 10 times lower and one 10 times higher."
    return f"Try learning rates of {format_rate(learning_rate / 10)} and {format_rate(learning_rate * 10)}."
