"""The advice read off a loss curve."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from keras_lr.records.base import Record, optional_float, text

Confidence = Literal["clear", "tentative", "none"]


@dataclass(frozen=True)
class Suggestion(Record):
    """A learning rate, the usable range around it, and how sure the curve makes us.

    Attributes:
        learning_rate: The suggested learning rate, dimensionless; None where `confidence` is "none".
        low: Lower end of the usable range, at most `learning_rate`; None with it.
        high: Upper end of the usable range, at least `learning_rate`; None with it.
        confidence: "clear", "tentative" or "none".
        reason: One plain sentence that says why.
        rule: Name of the rule that gave the suggestion.
        spread_decades: Standard deviation of what several sweeps suggest each alone, in decades of learning rate; None
            for one sweep.
    """

    kind: ClassVar[str] = "suggestion"

    learning_rate: float | None
    low: float | None
    high: float | None
    confidence: Confidence
    reason: str
    rule: str
    spread_decades: float | None = None

    def __post_init__(self) -> None:
        numbers = (self.learning_rate, self.low, self.high)
        if self.confidence not in get_args(Confidence):
            raise ValueError(f"`confidence` must be one of {get_args(Confidence)}. Received: {self.confidence!r}.")
        if self.confidence == "none":
            if any(number is not None for number in numbers):
                raise ValueError(f"Without confidence there is no learning rate. Received: {numbers}.")
        elif any(number is None for number in numbers) or not 0 < self.low <= self.learning_rate <= self.high:  # type: ignore[operator]
            raise ValueError(f"A suggestion must satisfy 0 < low <= learning_rate <= high. Received: {numbers}.")

    @classmethod
    def refuse(cls, reason: str, *, rule: str) -> Suggestion:
        """No suggestion, and why."""
        return cls(None, None, None, "none", reason, rule)

    @classmethod
    def _parse(cls, values: dict[str, Any]) -> dict[str, Any]:
        names = ("learning_rate", "low", "high", "spread_decades")
        numbers = {name: optional_float(values.get(name)) for name in names}
        return {**values, **numbers, "reason": text(values["reason"]), "rule": text(values["rule"])}
