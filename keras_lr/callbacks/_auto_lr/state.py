"""What `AutoLR` remembers of a run: the epochs, the rate it has chosen, and what it did."""

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
    block_epochs,
    find_change,
    find_divergence,
    typical_move,
)
from keras_lr.errors import ResultFormatError
from keras_lr.results._auto_lr import AutoLRAction, AutoLRLog
from keras_lr.results._range_test import RangeTestResult

MAX_ROLLBACKS = 8


@dataclass(frozen=True)
class Segment:
    """Epochs under one factor on the compiled rate.

    Attributes:
        factor: The factor, without the anneal's.
        first_row: Index of its first epoch among those remembered.
        anneal_from: Share of the planned run after which the rate falls.
        rollbacks: Rollbacks since the last epoch that was kept.
        actions: Number of actions taken so far.
    """

    factor: float = 1.0
    first_row: int = 0
    anneal_from: float = 1.0
    rollbacks: int = 0
    actions: int = 0


@dataclass
class EpochRecord:
    """An epoch: the rate at its end, its losses, whether its weights were kept, and the segment that followed."""

    epoch: int
    learning_rate: float
    loss: float
    val_loss: float
    kept: bool
    then: Segment


@dataclass
class AutoLRState:
    """The state of a run under `AutoLR`, as plain values.

    Attributes:
        first_epoch: Where it began.
        start_learning_rate: Rate the model was compiled with; a schedule's at its first step.
        reference: Rate at a factor of 1; a schedule's highest.
        bases: The rate factor's bases; None before it was attached.
        baseline: Loss before the first step; None where no range test was run.
        probe: The range test.
        rows: The epochs so far.
        actions: What was done.
        segment: The present one.
    """

    first_epoch: int
    start_learning_rate: float
    reference: float
    bases: tuple[float, ...] | None = None
    baseline: Baseline | None = None
    probe: RangeTestResult | None = None
    rows: list[EpochRecord] = field(default_factory=list)
    actions: list[AutoLRAction] = field(default_factory=list)
    segment: Segment = field(default_factory=Segment)

    def act(self, action: AutoLRAction, **changes: Any) -> None:
        """Remembers an action, with what it changes of the segment."""
        self.actions.append(action)
        self.segment = dataclasses.replace(self.segment, actions=len(self.actions), **changes)

    def reset_rollbacks(self) -> None:
        """After an epoch that was kept, counts rollbacks anew."""
        self.segment = dataclasses.replace(self.segment, rollbacks=0)

    def divergence(self, loss: float) -> Change | None:
        """Whether an epoch of this loss diverged; None also where lower rates have not helped."""
        if self.segment.rollbacks >= MAX_ROLLBACKS:
            return None
        kept = self._kept_losses()
        start = self.baseline.start if self.baseline else (kept[0] if kept else math.nan)
        noise = self.baseline.noise if self.baseline else typical_move(kept)
        return find_divergence(loss, start=start, best=min(kept, default=start), noise=noise)

    def change(self, planned_epochs: int) -> Change | None:
        """What the epochs since the last change speak for; asked after an epoch that was kept."""
        width = block_epochs(planned_epochs)
        losses = np.array([row.loss for row in self.rows[self.segment.first_row :] if math.isfinite(row.loss)])
        if losses.size == 0 or losses.size % width:
            return None
        kept = self._kept_losses()
        start = self.baseline.start if self.baseline else kept[0]
        return find_change(LossTrend(start, min(kept), losses.reshape(-1, width).mean(axis=1)))

    def _kept_losses(self) -> list[float]:
        return [row.loss for row in self.rows if row.kept and math.isfinite(row.loss)]

    def rewind(self, epoch: int) -> bool:
        """Goes back to the beginning of `epoch`; False where nothing before it is remembered."""
        self.rows = [row for row in self.rows if row.epoch < epoch]
        if not self.rows:
            return False
        self.segment = self.rows[-1].then
        self.actions = self.actions[: self.segment.actions]
        return True

    def to_log(self, *, planned_epochs: int | None, dry_run: bool, monitor: str) -> AutoLRLog:
        """The record of the run."""

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
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        rows = [
            {name: None if isinstance(value, float) and not math.isfinite(value) else value for name, value in row}
            for row in (dataclasses.asdict(row).items() for row in self.rows)
        ]
        return {
            "first_epoch": self.first_epoch,
            "start_learning_rate": self.start_learning_rate,
            "reference": self.reference,
            "bases": None if self.bases is None else list(self.bases),
            "baseline": None if self.baseline is None else dataclasses.asdict(self.baseline),
            "probe": None if self.probe is None else self.probe.to_dict(),
            "rows": rows,
            "actions": [action.to_dict() for action in self.actions],
            "segment": dataclasses.asdict(self.segment),
        }

    @classmethod
    def from_dict(cls, data: Any) -> AutoLRState:
        """What `to_dict` described; raises `ResultFormatError` where it is none."""
        try:
            return cls(
                first_epoch=int(data["first_epoch"]),
                start_learning_rate=float(data["start_learning_rate"]),
                reference=float(data["reference"]),
                bases=None if data["bases"] is None else tuple(map(float, data["bases"])),
                baseline=data["baseline"] and Baseline(**data["baseline"]),
                probe=data["probe"] and RangeTestResult.from_dict(data["probe"]),
                rows=[_epoch_record(**row) for row in data["rows"]],
                actions=[AutoLRAction.from_dict(action) for action in data["actions"]],
                segment=Segment(**data["segment"]),
            )
        except (TypeError, ValueError, KeyError) as err:
            raise ResultFormatError(
                f"A stored state must be what `AutoLR.get_state` returned. Received: {err!r}. Begin the fit anew."
            ) from err


def _epoch_record(*, loss: float | None, val_loss: float | None, then: dict[str, Any], **values: Any) -> EpochRecord:
    loss, val_loss = (math.nan if value is None else float(value) for value in (loss, val_loss))
    return EpochRecord(loss=loss, val_loss=val_loss, then=Segment(**then), **values)
