"""What `AutoLR` remembers of a run, as plain values."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from keras_lr.analysis._auto_lr_rules import (
    Baseline,
    Change,
    LossTrend,
    epochs_per_judgement,
    find_change,
    judgements_per_point,
    mean_error,
    typical_change,
)
from keras_lr.analysis._diverged import blown_up, epoch_divergence
from keras_lr.errors import ResultFormatError
from keras_lr.results._auto_lr import AutoLRAction, AutoLRLog
from keras_lr.results._range_test import RangeTestResult


@dataclass(frozen=True)
class Segment:
    """Epochs under one factor on the compiled rate.

    Attributes:
        factor: The factor, without that of the anneal.
        first_row: Index of its first epoch in `AutoLRState.rows`.
        anneal_from: Share of the planned run after which the rate decays.
        rollbacks: Rollbacks since the last judgement that was kept.
        actions: Number of actions taken so far.
        collapses: Number of returns to the initial state so far.
        trusted_factor: The factor of the last judgement that was kept; the first one before that.
        ended: Whether no rollback is made any more, since the rate is not the cause.
        failed_factor: The lowest factor that called for a rollback, which no raise reaches; None without a rollback.
        decays: Whether the decay at the end of the run has begun.
    """

    factor: float = 1.0
    first_row: int = 0
    anneal_from: float = 1.0
    rollbacks: int = 0
    actions: int = 0
    collapses: int = 0
    trusted_factor: float = 1.0
    ended: bool = False
    failed_factor: float | None = None
    decays: bool = False


@dataclass
class EpochRecord:
    """An epoch: its rate at the end, its losses, and the segment that follows it.

    Attributes:
        epoch: Counted from 0.
        learning_rate: Rate at the end.
        loss: Training loss.
        val_loss: Validation loss; NaN if it was not evaluated.
        kept: Whether the weights at its end were kept; None if it is judged together with the next epochs.
        judged: The mean loss of the epochs that are judged together, at the last one of them; None at the others.
        next_segment: The segment of the next epoch.
    """

    epoch: int
    learning_rate: float
    loss: float
    val_loss: float
    kept: bool | None
    judged: float | None
    next_segment: Segment


@dataclass
class AutoLRState:
    """The state of a run under `AutoLR`, as plain values.

    Attributes:
        first_epoch: The epoch at which the run began.
        start_learning_rate: Rate the model was compiled with; a schedule's at its first step.
        reference: Rate at a factor of 1; a schedule's highest.
        bases: The rate factor's bases; None until it is attached.
        steps: Steps per epoch; None until known.
        baseline: What the range test showed of the loss; None without one.
        probe: The range test.
        rehearsed_peak: Highest loss in the rehearsal of the whole training, after which only a blow-up calls for
            another rate; None if it was not rehearsed.
        raced_until: End of the trainings that raced before the first epoch, up to which only a loss that diverges calls
            for another rate; 0 without a race.
        rows: The epochs so far.
        actions: The actions so far.
        notes: What else there is to know of the run.
        segment: The present segment.
        known: What is known of the fit beside its series.
    """

    first_epoch: int
    start_learning_rate: float
    reference: float
    bases: tuple[float, ...] | None = None
    steps: int | None = None
    baseline: Baseline | None = None
    probe: RangeTestResult | None = None
    rehearsed_peak: float | None = None
    raced_until: int = 0
    rows: list[EpochRecord] = field(default_factory=list)
    actions: list[AutoLRAction] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    segment: Segment = field(default_factory=Segment)
    known: dict[str, Any] = field(default_factory=dict)

    def change_segment(self, **changes: Any) -> None:
        """Applies `changes` to the segment."""
        self.segment = dataclasses.replace(self.segment, **changes)

    def add_action(self, action: AutoLRAction, **changes: Any) -> None:
        """Adds an action and applies `changes` to the segment."""
        self.actions.append(action)
        self.change_segment(actions=len(self.actions), **changes)

    def add_note(self, note: str) -> None:
        """Adds a note that is not there yet."""
        if note not in self.notes:
            self.notes.append(note)

    def is_rehearsed(self) -> bool:
        """Whether the whole training was rehearsed and its loss stayed finite."""
        return self.rehearsed_peak is not None and math.isfinite(self.rehearsed_peak)

    def is_settled(self, planned_epochs: int) -> bool:
        """Whether whole trainings up to this epoch were compared before the first, which tells more than the losses."""
        return self.raced_until >= planned_epochs or self.is_rehearsed()

    @property
    def epochs_per_judgement(self) -> int:
        """Number of epochs whose loss is judged together."""
        return 1 if self.steps is None else epochs_per_judgement(self.steps)

    def judged_losses(self) -> list[float]:
        """The mean losses of the judgements that were kept."""
        return [row.judged for row in self.rows if row.kept and row.judged is not None]

    def unjudged_losses(self) -> list[float]:
        """The losses of the epochs that wait for a judgement."""
        last = next((place for place in range(len(self.rows), 0, -1) if self.rows[place - 1].kept is not None), 0)
        return [row.loss for row in self.rows[max(last, self.segment.first_row) :]]

    def judged_loss(self) -> float:
        """The mean loss of the epochs that wait for a judgement.

        The first judgement after a change leaves out their first half, in which a new rate may raise the loss.
        """
        losses = self.unjudged_losses()
        first = len(self.rows) - len(losses) <= self.segment.first_row
        return float(np.mean(losses[len(losses) // 2 if first else 0 :]))

    def find_divergence(self, loss: float, *, few_steps: bool = False) -> Change | None:
        """The rollback that a loss calls for, apart from whether one is still made.

        Args:
            loss: The mean loss of the epochs that are judged together.
            few_steps: Whether these are not all that are to be judged together.
        """
        known = self.judged_losses()
        if not math.isfinite(loss):
            return epoch_divergence(loss, start=0.0, best=0.0, noise=0.0)
        if self.baseline is None and not known:
            return None
        start = self.baseline.start if self.baseline else known[0]
        noise = self.baseline.noise if self.baseline else typical_change(known)
        reach = self.baseline.reach if self.baseline else 0.0
        best = min(known, default=start)
        if self.rehearsed_peak is not None and self.is_rehearsed():
            return blown_up(loss, start=max(start, self.rehearsed_peak), best=best, noise=noise, reach=reach)
        rule = blown_up if few_steps else epoch_divergence
        return rule(loss, start=start, best=best, noise=noise, reach=reach)

    def trend(self, planned_epochs: int) -> LossTrend | None:
        """The judged losses since the last change, in points; None between two points.

        To be called after a judgement that was kept.
        """
        width = judgements_per_point(-(-planned_epochs // self.epochs_per_judgement))
        losses = np.array([row.judged for row in self.rows[self.segment.first_row :] if row.judged is not None])
        losses = losses[np.isfinite(losses)]
        if losses.size == 0 or losses.size % width:
            return None
        known = self.judged_losses()
        start, reach = (self.baseline.start, self.baseline.reach) if self.baseline else (known[0], 0.0)
        together = self.epochs_per_judgement
        recent = [row.loss for row in self.rows[-together:]] if together > 1 else []
        error = mean_error(recent) / math.sqrt(width)
        return LossTrend(start, min(known), losses.reshape(-1, width).mean(axis=1), reach, error)

    def find_change(self, planned_epochs: int) -> Change | None:
        """The change that the judgements since the last one call for; to be called after one that was kept."""
        trend = self.trend(planned_epochs)
        return None if trend is None else find_change(trend)

    def disown(self, judgements: int | None) -> None:
        """Forgets the last `judgements` that were kept, since the state they led to was not good; None forgets all."""
        kept = [row for row in self.rows if row.kept]
        for row in kept if judgements is None else kept[len(kept) - judgements :]:
            row.kept = False

    def rewind(self, epoch: int) -> bool:
        """Returns to the beginning of `epoch`; False if no epoch before it is known."""
        self.rows = [row for row in self.rows if row.epoch < epoch]
        if not self.rows:
            return False
        self.segment = self.rows[-1].next_segment
        self.actions = self.actions[: self.segment.actions]
        return True

    def to_log(self, *, planned_epochs: int | None, dry_run: bool, monitor: str) -> AutoLRLog:
        """The public record of the run."""

        def series(name: str) -> np.ndarray:
            values = np.array([getattr(row, name) for row in self.rows], dtype=np.float64)
            return np.where(np.isfinite(values), values, np.nan)

        return AutoLRLog(
            actions=tuple(self.actions),
            epochs=np.array([row.epoch for row in self.rows], dtype=np.int64),
            learning_rates=series("learning_rate"),
            losses=series("loss"),
            val_losses=series("val_loss"),
            start_learning_rate=self.start_learning_rate,
            planned_epochs=planned_epochs,
            dry_run=dry_run,
            monitor=monitor,
            probe=self.probe,
            notes=tuple(self.notes),
            known=dict(self.known),
        )

    def to_dict(self) -> dict[str, Any]:
        """The state as plain JSON values."""
        rows = [
            {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row}
            for row in (dataclasses.asdict(row).items() for row in self.rows)
        ]
        return {
            "first_epoch": self.first_epoch,
            "start_learning_rate": self.start_learning_rate,
            "reference": self.reference,
            "bases": None if self.bases is None else list(self.bases),
            "steps": self.steps,
            "baseline": None if self.baseline is None else dataclasses.asdict(self.baseline),
            "probe": None if self.probe is None else self.probe.to_dict(),
            "rehearsed_peak": self.rehearsed_peak if self.is_rehearsed() else None,
            "raced_until": self.raced_until,
            "rows": rows,
            "actions": [action.to_dict() for action in self.actions],
            "notes": list(self.notes),
            "segment": dataclasses.asdict(self.segment),
            "known": dict(self.known),
        }

    @classmethod
    def from_dict(cls, data: Any) -> AutoLRState:
        """The state that `to_dict` wrote; raises `ResultFormatError` for anything else."""
        try:
            return cls(
                first_epoch=int(data["first_epoch"]),
                start_learning_rate=float(data["start_learning_rate"]),
                reference=float(data["reference"]),
                bases=None if data["bases"] is None else tuple(map(float, data["bases"])),
                steps=None if data["steps"] is None else int(data["steps"]),
                baseline=data["baseline"] and Baseline(**data["baseline"]),
                probe=data["probe"] and RangeTestResult.from_dict(data["probe"]),
                rehearsed_peak=None if data["rehearsed_peak"] is None else float(data["rehearsed_peak"]),
                raced_until=int(data.get("raced_until", 0)),
                rows=[_epoch_record(**row) for row in data["rows"]],
                actions=[AutoLRAction.from_dict(action) for action in data["actions"]],
                notes=[str(note) for note in data["notes"]],
                segment=Segment(**data["segment"]),
                known=dict(data.get("known", {})),
            )
        except (TypeError, ValueError, KeyError) as err:
            raise ResultFormatError(
                f"`state` must be what `AutoLR.get_state` returned. Received: {err!r}. Start the fit over."
            ) from err


def _epoch_record(
    *, loss: float | None, val_loss: float | None, next_segment: dict[str, Any], **values: Any
) -> EpochRecord:
    loss, val_loss = (math.nan if value is None else float(value) for value in (loss, val_loss))
    return EpochRecord(loss=loss, val_loss=val_loss, next_segment=Segment(**next_segment), **values)
