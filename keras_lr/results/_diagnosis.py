"""What a training history says about its learning rate."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self, get_args

from keras_lr.errors import ResultFormatError
from keras_lr.results._record import Record, optional_float, plain, text

Verdict = Literal["too_low", "good", "too_high", "unclear"]
FindingKind = Literal[
    "oscillation", "stagnation", "divergence", "slow_learning", "early_plateau", "overfitting", "noisy_validation"
]
Severity = Literal["info", "warning", "critical"]


@dataclass(frozen=True)
class Finding:
    """One thing seen in a series: where, how strongly, and what to do.

    Not a `Record`: its `kind` says what was seen, not which record it is.

    Attributes:
        kind: What was seen.
        severity: "info", "warning" or "critical".
        start_epoch: First epoch (or step) of the span, as the history counts them.
        end_epoch: Last epoch (or step) of the span, at least `start_epoch`.
        effect_size: Strength, in `effect_unit`.
        effect_unit: Unit of `effect_size`; never the loss's own.
        evidence: What the series shows, in one sentence.
        advice: What to change, in one sentence.
    """

    kind: FindingKind
    severity: Severity
    start_epoch: int
    end_epoch: int
    effect_size: float
    effect_unit: str
    evidence: str
    advice: str

    def __post_init__(self) -> None:
        if self.kind not in get_args(FindingKind):
            raise ValueError(f"`kind` must be one of {get_args(FindingKind)}. Received: {self.kind!r}.")
        if self.end_epoch < self.start_epoch:
            raise ValueError(
                f"`end_epoch` must be at least `start_epoch`. Received: {self.start_epoch}, {self.end_epoch}."
            )

    def to_dict(self) -> dict[str, Any]:
        """Plain strings and numbers."""
        fields: dict[str, Any] = plain(dataclasses.asdict(self))
        return fields

    @classmethod
    def from_dict(cls, data: Any) -> Self:
        """The finding `to_dict` described; raises `ResultFormatError` where it is none."""
        try:
            return cls(**data)
        except (TypeError, ValueError) as err:
            raise ResultFormatError(f"A stored finding must have the fields of `Finding`. Received: {err}.") from err


@dataclass(frozen=True)
class Diagnosis(Record):
    """The verdict on a run's learning rate, why, and everything found in its series.

    Attributes:
        verdict: "too_low", "good", "too_high" or "unclear".
        reasons: Why, one sentence each, the strongest first.
        findings: What was found, in order of onset.
        n_epochs: Number of distinct epochs (or steps) read.
        learning_rate: The run's median learning rate, dimensionless; None where the history has none.
        suggested_low: Lower end of the rates to try next; None where the rate is unknown or should stay.
        suggested_high: Upper end of them; None with it.
        monitor: Name of the series that was judged.
        epochs: Epochs (or steps) of the series below, increasing; of a long history only some, with every stretch's
            extremes.
        losses: The judged loss at each of them, in its own unit, None where not finite; a metric that should grow is
            negated.
        val_losses: The same on validation data, None where not evaluated; empty where it never was.
        learning_rates: Rate at each of them; empty where not recorded.
        unit: What `epochs` and the findings' spans count.
    """

    kind: ClassVar[str] = "diagnosis"

    verdict: Verdict
    reasons: tuple[str, ...]
    findings: tuple[Finding, ...]
    n_epochs: int
    learning_rate: float | None = None
    suggested_low: float | None = None
    suggested_high: float | None = None
    monitor: str = "loss"
    epochs: tuple[int, ...] = ()
    losses: tuple[float | None, ...] = ()
    val_losses: tuple[float | None, ...] = ()
    learning_rates: tuple[float | None, ...] = ()
    unit: Literal["epoch", "step"] = "epoch"

    def __post_init__(self) -> None:
        if self.verdict not in get_args(Verdict):
            raise ValueError(f"`verdict` must be one of {get_args(Verdict)}. Received: {self.verdict!r}.")

    def to_dict(self) -> dict[str, Any]:
        """Plain dicts, lists, strings and finite numbers, with `kind` and `schema_version`."""
        return {**super().to_dict(), "findings": [finding.to_dict() for finding in self.findings]}

    @classmethod
    def _parse(cls, values: dict[str, Any]) -> dict[str, Any]:
        series = ("losses", "val_losses", "learning_rates")
        return {
            **values,
            "reasons": tuple(text(reason) for reason in values["reasons"]),
            "findings": tuple(Finding.from_dict(finding) for finding in values["findings"]),
            "epochs": tuple(int(epoch) for epoch in values.get("epochs", ())),
            **{name: tuple(optional_float(number) for number in values.get(name, ())) for name in series},
        }


@dataclass(frozen=True)
class HistoryComparison(Record):
    """Several runs side by side.

    Attributes:
        diagnoses: Each run's diagnosis, by its name.
        best_losses: Each run's best validation loss, or training loss where not all runs have been validated, in the
            loss's unit; negated for a metric that should grow; None where it has no finite one.
        best_run: Name of the run with the lowest best loss; None where no run has a finite one, or the
            runs were judged by different series.
        part_epoch: First epoch from which the best run stays ahead of the second best; None where it never does.
        suggested_low: Lower end of the rates to try next; None where the runs give no direction.
        suggested_high: Upper end of them; None with it.
        reason: Why, in one sentence.
    """

    kind: ClassVar[str] = "history_comparison"

    diagnoses: dict[str, Diagnosis]
    best_losses: dict[str, float | None]
    best_run: str | None
    part_epoch: int | None
    suggested_low: float | None
    suggested_high: float | None
    reason: str

    @classmethod
    def _parse(cls, values: dict[str, Any]) -> dict[str, Any]:
        return {**values, "diagnoses": {name: Diagnosis.from_dict(item) for name, item in values["diagnoses"].items()}}
