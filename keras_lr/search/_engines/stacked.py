"""The stacked engine: all rates and repeats are trained at once, as one batched program."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import keras
import numpy as np

from keras_lr._keras.error_message import short_error_message
from keras_lr._keras.learning_rate import set_learning_rate
from keras_lr._keras.model import loss_tracker
from keras_lr.search._engines.base import Engine, EngineName, EngineUnavailableError
from keras_lr.search._engines.stacked_program import Copies, StackedProgram
from keras_lr.search._fit_arguments import sample_count
from keras_lr.search._model_factory import load_state
from keras_lr.search._runs import Run, epoch_order, take

MAX_STACKED_VALUES = 100_000_000
"""Limit on the weights and slots of all copies in one program: 400 MB in float32; a step needs a few times that."""
_CHECKED_STEPS = 2
_TOLERANCE = 1e-3


class StackedEngine(Engine):
    """Trains copies of the model side by side, each with the weights of its repeat and its own learning rate.

    Before the program is used, the first two steps of one copy and its validation are compared with those of the
    model's own `train_step` and `test_step`.
    """

    name: ClassVar[EngineName] = "stacked"
    _program: StackedProgram | None = None
    _max_count = 1

    def train(self, runs: Sequence[Run]) -> None:
        """Trains the runs of each batch size together, in groups that fit into memory."""
        for batch_size in sorted({run.batch_size for run in runs}):
            together = [run for run in runs if run.batch_size == batch_size]
            program = self._program_for(together)
            for start in range(0, len(together), program.count):
                self._train_together(program, together[start : start + program.count])

    def _train_together(self, program: StackedProgram, runs: Sequence[Run]) -> None:
        copies = self._copies(program, runs)
        alive = dict(enumerate(runs))
        for epoch in range(self.recorder.epochs):
            copies, logs = program.epoch(copies, self._orders(program, runs, epoch), *self._batch_sizes(runs[0]))
            ended = self.recorder.record(
                epoch,
                {run: {name: values[place] for name, values in logs.items()} for place, run in alive.items()},
                partial(_weights, program, copies, runs),
            )
            alive = {place: run for place, run in alive.items() if run not in ended}
            if not alive:
                break

    def _program_for(self, runs: Sequence[Run]) -> StackedProgram:
        """A program with room for `runs`. A larger one is reused: its idle copies cost less than tracing again."""
        if self._program is None or self._program.count < min(len(runs), self._max_count):
            self._program = self._checked_program(runs)
        return self._program

    def _checked_program(self, runs: Sequence[Run]) -> StackedProgram:
        model = self.factory.any_model(runs[0])
        self._max_count = max(1, MAX_STACKED_VALUES // _values_per_copy(model))
        try:
            program = self._new_program(model, min(len(runs), self._max_count))
            own = self._first_steps(program, runs[: program.count])
        except Exception as error:
            raise EngineUnavailableError(f"its step cannot be stacked ({short_error_message(error)})") from error
        plain = self._plain_first_steps(program, runs[_checked(runs[: program.count])])
        if not np.allclose(own, plain, rtol=_TOLERANCE, atol=1e-6, equal_nan=True):
            raise EngineUnavailableError("its stacked program does not reproduce the losses of its own step")
        return program

    def _new_program(self, model: keras.Model, count: int) -> StackedProgram:
        return StackedProgram(model, self.arguments.train, self.arguments.validation, count)

    def _first_steps(self, program: StackedProgram, runs: Sequence[Run]) -> list[float]:
        copies, orders = self._copies(program, runs), self._orders(program, runs, 0)
        _, logs = program.epoch(copies, orders, *self._batch_sizes(runs[0]), max_steps=_CHECKED_STEPS)
        return [float(logs[name][_checked(runs)]) for name in ("loss", "val_loss") if name in logs]

    def _plain_first_steps(self, program: StackedProgram, run: Run) -> list[float]:
        """The same losses, by the model's own steps."""
        model, order = program.model, epoch_order(run.seed, 0, self.arguments.size, shuffle=self.arguments.shuffle)
        load_state(model, self.factory.initial_state(run))
        set_learning_rate(model.optimizer, run.learning_rate)
        batch_size, test_batch_size = self._batch_sizes(run)
        losses = [_mean_loss(model, model.train_step, self.arguments.train, order, batch_size)]
        if self.arguments.validates:
            order = np.arange(sample_count(self.arguments.validation))
            losses.append(_mean_loss(model, model.test_step, self.arguments.validation, order, test_batch_size))
        return losses

    def _copies(self, program: StackedProgram, runs: Sequence[Run]) -> Copies:
        filled = _filled(runs, program.count)
        states = [self.factory.initial_state(run) for run in filled]
        return program.copies(states, [run.learning_rate for run in filled])

    def _orders(self, program: StackedProgram, runs: Sequence[Run], epoch: int) -> np.ndarray:
        size, shuffle = self.arguments.size, self.arguments.shuffle
        by_seed = {run.seed: epoch_order(run.seed, epoch, size, shuffle=shuffle) for run in runs}
        return np.stack([by_seed[run.seed] for run in _filled(runs, program.count)])

    def _batch_sizes(self, run: Run) -> tuple[int, int]:
        return run.batch_size, self.arguments.validation_batch_size or run.batch_size


def _filled(runs: Sequence[Run], count: int) -> list[Run]:
    """The runs, with the last one repeated until there are `count`."""
    return [*runs, *[runs[-1]] * (count - len(runs))]


def _checked(runs: Sequence[Run]) -> int:
    """Index of the run to compare: one with a middle rate, at which two steps change the loss visibly."""
    return sorted(range(len(runs)), key=lambda place: runs[place])[len(runs) // 2]


def _values_per_copy(model: keras.Model) -> int:
    return sum(int(np.prod(variable.shape)) for variable in [*model.variables, *model.optimizer.variables])


def _weights(program: StackedProgram, copies: Copies, runs: Sequence[Run], run: Run) -> list[np.ndarray]:
    return program.weights(copies, runs.index(run))


def _mean_loss(model: keras.Model, step: Any, data: Any, order: np.ndarray, batch_size: int) -> float:
    model.reset_metrics()
    for start in range(0, min(_CHECKED_STEPS * batch_size, len(order)), batch_size):
        step(take(data, order[start : start + batch_size]))
    return float(loss_tracker(model).result())
