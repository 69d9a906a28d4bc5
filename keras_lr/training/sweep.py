"""A range test on a live model: sweep, keep the losses, leave the model as it was."""

from __future__ import annotations

import sys
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_lr.errors import DataError, ModelError
from keras_lr.records.range_test import StopReason
from keras_lr.training.data import BatchStream
from keras_lr.training.divergence import divergence_step
from keras_lr.training.rate_control import leaf_optimizers
from keras_lr.training.state import RandomState, StateSnapshot, seed_variables
from keras_lr.training.step_loop import StepLoop

_CHUNK_SECONDS = 0.25
_MAX_CHUNK_STEPS = 512
_loops: weakref.WeakKeyDictionary[keras.Model, tuple[Any, StepLoop]] = weakref.WeakKeyDictionary()


@dataclass(frozen=True)
class Curve:
    """One pass over the learning rates: its finite losses, why it ended, and the error that ended it."""

    losses: np.ndarray
    stop_reason: StopReason
    error: BaseException | None = None


class Sweep:
    """Runs range tests on `model` with the batches of `stream`, and restores everything.

    Use as a context manager: on leaving, by whatever way, the model, the optimizer and every random state are as they
    were on entering.

    Args:
        model: A compiled model.
        stream: Where the batches come from.
        monitor: Name of the loss in the logs of `train_step`.
        validation_batch: A fixed batch on which to score each point, or None.
        stop_on_divergence: Whether to end a sweep once its loss has diverged.
        on_progress: Called with the number of steps done, a few times a second.
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
        _check_trainable(model, built_only=True)
        cached = _cached_loop(model, monitor) if self._cacheable else None
        self.loop = cached or StepLoop(model, monitor=monitor, validation_batch=validation_batch)

    def __enter__(self) -> Sweep:
        model = self._model
        already_built = model.built and model.optimizer.built
        random_state = RandomState()
        self.loop.rates.engage()
        try:
            extra = self._prepare()
            self._random_state = random_state if already_built else RandomState()
            self._snapshot = StateSnapshot(model, extra)
        except BaseException:
            self.loop.rates.release()
            self._stream.close()
            random_state.restore()
            raise
        self._seeds = seed_variables(model)
        return self

    def __exit__(self, *exception: object) -> None:
        self._stream.close()
        self.loop.rates.release()
        self.restore()

    def restore(self) -> None:
        """Puts the model, the optimizer and the random states back to where they were on entering."""
        self._snapshot.restore()
        self._random_state.restore()

    def run(self, learning_rates: np.ndarray) -> Curve:
        """One sweep over `learning_rates` from the state on entering; each further one draws other batches and
        dropout masks.

        Returns:
            The curve, also where Ctrl-C or an error ended it; only a failure before the first step raises.

        Raises:
            DataError: The data holds no batch, or its first batch fails.
        """
        self._snapshot.restore(keep_seeds=self._seeds)
        self.loop.begin(len(learning_rates))
        table = tf.constant(learning_rates, tf.float32)
        try:
            return self._run_chunks(table)
        except KeyboardInterrupt as error:
            return Curve(_finite(self.loop.losses), "interrupted", error)
        except Exception as error:
            if self.loop.completed == 0 and _from_data(error):
                raise DataError(
                    f"The training data must yield batches. Its first batch failed: {error}. Iterate over the data "
                    f"once to find the fault."
                ) from error
            return Curve(_finite(self.loop.losses), "error", error)

    def _run_chunks(self, table: Any) -> Curve:
        chunk = 1
        while (done := self.loop.completed) < len(table):
            began = time.perf_counter()
            exhausted = self._run_chunk(table, done, min(done + chunk, len(table)))
            reached = self.loop.completed
            curve = self._ended(self.loop.losses)
            if curve is not None:
                return curve
            if exhausted and (reached == done or not self._stream.renew()):
                if reached == 0:
                    raise DataError(
                        "The training data must yield at least one batch. Received none. Pass data that is not empty."
                    )
                return Curve(self.loop.losses, "data_exhausted")
            self._on_progress(reached)
            seconds = max(time.perf_counter() - began, 1e-6)
            chunk = int(np.clip(chunk * _CHUNK_SECONDS / seconds, 1, _MAX_CHUNK_STEPS))
        return Curve(self.loop.losses, "completed")

    def _run_chunk(self, table: Any, start: int, stop: int) -> bool:
        try:
            self.loop.run(self._stream.iterator, table, start, stop)
        except (tf.errors.OutOfRangeError, StopIteration):
            return True
        return False

    def _ended(self, losses: np.ndarray) -> Curve | None:
        finite = _finite(losses)
        if self._stop_on_divergence and (step := divergence_step(finite)) is not None:
            return Curve(finite[: step + 1], "diverged")
        if len(finite) < len(losses):
            return Curve(finite, "non_finite")
        return None

    def _prepare(self) -> list[Any]:
        model = self._model
        if not self.loop.in_graph and not (model.built and model.optimizer.built):
            self._stream.build(model)
        extra = self.loop.prepare(self._stream.iterator)
        _check_trainable(model)
        if self._cacheable:
            _loops[model] = (_signature(model, self._monitor), self.loop)
        return extra


def _check_trainable(model: keras.Model, *, built_only: bool = False) -> None:
    if model.optimizer is None:
        raise ModelError(
            "`model` must be compiled with an optimizer. Received none. Call `model.compile(optimizer=...)` first."
        )
    if not model.trainable_variables and (model.built or not built_only):
        raise ModelError(
            "`model` must have trainable weights. Received a model without any. Set `trainable = True` on a layer, "
            "then compile."
        )


def _cached_loop(model: keras.Model, monitor: str) -> StepLoop | None:
    """The loop traced before for this model, unless it was compiled anew, frozen or given another rate since."""
    signature, loop = _loops.get(model, ((), None))
    current = _signature(model, monitor)
    fits = len(signature) == len(current) and all(old is new for old, new in zip(signature, current, strict=True))
    return loop if fits else None


def _signature(model: keras.Model, monitor: str) -> tuple[Any, ...]:
    """Every object that tracing baked into the loop; compared by identity, and none of them refers to the model."""
    return (
        getattr(model, "_loss_tracker", None),
        model.optimizer,
        *(leaf._learning_rate for leaf in leaf_optimizers(model.optimizer)),
        getattr(model.train_step, "__func__", None),
        model.jit_compile,
        model.run_eagerly,
        sys.intern(monitor),
        *model.trainable_variables,
    )


def _finite(losses: np.ndarray) -> np.ndarray:
    bad = np.flatnonzero(~np.isfinite(losses))
    return losses[: bad[0]] if bad.size else losses


def _from_data(error: BaseException) -> bool:
    return isinstance(error, tf.errors.OpError) and "IteratorGetNext" in str(error)
