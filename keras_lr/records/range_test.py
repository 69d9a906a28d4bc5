"""What a learning-rate range test measured."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pandas as pd

from keras_lr.records.base import Record, float_array, optional_float, present, text
from keras_lr.records.rate_words import format_rate
from keras_lr.records.refinement import Refinement
from keras_lr.records.suggestion import Suggestion

StopReason = Literal["completed", "diverged", "non_finite", "data_exhausted", "interrupted", "error"]


@dataclass(frozen=True, eq=False)
class RangeTestResult(Record):
    """The measured curve of a range test, what stopped it, and the suggestion read off it.

    Attributes:
        learning_rates: Learning rate of each step, increasing, dimensionless, shape `(n_steps,)`, float64.
        losses: Loss of each step in the compiled loss's unit, shape `(n_steps,)`, float64: each batch's own loss, or
            the validation batch's where `scored_on` is "validation"; over several repeats their median.
        suggestion: The advice read off the curve.
        stop_reason: "completed", "diverged", "non_finite", "data_exhausted", "interrupted" or "error".
        stop_detail: The same in one sentence.
        num_steps: Number of steps asked for; `n_steps` is smaller where the test stopped early.
        sweep: "exponential" or "linear".
        scored_on: "training" or "validation".
        repeat_losses: Every repeat's losses, shape `(repeats, n_steps)`, NaN after a repeat stopped.
        engine: "graph" where the sweep ran inside one compiled loop, "per_batch" where the model did not allow that.
        engine_reason: Why the sweep did not run in one compiled loop; empty where it did.
        monitor: Name of the loss in the logs of `train_step`.
        environment: Versions, devices, optimizer and precision of the run; may be empty.
        refinement: The short runs that settled the suggestion; None where there were none.
    """

    kind: ClassVar[str] = "range_test"

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

    def __post_init__(self) -> None:
        if np.shape(self.learning_rates) != np.shape(self.losses):
            raise ValueError(
                f"`learning_rates` and `losses` must have one shape. Received: {np.shape(self.learning_rates)} and "
                f"{np.shape(self.losses)}."
            )

    def to_frame(self) -> pd.DataFrame:
        """One row a step and repeat: `step`, `learning_rate`, `repeat`, `loss`."""
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
        """Draws the curve on `ax`, a matplotlib Axes (a new one where None), and returns it."""
        return present("plots").plot_range_test(self, ax=ax)

    def to_html(self, path: str | Path | None = None) -> str:
        """The result as one self-contained HTML page; also written to `path` where given."""
        report = present("report").Report("Learning-rate range test").add(self)
        if path is not None:
            report.save(path)
        return str(report.to_html())

    def _repr_html_(self) -> str:
        return str(present("report").Report("Learning-rate range test").add(self)._repr_html_())

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
        parsed["num_steps"] = int(optional_float(values["num_steps"]) or 0)
        for name in ("stop_reason", "stop_detail", "sweep", "scored_on", "engine", "engine_reason", "monitor"):
            if name in values:
                parsed[name] = text(values[name])
        if not isinstance(values.get("environment", {}), dict):
            raise TypeError("expected an object for `environment`")
        return parsed
