"""What a learning-rate range test measured."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

import numpy as np

from keras_lr._utils.formatting import format_rate
from keras_lr.results._record import PageRecord, Record, float_array, integer, json_object, optional_float, text

if TYPE_CHECKING:
    import pandas as pd

Confidence = Literal["clear", "tentative", "none"]
CONFIDENCE_BADGES: dict[Confidence, str] = {"clear": "Clear", "tentative": "Tentative", "none": "No answer"}

StopReason = Literal["completed", "diverged", "non_finite", "data_exhausted", "interrupted", "error"]


def check_rates(confidence: str, low: float | None, learning_rate: float | None, high: float | None) -> None:
    """Raises `ValueError` unless the three rates are in order, or all None if the confidence is "none"."""
    rates = (low, learning_rate, high)
    if confidence not in get_args(Confidence):
        raise ValueError(f"`confidence` must be one of {get_args(Confidence)}. Received: {confidence!r}.")
    if confidence == "none":
        if any(rate is not None for rate in rates):
            raise ValueError(f'With confidence "none" all learning rates must be None. Received: {rates}.')
    elif low is None or learning_rate is None or high is None or not 0 < low <= learning_rate <= high:
        raise ValueError(f"The rates must satisfy 0 < low <= learning rate <= high. Received: {rates}.")


@dataclass(frozen=True)
class Suggestion(Record):
    """A learning rate, the usable range around it, and how clearly the curve shows it.

    Attributes:
        learning_rate: The suggested learning rate, dimensionless; None if `confidence` is "none".
        low: Lower end of the usable range, at most `learning_rate`; None if that is None.
        high: Upper end of the usable range, at least `learning_rate`; None if that is None.
        confidence: "clear", "tentative" or "none".
        reason: Why, in one sentence.
        rule: Name of the rule that made the suggestion.
        spread_decades: Standard deviation of the suggestions that the sweeps give one by one, in decades of learning
            rate; None for a single sweep.

    Example:
        >>> suggestion = keras_lr.suggest(rates, losses)
        >>> print(suggestion.learning_rate, suggestion.low, suggestion.high, suggestion.confidence)
    """

    kind: ClassVar[str] = "suggestion"
    _elsewhere: ClassVar[Mapping[str, str]] = MappingProxyType(
        dict.fromkeys(("rate", "value", "best", "best_learning_rate", "suggested_lr", "valley"), "learning_rate")
    )

    learning_rate: float | None
    low: float | None
    high: float | None
    confidence: Confidence
    reason: str
    rule: str
    spread_decades: float | None = None

    def __post_init__(self) -> None:
        check_rates(self.confidence, self.low, self.learning_rate, self.high)

    @classmethod
    def refuse(cls, reason: str, *, rule: str) -> Suggestion:
        """A refusal to suggest a learning rate, with its reason."""
        return cls(None, None, None, "none", reason, rule)

    def to_frame(self) -> pd.DataFrame:
        """One row with the fields as columns."""
        import pandas as pd

        return pd.DataFrame([self.to_dict()]).drop(columns=["kind", "schema_version"])

    def plot(self, ax: Any = None) -> Any:
        """Draws the rate in its usable range on `ax`, a matplotlib Axes (that of a new pyplot figure if None).

        Returns:
            The axes. They stay empty if there is no rate.
        """
        from keras_lr.plots._range_test import draw_suggestion

        return draw_suggestion(self, ax=ax)

    def __repr__(self) -> str:
        known = {"learning_rate": self.learning_rate, "low": self.low, "high": self.high}
        rates = "".join(
            f"{name}={None if rate is None else format_rate(rate, digits=3)}, " for name, rate in known.items()
        )
        return f"Suggestion({rates}confidence={self.confidence!r}, rule={self.rule!r}, reason={self.reason!r})"

    def _repr_html_(self) -> str:
        badge = f"<strong>{CONFIDENCE_BADGES[self.confidence]}:</strong>"
        if self.learning_rate is None or self.low is None or self.high is None:
            lead = "no usable learning rate found."
        else:
            span = f"{format_rate(self.low)} to {format_rate(self.high)}"
            lead = f"<code>learning_rate={format_rate(self.learning_rate)}</code>, usable from {span}."
        return f"<p>{badge} {lead}</p><p>{html.escape(self.reason)}</p>"

    @classmethod
    def _parse(cls, values: dict[str, Any]) -> dict[str, Any]:
        names = ("learning_rate", "low", "high", "spread_decades")
        numbers = {name: optional_float(values.get(name)) for name in names}
        return {**values, **numbers, "reason": text(values["reason"]), "rule": text(values["rule"])}


def suggestion_in_words(suggestion: Suggestion) -> str:
    """The rate with its range and confidence in one sentence; the reason if there is none."""
    rate, low, high = suggestion.learning_rate, suggestion.low, suggestion.high
    if rate is None or low is None or high is None:
        return f"no usable learning rate found. {suggestion.reason}"
    return (
        f"suggested learning rate {format_rate(rate)}, {suggestion.confidence}, usable from {format_rate(low)} to "
        f"{format_rate(high)}."
    )


@dataclass(frozen=True, eq=False)
class Refinement(Record):
    """Short runs near a suggestion, each at a constant rate and from the same start.

    Attributes:
        learning_rates: Rate of each run, increasing, dimensionless, shape `(n_runs,)`.
        losses: Loss of each step of each run, shape `(n_runs, n_steps)`, NaN after a run stopped.
        sweep_suggestion: What the sweep alone had suggested.

    Example:
        >>> refined = keras_lr.find_lr(model, x, y, num_steps=40, refine=True)
        >>> refined.refinement
    """

    kind: ClassVar[str] = "refinement"

    learning_rates: np.ndarray
    losses: np.ndarray
    sweep_suggestion: Suggestion

    def __post_init__(self) -> None:
        if np.ndim(self.losses) != 2 or np.shape(self.learning_rates) != np.shape(self.losses)[:1]:
            raise ValueError(
                f"`losses` must have one row per rate. Received: {np.shape(self.learning_rates)} and "
                f"{np.shape(self.losses)}."
            )

    def to_frame(self) -> pd.DataFrame:
        """One row per step of a run: `learning_rate`, `step`, `loss`; the steps after a run stopped are left out."""
        import pandas as pd

        runs, steps = self.losses.shape
        frame = pd.DataFrame(
            {
                "learning_rate": np.repeat(self.learning_rates, steps),
                "step": np.tile(np.arange(steps), runs),
                "loss": self.losses.ravel(),
            }
        )
        return frame.dropna(subset="loss", ignore_index=True)

    @classmethod
    def _parse(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {
            "learning_rates": float_array(values["learning_rates"], ndim=1),
            "losses": float_array(values["losses"], ndim=2),
            "sweep_suggestion": Suggestion.from_dict(values["sweep_suggestion"]),
        }


@dataclass(frozen=True, eq=False)
class RangeTestResult(PageRecord):
    """The measured curve of a range test, what stopped it, and the suggestion read off it.

    Attributes:
        learning_rates: Learning rate of each step, increasing, dimensionless, shape `(n_steps,)`, float64.
        losses: Loss of each step in the compiled loss's unit, shape `(n_steps,)`, float64: each batch's own loss, or
            the validation batch's if `scored_on` is "validation"; the median over several repeats.
        suggestion: The learning rate read off the curve.
        stop_reason: "completed", "diverged", "non_finite", "data_exhausted", "interrupted" or "error".
        stop_detail: The same in one sentence.
        num_steps: Number of steps requested; `n_steps` is smaller if the test stopped early.
        sweep: "exponential" or "linear".
        scored_on: "training" or "validation".
        repeat_losses: Every repeat's losses, shape `(repeats, n_steps)`, NaN after a repeat stopped.
        engine: "graph" if the sweep ran inside one compiled loop, "per_batch" if the model did not allow that.
        engine_reason: Why the sweep did not run in one compiled loop; empty if it did.
        monitor: Name of the loss in the logs of `train_step`.
        environment: Versions, devices, optimizer and precision of the run; may be empty.
        refinement: The short runs that refined the suggestion; None without refinement.
        constant_loss: Loss of the best constant output for the targets that the test has read, without regularizers;
            None if it is unknown. A model that starts well below it has been trained before.
        epochs: Length of the training that the suggestion is for; None if it was not given.

    Example:
        >>> result.save("range_test.json")
        >>> keras_lr.RangeTestResult.load("range_test.json").suggestion
    """

    kind: ClassVar[str] = "range_test"
    page_title: ClassVar[str] = "Learning-rate range test"
    _elsewhere: ClassVar[Mapping[str, str]] = MappingProxyType(
        {name: f"suggestion.{name}" for name in ("learning_rate", "low", "high", "confidence", "reason", "rule")}
        | dict.fromkeys(
            ("lr", "best_learning_rate", "best_lr", "suggested_learning_rate", "suggested_lr"),
            "suggestion.learning_rate",
        )
        | dict.fromkeys(("history", "df", "to_pandas"), "to_frame")
        | {"show": "plot", "save_html": "to_html"}
    )

    learning_rates: np.ndarray
    losses: np.ndarray
    suggestion: Suggestion
    stop_reason: StopReason
    stop_detail: str
    num_steps: int
    sweep: Literal["exponential", "linear"] = "exponential"
    scored_on: Literal["training", "validation"] = "training"
    repeat_losses: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    engine: Literal["graph", "per_batch"] = "graph"
    engine_reason: str = ""
    monitor: str = "loss"
    environment: dict[str, Any] = field(default_factory=dict)
    refinement: Refinement | None = None
    constant_loss: float | None = None
    epochs: int | None = None

    def __post_init__(self) -> None:
        if np.shape(self.learning_rates) != np.shape(self.losses):
            raise ValueError(
                "`learning_rates` and `losses` must have the same shape. Received: "
                f"{np.shape(self.learning_rates)} and {np.shape(self.losses)}."
            )

    def to_frame(self) -> pd.DataFrame:
        """One row per step and repeat: `step`, `learning_rate`, `repeat`, `loss`."""
        import pandas as pd

        curves = self.repeat_losses if self.repeat_losses.size else self.losses[np.newaxis]
        repeats, steps = curves.shape
        frame = pd.DataFrame(
            {
                "step": np.tile(np.arange(steps), repeats),
                "learning_rate": np.tile(self.learning_rates, repeats),
                "repeat": np.repeat(np.arange(repeats), steps),
                "loss": curves.ravel(),
            }
        )
        return frame.dropna(subset="loss", ignore_index=True)

    def plot(self, ax: Any = None) -> Any:
        """Draws the curve on `ax`, a matplotlib Axes (that of a new pyplot figure if None), and returns it."""
        from keras_lr.plots import plot_range_test

        return plot_range_test(self, ax=ax)

    def __repr__(self) -> str:
        advice = self.suggestion
        rate = "none" if advice.learning_rate is None else format_rate(advice.learning_rate, digits=3)
        return (
            f"RangeTestResult({len(self.losses)} steps, stop_reason={self.stop_reason!r}, "
            f"suggestion={rate}, confidence={advice.confidence!r})"
        )

    @classmethod
    def _parse(cls, values: dict[str, Any]) -> dict[str, Any]:
        parsed = dict(values)
        for name in ("learning_rates", "losses"):
            parsed[name] = float_array(values[name], ndim=1)
        if values.get("repeat_losses"):
            parsed["repeat_losses"] = float_array(values["repeat_losses"], ndim=2)
        else:
            parsed.pop("repeat_losses", None)
        parsed["suggestion"] = Suggestion.from_dict(values["suggestion"])
        if values.get("refinement") is not None:
            parsed["refinement"] = Refinement.from_dict(values["refinement"])
        parsed["num_steps"] = integer(values["num_steps"])
        parsed["constant_loss"] = optional_float(values.get("constant_loss"))
        if values.get("epochs") is not None:
            parsed["epochs"] = integer(values["epochs"])
        for name in ("stop_reason", "stop_detail", "sweep", "scored_on", "engine", "engine_reason", "monitor"):
            if name in values:
                parsed[name] = text(values[name])
        json_object("environment", values.get("environment", {}))
        return parsed
