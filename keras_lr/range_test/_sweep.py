"""Sweeps the learning rate of a live model and restores its whole state afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_lr._keras.batches import BatchStream
from keras_lr._keras.error_message import short_error_message
from keras_lr._keras.learning_rate import iterations_of, leaf_optimizers
from keras_lr._keras.model import build_on, layers_of
from keras_lr._keras.snapshot import RandomState, StateSnapshot, components, plain_variables, seed_variables
from keras_lr._utils.interrupt import HeldInterrupt
from keras_lr.analysis._diverged import sweep_divergence
from keras_lr.errors import DataError, ModelError
from keras_lr.range_test._loop import StepLoop, cached_loop, keep_loop
from keras_lr.results._range_test import StopReason

_CHUNK_SECONDS = 0.25
_MAX_CHUNK_STEPS = 512


@dataclass(frozen=True)
class Curve:
    """The finite losses of one sweep, why it ended, and the error that ended it, if any."""

    losses: np.ndarray
    stop_reason: StopReason
    error: BaseException | None = None


class Sweep:
    """Sweeps the learning rate of `model` over the batches of `stream`, and restores everything.

    Use it as a context manager. When the block ends, also by an exception, the model, the optimizer and every random
    state are what they were at its start.

    Args:
        model: A compiled model.
        stream: Where the batches come from.
        monitor: Name of the loss in the logs of `train_step`.
        validation_batch: A fixed batch on which each point is scored; None for the training batch.
        stop_on_divergence: Whether to end a sweep once its loss has diverged.
        on_progress: Called with the number of steps done in all sweeps, a few times per second.

    Raises:
        ModelError: The model has no optimizer or nothing to train; as the block begins, its step trains with another
            optimizer.
    """

    def __init__(
        self,
        model: keras.Model,
        stream: BatchStream,
        *,
        monitor: str = "loss",
        validation_batch: Any = None,
        stop_on_divergence: bool = True,
        on_progress: Callable[[int], None] = lambda done: None,
    ) -> None:
        self._model = model
        self._stream = stream
        self._stop_on_divergence = stop_on_divergence
        self._on_progress = on_progress
        self._monitor = monitor
        self._cacheable = validation_batch is None
        self._interrupt = HeldInterrupt()
        self._begun = 0
        self._pass_is_new = True
        check_trainable(model, built_only=True)
        self._was_built = model.built and model.optimizer.built
        # An optimizer that the trace has to build makes TensorFlow trace the loop twice.
        if not model.optimizer.built and all(layer.built for layer in layers_of(model)):
            with model.distribute_strategy.scope():
                model.optimizer.build(model.trainable_variables)
        cached = cached_loop(model, monitor) if self._cacheable else None
        self.loop = cached or StepLoop(model, monitor=monitor, validation_batch=validation_batch)

    def __enter__(self) -> Sweep:
        model = self._model
        self._interrupt.__enter__()
        random_state = RandomState()
        try:
            self.loop.rates.engage()
            extra = self._prepare()
            self._random_state = random_state if self._was_built else RandomState()
            self._snapshot = StateSnapshot(model, extra)
        except BaseException:
            self.loop.rates.release()
            self._stream.close()
            random_state.restore()
            self._interrupt.__exit__()
            raise
        self._seeds = seed_variables(model)
        self._interrupt.patient = False
        return self

    def __exit__(self, *exception: object) -> None:
        self._interrupt.patient = True
        self._stream.close()
        self.loop.rates.release()
        self.restore()
        self._interrupt.__exit__()

    def restore(self) -> None:
        """Restores the model, the optimizer and the random states to the start of the block."""
        self._snapshot.restore()
        self._random_state.restore()

    def run(self, learning_rates: np.ndarray, *, source: Any = None) -> Curve:
        """Trains one step at each of `learning_rates`, from the state at the start of the block.

        Each further call draws other batches and dropout masks.

        Args:
            learning_rates: Rate of each step, shape `(num_steps,)`.
            source: Batches of the stream for several calls to share; None to draw new ones.

        Returns:
            The curve, also if Ctrl-C or an error cut it short. Only a failure before the very first step raises.

        Raises:
            DataError: The data holds no batch, or its first batch fails.
        """
        if self._begun:
            self._snapshot.restore(keep_seeds=self._seeds)
        try:
            self.loop.begin(len(learning_rates))
            curve = self._run_chunks(tf.constant(learning_rates, tf.float32), source)
            # A Ctrl-C during the last chunk would otherwise be raised when the block ends, and the curve be lost.
            self._interrupt.check()
            return curve
        except KeyboardInterrupt as error:
            return Curve(_finite(self.loop.losses), "interrupted", error)
        except DataError:
            raise
        except Exception as error:
            if self.loop.completed == 0 and not self._begun and _from_data(error):
                raise DataError(
                    f"`x` must yield batches. Its first batch failed: {short_error_message(error)}. "
                    "Iterate over the data once to find the fault."
                ) from error
            return Curve(_finite(self.loop.losses), "error", error)
        finally:
            self._begun += len(learning_rates)

    def _run_chunks(self, table: Any, source: Any) -> Curve:
        source = self._stream.source(len(table)) if source is None else source
        while (done := self.loop.completed) < len(table):
            self._interrupt.check()
            began = time.perf_counter()
            exhausted = self._run_chunk(source, table, done, min(done + self.loop.chunk_steps, len(table)))
            reached = self.loop.completed
            self.loop.chunk_steps = _chunk_for(time.perf_counter() - began, reached - done)
            curve = self._ended(self.loop.losses)
            if curve is not None:
                return curve
            self._pass_is_new &= reached == done
            if exhausted:
                if self._pass_is_new or not self._stream.renew():
                    return self._exhausted(reached)
                self._pass_is_new = True
                source = self._stream.source(len(table))
            self._on_progress(self._begun + reached)
        return Curve(self.loop.losses, "completed")

    def _run_chunk(self, source: Any, table: Any, start: int, stop: int) -> bool:
        try:
            self.loop.run(source, table, start, stop)
        except (tf.errors.OutOfRangeError, StopIteration):
            return True
        return False

    def _exhausted(self, reached: int) -> Curve:
        if reached == 0 and not self._begun:
            raise DataError("`x` must yield at least one batch. Received none. Pass data that is not empty.")
        return Curve(self.loop.losses, "data_exhausted")

    def _ended(self, losses: np.ndarray) -> Curve | None:
        finite = _finite(losses)
        if self._stop_on_divergence and (step := sweep_divergence(finite)) is not None:
            return Curve(finite[: step + 1], "diverged")
        if len(finite) < len(losses):
            return Curve(finite, "non_finite")
        return None

    def _prepare(self) -> list[Any]:
        model = self._model
        if not self.loop.in_graph and not (model.built and model.optimizer.built):
            batch = self._stream.first_batch()
            if batch is not None:
                build_on(model, batch)
        extra = self.loop.prepare(self._stream.signature())
        check_trainable(model)
        if self.loop.in_graph:
            _check_optimizer_used(model, extra)
        if self._cacheable:
            keep_loop(model, self._monitor, self.loop)
        return [*extra, *plain_variables(model)]


def check_optimizer(model: keras.Model) -> None:
    """Raises `ModelError` if the model was compiled without an optimizer."""
    if model.optimizer is None:
        raise ModelError(
            "`model` must be compiled with an optimizer. Received none. Call `model.compile(optimizer=...)` first."
        )


def check_trainable(model: keras.Model, *, built_only: bool = False) -> None:
    """Raises `ModelError` if the model has no optimizer or nothing to train.

    Args:
        model: A compiled model.
        built_only: Whether a model without weights passes if it is not built yet.
    """
    check_optimizer(model)
    if not model.trainable_variables and (model.built or not built_only):
        raise ModelError(
            "`model` must have trainable weights. Received a model without any. Set `trainable = True` on a layer, "
            "then compile."
        )


def _check_optimizer_used(model: keras.Model, touched: list[Any]) -> None:
    """Raises `ModelError` if the step trains with another optimizer, so that sweeping the compiled one has no effect.

    Args:
        model: A compiled model.
        touched: Every variable that its step touches; a step counter among them shows that the optimizer is used.
    """
    counters = components(iterations_of(leaf) for leaf in leaf_optimizers(model.optimizer))
    if not {id(counter) for counter in counters} & {id(variable) for variable in components(touched)}:
        raise ModelError(
            "`train_step` must train with `model.optimizer`, whose learning rate is swept. Received a step that leaves "
            f"the compiled {type(model.optimizer).__name__} unused. Compile it with the optimizer that trains it."
        )


def _chunk_for(seconds: float, steps: int) -> int:
    return int(np.clip(steps * _CHUNK_SECONDS / max(seconds, 1e-6), 1, _MAX_CHUNK_STEPS))


def _finite(losses: np.ndarray) -> np.ndarray:
    bad = np.flatnonzero(~np.isfinite(losses))
    return losses[: bad[0]] if bad.size else losses


def _from_data(error: BaseException) -> bool:
    return isinstance(error, tf.errors.OpError) and "IteratorGetNext" in str(error)
