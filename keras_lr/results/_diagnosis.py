"""What a training history says about its learning rate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args

from keras_lr._utils.formatting import format_rate
from keras_lr.results._range_test import Confidence
from keras_lr.results._record import PageRecord, RecordPart, optional_float, text

if TYPE_CHECKING:
    import pandas as pd

Verdict = Literal["too_low", "good", "too_high", "not_the_rate", "unclear"]
FindingKind = Literal[
    "oscillation", "stagnation", "divergence", "slow_learning", "early_plateau", "overfitting", "noisy_validation"
]
Severity = Literal["info", "warning", "critical"]
"""In rising order; "info" calls for no action."""
Pattern = Literal["", "hatched", "hatched backwards", "cross-hatched", "dotted"]
Direction = Literal["min", "max"]
"""Whether lower ("min") or higher ("max") values of a series are better."""

PROBABLE_SHARE = 0.6
"""A verdict with a lower share of the evidence is shown as probable, and its share not at all."""

_GROWING_METRICS = ("accuracy", "acc", "auc", "precision", "recall", "f1", "iou", "r2", "cosine_similarity", "top_k")


@dataclass(frozen=True)
class VerdictWords:
    """How a verdict is shown.

    Attributes:
        badge: The verdict in one or two words.
        level: Colours the badge as a suggestion's confidence does.
        sentence: The verdict as a clause; `{rate}` stands for the learning rate, `{probably}` for a word of doubt.
    """

    badge: str
    level: Confidence
    sentence: str


@dataclass(frozen=True)
class FindingWords:
    """How a kind of finding is shown, and when it may be reported.

    Attributes:
        name: The kind in words.
        pattern: Fills the epochs of the finding in a plot; empty where only the text names it.
        earliest: When a running training can be judged: from the "step"s of an epoch, after an "epoch", or only at the
            "end", because until then a healthy run looks the same.
    """

    name: str
    pattern: Pattern = ""
    earliest: Literal["step", "epoch", "end"] = "epoch"


# The only lists of these words: plots, reports, callbacks and commands read them from here.
VERDICTS: dict[Verdict, VerdictWords] = {
    "too_low": VerdictWords("Too low", "tentative", "The learning rate {rate} was {probably} too low"),
    "good": VerdictWords("Good", "clear", "The learning rate {rate} was {probably} good"),
    "too_high": VerdictWords("Too high", "none", "The learning rate {rate} was {probably} too high"),
    "not_the_rate": VerdictWords("Not the rate", "none", "The learning rate {rate} was not the problem"),
    "unclear": VerdictWords("Unclear", "tentative", "No verdict on the learning rate {rate}"),
}
FINDING_KINDS: dict[FindingKind, FindingWords] = {
    "oscillation": FindingWords("oscillation", "hatched", earliest="step"),
    "stagnation": FindingWords("stagnation", "dotted"),
    "divergence": FindingWords("divergence", "cross-hatched", earliest="step"),
    "slow_learning": FindingWords("slow learning", earliest="end"),
    "early_plateau": FindingWords("early plateau", "dotted"),
    "overfitting": FindingWords("overfitting", "hatched backwards"),
    "noisy_validation": FindingWords("noisy validation"),
}


def verdict_sentence(verdict: Verdict, learning_rate: float | None = None, *, share: float | None = None) -> str:
    """The verdict as a clause without a full stop: `The learning rate 1e-2 was probably too low`.

    Args:
        verdict: The verdict.
        learning_rate: The run's learning rate; None to leave it out.
        share: The share of the evidence for the verdict; None if a fact settled it.
    """
    rate = "" if learning_rate is None else format_rate(learning_rate)
    probably = "probably" if is_only_probable(share) else ""
    return " ".join(VERDICTS[verdict].sentence.format(rate=rate, probably=probably).split())


def verdict_badge(verdict: Verdict, share: float | None = None) -> str:
    """The verdict in one to three words: `Probably too low`; `share` is that of the evidence for it, if weighed."""
    badge = VERDICTS[verdict].badge
    doubted = is_only_probable(share) and "{probably}" in VERDICTS[verdict].sentence
    return f"Probably {badge.lower()}" if doubted else badge


def is_only_probable(share: float | None) -> bool:
    """Whether a share of the evidence is too low for a verdict without a word of doubt; not if a fact settled it."""
    return share is not None and share < PROBABLE_SHARE


def direction_of(monitor: str) -> Direction:
    """Returns "max" for the name of a metric that grows as a model improves, such as accuracy; "min" for a loss."""
    words = monitor.lower().removeprefix("val_")
    grows = any(word in words.split("_") or words.endswith(word) for word in _GROWING_METRICS)
    return "max" if grows and "loss" not in words else "min"


@dataclass(frozen=True)
class Finding(RecordPart):
    """One pattern found in a training history: where, how strong, and what to do about it.

    Attributes:
        kind: What was found.
        severity: "info", "warning" or "critical".
        start_epoch: First epoch (or step) of the span, as the history counts them.
        end_epoch: Last epoch (or step) of the span, at least `start_epoch`.
        effect_size: Strength of the pattern, in `effect_unit`.
        effect_unit: Unit of `effect_size`; never the loss's own unit.
        evidence: What the history shows, in one sentence.
        advice: What to do about it; never against the verdict that it was reported with. Empty before there is one.

    Example:
        >>> for finding in diagnosis.findings:
        ...     print(finding.kind, finding.start_epoch, finding.end_epoch, finding.advice)
    """

    kind: FindingKind
    severity: Severity
    start_epoch: int
    end_epoch: int
    effect_size: float
    effect_unit: str
    evidence: str
    advice: str = ""

    def __post_init__(self) -> None:
        if self.kind not in get_args(FindingKind):
            raise ValueError(f"`kind` must be one of {get_args(FindingKind)}. Received: {self.kind!r}.")
        if self.end_epoch < self.start_epoch:
            raise ValueError(
                f"`end_epoch` must be at least `start_epoch`. Received: {self.start_epoch}, {self.end_epoch}."
            )


def rate_span(low: float | None, high: float | None) -> str:
    """`1e-4 to 1e-3`, or the only rate; empty if an end is None."""
    if low is None or high is None:
        return ""
    ends = dict.fromkeys((format_rate(low), format_rate(high)))
    return " to ".join(ends)


def span_in_words(finding: Finding, unit: str = "epoch") -> str:
    """Where a finding is, counted in `unit`: `epoch 3`, or `epochs 12 to 19`."""
    start, end = finding.start_epoch, finding.end_epoch
    return f"{unit} {start}" if start == end else f"{unit}s {start} to {end}"


@dataclass(frozen=True)
class Diagnosis(PageRecord):
    """The verdict on the learning rate of a run, its reasons, and all findings in the history.

    Attributes:
        verdict: "too_low", "good", "too_high", "not_the_rate" (something else is wrong, and no learning rate fixes it)
            or "unclear".
        reasons: Why, one sentence each, the strongest first; then what was assumed, and what would make it surer.
        findings: What was found, in order of onset. No advice of theirs points against the verdict.
        n_epochs: Number of distinct epochs (or steps) read.
        learning_rate: The run's median learning rate, dimensionless; None if it is unknown.
        suggested_low: Lower end of the rates to try next; None if the rate is unknown or should stay as it is.
        suggested_high: Upper end of the rates to try next; None if `suggested_low` is None.
        monitor: Name of the series that was judged.
        epochs: Epochs (or steps) of the series below, increasing; a long history is thinned, keeping the extremes of
            every stretch.
        losses: The judged series at each of them, as recorded, None where not finite: a loss, or a metric if the
            history has no loss.
        val_losses: The same on validation data, None where not evaluated; empty if it never was.
        learning_rates: Learning rate at each of them; empty if not recorded.
        unit: What `epochs` and the findings' spans count.
        direction: "min" if lower `losses` are better, "max" if they are values of a metric that should grow.
        share: Share of the evidence that speaks for the most probable verdict, in [0, 1]: of runs with such a share,
            about this fraction was judged right in the benchmark. None if a fact settled the verdict.
        untrained_loss: Training loss before the first step that the verdict used; None if unknown.
        baseline_loss: Loss of the best constant output that the verdict used; None if unknown.
        optimizer: Optimizer that the verdict used, its class name in lower case; None if unknown.

    Example:
        >>> diagnosis = keras_lr.analyze_history(history)
        >>> print(diagnosis.verdict, *diagnosis.reasons)
    """

    kind: ClassVar[str] = "diagnosis"
    page_title: ClassVar[str] = "Training history"

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
    direction: Direction = "min"
    share: float | None = None
    untrained_loss: float | None = None
    baseline_loss: float | None = None
    optimizer: str | None = None

    def __post_init__(self) -> None:
        if self.verdict not in get_args(Verdict):
            raise ValueError(f"`verdict` must be one of {get_args(Verdict)}. Received: {self.verdict!r}.")
        if self.direction not in get_args(Direction):
            raise ValueError(f"`direction` must be one of {get_args(Direction)}. Received: {self.direction!r}.")

    def to_frame(self) -> pd.DataFrame:
        """One row per epoch (or step): `epoch`, `loss`, and `val_loss` and `learning_rate` if they were recorded.

        `loss` holds the series that was judged, also if that is a metric.
        """
        import pandas as pd

        columns = {
            "epoch": self.epochs,
            "loss": self.losses,
            "val_loss": self.val_losses,
            "learning_rate": self.learning_rates,
        }
        frame = pd.DataFrame({name: list(values) for name, values in columns.items() if values})
        return frame.astype({name: "float64" for name in frame.columns if name != "epoch"})

    def plot(self, ax: Any = None) -> Any:
        """Draws the losses with the findings on `ax`, a matplotlib Axes (that of a new pyplot figure if None)."""
        from keras_lr.plots import plot_history

        return plot_history(self, ax=ax)

    def __repr__(self) -> str:
        rate = "" if self.learning_rate is None else f", learning_rate={format_rate(self.learning_rate, digits=3)}"
        rate += _try_next(self.suggested_low, self.suggested_high)
        found = ", ".join(finding.kind for finding in self.findings) or "none"
        return f"Diagnosis({self.verdict!r}, {self.n_epochs} {self.unit}s of {self.monitor!r}{rate}, findings: {found})"

    @classmethod
    def _parse(cls, values: dict[str, Any]) -> dict[str, Any]:
        series = {
            name: tuple(optional_float(number) for number in values.get(name, ()))
            for name in ("losses", "val_losses", "learning_rates")
        }
        direction = values.get("direction")
        if direction is None:
            direction = direction_of(text(values.get("monitor", "loss")))
            if direction == "max":
                series |= {name: _negated(series[name]) for name in ("losses", "val_losses")}
        return {
            **values,
            "reasons": tuple(text(reason) for reason in values["reasons"]),
            "findings": tuple(Finding.from_dict(finding) for finding in values["findings"]),
            "epochs": tuple(int(epoch) for epoch in values.get("epochs", ())),
            **series,
            "direction": direction,
        }


def _negated(values: tuple[float | None, ...]) -> tuple[float | None, ...]:
    """Turns the values of a record without a `direction`, which holds a growing metric negated, into the metric's."""
    return tuple(None if value is None else -value for value in values)


def _try_next(low: float | None, high: float | None) -> str:
    span = rate_span(low, high)
    return span and f", try {span}"


@dataclass(frozen=True)
class HistoryComparison(PageRecord):
    """Several runs compared.

    Attributes:
        diagnoses: Each run's diagnosis, by its name.
        best_losses: Each run's best validation loss, or training loss unless all runs were validated, in the loss's
            unit; the best value of the metric if the runs have no loss; None without a finite value.
        best_run: Name of the run with the best of these values; None if no run has a finite one, or the runs were
            judged by different series.
        part_epoch: First epoch from which the best run stays ahead of the second best; None if it never does.
        suggested_low: Lower end of the rates to try next; None if the runs give no direction.
        suggested_high: Upper end of the rates to try next; None if `suggested_low` is None.
        reason: Why, in one sentence.

    Example:
        >>> comparison = keras_lr.analyze_histories({"first": history, "second": history})
        >>> print(comparison.best_run, comparison.reason)
    """

    kind: ClassVar[str] = "history_comparison"
    page_title: ClassVar[str] = "Training histories"

    diagnoses: dict[str, Diagnosis]
    best_losses: dict[str, float | None]
    best_run: str | None
    part_epoch: int | None
    suggested_low: float | None
    suggested_high: float | None
    reason: str

    def to_frame(self) -> pd.DataFrame:
        """One row per run: `run`, `learning_rate`, `verdict`, `best_loss`, `n_epochs`, `findings`."""
        import pandas as pd

        rows = [
            {
                "run": name,
                "learning_rate": diagnosis.learning_rate,
                "verdict": diagnosis.verdict,
                "best_loss": self.best_losses.get(name),
                "n_epochs": diagnosis.n_epochs,
                "findings": ", ".join(finding.kind for finding in diagnosis.findings),
            }
            for name, diagnosis in self.diagnoses.items()
        ]
        return pd.DataFrame(rows).astype({"learning_rate": "float64", "best_loss": "float64"})

    def plot(self, axes: Any = None) -> Any:
        """Draws each run on one of `axes`, a list of matplotlib Axes (a new pyplot figure's if None); returns them."""
        from keras_lr.plots import plot_histories

        return plot_histories(self.diagnoses, axes=axes)

    def __repr__(self) -> str:
        try_next = _try_next(self.suggested_low, self.suggested_high)
        return f"HistoryComparison({len(self.diagnoses)} runs, best_run={self.best_run!r}{try_next})"

    @classmethod
    def _parse(cls, values: dict[str, Any]) -> dict[str, Any]:
        stored, best = dict(values["diagnoses"]), dict(values["best_losses"])
        diagnoses = {name: Diagnosis.from_dict(item) for name, item in stored.items()}
        for name, diagnosis in diagnoses.items():
            if diagnosis.direction == "max" and stored[name].get("direction") is None and name in best:
                (best[name],) = _negated((optional_float(best[name]),))
        return {**values, "diagnoses": diagnoses, "best_losses": best}
