"""Training all rates and repeats at once, as one batched program."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, ClassVar

import keras
import numpy as np
import tensorflow as tf

from keras_lr.search.blueprint import load_state
from keras_lr.search.order import epoch_order, take
from keras_lr.search.runs import Run
from keras_lr.search.tiers.base import Tier, TierError, TierName
from keras_lr.search.tiers.stacked_program import Copies, StackedProgram

MAX_STACKED_VALUES = 100_000_000
"""Weights and slots of all copies of one program; 400 MB in float32, and a step needs a few times that."""
_CHECKED_STEPS = 2
_TOLERANCE = 1e-3


class StackedTier(Tier):
    """Trains copies of the model side by side, each with the weights of its repeat and a learning rate of its own.

    Before it is relied on, a copy's first two steps and its validation are compared with those of the model's own
    `train_step` and `test_step`.
    """

    name: ClassVar[TierName] = "stacked"
    _program: StackedProgram | None = None

    def train(self, runs: Sequence[Run]) -> None:
        """Trains the runs of a batch size together, in as many programs as memory asks for."""
        for batch_size in sorted({run.batch_size for run in runs}):
            together = [run for run in runs if run.batch_size == batch_size]
            program = self._checked_program(together)
            most = max(1, MAX_STACKED_VALUES // program.values_per_copy)
            for start in range(0, len(together), most):
                self._train_together(program, together[start : start + most])

    def _train_together(self, program: StackedProgram, runs: Sequence[Run]) -> None:
        copies = self._copies(program, runs)
        alive = dict(enumerate(runs))
        for epoch in range(self.recorder.epochs):
            copies, alive, runs = _without_idle(copies, alive, runs)
            copies, logs = program.epoch(copies, self._orders(runs, epoch), *self._batch_sizes(runs[0]))
            ended = self.recorder.record(
                epoch,
                {run: {name: values[place] for name, values in logs.items()} for place, run in alive.items()},
                partial(_weights, program, copies, list(runs)),
            )
            alive = {place: run for place, run in alive.items() if run not in ended}
            if not alive:
                break

    def _checked_program(self, runs: Sequence[Run]) -> StackedProgram:
        if self._program is None:
            run = sorted(runs)[len(runs) // 2]
            program = self._new_program(run)
            try:
                own = self._first_steps(program, run)
            except Exception as error:
                raise TierError(f"its step cannot be stacked ({_reason(error)})") from error
            plain = self._plain_first_steps(program, run)
            if not np.allclose(own, plain, rtol=_TOLERANCE, atol=1e-6, equal_nan=True):
                raise TierError("its stacked program does not give the numbers of its own step")
            self._program = program
        return self._program

    def _new_program(self, run: Run) -> StackedProgram:
        model = self.blueprint.model(run)
        return StackedProgram(model, self.arguments.train, self.arguments.validation)

    def _first_steps(self, program: StackedProgram, run: Run) -> list[float]:
        orders = self._orders([run], 0)
        _, logs = program.epoch(self._copies(program, [run]), orders, *self._batch_sizes(run), max_steps=_CHECKED_STEPS)
        return [float(logs[name][0]) for name in ("loss", "val_loss") if name in logs]

    def _plain_first_steps(self, program: StackedProgram, run: Run) -> list[float]:
        """The same losses by the model's own steps, taken one by one."""
        model, order = program.model, self._orders([run], 0)[0]
        load_state(model, self.blueprint.initial_state(run))
        batch_size, test_batch_size = self._batch_sizes(run)
        losses = [_mean_loss(model, model.train_step, self.arguments.train, order, batch_size)]
        if self.arguments.validates:
            order = np.arange(keras.tree.flatten(self.arguments.validation)[0].shape[0])
            losses.append(_mean_loss(model, model.test_step, self.arguments.validation, order, test_batch_size))
        return losses

    def _copies(self, program: StackedProgram, runs: Sequence[Run]) -> Copies:
        states = [self.blueprint.initial_state(run) for run in runs]
        return program.copies(states, [run.learning_rate for run in runs])

    def _orders(self, runs: Sequence[Run], epoch: int) -> np.ndarray:
        size, shuffle = self.arguments.size, self.arguments.shuffle
        by_seed = {run.seed: epoch_order(run.seed, epoch, size, shuffle=shuffle) for run in runs}
        return np.stack([by_seed[run.seed] for run in runs])

    def _batch_sizes(self, run: Run) -> tuple[int, int]:
        return run.batch_size, self.arguments.validation_batch_size or run.batch_size


def _without_idle(
    copies: Copies, alive: dict[int, Run], runs: Sequence[Run]
) -> tuple[Copies, dict[int, Run], Sequence[Run]]:
    """Drops the copies whose runs have ended, once they are half of all; they cost time and change nothing."""
    if len(alive) * 2 > copies.number:
        return copies, alive, runs
    places = list(alive)
    kept = Copies(*([tf.gather(value, places) for value in group] for group in copies))
    return kept, dict(enumerate(alive.values())), [runs[place] for place in places]


def _weights(program: StackedProgram, copies: Copies, runs: list[Run], run: Run) -> list[np.ndarray]:
    return program.weights(copies, runs.index(run))


def _mean_loss(model: keras.Model, step: Any, data: Any, order: np.ndarray, batch_size: int) -> float:
    model.reset_metrics()
    for start in range(0, min(_CHECKED_STEPS * batch_size, len(order)), batch_size):
        step(take(data, order[start : start + batch_size]))
    return float(model._loss_tracker.result())


def _reason(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return (text.split(" name: ")[0] or type(error).__name__)[:200]
