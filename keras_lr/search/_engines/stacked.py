"""The stacked engine: all rates and repeats are trained at once, as one batched program."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from time import perf_counter
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_lr._keras.learning_rate import set_learning_rate
from keras_lr._keras.model import layers_of, logs_of
from keras_lr._utils.formatting import short_error_message
from keras_lr.results._search_records import Point, Run
from keras_lr.results._sensitivity import EngineName
from keras_lr.search._engines.base import (
    Cost,
    Engine,
    EngineUnavailableError,
    compiled_step,
    seconds_per_step,
)
from keras_lr.search._engines.stacked_program import Copies, SparseGradientsError, StackedProgram
from keras_lr.search._engines.twins import Twins, twins_of
from keras_lr.search._fit_arguments import sample_count
from keras_lr.search._runs import epoch_order, take

MAX_STACKED_VALUES = 100_000_000
"""Limit on the weights and slots of all copies in one program: 400 MB in float32; a step needs a few times that."""
_STEPS_AT_START, _STEPS_LATER = 2, 1
"""How many steps are compared. The second one shows how an optimizer uses its slots; later these are filled anyway."""
_TOLERANCE = 1e-4
_LOW_PRECISION_TOLERANCE = 1e-3
"""How far, relatively, the values of a check may be apart. In float32 they agree to 1e-6. A layer that computes in half
precision rounds its outputs to 1e-3."""


class _Paused(NamedTuple):
    """Where a paused run goes on.

    Attributes:
        epoch: Its next epoch.
        copies: The copies after its last one.
        place: Its place among them.
    """

    epoch: int
    copies: Copies
    place: int


class StackedEngine(Engine):
    """Trains copies of the model side by side, each with the weights of its repeat and its own learning rate.

    The program is compared with the model's own `train_step` and `test_step`: before it is used, with the first two
    steps of one copy, and once it has trained an epoch, with the next step of one copy, before the epoch is recorded.
    By then a term of the loss that is tiny at first may have grown.

    The first repeat of each rate has a twin, which tells whether the rate is chaotic.
    """

    name: ClassVar[EngineName] = "stacked"
    _program: StackedProgram | None = None
    _compared: StackedProgram | None = None
    _max_count = 1
    _initial: Mapping[str, float] = MappingProxyType({})

    def train(self, runs: Sequence[Run]) -> None:
        """Trains the runs of each batch size together, in groups that fit into memory."""
        for batch_size in sorted({run.batch_size for run in runs}):
            together = [run for run in runs if run.batch_size == batch_size]
            program = self._program_for(together)
            for first in sorted({self._first_epoch(run) for run in together}):
                level = [run for run in together if self._first_epoch(run) == first]
                for group in _groups(level, program.count):
                    self._train_together(program, group, first)

    def measured(self, runs: Sequence[Run]) -> Cost:
        """What training takes; the traced program is kept."""
        began = perf_counter()
        together = [run for run in runs if run.batch_size == runs[0].batch_size]
        program = self._program_for(together)
        took = perf_counter() - began
        group = next(_groups(together, program.count))
        trained = [*group, *[group[-1]] * (program.count - len(group))]
        copies, orders, sizes = self._copies(program, trained), self._orders(trained, 0), self._batch_sizes(group[0])
        seconds = seconds_per_step(lambda count: program.epoch(copies, orders, *sizes, max_steps=count))
        return Cost(took, seconds / len(group))

    def _first_epoch(self, run: Run) -> int:
        """The epoch with which `run` starts or goes on."""
        return self.paused[run].epoch if run in self.paused else 0

    def _train_together(self, program: StackedProgram, runs: Sequence[Run], first: int) -> None:
        """Trains runs, all of which start or go on with the epoch `first`."""
        alive = dict(enumerate(runs))
        twins = Twins(_first_runs(runs), range(len(runs), program.count))
        trained = _filled(runs, twins, program.count)
        copies = program.with_twins(self._copies(program, trained), twins.watched)
        for epoch in range(first, self.recorder.epochs):
            copies, logs = program.epoch(copies, self._orders(trained, epoch), *self._batch_sizes(runs[0]))
            if program is not self._compared:
                self._compare(program, copies, trained, _most_trained(logs, alive), epoch=epoch + 1)
                self._compared = program
            for place in twins.departed(logs, alive):
                self.recorder.chaotic(alive[place].point, epoch)
            ended = self.recorder.record(
                epoch,
                {run: {name: values[place] for name, values in logs.items()} for place, run in alive.items()},
                partial(_weights, program, copies, runs),
            )
            for place, run in alive.items():
                if run in ended and self.recorder.pauses(run):
                    self.paused[run] = _Paused(epoch + 1, copies, place)
            alive = {place: run for place, run in alive.items() if run not in ended}
            if not alive:
                break
            if moves := twins.moved(alive):
                trained = _filled(runs, twins, program.count)
                copies = program.with_twins(copies, moves)

    def _program_for(self, runs: Sequence[Run]) -> StackedProgram:
        """A program with room for `runs`. A larger one is reused: its idle copies cost less than tracing again."""
        wanted = len(runs) + twins_of(len({run.point for run in runs}))
        if self._program is None or self._program.count < min(wanted, self._max_count):
            self._program = self._checked_program(runs, wanted)
        return self._program

    def _checked_program(self, runs: Sequence[Run], wanted: int) -> StackedProgram:
        model = self.factory.any_model(runs[0])
        self._max_count = max(1, MAX_STACKED_VALUES // _values_per_copy(model))
        count = min(wanted, self._max_count)
        try:
            try:
                return self._compared_at_start(self._new_program(model, count), runs)
            except SparseGradientsError:
                return self._compared_at_start(self._new_program(model, count, flat=False), runs)
        except EngineUnavailableError:
            raise
        except Exception as error:
            raise EngineUnavailableError(f"its step cannot be stacked ({short_error_message(error)})") from error

    def _new_program(self, model: keras.Model, count: int, *, flat: bool = True) -> StackedProgram:
        return StackedProgram(model, self.arguments.train, self.arguments.validation, count, flat=flat)

    def _compared_at_start(self, program: StackedProgram, runs: Sequence[Run]) -> StackedProgram:
        first = next(_groups(runs, program.count))
        trained = [*first, *[first[-1]] * (program.count - len(first))]
        self._compare(program, self._new_copies(program, trained), trained, _middle(first), epoch=0)
        return program

    def _compare(
        self, program: StackedProgram, copies: Copies, trained: Sequence[Run], place: int, *, epoch: int
    ) -> None:
        """Compares the first steps of `epoch` of the run at `place`, and its validation, with the model's own steps.

        The steps are run eagerly if that suffices. Compiled for batches of any size, as `fit` compiles them, they may
        log other values: the loss of one of several outputs is then a mean over batches, not over samples, and XLA
        draws other random numbers.

        Raises:
            EngineUnavailableError: They log different values.
        """
        orders, sizes = self._orders(trained, epoch), self._batch_sizes(trained[place])
        steps = _STEPS_LATER if epoch else _STEPS_AT_START
        _, logs = program.epoch(copies, orders, *sizes, max_steps=steps)
        own = {name: float(values[place]) for name, values in logs.items()}
        if epoch == 0 and (hidden := program.hidden_state()):
            raise EngineUnavailableError(f"its step {hidden}")
        difference = "nothing was compared"
        for compiled in (True,) if program.model.jit_compile else (False, True):
            program.load(copies, place)
            set_learning_rate(program.model.optimizer, trained[place].learning_rate)
            plain = self._plain_logs(program.model, orders[place], *sizes, steps=steps, compiled=compiled)
            if epoch == 0:
                self._initial = plain
            difference = self._difference(own, plain, _tolerance(program.model))
            if not difference:
                return
        raise EngineUnavailableError(f"{difference} in the first steps of epoch {epoch}")

    def _difference(self, own: Mapping[str, float], plain: Mapping[str, float], tolerance: float) -> str:
        """Which value differs, in words; empty if all are equal up to rounding."""
        if own.keys() != plain.keys():
            return f"its stacked program logs {sorted(own)}, but its own step {sorted(plain)},"
        for name, value in plain.items():
            scale = abs(self._initial[name]) if name in ("loss", "val_loss") else 1.0
            scale = scale if np.isfinite(scale) else 1.0
            if not np.isclose(own[name], value, rtol=tolerance, atol=1e-6 * scale, equal_nan=True):
                return (
                    f"its stacked program does not reproduce its own step: the {name} is {own[name]:.6g} instead of "
                    f"{value:.6g}"
                )
        return ""

    def _plain_logs(
        self,
        model: keras.Model,
        order: np.ndarray,
        *sizes: int,
        steps: int,
        compiled: bool,
    ) -> dict[str, float]:
        """What the model's own steps log, from the state that it is in."""
        parts = [("", model.train_step, self.arguments.train, order, sizes[0])]
        if self.arguments.validates:
            everything = np.arange(sample_count(self.arguments.validation), dtype=np.int32)
            parts.append(("val_", model.test_step, self.arguments.validation, everything, sizes[1]))
        logs: dict[str, float] = {}
        for prefix, step, data, indices, size in parts:
            on_indices = compiled_step(model, step, data) if compiled else partial(_eager_step, step, data)
            values = _logs_of_steps(model, on_indices, indices[: steps * size], size)
            logs.update({f"{prefix}{name}": value for name, value in values.items()})
        return logs

    def _copies(self, program: StackedProgram, trained: Sequence[Run]) -> Copies:
        if trained[0] in self.paused:
            kept = {run: self.paused.pop(run) for run in dict.fromkeys(trained)}
            return program.continued([(kept[run].copies, kept[run].place) for run in trained])
        return self._new_copies(program, trained)

    def _new_copies(self, program: StackedProgram, trained: Sequence[Run]) -> Copies:
        states = [self.factory.initial_state(run) for run in trained]
        return program.copies(states, [run.learning_rate for run in trained])

    def _orders(self, trained: Sequence[Run], epoch: int) -> np.ndarray:
        size, shuffle = self.arguments.size, self.arguments.shuffle
        by_seed = {seed: epoch_order(seed, epoch, size, shuffle=shuffle) for seed in {run.seed for run in trained}}
        return np.stack([by_seed[run.seed] for run in trained])

    def _batch_sizes(self, run: Run) -> tuple[int, int]:
        return run.batch_size, self.arguments.validation_batch_size or run.batch_size


def _groups(runs: Sequence[Run], count: int) -> Iterator[Sequence[Run]]:
    """`runs` in groups that fill at most `count` copies with their twins; no twins if there is room for one copy."""
    start, points = 0, set[Point]()
    for place, run in enumerate(runs):
        copies = place + 1 - start + (twins_of(len(points | {run.point})) if count > 1 else 0)
        if copies > count:
            yield runs[start:place]
            start, points = place, set()
        points.add(run.point)
    yield runs[start:]


def _first_runs(runs: Sequence[Run]) -> list[int]:
    """Place of the first run of each learning rate, from the highest rate to the lowest."""
    first = {run.learning_rate: place for place, run in reversed(list(enumerate(runs)))}
    return [first[rate] for rate in sorted(first, reverse=True)]


def _filled(runs: Sequence[Run], twins: Twins, count: int) -> list[Run]:
    """The run of each copy: the runs, the twins, and the last run repeated until there are `count`."""
    trained = [*runs, *[runs[-1]] * (count - len(runs))]
    for twin, place in twins.watched.items():
        trained[twin] = runs[place]
    return trained


def _middle(runs: Sequence[Run]) -> int:
    """Place of a run with a middle rate, at which two steps change the loss visibly."""
    return sorted(range(len(runs)), key=lambda place: runs[place])[len(runs) // 2]


def _most_trained(logs: Mapping[str, np.ndarray], alive: Mapping[int, Run]) -> int:
    """Place of the run that an epoch has moved farthest: the highest rate whose loss is not above the lowest rate's."""
    places = sorted(alive, key=lambda place: alive[place])
    losses = logs["loss"]
    settled = [place for place in places if losses[place] <= losses[places[0]]]
    return settled[-1] if settled else places[len(places) // 2]


def _tolerance(model: keras.Model) -> float:
    single = all(layer.compute_dtype in ("float32", "float64") for layer in layers_of(model) if layer.weights)
    return _TOLERANCE if single else _LOW_PRECISION_TOLERANCE


def _values_per_copy(model: keras.Model) -> int:
    return sum(int(np.prod(variable.shape)) for variable in [*model.variables, *model.optimizer.variables])


def _weights(program: StackedProgram, copies: Copies, runs: Sequence[Run], run: Run) -> list[np.ndarray]:
    return program.weights(copies, runs.index(run))


def _eager_step(step: Any, data: Any, indices: Any) -> Any:
    return step(take(data, indices))


def _logs_of_steps(model: keras.Model, step: Any, indices: np.ndarray, batch_size: int) -> dict[str, float]:
    model.reset_metrics()
    for start in range(0, len(indices), batch_size):
        result = step(tf.constant(indices[start : start + batch_size]))
    return logs_of(model, result)
