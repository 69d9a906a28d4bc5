"""The beginning of a run under `AutoLR`: what stands in its way, the range test, and the rate to start at."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras

from keras_lr._keras.error_message import short_error_message
from keras_lr._keras.learning_rate import rate_of_each_step, rates_ahead, schedule_name
from keras_lr._utils.formatting import format_rate
from keras_lr.analysis._auto_lr_rules import read_baseline
from keras_lr.callbacks._auto_lr_probe import MIN_RATIO, Findings, PlannedTraining, Probe, describe
from keras_lr.callbacks._auto_lr_state import AutoLRState, Segment
from keras_lr.errors import ModelError
from keras_lr.results._auto_lr import AutoLRAction

SELF_ANNEALED_SHARE = 0.2
"""A schedule that ends below this share of its highest rate anneals by itself."""

UNKNOWN_STEPS = 100
"""Steps per epoch assumed if their number is unknown."""


@dataclass
class Start:
    """Makes the state at the start of a run.

    Args:
        model: The model whose `fit` is calling, with an optimizer.
        epoch: The first epoch.
        epochs: The epoch at which `fit` ends.
        steps: Steps per epoch; None if unknown.
        dry_run: Whether to record actions without applying them.
        warn: Shows a warning.

    Attributes:
        obstacle: Why the run can only be recorded, as a sentence; empty if it can be steered.
        sample: A batch of the data, if the range test has kept one.
    """

    model: keras.Model
    epoch: int
    epochs: int
    steps: int | None
    dry_run: bool
    warn: Callable[[str], None]
    obstacle: str = ""
    sample: Any = None

    def without_probe(self, probe: Probe, *, anneal_fraction: float) -> AutoLRState:
        """The state of a run without a range test; `probe` builds the model if necessary."""
        state = self._compiled_state(anneal_fraction)
        model = self.model
        if not (self.obstacle or self.dry_run or (model.built and model.optimizer.built)):
            # A rollback needs the variables of the model, which two steps build.
            self._attempt(lambda: probe.run(model))
        return state

    def with_probe(self, probe: Probe, *, anneal_fraction: float, rehearsed_steps: int) -> AutoLRState:
        """The state of a run after a range test and rehearsals of up to `rehearsed_steps` steps."""
        state = self._compiled_state(anneal_fraction)
        if self.obstacle:
            return state
        total = None if self.steps is None else (self.epochs - self.epoch) * self.steps
        planned = PlannedTraining(
            rate_of_each_step(self.model.optimizer, rehearsed_steps if total is None else min(total, rehearsed_steps)),
            state.reference,
            total,
            1 - state.segment.anneal_from,
        )
        found = self._attempt(lambda: probe.run(self.model, planned))
        if found is not None:
            state.probe, self.sample = found.result, found.sample
            if found.fault:
                self.obstacle = found.fault
                self._add_probe(state, 1.0, found.fault)
            else:
                state.baseline = read_baseline(found.result.repeat_losses)
                self._set_rate(state, found, planned)
        return state

    def say_why_again(self, state: AutoLRState, reason: str) -> None:
        """Records that the run does not continue the last one."""
        note = f"`AutoLR` starts over at epoch {self.epoch}, because {reason} after the last fit."
        state.notes.insert(0, note)
        if state.probe is not None and not any(action.kind == "probe" for action in state.actions):
            self._add_probe(state, 1.0, f"{note} The range test leaves the compiled rate as it is.")
        elif state.actions:
            first = state.actions[0]
            state.actions[0] = dataclasses.replace(first, reason=f"{note} {first.reason}")
        self.warn(note)

    def _compiled_state(self, anneal_fraction: float) -> AutoLRState:
        """The state as the model was compiled."""
        optimizer = self.model.optimizer
        planned_steps = (self.epochs - self.epoch) * (self.steps or UNKNOWN_STEPS)
        ahead = rates_ahead(optimizer, planned_steps)
        highest = float(ahead.max())
        falls_by_itself = bool(ahead[-1] < SELF_ANNEALED_SHARE * highest)
        fraction = 0.0 if falls_by_itself else anneal_fraction
        state = AutoLRState(
            self.epoch, float(ahead[0]), highest, steps=self.steps, segment=Segment(anneal_from=1 - fraction)
        )
        if not highest > 0:
            self.obstacle = self.obstacle or f"the compiled learning rate is {highest:g}. Compile with one above 0"
        elif not self.obstacle and (name := schedule_name(optimizer)) is not None:
            state.add_note(self._on_schedule(name, highest, falls_by_itself=falls_by_itself))
        return state

    def _on_schedule(self, name: str, highest: float, *, falls_by_itself: bool) -> str:
        multiplies = "would multiply" if self.dry_run else "multiplies"
        anneal = ", and adds no decay at the end, since it decays by itself" if falls_by_itself else ""
        return (
            f"The model was compiled with {name}: `AutoLR` {multiplies} it by a factor and keeps its shape{anneal}. "
            f"The rates of the changes are those at its highest, {format_rate(highest)} as compiled."
        )

    def _attempt(self, run: Callable[[], Findings]) -> Findings | None:
        """What a range test finds; None if it fails, which must not end the fit."""
        try:
            return run()
        except ModelError as err:
            self.obstacle = str(err)
        except Exception as err:
            cause = short_error_message(err)
            self.warn(f"`AutoLR` could not run its range test and keeps the compiled learning rate: {cause}")
        return None

    def _set_rate(self, state: AutoLRState, found: Findings, planned: PlannedTraining) -> None:
        """Sets the rate that the rehearsals, else the suggestion, speak for."""
        suggestion, chosen = found.result.suggestion, found.chosen
        rate, reason = suggestion.learning_rate, ""
        if rate is not None:
            reason = f"A short range test suggests {format_rate(rate)} ({suggestion.confidence}): {suggestion.reason}"
        factor = None if rate is None else rate / state.reference
        if chosen is not None:
            rehearsed = describe(found.rehearsals, chosen, planned)
            state.add_note(rehearsed)
            if chosen.factor != factor:
                factor, reason = chosen.factor, rehearsed
            if planned.is_rehearsed_whole():
                state.rehearsed_peak = chosen.peak
                state.change_segment(anneal_from=state.segment.anneal_from if chosen.annealed else 1.0)
        if factor is not None and max(factor, 1 / factor) >= MIN_RATIO:
            self._add_probe(state, factor, reason)

    def _add_probe(self, state: AutoLRState, factor: float, reason: str) -> None:
        before = state.reference
        action = AutoLRAction("probe", self.epoch, before, before * factor, reason, not self.dry_run)
        changes = {} if self.dry_run else {"factor": factor, "trusted_factor": factor}
        state.add_action(action, **changes)
