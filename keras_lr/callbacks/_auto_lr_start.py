"""The beginning of a run under `AutoLR`: what stands in its way, the range test, and the rate to start at."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import warnings
from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from keras_lr._keras.batches import ArrayStream, data_of_fit
from keras_lr._keras.constant_output import regularizers_are_light
from keras_lr._keras.learning_rate import rate_of_each_step, rates_ahead, schedule_name
from keras_lr._keras.model import forward, is_distributed
from keras_lr._keras.running_fit import epoch_iterator_of_fit, validation_of_fit, weighs_samples
from keras_lr._keras.traced_state import undone
from keras_lr._utils.formatting import format_number, format_rate, short_error_message
from keras_lr.analysis._auto_lr_rules import (
    SAME_END_FRACTION,
    Rehearsal,
    anneal_factor,
    choose_rehearsal,
    epochs_per_judgement,
    read_baseline,
)
from keras_lr.analysis._race import Race, forecast
from keras_lr.callbacks._auto_lr_state import AutoLRState, Segment
from keras_lr.errors import ModelError
from keras_lr.range_test._callback import calling_fit
from keras_lr.range_test._data_checks import LOSSES_OF_LABELS, find_bad_value, is_loss, losses_of
from keras_lr.range_test._run import RangeTestSettings, measure
from keras_lr.range_test._sweep import Sweep
from keras_lr.results._auto_lr import AutoLRAction
from keras_lr.results._range_test import RangeTestResult, Suggestion

CONSTANT_FRACTION = 1e-5
"""Outputs that differ by at most this fraction of their size are the same but for rounding."""

NEARLY_FRACTION = 0.01
"""Outputs whose standard deviation is below this fraction of the targets' are nearly the same."""

MIN_RATIO = 1.25
"""Rates closer to one another than this are not compared: a range test is not that precise."""

END_STEPS = 16
"""Steps over which the loss at the end of a rehearsal is averaged."""

RESTING_FRACTION = 1e-6
"""The rate of these steps, as a fraction of the one before: the weights rest while their loss is measured."""

TAIL_FRACTION = 1 / 3
"""Share of a rehearsal that is not of the whole training over which the loss at its end is averaged."""

SELF_ANNEALED_SHARE = 0.2
"""A schedule that ends below this share of its highest rate anneals by itself."""

RACE_BUDGET = 1.0
"""Complete trainings that a race may spend on rates other than the winner."""

LATE_SHARE = 3 / 8
"""Length of a late decay relative to the planned one, so that 40% of the epochs become 15%."""

NEAR_RATIO = 1.5
"""Rates closer to one another than this count as the same in a race, whose rates are a third of a decade apart."""

UNKNOWN_STEPS = 100
"""Steps per epoch assumed if their number is unknown."""


def data_fault_of_fit(model: keras.Model) -> str:
    """Says where the arrays of the `fit` that is calling hold NaN or infinity; empty if they do not, or are none."""
    stream = _array_stream(model)
    if stream is None:
        return ""
    bad = find_bad_value(*keras.utils.unpack_x_y_sample_weight(stream.arrays))
    return "" if bad is None else str(bad)


def validation_fault_of_fit(model: keras.Model) -> str:
    """Says where the validation data of the `fit` that is calling hold NaN or infinity, else what to check."""
    given = validation_of_fit(model)
    bad = None if given is None else find_bad_value(given["x"], given["y"], given["sample_weight"])
    return "Check the validation data." if bad is None else f"In the validation data: {bad}"


def outputs_are_constant(model: keras.Model, sample: Any = None) -> bool:
    """Whether the model gives the same output for all inputs of a batch, although their targets differ.

    Args:
        model: The model whose `fit` is calling.
        sample: A batch, for data that are not arrays.
    """
    _, outputs = _targets_and_outputs(model, sample)
    return bool(outputs) and not any(_varies(output, CONSTANT_FRACTION) for output in outputs)


def validates_on_arrays(model: keras.Model) -> bool:
    """Whether the `fit` that is calling trains and validates on arrays, which a race can read as often as it wants."""
    given = validation_of_fit(model)
    if given is None or _array_stream(model) is None or is_distributed(model) or model.run_eagerly:
        return False
    return all(hasattr(leaf, "shape") for leaf in keras.tree.flatten(given["x"]))


def output_remedy(model: keras.Model, sample: Any = None) -> str:
    """What to do about a model that gives nearly the same output for all inputs of a batch; empty if it does not.

    Args:
        model: The model whose `fit` is calling.
        sample: A batch, for data that are not arrays.
    """
    targets, outputs = _targets_and_outputs(model, sample)
    if not outputs or not all(map(np.isfinite, map(np.sum, outputs))):
        return ""
    if any(_is_loss_of_labels(loss) for loss in losses_of(model)) or len(targets) != len(outputs):
        constant = not any(_varies(output, CONSTANT_FRACTION) for output in outputs)
        return "Check the labels, the scale of the inputs and the activations." if constant else ""
    if any(
        np.std(output, axis=0).max() > NEARLY_FRACTION * np.std(target)
        for target, output in zip(targets, outputs, strict=True)
    ):
        return ""
    size = max(float(np.abs(target).max()) for target in targets)
    return (
        f"Scale the inputs and the targets, which reach {format_number(size)} in a batch, to a mean of 0 and a "
        "standard deviation of 1: otherwise a rate that covers their distance within the epochs can kill the units, "
        "and a lower one needs far more epochs."
    )


def _targets_and_outputs(model: keras.Model, sample: Any) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Those of a batch whose targets differ; empty lists if there is none, or the model cannot be called."""
    stream = _array_stream(model)
    batch = sample if stream is None else stream.first_batch()
    if batch is None or is_distributed(model):
        return [], []
    x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
    if not any(_varies(target, 0.0) for target in keras.tree.flatten(y)):
        return [], []
    with undone(model):
        try:
            outputs = keras.tree.flatten(forward(model, x, training=False))
            targets = [target for target in keras.tree.flatten(y) if target is not None]
            return [np.asarray(target) for target in targets], [np.asarray(output) for output in outputs]
        except Exception:
            # A model whose `train_step` alone understands the data, or that cannot be called on its own.
            return [], []


def _is_loss_of_labels(loss: Any) -> bool:
    return any(is_loss(loss, name) for name in LOSSES_OF_LABELS)


def _array_stream(model: keras.Model) -> ArrayStream | None:
    epochs = epoch_iterator_of_fit(model)
    if epochs is None or not ArrayStream.serves(epochs.data_adapter, 1):
        return None
    return ArrayStream(epochs.data_adapter)


def _varies(values: Any, fraction: float) -> bool:
    """Whether the rows differ by more than a fraction of the largest value; also if one is not finite."""
    if values is None:
        return False
    array = np.asarray(values, dtype=np.float64)
    if array.ndim == 0 or not array.size:
        return False
    return not np.ptp(array, axis=0).max() <= fraction * np.abs(array).max()


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


@dataclass(frozen=True)
class PlannedRace:
    """The trainings between which a race decides.

    Attributes:
        learning_rates: The compiled rate at each step, with the decay: one array per comparison.
        reference: Rate at a factor of 1; a schedule's highest.
        validate: Returns the validation loss of the model as it is.
        late: The same rates with a shorter decay, which begins later; None for no such choice.
    """

    learning_rates: list[np.ndarray]
    reference: float
    validate: Callable[[], float]
    late: list[np.ndarray] | None = None

    def run(self, test: Sweep, suggestion: Suggestion) -> Raced | BaseException:
        """The outcome, or the error that cut the race short.

        The winner is trained to the end, with either decay. Each run goes on from where it paused, and with arrays all
        of them see the same batches. The compiled rate is compared with the winner unless a rate near it has raced.
        """
        race = Race(suggestion, epochs=len(self.learning_rates), budget=RACE_BUDGET)
        racing = _Racing(test, self)
        while asked := race.ask():
            for rate, reach in asked:
                if (error := racing.train(rate, reach)) is not None:
                    return error
                race.tell(rate, racing.values(rate))
            racing.forget(race.dropped)
        best, count = race.best, len(race.values)
        if best is not None and not any(_near(self.reference, rate) for rate in race.values):
            rival, reach = min(race.values[best]), len(self.learning_rates)
            if (error := racing.train_while_promising(self.reference, reach, rival)) is not None:
                return error
            values, count = racing.values(self.reference), count + 1
            if len(values) == reach and min(values) <= rival and math.isfinite(values[-1]):
                best = self.reference
        return self._choose_decay(racing, best, count)

    @property
    def parting(self) -> int | None:
        """The first comparison in which the two decays differ; None without a choice."""
        pairs = zip(self.learning_rates, self.late or (), strict=False)
        return next((place for place, (one, other) in enumerate(pairs) if not np.array_equal(one, other)), None)

    def _choose_decay(self, racing: _Racing, best: float | None, count: int) -> Raced | BaseException:
        """The outcome with the decay that ends better; the shorter one has to gain clearly."""
        if best is None or self.late is None:
            return Raced(best, count, racing.peak(best))
        values = racing.values(best)
        late = racing.train_late(best, self.late)
        if late.error is not None:
            return late.error
        gain = max(values[0] - min(values), 0.0)
        decays_late = late.goes_on() and min(late.values) < min(values) - SAME_END_FRACTION * gain
        return Raced(best, count, racing.peak(best), decays_late)


def _near(rate: float, other: float) -> bool:
    return max(rate / other, other / rate) < NEAR_RATIO


@dataclass(frozen=True)
class _Run:
    """A run of a race as far as it has been trained.

    Attributes:
        values: The validation loss at each comparison; the last one is infinite if the run diverged.
        state: What the run goes on from.
        error: The error that cut it short, if any.
    """

    values: tuple[float, ...] = ()
    state: Any = None
    error: BaseException | None = None

    def goes_on(self) -> bool:
        """Whether the run has neither diverged nor failed."""
        return self.error is None and all(map(math.isfinite, self.values))


class _Racing:
    """The runs of a race, each as far as it has been trained."""

    def __init__(self, test: Sweep, planned: PlannedRace) -> None:
        self._test, self._planned = test, planned
        self._sources: dict[int, Any] = {}
        self._runs: dict[float, _Run] = {}
        self._kept: dict[float, _Run] = {}
        self._peaks: dict[float | None, float] = {}

    def peak(self, rate: float | None) -> float:
        """The highest loss of a step so far; infinite for a run that diverged, or if there is none."""
        return self._peaks.get(rate, math.inf)

    def values(self, rate: float) -> tuple[float, ...]:
        """The validation loss of a run at each comparison; the last one is infinite if the run diverged."""
        return self._runs.get(rate, _Run()).values

    def train(self, rate: float, reach: int) -> BaseException | None:
        """Trains a run up to a number of comparisons, unless it diverges; returns the error that cut it short."""
        run = self._runs.get(rate, _Run())
        for place in range(len(run.values), reach):
            if place == self._planned.parting:
                self._kept[rate] = run
            run = self._continue(run, rate, self._planned.learning_rates[place])
        self._runs[rate] = run
        return run.error

    def train_late(self, rate: float, learning_rates: list[np.ndarray]) -> _Run:
        """A whole run with a later decay, which differs from the usual one from `parting` on."""
        run = self._kept.get(rate, _Run())
        for place in range(len(run.values), len(learning_rates)):
            run = self._continue(run, rate, learning_rates[place])
        return run

    def _continue(self, run: _Run, rate: float, steps: np.ndarray) -> _Run:
        """The run after the steps up to the next comparison; the same if it does not go on."""
        if not run.goes_on():
            return run
        test, place = self._test, len(run.values)
        if isinstance(test.stream, ArrayStream) and place not in self._sources:
            self._sources[place] = test.stream.source(len(steps))
        factor = rate / self._planned.reference
        curve = test.run(factor * steps, source=self._sources.get(place), state=run.state)
        if curve.error is not None:
            return dataclasses.replace(run, error=curve.error)
        value = self._planned.validate() if len(curve.losses) == len(steps) else math.inf
        highest = float(curve.losses.max()) if math.isfinite(value) else math.inf
        self._peaks[rate] = max(highest, self._peaks.get(rate, -math.inf))
        return _Run((*run.values, value), test.state())

    def train_while_promising(self, rate: float, reach: int, rival: float) -> BaseException | None:
        """The same, as long as the run could still come down to the value of a rival at its recent pace."""
        for place in range(1, reach + 1):
            if (error := self.train(rate, place)) is not None:
                return error
            best = np.minimum.accumulate(self.values(rate))
            if not math.isfinite(best[-1]) or (place > 1 and forecast(best, reach) > rival):
                break
        return None

    def forget(self, dropped: Container[float]) -> None:
        """Frees the state of the runs that do not go on."""
        for runs in (self._runs, self._kept):
            for rate in [rate for rate in runs if rate in dropped]:
                del runs[rate]


@dataclass(frozen=True)
class Raced:
    """What a race found.

    Attributes:
        learning_rate: The best rate; None if every one diverged.
        count: Number of rates that raced.
        peak: Highest loss of a step at the best rate; infinite if it is unknown.
        decays_late: Whether a shorter decay, which begins later, ended clearly better.
    """

    learning_rate: float | None
    count: int
    peak: float
    decays_late: bool = False


@dataclass
class Findings:
    """What a probe found.

    Attributes:
        result: The range test.
        fault: Why no rate can be read off the data; empty if nothing is wrong.
        rehearsals: The rehearsals, the preferred ones first.
        chosen: The best of them; None without any.
        sample: A batch of the data; None if none could be had.
        raced: The outcome of a race; None without one, or if every rate diverged.
        constant_loss: The loss of the best constant output; None if unknown.
    """

    result: RangeTestResult
    fault: str = ""
    rehearsals: list[Rehearsal] = field(default_factory=list)
    chosen: Rehearsal | None = None
    sample: Any = None
    raced: Raced | None = None
    constant_loss: float | None = None


class Probe:
    """A range test within a `fit` that then trains all its epochs, and the rehearsals or the race after it.

    Args:
        model: The model whose `fit` is calling.
        settings: Those of the range test.
        planned: What to rehearse; None for the range test alone.
        race: What to race instead of rehearsing; None for no race.
    """

    _found: Findings

    def __init__(
        self,
        model: keras.Model,
        settings: RangeTestSettings,
        planned: PlannedTraining | None = None,
        race: PlannedRace | None = None,
    ) -> None:
        self._model, self._settings = model, settings
        self._planned, self._race = planned, race

    def run(self) -> Findings:
        """Measures and restores the model, and builds it if necessary."""
        steps = len(self._settings.learning_rates) * self._settings.repeats
        data = data_of_fit(calling_fit(self._model), self._model, steps)
        measurement = measure(self._model, data, self._settings, further=self._further)
        for message in measurement.messages():
            warnings.warn(message, UserWarning, stacklevel=2)
        if measurement.error is not None:
            raise measurement.error
        return self._found

    def _further(self, test: Sweep, result: RangeTestResult) -> BaseException | None:
        """Rehearses or races before the model is restored; returns the error that cut it short, if any."""
        found = self._found = Findings(result, fault=test.fault or test.target_fault, constant_loss=test.constant_loss)
        planned = self._planned
        if found.fault or planned is None or result.stop_reason in ("data_exhausted", "interrupted", "error"):
            return None
        if self._race is not None:
            return self._run_race(self._race, test, found)
        if (error := self._rehearse(planned, test, found)) is not None:
            return error
        if not isinstance(test.stream, ArrayStream):
            # Whether the model has collapsed can only be seen on a batch, which the epochs do not show.
            found.sample = _batch_of(test)
        return None

    def _run_race(self, race: PlannedRace, test: Sweep, found: Findings) -> BaseException | None:
        raced = race.run(test, found.result.suggestion)
        if isinstance(raced, BaseException):
            return raced
        found.raced = None if raced.learning_rate is None else raced
        return None

    def _rehearse(self, planned: PlannedTraining, test: Sweep, found: Findings) -> BaseException | None:
        rehearse = _Rehearsing(test, planned, lambda: outputs_are_constant(self._model))
        for factor, annealed in _plans(planned, found.result):
            rehearsal, error = rehearse.run(factor, annealed=annealed)
            if error is not None:
                return error
            found.rehearsals.append(rehearsal)
        if found.rehearsals:
            start = float(np.median(found.result.losses[:10]))
            found.chosen = choose_rehearsal(
                found.rehearsals, start=start, whole=planned.is_rehearsed_whole(), constant=test.constant_loss
            )
        return None


def _batch_of(test: Sweep) -> Any:
    """A batch of the data that are not arrays; None if none is left."""
    with contextlib.suppress(Exception):
        return test.stream.first_batch()
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
    """Trains at several rates from the initial state; with arrays, all runs see the same batches.

    Args:
        test: The open test of the model.
        planned: What to rehearse.
        has_collapsed: Whether the model gives the same output for every input now.
    """

    def __init__(self, test: Sweep, planned: PlannedTraining, has_collapsed: Callable[[], bool]) -> None:
        self._test, self._planned, self._has_collapsed = test, planned, has_collapsed
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
        collapsed = self._has_collapsed()
        return Rehearsal(factor, annealed, curve.losses[-tail:], float(curve.losses.max()), collapsed), curve.error


def _rehearsals_in_words(rehearsals: Sequence[Rehearsal], chosen: Rehearsal, planned: PlannedTraining) -> str:
    """What the rehearsals showed, in one sentence."""

    def name(rehearsal: Rehearsal) -> str:
        rate = "as compiled" if rehearsal.factor == 1 else f"at {format_rate(rehearsal.factor * planned.reference)}"
        return f"{rate} with the decay" if rehearsal.annealed else rate

    steps = len(planned.learning_rates)
    what = f"all {steps} steps" if planned.is_rehearsed_whole() else f"the first {steps} steps"
    ends = ", ".join(
        f"{name(one)} {format_number(one.end)}" + one.collapsed * " with the same output for every input"
        for one in rehearsals
    )
    return f"Rehearsals of {what} ended at these losses: {ends}. The fit trains {name(chosen)}."


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

    def without_probe(self, settings: RangeTestSettings, *, anneal_fraction: float) -> AutoLRState:
        """The state of a run without a range test; a short one of `settings` builds the model if necessary."""
        state = self._compiled_state(anneal_fraction)
        model = self.model
        if not (self.obstacle or self.dry_run or (model.built and model.optimizer.built)):
            # A rollback needs the variables of the model, which two steps build.
            self._attempt(Probe(model, settings))
        return state

    def with_probe(
        self,
        settings: RangeTestSettings,
        *,
        anneal_fraction: float,
        rehearsed_steps: int,
        validate: Callable[[], float] | None = None,
    ) -> AutoLRState:
        """The state of a run after a range test, and rehearsals of up to `rehearsed_steps` steps or a race.

        Args:
            settings: Those of the range test.
            anneal_fraction: Share of the planned epochs over which the rate decays.
            rehearsed_steps: Most steps of a rehearsal.
            validate: Returns the validation loss of the model as it is, for a race; None for no race.
        """
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
        race = None if validate is None or not total else self._plan_race(planned, total, validate)
        settings = dataclasses.replace(settings, refine=settings.refine and race is None)
        if total is not None:
            settings = dataclasses.replace(settings, epochs=1, steps_per_epoch=total)
        found = self._attempt(Probe(self.model, settings, planned, race))
        if found is not None:
            state.probe, self.sample = found.result, found.sample
            if found.fault:
                self.obstacle = found.fault
                self._add_probe(state, 1.0, found.fault)
            else:
                state.baseline = read_baseline(found.result.repeat_losses)
                unweighted = not weighs_samples(self.model)
                if len(found.result.losses) and unweighted:
                    state.known["untrained_loss"] = float(found.result.losses[0])
                constant = found.constant_loss
                if constant is not None and unweighted and regularizers_are_light(self.model, constant):
                    state.known["baseline_loss"] = constant
                self._set_rate(state, found, planned)
        return state

    def _plan_race(self, planned: PlannedTraining, total: int, validate: Callable[[], float]) -> PlannedRace:
        places, rates = (np.arange(total) + 0.5) / total, rate_of_each_step(self.model.optimizer, total)
        together = epochs_per_judgement(total // (self.epochs - self.epoch))
        count = max((self.epochs - self.epoch) // together, 1)
        ends = [total * together * place // (self.epochs - self.epoch) for place in range(1, count)]

        def decayed(fraction: float) -> list[np.ndarray]:
            return np.split(rates * [anneal_factor(place, fraction) for place in places], ends)

        late = decayed(LATE_SHARE * planned.anneal_fraction) if planned.anneal_fraction else None
        return PlannedRace(decayed(planned.anneal_fraction), planned.reference, validate, late)

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
            self.obstacle = (
                self.obstacle or f"the compiled learning rate is {format_rate(highest)}. Compile with one above 0"
            )
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

    def _attempt(self, probe: Probe) -> Findings | None:
        """What a probe finds; None if it fails, which must not end the fit."""
        try:
            return probe.run()
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
        if rate is None:
            state.add_note(
                f"The range test suggests no rate, so `AutoLR` begins at the compiled {format_rate(state.reference)}: "
                f"{suggestion.reason}"
            )
        else:
            reason = f"A short range test suggests {format_rate(rate)} ({suggestion.confidence}): {suggestion.reason}"
        if found.raced is not None and (rate := found.raced.learning_rate) is not None:
            reason = (
                f"A race chose {format_rate(rate)}. Of {found.raced.count} rates that raced for up to "
                f"{self.epochs - self.epoch} epochs, it had the lowest validation loss."
            )
            if found.raced.decays_late:
                reason += " The rate decays later than planned, because that ended better."
                state.change_segment(anneal_from=1 - LATE_SHARE * planned.anneal_fraction)
            state.add_note(reason)
            state.raced_until = self.epochs
            if planned.is_rehearsed_whole():
                state.rehearsed_peak = found.raced.peak
        factor = None if rate is None else rate / state.reference
        if chosen is not None:
            rehearsed = _rehearsals_in_words(found.rehearsals, chosen, planned)
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
