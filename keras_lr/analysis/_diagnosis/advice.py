"""Which learning rates to try next, as numbers and in words."""

from __future__ import annotations

from keras_lr._utils.formatting import format_rate

# Multiples of the run's learning rate, from the lower to the higher end of the range to try.
LOWER = (0.1, 0.3)
SLIGHTLY_LOWER = (0.3, 1.0)
HIGHER = (3.0, 10.0)


def next_rates(learning_rate: float | None, factors: tuple[float, float]) -> tuple[float, float] | None:
    """The range from `factors[0]` to `factors[1]` times the learning rate; None if the rate is unknown."""
    return None if learning_rate is None else (learning_rate * factors[0], learning_rate * factors[1])


def try_rates(learning_rate: float | None, factors: tuple[float, float]) -> str:
    """`next_rates` in words: `Try a learning rate of 3e-4 to 1e-3.`, or relative to a rate that is unknown."""
    rates = next_rates(learning_rate, factors)
    if rates is not None:
        return try_between(*rates)
    low, high = factors
    if low > 1:
        return f"Try a learning rate {low:g} to {high:g} times higher."
    least = "up" if high == 1 else f"{1 / high:.0f}"
    return f"Try a learning rate {least} to {1 / low:.0f} times lower."


def try_between(low: float, high: float) -> str:
    """A range of learning rates in words."""
    return f"Try a learning rate of {format_rate(low)} to {format_rate(high)}."


def try_both_ways(learning_rate: float | None) -> str:
    """Advice for a loss that does not move, which may mean a rate far too low or one far too high."""
    if learning_rate is None:
        return "Try a learning rate 10 times lower and one 10 times higher."
    return f"Try learning rates of {format_rate(learning_rate / 10)} and {format_rate(learning_rate * 10)}."
