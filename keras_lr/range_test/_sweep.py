"""Sweeps the learning rate of a live model and restores its whole state afterwards."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FrameType
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_lr._keras.batches import BatchStream, DataSource, no_batch
from keras_lr._keras.constant_output import constant_loss_of
from keras_lr._keras.model import build_metrics, is_built, is_distributed, users_code
from keras_lr._keras.reader_state import ReaderState
from keras_lr._keras.snapshot import (
    StateSnapshot,
    components,
    created_variables,
    eager_seeds_of_its_own,
    plain_variables,
    seed_variables,
    unchanged_if_it_fails,
)
from keras_lr._keras.surroundings import Surroundings
from keras_lr._keras.traced_state import TracedResources, only_builds, python_functions_in, undone, watched_trace
from keras_lr._utils.formatting import format_rate, short_error_message
from keras_lr.analysis._diverged import sweep_divergence
from keras_lr.errors import DataError, ModelError
from keras_lr.range_test._data_checks import (
    KINDS,
    PARTS,
    BadValue,
    check_optimizer_used,
    check_trainable,
    check_validation_batch,
    explain_first_step,
    find_bad_value,
    find_label_fault,
    find_target_fault,
    first_step_error,
    label_error,
    limits_of_targets,
    losses_of,
    lost_values_advice,
    misfit,
    output_advice,
    own_fit_needed,
    steps_counted,
    target_fault_of,
    unused_optimizer,
)
from keras_lr.range_test._loop import MAX_TARGETS, StepLoop, cached_loop, keep_loop
from keras_lr.results._range_test import StopReason

_CHUNK_SECONDS = 0.25
_MAX_CHUNK_STEPS = 512

_LEAST_RATE = 1e-12
"""Rate of a step that is trained only to see whether it works."""


class HeldInterrupt:
    """Holds Ctrl-C back while the block runs, so that it never cuts through saving or restoring a model's state.

    The first Ctrl-C is raised by `check`, or when the block ends. A second one is raised at once, in case a step or the
    data never ends, unless `patient` is set. The handler is installed only in the main thread, the one Ctrl-C
    interrupts, and only if Python's own handler is in place.

    Attributes:
        patient: Whether a second Ctrl-C waits too.
    """

    def __init__(self) -> None:
        self.patient = True
        self._pending = False
        self._installed = False

    def __enter__(self) -> HeldInterrupt:
        self._installed = (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        )
        if self._installed:
            signal.signal(signal.SIGINT, self._hold)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self.check()

    def check(self) -> None:
        """Raises the `KeyboardInterrupt` that was held back, if any."""
        if self._pending:
            self._pending = False
            raise KeyboardInterrupt

    def _hold(self, number: int, frame: FrameType | None) -> None:
        if self._pending and not self.patient:
            self.check()
        self._pending = True


@dataclass(frozen=True)
class Curve:
    """One sweep.

    Attributes:
        losses: The finite ones, shape `(n_steps,)`.
        stop_reason: Why it ended.
        error: What ended it; None if no error did.
        fault: What in the data ended it; empty if nothing did.
        penalties: What regularizers added to each of the losses, shape `(n_steps,)`.
    """

    losses: np.ndarray
    stop_reason: StopReason
    error: BaseException | None = None
    fault: str = ""
    penalties: np.ndarray = dataclasses.field(default_factory=lambda: np.empty(0))


class Sweep:
    """Sweeps the learning rate of `model` over batches of `data`, and restores everything.

    Use it as a context manager. When the block ends, also by an exception, the model, the optimizer, every random state
    and the user's readers are what they were at its start. What building the model has drawn stays drawn.

    Args:
        model: A compiled model.
        data: Where the batches come from.
        monitor: Name of the loss in the logs of `train_step`.
        validation_batch: A fixed batch on which each point is scored; None for the training batch.
        stop_on_divergence: Whether to end a sweep once its loss has diverged.
        on_progress: Called with the number of steps done in all sweeps, a few times per second.
        on_open: Called once the model is built; what it changes in the model and its surroundings is restored.

    Attributes:
        stream: The batches, within the block.
        unrestored: What reading the data has changed for good, each as a clause; after the block.
        fault: Why no training on these data can succeed; empty if nothing is wrong.
        target_fault: Why no learning rate can be read off the targets; empty if nothing is wrong.
        validation_fault: Where the validation batch is not finite; empty if it is, or there is none.
        constant_loss: The loss of the best constant output, from the targets; None if it is unknown or
            another value is monitored.
        advice: What to change about the output or the targets, a text each.

    Raises:
        ModelError: The model has no optimizer or nothing to train; as the block begins, its step trains with another
            optimizer.
    """

    stream: BatchStream

    def __init__(
        self,
        model: keras.Model,
        data: DataSource,
        *,
        monitor: str = "loss",
        validation_batch: Any = None,
        stop_on_divergence: bool = True,
        on_progress: Callable[[int], None] = lambda done: None,
        on_open: Callable[[], None] = lambda: None,
    ) -> None:
        self._on_open = on_open
        self._model = model
        self._data = data
        self._stop_on_divergence = stop_on_divergence
        self._on_progress = on_progress
        self._monitor = monitor
        self._validation_batch = validation_batch
        self._interrupt = HeldInterrupt()
        self._closing = contextlib.ExitStack()
        self._begun = self._read = 0
        self._pass_is_new = True
        self._snapshot: StateSnapshot | None = None
        self._resources: TracedResources | None = None
        self.unrestored: list[str] = []
        self.fault = self.target_fault = self.validation_fault = ""
        self.constant_loss: float | None = None
        self.advice: list[str] = []
        check_trainable(model, built_only=True)
        # An eager step also builds what only it shows, such as metrics.
        self._was_built = is_built(model) if not model.run_eagerly else model.built and model.optimizer.built
        self._build_advice: list[str] = []
        # An optimizer that the trace has to build makes TensorFlow trace the loop twice.
        if not model.optimizer.built and is_built(model):
            self._build_optimizer()
        self.loop = cached_loop(model, monitor) or StepLoop(model, monitor=monitor)

    def __enter__(self) -> Sweep:
        self._interrupt.__enter__()
        self._closing.callback(self._interrupt.__exit__)
        try:
            self._open()
        except BaseException:
            self.__exit__()
            raise
        self._interrupt.patient = False
        return self

    def __exit__(self, *exception: object) -> None:
        self._interrupt.patient = True
        self._closing.close()

    def restore(self) -> None:
        """Restores the model and the optimizer to the start of the block."""
        if self._snapshot is not None:
            self._snapshot.restore()

    def _build_optimizer(self) -> None:
        """Builds the optimizer with the values that it would have in `fit`.

        `fit` builds it while it traces its step. TensorFlow traces a step that creates variables once more, so what
        `build` assigns to them afterwards, such as a copy of the weights, is lost.
        """
        model = self._model
        with created_variables() as created, model.distribute_strategy.scope():
            model.optimizer.build(model.trainable_variables)
        if model.run_eagerly or is_distributed(model):
            return
        assigned = [(one, value) for one, value in created if not bool(tf.reduce_all(tf.equal(one, value)))]
        for variable, value in assigned:
            variable.assign(value)
        if assigned:
            self._build_advice.append(lost_values_advice(model))

    def _open(self) -> None:
        # A compiled step runs no Python code.
        in_python = [] if self.loop.in_graph else users_code(self._model)
        surroundings = Surroundings([*self._data.readers, *in_python])
        self._closing.callback(self._restore_surroundings, surroundings)
        self._closing.callback(self.restore)
        self._interrupt.patient = False
        with self._seeds_of_its_own():
            self.stream = self._data.open()
        self._closing.callback(self.stream.close)
        self._interrupt.patient = True
        self._interrupt.check()
        self.loop.rates.engage()
        self._closing.callback(self.loop.rates.release)
        with contextlib.nullcontext() if self.loop.traced is not None else unchanged_if_it_fails(self._model):
            self._extra = self._build(surroundings)
        self._keep_hidden_state()
        self._snapshot = self.state()
        self._seeds = seed_variables(self._model)
        self._closing.enter_context(self._seeds_of_its_own())
        self._closing.callback(self.stream.close)
        self._find_fault()
        with undone(self._model):
            self._on_open()
        self.restore()

    def _keep_hidden_state(self) -> None:
        """Keeps what a compiled step changes beside variables: tables, iterators, and the state of its Python code."""
        if self.loop.traced is None:
            return
        self._resources = TracedResources(self.loop.traced)
        if functions := python_functions_in(self.loop.traced):
            self._closing.callback(ReaderState(functions).restore)

    def _restore_surroundings(self, surroundings: Surroundings) -> None:
        hidden = () if self._resources is None else self._resources.unrestored
        self.unrestored = [
            *(self.stream.unrestored if self._snapshot else ()),
            *surroundings.unrestored(),
            *hidden,
        ]
        surroundings.restore()

    def _seeds_of_its_own(self) -> contextlib.AbstractContextManager[None]:
        # What a generator has drawn is handed to the training that follows, so it draws by the seeds of that training.
        return contextlib.nullcontext() if self._data.is_generator else eager_seeds_of_its_own()

    def state(self) -> StateSnapshot:
        """The state of the model now, from which a further run can go on."""
        others = () if self._resources is None else self._resources.saved()
        return StateSnapshot(self._model, self._extra, others)

    def run(self, learning_rates: np.ndarray, *, source: Any = None, state: StateSnapshot | None = None) -> Curve:
        """Trains one step at each of `learning_rates`, from the state at the start of the block.

        Each further call draws other batches and dropout masks.

        Args:
            learning_rates: Rate of each step, shape `(num_steps,)`.
            source: Batches of the stream for several calls to share; None to draw new ones.
            state: A state to go on from instead.

        Returns:
            The curve, also if Ctrl-C or an error cut it short. Only a failure before the very first step raises.

        Raises:
            DataError: The data holds no batch, its first batch fails, or a label is outside the classes.
            ModelError: The step trains with another optimizer.
        """
        if self.fault:
            return Curve(np.empty(0), "non_finite", fault=self.fault)
        begin = self._snapshot if state is None else state
        if self._begun and begin is not None:
            begin.restore(keep_seeds=self._seeds)
        try:
            self.loop.begin(len(learning_rates))
            curve = self._run_chunks(learning_rates, source)
            self._check_targets_read()
            # A Ctrl-C during the last chunk would otherwise be raised when the block ends, and the curve be lost.
            self._interrupt.check()
        except KeyboardInterrupt as error:
            curve = Curve(_finite(self.loop.losses), "interrupted", error)
        except (DataError, ModelError):
            raise
        except Exception as error:
            self._explain(error)
            curve = Curve(_finite(self.loop.losses), "error", error)
        finally:
            self._begun += len(learning_rates)
            self._read += self.loop.completed
        return dataclasses.replace(curve, penalties=self.loop.penalties[: len(curve.losses)])

    def _explain(self, error: Exception) -> None:
        """Raises `DataError` if the data is why a step failed.

        An error in the very first step is the fault of the data or of how they fit the model.
        """
        if (sentence := label_error(error)) is not None:
            raise DataError(sentence) from error
        if self.loop.completed or self._begun:
            return
        self._explain_first_step(error)
        if _from_data(error):
            raise DataError(
                f"`x` must yield batches. Its first batch failed: {short_error_message(error)}. Iterate over the data "
                "once to find the fault."
            ) from error
        if isinstance(error, tf.errors.InvalidArgumentError):
            raise DataError(misfit(error)) from error

    def _run_chunks(self, table: Any, source: Any) -> Curve:
        source = self.stream.source(len(table)) if source is None else source
        while (done := self.loop.completed) < len(table):
            self._interrupt.check()
            began = time.perf_counter()
            exhausted = self._run_chunk(source, table, done, min(done + self.loop.chunk_steps, len(table)))
            reached = self.loop.completed
            self.loop.chunk_steps = _chunk_for(time.perf_counter() - began, reached - done)
            curve = self._faulty(reached) or self._broken_at_once(table) or self._ended(self.loop.losses)
            if curve is not None:
                return curve
            self._pass_is_new &= reached == done
            if exhausted:
                if self._pass_is_new or not self.stream.renew():
                    return self._exhausted(reached)
                self._pass_is_new = True
                source = self.stream.source(len(table))
            self._on_progress(self._begun + reached)
        return Curve(self.loop.losses, "completed")

    def _run_chunk(self, source: Any, table: Any, start: int, stop: int) -> bool:
        try:
            with self._counting(start):
                self.loop.run(source, table, start, stop, self._validation_batch)
        except (tf.errors.OutOfRangeError, StopIteration):
            return True
        return False

    def _exhausted(self, reached: int) -> Curve:
        if reached == 0 and not self._begun:
            raise no_batch()
        return Curve(self.loop.losses, "data_exhausted")

    def _faulty(self, reached: int) -> Curve | None:
        """The curve up to a batch whose values are not finite, if training on it has broken the model.

        A model may be made for such values, such as one whose loss masks missing targets.
        """
        bad = np.flatnonzero(~np.isfinite(self.loop.sizes[-1:]))
        if not bad.size or not self.loop.watch.enabled or not np.isfinite(self.loop.losses[:-1]).all():
            return None
        if not self._is_broken():
            self.loop.watch.enable(False)
            return None
        kind = KINDS[0] if np.isnan(self.loop.sizes[-1, bad[0]]) else KINDS[1]
        self.fault = str(BadValue(PARTS[bad[0]], kind, "batch", self._read + reached - 1))
        return Curve(_finite(self.loop.losses[: reached - 1]), "non_finite", fault=self.fault)

    def _is_broken(self) -> bool:
        """Whether the last loss or a trainable weight is not finite."""
        return not np.isfinite(self.loop.losses[-1]) or self._broken_weight() is not None

    def _broken_weight(self) -> Any:
        """The first trainable weight that is not finite; None if all are."""
        floats = (weight for weight in components(self._model.trainable_variables) if weight.dtype.is_floating)
        return next((weight for weight in floats if not bool(tf.reduce_all(tf.math.is_finite(weight)))), None)

    def _broken_at_once(self, table: Any) -> Curve | None:
        """The empty curve of a model that the very first step breaks, which its loss need not show: relu(NaN) is 0."""
        if self._begun or self.loop.completed != 1 or not np.isfinite(self.loop.losses[-1]):
            return None
        weight = self._broken_weight()
        if weight is None:
            return None
        name, rate = weight.name.split(":")[0], format_rate(float(table[0]))
        self.fault = (
            f"After the first step, at a learning rate of {rate}, `{name}` holds NaN or infinity, although the data do "
            "not. So the rate is not the cause. Check the loss and the optimizer: Adafactor divides by 0 where both "
            "an input and a unit are 0 throughout a batch."
        )
        return Curve(np.empty(0), "non_finite", fault=self.fault)

    def _ended(self, losses: np.ndarray) -> Curve | None:
        finite = _finite(losses)
        if self._stop_on_divergence and (step := sweep_divergence(finite)) is not None:
            return Curve(finite[: step + 1], "diverged")
        if len(finite) < len(losses):
            return Curve(finite, "non_finite")
        return None

    def _build(self, surroundings: Surroundings) -> list[Any]:
        """Builds the model and traces the loop, and returns every further variable that a step may change."""
        model = self._model
        if not self._was_built:
            if not self.loop.in_graph:
                self._build_by_a_step(surroundings)
            # Reading may have drawn from the random states that initial values depend on.
            surroundings.restore_random()
        if self.loop.in_graph:
            build_metrics(model, self.stream.sample())
        try:
            # A model that is built within the trace may say so by a flag, which then has to stay.
            with watched_trace(model) if self._was_built else contextlib.nullcontext():
                extra = self.loop.prepare(self.stream.signature(), self._validation_batch)
        except Exception as error:
            self._explain_first_step(error)
            raise
        if not self._was_built:
            surroundings.keep_random()
        check_trainable(model)
        if self.loop.in_graph:
            check_optimizer_used(model, extra)
        keep_loop(model, self._monitor, self.loop)
        return [*extra, *plain_variables(model)]

    def _build_by_a_step(self, surroundings: Surroundings) -> None:
        """Builds the model as `fit` does with `run_eagerly`: by a training step, whose effects are undone."""
        with self._seeds_of_its_own():
            batch = self._first_batch()
        if batch is None:
            raise no_batch()
        surroundings.restore_random()
        try:
            with only_builds(self._model), self._counting(0):
                self.loop.begin(1)
                self.loop.run(_OneBatch(batch), [_LEAST_RATE], 0, 1, self._validation_batch)
        except Exception as error:
            self._explain(error)
            raise
        finally:
            surroundings.settle()

    def _first_batch(self) -> Any:
        try:
            return self.stream.first_batch()
        except Exception as error:
            self._explain(error)
            raise

    def _explain_first_step(self, error: Exception) -> None:
        """Raises an error that says what the user has forgotten, if that is why the first step failed."""
        if self._validation_batch is not None and self._model.built:
            check_validation_batch(self._model, self._validation_batch)
        sample = self.stream.sample()
        x, y, _ = keras.utils.unpack_x_y_sample_weight(sample)
        arrays = self.stream.arrays is not None
        sentence = explain_first_step(self._model, error, x=x, y=y, of_dataset=not arrays)
        sentence = sentence or own_fit_needed(self._model, error)
        if sentence is not None:
            raise first_step_error(sentence) from error

    @contextlib.contextmanager
    def _counting(self, start: int) -> Iterator[None]:
        """Checks that the first step of a loop that is not compiled counts as a step of the compiled optimizer."""
        watches = start == 0 and not self._begun and not self.loop.in_graph
        before = steps_counted(self._model) if watches else None
        yield
        if before is not None and before == steps_counted(self._model):
            raise ModelError(unused_optimizer(self._model))

    def _find_fault(self) -> None:
        """Looks at arrays before any training.

        Raises:
            DataError: A label is outside the classes.
        """
        if self._validation_batch is not None:
            x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(self._validation_batch)
            if (sentence := find_label_fault(self._model, y)) is not None:
                raise DataError(f"In `validation_data`: {sentence}")
            if (bad := find_bad_value(x, y, sample_weight)) is not None:
                self.validation_fault = f"In `validation_data`: {bad}"
        arrays = self.stream.arrays
        if arrays is None:
            return
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(arrays)
        if (sentence := find_label_fault(self._model, y)) is not None:
            raise DataError(sentence)
        bad = find_bad_value(x, y, sample_weight)
        if bad is not None and self._breaks_at(bad.index):
            self.fault = str(bad)
        self.target_fault = find_target_fault(self._model, y) or ""
        self.advice = [*self._build_advice, *output_advice(self._model, limits_of_targets(y))]
        if self._monitor == "loss":
            self.constant_loss = constant_loss_of(self._model, y, sample_weight)

    def _breaks_at(self, row: int) -> bool:
        """Whether one step at the lowest rate on the batch that holds `row` breaks the model."""
        self.loop.begin(1, keeps_targets=False)
        self.loop.run(self.stream.batch_of(row), [_LEAST_RATE], 0, 1, self._validation_batch)
        broken = self._is_broken()
        self.restore()
        return broken

    def _check_targets_read(self) -> None:
        """Judges the targets of a dataset by those that the sweep has read."""
        if self.stream.arrays is not None:
            return
        targets, limits = self.loop.targets, self.loop.limits
        if len(targets) and self.constant_loss is None and self._monitor == "loss":
            self.constant_loss = constant_loss_of(self._model, targets[:: -(-len(targets) // MAX_TARGETS)])
        known = bool(np.isfinite(limits).all())
        self.advice = [*self._build_advice, *output_advice(self._model, limits if known else None)]
        losses = losses_of(self._model)
        if len(losses) == 1 and known and not self.target_fault:
            self.target_fault = target_fault_of(self._model, [(losses[0], *limits)]) or ""


class _OneBatch(NamedTuple):
    """A single batch, for a loop that is not compiled."""

    batch: Any

    def get_next(self, step: Any) -> Any:
        """The batch."""
        return self.batch


def _chunk_for(seconds: float, steps: int) -> int:
    return int(np.clip(steps * _CHUNK_SECONDS / max(seconds, 1e-6), 1, _MAX_CHUNK_STEPS))


def _finite(losses: np.ndarray) -> np.ndarray:
    bad = np.flatnonzero(~np.isfinite(losses))
    return losses[: bad[0]] if bad.size else losses


def _from_data(error: BaseException) -> bool:
    return isinstance(error, tf.errors.OpError) and "IteratorGetNext" in str(error)
