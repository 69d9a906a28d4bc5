"""A range test on a live model: sweep, keep the losses, leave the model as it was."""

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
from keras_lr.errors import DataError, ModelError
from keras_lr.range_test._loop import StepLoop, cached_loop, keep_loop
from keras_lr.results._range_test import StopReason

_WINDOW_STEPS = 5
_FACTOR = 4.0
_NOISE_FACTOR = 4.0

_CHUNK_SECONDS = 0.25
_MAX_CHUNK_STEPS = 512


def divergence_step(losses: np.ndarray) -> int | None:
    """First step at which the loss has risen far above where it began.

    Far is measured by the curve itself: `4` times its fall so far, or `16` times its noise where that is more, above
    the median of the first tenth. Scaling or shifting the loss changes nothing, so negative and near-zero losses are
    safe.

    Args:
        losses: Finite losses in the order of the sweep, shape `(n_steps,)`.

    Returns:
        A step in `[10, n_steps)`, or None where the loss has not diverged.

    Source:
        Custom. fastai and torch_lr_finder compare with a multiple of the best loss, which fails at or below zero.
    """
    start = max(2 * _WINDOW_STEPS, len(losses) // 10)
    if len(losses) <= start:
        return None
    head = losses[:start]
    baseline = float(np.median(head))
    noise = 1.4826 * float(np.median(np.abs(np.diff(head)))) / np.sqrt(2)
    windows = np.lib.stride_tricks.sliding_window_view(losses, _WINDOW_STEPS)
    trailing = np.median(windows, axis=1)
    best = np.minimum.accumulate(trailing)
    scale = np.maximum(baseline - best, _NOISE_FACTOR * noise)
    scale = np.maximum(scale, np.finfo(np.float32).eps * max(abs(baseline), 1.0))
    risen = trailing > baseline + _FACTOR * scale
    steps = np.flatnonzero(risen) + _WINDOW_STEPS - 1
    steps = steps[steps >= start]
    return int(steps[0]) if steps.size else None


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
        on_progress: Called with the number of steps done in all sweeps, a few times a second.

    Raises:
        ModelError: The model has no optimizer or nothing to train; on entering, where its step does not train with that
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
        # What is not built yet is built by the trace, which then has to be made twice.
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
        """Puts the model, the optimizer and the random states back to where they were on entering."""
        self._snapshot.restore()
        self._random_state.restore()

    def run(self, learning_rates: np.ndarray, *, source: Any = None) -> Curve:
        """One sweep over `learning_rates` from the state on entering; each further one draws other batches and
        dropout masks.

        Args:
            learning_rates: Rate of each step, shape `(num_steps,)`.
            source: Batches of the stream that several sweeps are to share; None to draw new ones.

        Returns:
            The curve, also where Ctrl-C or an error ended it; only a failure before the very first step raises.

        Raises:
            DataError: The data holds no batch, or its first batch fails.
        """
        if self._begun:
            self._snapshot.restore(keep_seeds=self._seeds)
        try:
            self.loop.begin(len(learning_rates))
            curve = self._run_chunks(tf.constant(learning_rates, tf.float32), source)
            # One that came in the last chunk would else be raised on leaving, and the points be lost.
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
        if self._stop_on_divergence and (step := divergence_step(finite)) is not None:
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


def check_trainable(model: keras.Model, *, built_only: bool = False) -> None:
    """Refuses a model without an optimizer or without anything to train.

    Args:
        model: A compiled model.
        built_only: Whether to let a model pass whose weights are not made yet.

    Raises:
        ModelError: It cannot be trained.
    """
    if model.optimizer is None:
        raise ModelError(
            "`model` must be compiled with an optimizer. Received none. Call `model.compile(optimizer=...)` first."
        )
    if not model.trainable_variables and (model.built or not built_only):
        raise ModelError(
            "`model` must have trainable weights. Received a model without any. Set `trainable = True` on a layer, "
            "then compile."
        )


def _check_optimizer_used(model: keras.Model, touched: list[Any]) -> None:
    """Refuses a step that trains with other optimizers than the compiled one, whose rate would be swept in vain.

    Args:
        model: A compiled model.
        touched: Every variable that its step touches.

    Raises:
        ModelError: The step never counts on the compiled optimizer.
    """
    counters = components(iterations_of(leaf) for leaf in leaf_optimizers(model.optimizer))
    if not {id(counter) for counter in counters} & {id(variable) for variable in components(touched)}:
        raise ModelError(
            "`train_step` must train with `model.optimizer`, whose learning rate is swept. Received a step that leaves "
            f"the compiled {type(model.optimizer).__name__} unused. Compile with the optimizer that trains."
        )


def _chunk_for(seconds: float, steps: int) -> int:
    return int(np.clip(steps * _CHUNK_SECONDS / max(seconds, 1e-6), 1, _MAX_CHUNK_STEPS))


def _finite(losses: np.ndarray) -> np.ndarray:
    bad = np.flatnonzero(~np.isfinite(losses))
    return losses[: bad[0]] if bad.size else losses


def _from_data(error: BaseException) -> bool:
    return isinstance(error, tf.errors.OpError) and "IteratorGetNext" in str(error)
