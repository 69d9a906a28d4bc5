"""What to do next: the learning rates to try, and a sentence for each finding that agrees with the verdict."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from keras_lr._utils.formatting import format_rate
from keras_lr.results._diagnosis import Finding, FindingKind, Verdict

# Multiples of the run's learning rate to try next, from the lower to the higher end of the range.
LOWER = (0.1, 0.3)
HIGHER = (3.0, 10.0)
FACTORS: dict[Verdict, tuple[float, float]] = {"too_low": HIGHER, "too_high": LOWER}

MEASURE = "Measure the learning rate with `keras_lr.find_lr(model, x, y)`."
# What helps against a finding at any learning rate; `{start}` is where it begins.
OTHER_ADVICE: dict[FindingKind, str] = {
    "oscillation": "Larger batches or averaged weights smooth the loss.",
    "stagnation": "Check that inputs and targets belong together and are scaled.",
    "divergence": "Keep the weights from before {start}.",
    "slow_learning": "Train longer.",
    "early_plateau": "Training beyond {start} gains nothing at this rate.",
    "overfitting": "Stop at {start} or regularise.",
    "noisy_validation": "Validate on more data.",
}


def next_rates(learning_rate: float | None, verdict: Verdict) -> tuple[float, float] | None:
    """The range of learning rates to try after a verdict; None if it gives no direction or the rate is unknown."""
    if verdict not in FACTORS or learning_rate is None:
        return None
    low, high = FACTORS[verdict]
    return learning_rate * low, learning_rate * high


def advised(
    findings: Iterable[Finding], verdict: Verdict, learning_rate: float | None, unit: str
) -> tuple[Finding, ...]:
    """The findings with what to do about each. None points another way than the verdict does.

    Args:
        findings: What `find_all` found.
        verdict: The verdict on the run.
        learning_rate: The run's learning rate, if known.
        unit: What the findings' spans count.
    """
    about_rate = rate_advice(verdict, learning_rate)
    return tuple(replace(finding, advice=_joined(finding, about_rate, verdict, unit)) for finding in findings)


def rate_advice(verdict: Verdict, learning_rate: float | None) -> str:
    """How to change the learning rate after a verdict, in one sentence; empty if it should stay as it is.

    With a rate that is known the sentence names others, `Try a learning rate of 3e-4 to 1e-3.`, else their ratio.
    """
    if verdict == "unclear":
        return MEASURE
    if verdict not in FACTORS:
        return ""
    rates = next_rates(learning_rate, verdict)
    if rates is not None:
        return try_between(*rates)
    low, high = FACTORS[verdict]
    if low > 1:
        return f"Try a learning rate {low:g} to {high:g} times higher."
    return f"Try a learning rate {1 / high:.0f} to {1 / low:.0f} times lower."


def try_between(low: float, high: float) -> str:
    """A range of learning rates in words."""
    return f"Try a learning rate of {format_rate(low)} to {format_rate(high)}."


def _joined(finding: Finding, about_rate: str, verdict: Verdict, unit: str) -> str:
    # "Train longer" and "gains nothing at this rate" are other ways out than a change of the rate.
    instead = finding.kind in ("oscillation", "stagnation", "divergence", "slow_learning", "early_plateau")
    if about_rate and instead:
        return about_rate
    other = OTHER_ADVICE[finding.kind].format(start=f"{unit} {finding.start_epoch}")
    return f"{other} {about_rate}" if about_rate and verdict != "unclear" else other
