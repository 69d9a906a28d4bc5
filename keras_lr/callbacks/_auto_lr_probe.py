"""The range test within a `fit` under `AutoLR`, and the rehearsals of the training at the rates to choose from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from keras_lr._keras.batches import ArrayStream
from keras_lr._utils.formatting import format_number, format_rate
from keras_lr.analysis._auto_lr_rules import Rehearsal, anneal_factor, choose_rehearsal
from keras_lr.range_test._callback import LRRangeTest
from keras_lr.range_test._sweep import Sweep
from keras_lr.results._range_test import RangeTestResult, Suggestion

MIN_RATIO = 1.25
"""Rates closer to one another than this are not compared: a range test is not that precise."""

END_STEPS = 16
"""Steps over which the loss at the end of a rehearsal is averaged."""

RESTING_FRACTION = 1e-6
"""The rate of these steps, as a fraction of the one before: the weights rest while their loss is measured."""

TAIL_FRACTION = 1 / 3
"""Share of a rehearsal that is not of the whole training over which the loss at its end is averaged."""


@dataclass(frozen=True)
class PlannedTraining:
    """What the fit is going to do.

    Attributes:
        learning_rates: The compiled rate at each of the first steps, shape `(n_steps,)`.
        reference: Rate at a factor of 1; a schedule's highest.
        num_steps: Number of steps planned; None if unknown.
        anneal_fraction: Share of the steps over which the rate decays.
    """

    learning_rates: np.ndarray
    reference: float
    num_steps: int | None
    anneal_fraction: float

    def is_rehearsed_whole(self) -> bool:
        """Whether the first steps are all."""
        return self.num_steps == len(self.learning_rates)


@dataclass
class Findings:
    """What a probe found.

    Attributes:
        result: The range test.
        fault: Why no rate can be read off the data; empty if nothing is wrong.
        rehearsals: The rehearsals, the preferred ones first.
        chosen: The best of them; None without any.
        sample: A batch of the data; None if none could be had.
    """

    result: RangeTestResult
    fault: str = ""
    rehearsals: list[Rehearsal] = field(default_factory=list)
    chosen: Rehearsal | None = None
    sample: Any = None


class Probe(LRRangeTest):
    """A range test within a `fit`, which then trains all its epochs; `AutoLR` sets the rate instead of `apply`."""

    def run(self, model: keras.Model, planned: PlannedTraining | None = None) -> Findings:
        """Sweeps, rehearses the training and restores the model whose `fit` is running; builds it if necessary.

        Args:
            model: The model in training.
            planned: What to rehearse; None for the sweep alone.
        """
        self._planned = planned
        self._found: Findings | None = None
        self.set_model(model)
        self.on_train_begin()
        found = self._found or Findings(self.measured())
        found.result = self.measured()
        return found

    def _apply(self, suggestion: Suggestion) -> None:
        """Changes nothing."""

    def _further(self, test: Sweep, result: RangeTestResult) -> BaseException | None:
        found = self._found = Findings(result, fault=test.fault or test.target_fault)
        planned = self._planned
        if found.fault or planned is None or result.stop_reason in ("data_exhausted", "interrupted", "error"):
            return None
        rehearse = _Rehearsing(test, planned)
        for factor, annealed in _plans(planned, result):
            rehearsal, error = rehearse.run(factor, annealed=annealed)
            if error is not None:
                return error
            found.rehearsals.append(rehearsal)
        if found.rehearsals:
            start = float(np.median(result.losses[:10]))
            found.chosen = choose_rehearsal(found.rehearsals, start=start, whole=planned.is_rehearsed_whole())
        return None


def _plans(planned: PlannedTraining, result: RangeTestResult) -> list[tuple[float, bool]]:
    """Which factors on the compiled rate to rehearse, each without or with the decay, the preferred ones first.

    The compiled rate comes first; in a rehearsal of the beginning, which favours high rates, the lower one.
    """
    factors: list[float] = []
    for factor in (rate / planned.reference for rate in _candidates(result)):
        if all(max(factor / other, other / factor) >= MIN_RATIO for other in [1.0, *factors]):
            factors.append(factor)
    if not planned.is_rehearsed_whole():
        return [(factor, False) for factor in sorted([1.0, factors[0]])] if factors else []
    decays = [True, False] if planned.anneal_fraction else [False]
    main = [(factor, decay) for factor in factors[:1] or [1.0] for decay in decays]
    return [(1.0, False), *(plan for plan in main if plan != (1.0, False)), *((one, False) for one in factors[1:])]


def _candidates(result: RangeTestResult) -> list[float]:
    """The suggested rate, then that of the best short run."""
    rate, refinement = result.suggestion.learning_rate, result.refinement
    if rate is None:
        return []
    if refinement is None:
        return [rate]
    tail = max(round(TAIL_FRACTION * refinement.losses.shape[1]), 1)
    ends = np.where(np.isfinite(refinement.losses), refinement.losses, np.inf)[:, -tail:].mean(axis=1)
    return [rate, float(refinement.learning_rates[np.argmin(ends)])]


class _Rehearsing:
    """Trains at several rates from the initial state; with arrays, all runs see the same batches."""

    def __init__(self, test: Sweep, planned: PlannedTraining) -> None:
        self._test, self._planned = test, planned
        self._resting = END_STEPS if planned.is_rehearsed_whole() else 0
        steps = len(planned.learning_rates) + self._resting
        self._source = test.stream.source(steps) if isinstance(test.stream, ArrayStream) else None

    def run(self, factor: float, *, annealed: bool) -> tuple[Rehearsal, BaseException | None]:
        """A rehearsal, and the error that cut it short, if any."""
        planned = self._planned
        steps = len(planned.learning_rates)
        rates = factor * planned.learning_rates
        if annealed:
            middles = (np.arange(steps) + 0.5) / steps
            rates = rates * [anneal_factor(middle, planned.anneal_fraction) for middle in middles]
        resting = np.full(self._resting, RESTING_FRACTION * factor * planned.reference)
        curve = self._test.run(np.concatenate([rates, resting]), source=self._source)
        if len(curve.losses) < steps + self._resting:
            return Rehearsal(factor, annealed, np.empty(0), math.inf), curve.error
        tail = self._resting or max(round(TAIL_FRACTION * steps), 1)
        return Rehearsal(factor, annealed, curve.losses[-tail:], float(curve.losses.max())), curve.error


def describe(rehearsals: Sequence[Rehearsal], chosen: Rehearsal, planned: PlannedTraining) -> str:
    """What the rehearsals showed, in one sentence."""

    def name(rehearsal: Rehearsal) -> str:
        rate = "as compiled" if rehearsal.factor == 1 else f"at {format_rate(rehearsal.factor * planned.reference)}"
        return f"{rate} with the decay" if rehearsal.annealed else rate

    steps = len(planned.learning_rates)
    what = f"all {steps} steps" if planned.is_rehearsed_whole() else f"the first {steps} steps"
    ends = ", ".join(f"{name(one)} {format_number(one.end)}" for one in rehearsals)
    return f"Rehearsals of {what} ended at these losses: {ends}. The fit trains {name(chosen)}."
