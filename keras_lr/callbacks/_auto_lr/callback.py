"""From whatever learning rate was compiled to a good one, while the model trains."""

from __future__ import annotations

import math
from typing import Any, Literal

import keras

from keras_lr._keras.callback_state import attach_state, detach_state
from keras_lr._keras.learning_rate import rates_ahead
from keras_lr._keras.running_fit import BrokenFit, stand_before_backup
from keras_lr._utils import validation
from keras_lr._utils.formatting import format_rate
from keras_lr._utils.validation import check_logged
from keras_lr.analysis._auto_lr_rules import read_baseline
from keras_lr.analysis._suggestion.suggest import MIN_STEPS
from keras_lr.callbacks._auto_lr.controller import Controller
from keras_lr.callbacks._auto_lr.state import AutoLRState, Segment
from keras_lr.errors import InvalidArgumentError, ModelError
from keras_lr.range_test._callback import LRRangeTest
from keras_lr.results._auto_lr import AutoLRAction, AutoLRLog
from keras_lr.results._range_test import RangeTestResult, Suggestion

KEPT_RATIO = 1.25
"""A change by less is finer than a range test can tell."""

SELF_DECAY = 0.2
"""A schedule that ends below this share of its highest rate anneals by itself."""

TICKS_AN_EPOCH = 20
TICK_STEPS = 100


class Probe(LRRangeTest):
    """A range test after which `fit` trains all its epochs, at whatever rate."""

    def run(self, model: keras.Model) -> RangeTestResult:
        """Sweeps and restores the model, in the midst of its `fit`; builds it if it was not."""
        self.set_model(model)
        self.on_train_begin()
        return self.measured()

    def _apply(self, suggestion: Suggestion) -> None:
        """Changes nothing."""


def make_probe(
    num_steps: int, repeats: int, *, monitor: str, verbose: bool | Literal["auto", 0, 1, 2], **limits: Any
) -> Probe:
    """A range test that may run within a `fit`, settled by short runs; raises what `LRRangeTest` raises."""
    return Probe(
        num_steps=num_steps, repeats=repeats, apply=True, refine=True, monitor=monitor, verbose=verbose, **limits
    )


def initial_state_of_run(
    model: keras.Model,
    probe: Probe | None,
    *,
    first_epoch: int,
    steps: int,
    anneal_fraction: float,
    monitor: str,
    applied: bool,
) -> AutoLRState:
    """The state of a run that begins, with the range test's action in it.

    Args:
        model: The model that `fit` is about to train.
        probe: The range test to run; None for none.
        first_epoch: The epoch about to begin.
        steps: Steps planned in all.
        anneal_fraction: Share of the epochs planned for the anneal.
        monitor: Name of the training loss in the logs.
        applied: Whether the rate will be set.

    Raises:
        ModelError: The model was compiled without an optimizer, or with a rate of 0 throughout.
    """
    if model.optimizer is None:
        raise ModelError(
            "`model` must be compiled with an optimizer. Received none. Call `model.compile(optimizer=...)` first."
        )
    ahead = rates_ahead(model.optimizer, steps)
    highest = float(ahead.max())
    if not highest > 0:
        raise ModelError(
            f"`optimizer` must have a learning rate above 0. Received: {highest}. Compile with any other, such as 1e-3."
        )
    fraction = 0.0 if ahead[-1] < SELF_DECAY * highest else anneal_fraction
    state = AutoLRState(first_epoch, float(ahead[0]), highest, segment=Segment(anneal_from=1 - fraction))
    if probe is not None:
        state.probe = probe.run(model)
        state.baseline = read_baseline(state.probe.repeat_losses)
        _begin_at(state, state.probe.suggestion, applied=applied)
    elif applied and not (model.built and model.optimizer.built):
        # Without its variables there is no state to go back to.
        make_probe(2, 1, monitor=monitor, verbose=False).run(model)
    return state


def _begin_at(state: AutoLRState, suggestion: Suggestion, *, applied: bool) -> None:
    rate, compiled = suggestion.learning_rate, state.reference
    if rate is None or max(rate / compiled, compiled / rate) < KEPT_RATIO:
        return
    reason = f"A short range test suggests {format_rate(rate)} ({suggestion.confidence}): {suggestion.reason}"
    state.act(
        AutoLRAction("probe", state.first_epoch, compiled, rate, reason, applied),
        **({"factor": rate / compiled} if applied else {}),
    )


class AutoLR(keras.callbacks.Callback):
    """Finds a learning rate before the first epoch, then watches the training loss and mends the rate.

    - **Probe**: a range test before the first epoch, settled by short runs, sets the suggested rate. It is restored
      exactly, so it costs time but no epoch: 600 steps in a compiled loop, which are several times faster than those
      of `fit`. Where it has no answer, the compiled rate stays.
    - **Rollback**: where the loss becomes NaN, within an epoch too, or an epoch loses half of the whole fall, the model
      and its optimizer go back to the end of the last good epoch and the rate is divided by 3.2; by 10, 32 and so on
      where that happens again at once.
    - **Lower, raise**: the loss swings, so the rate is divided by 3.2; or it falls in a straight line, so it is
      multiplied by 3.2, or by 10.
    - **Anneal**: over the last `anneal_fraction` of the planned epochs, earlier where the loss stands still, the rate
      falls to 0, unless it was compiled as a schedule that falls by itself.

    The training loss must mean the same in every epoch, and no other callback may set the rate. A schedule is
    multiplied by a factor; what an action tells are its rates at its highest. When training ends, or Ctrl-C or an
    exception ends it, the optimizer is left at the rate before the anneal. Each epoch's rate stands in `History` as
    "learning_rate". Beside a `BackupAndRestore` a killed fit goes on as if unbroken. One copy of the model and its
    optimizer is held in state.

    Args:
        probe_steps: Steps of a sweep, at least 20; 0 for no range test.
        probe_repeats: Number of sweeps, at least 1; the short runs take as many steps again.
        min_lr: First rate of the sweep, above 0.
        max_lr: Last rate of the sweep, above `min_lr`.
        anneal_fraction: Share of the planned epochs over which the rate falls, in [0, 1]; 0 for none.
        dry_run: Whether to tell only, in `log`, and train as without this callback.
        monitor: Name of the training loss in the logs.
        verbose: "auto" shows the range test's progress on a terminal; True, 1 and 2 always,
            False and 0 never.

    Raises:
        InvalidRangeError: `min_lr` and `max_lr` are not a range.
        InvalidArgumentError: Another argument breaks its rule.

    Source:
        Custom. Smith 2017, arXiv:1506.01186, for the range test; Hagele et al. 2024, arXiv:2405.18392, for the decay.
    """

    def __init__(
        self,
        *,
        probe_steps: int = 100,
        probe_repeats: int = 3,
        min_lr: float = 1e-7,
        max_lr: float = 10.0,
        anneal_fraction: float = 0.4,
        dry_run: bool = False,
        monitor: str = "loss",
        verbose: bool | Literal["auto", 0, 1, 2] = "auto",
    ) -> None:
        super().__init__()
        _check_steps(probe_steps)
        self.probe_steps = probe_steps
        self.anneal_fraction = validation.share("anneal_fraction", anneal_fraction)
        self.dry_run = dry_run
        self.monitor = monitor
        self._probe = make_probe(
            probe_steps or MIN_STEPS, probe_repeats, monitor=monitor, verbose=verbose, min_lr=min_lr, max_lr=max_lr
        )
        self._state: AutoLRState | None = None
        self._controller: Controller | None = None
        self._watch: BrokenFit | None = None
        self._epoch = self._next_tick = 0

    @property
    def log(self) -> AutoLRLog | None:
        """What was done so far, and why; None before the first epoch."""
        if self._state is None:
            return None
        planned = (self.params or {}).get("epochs")
        return self._state.to_log(planned_epochs=planned, dry_run=self.dry_run, monitor=self.monitor)

    def get_state(self) -> dict[str, Any]:
        """The run so far as plain JSON values, without the model's own state."""
        return {} if self._state is None else self._state.to_dict()

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from what `get_state` returned, in a `fit` that begins after the first epoch.

        Without effect while a fit is under way: weights that are loaded then do not undo its course.

        Raises:
            ResultFormatError: `state` is something else.
        """
        if self._controller is None:
            self._state = AutoLRState.from_dict(state) if state else None

    def set_model(self, model: keras.Model) -> None:
        """Lets every backup of the model hold this callback's state."""
        super().set_model(model)
        self._controller = None
        if model.optimizer is not None:
            attach_state(model, self, name="auto_lr")

    def on_train_begin(self, logs: Any = None) -> None:
        """Leaves the start to the first epoch, when every backup has been restored."""
        stand_before_backup(self)
        self._watch = BrokenFit(lambda error: self._release())
        self._watch.watch_fit(self.model)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Runs the range test before the first epoch."""
        self._epoch, self._next_tick = epoch, 0
        if self._controller is None:
            self._controller = self._start(epoch)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Twenty times an epoch, looks for a loss that is not finite and moves the anneal on."""
        if batch >= self._next_tick and self._controller is not None:
            steps = self.params.get("steps")
            width = TICK_STEPS if steps is None else max(-(-steps // TICKS_AN_EPOCH), self.model.steps_per_execution)
            self._next_tick = batch + width
            if batch:
                self._controller.watch(self._epoch)
            middle = 0.5 if steps is None else (batch + min(width, steps - batch) / 2) / steps
            self._controller.update_rate(self._epoch, middle, last=1 - 0.5 * min(width / (steps or width), 1))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Judges the epochs so far, acts, and writes the rate into the logs."""
        if self._controller is None:
            return
        logs = {} if logs is None else logs
        check_logged(self.monitor, logs)
        logs["learning_rate"] = self._controller.learning_rate
        val_loss = float(logs.get(f"val_{self.monitor}", math.nan))
        self._controller.end_epoch(epoch, float(logs[self.monitor]), val_loss)

    def on_train_end(self, logs: Any = None) -> None:
        """Leaves the optimizer at the rate before the anneal."""
        if self._watch is not None:
            self._watch.release()
        self._release()

    def _release(self) -> None:
        self._watch = None
        if self._controller is not None:
            self._controller.release()
            self._controller = None
        detach_state(self.model, name="auto_lr")

    def _start(self, epoch: int) -> Controller:
        epochs = self.params.get("epochs") or epoch + 1
        if self._state is None or not self._state.rewind(epoch):
            self._state = initial_state_of_run(
                self.model,
                self._probe if self.probe_steps else None,
                first_epoch=epoch,
                steps=(epochs - epoch) * (self.params.get("steps") or TICK_STEPS),
                anneal_fraction=self.anneal_fraction,
                monitor=self.monitor,
                applied=not self.dry_run,
            )
        return Controller(self.model, self._state, planned_epochs=epochs, monitor=self.monitor, dry_run=self.dry_run)


def _check_steps(probe_steps: Any) -> None:
    if validation.whole_number("probe_steps", probe_steps, least=0) in range(1, MIN_STEPS):
        raise InvalidArgumentError(
            f"`probe_steps` must be 0 or an integer of at least {MIN_STEPS}. Received: {probe_steps!r}. Try 100."
        )
