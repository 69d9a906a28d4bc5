"""`AutoLR`: from any compiled learning rate to a good one, while the model trains.

Its rules are in `analysis._auto_lr_rules`; `_auto_lr_controller` applies them to the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import keras

from keras_lr._keras.callback_state import Callback, attach_state, detach_state
from keras_lr._keras.learning_rate import rates_ahead
from keras_lr._keras.running_fit import move_before_backup, on_fit_error
from keras_lr._utils import validation
from keras_lr._utils.formatting import format_rate
from keras_lr._utils.range_test_defaults import MAX_LR, MIN_LR, NUM_STEPS
from keras_lr._utils.validation import check_logged
from keras_lr.analysis._auto_lr_rules import read_baseline
from keras_lr.analysis._suggestion.suggest import MIN_STEPS
from keras_lr.callbacks._auto_lr_controller import AutoLRState, Controller, Segment
from keras_lr.errors import InvalidArgumentError, ModelError
from keras_lr.range_test._callback import LRRangeTest
from keras_lr.range_test._sweep import check_optimizer
from keras_lr.results._auto_lr import AutoLRAction, AutoLRLog
from keras_lr.results._range_test import RangeTestResult, Suggestion

MIN_PROBE_RATIO = 1.25
"""A suggestion closer to the compiled rate is ignored: a range test is not that precise."""

SELF_ANNEALED_SHARE = 0.2
"""A schedule that ends below this share of its highest rate anneals by itself."""

TICKS_PER_EPOCH = 20
TICK_STEPS = 100
"""Steps between two ticks if the length of an epoch is unknown."""


class AutoLR(Callback):
    """Finds a learning rate before the first epoch, then watches the training loss and adjusts the rate.

    - **Probe**: a range test before the first epoch, refined by short runs, sets the suggested rate. The model is
      restored exactly, so the test costs time but no epoch: 600 steps in a compiled loop, which is several times faster
      than `fit`. If the test has no answer, the compiled rate stays.
    - **Rollback**: if the loss becomes NaN, also within an epoch, or an epoch gives back half of the total fall, the
      model and its optimizer return to the end of the last good epoch and the rate is divided by 3.2; by 10, 32 and so
      on if that is not enough.
    - **Lower, raise**: if the loss oscillates, the rate is divided by 3.2. If the loss falls in a straight line, the
      rate is multiplied by 3.2 or 10.
    - **Anneal**: over the last `anneal_fraction` of the planned epochs, or earlier if the loss stops falling, the rate
      decays to 0, unless it was compiled as a schedule that decays by itself.

    The training loss must mean the same in every epoch, and no other callback may set the rate. A schedule is
    multiplied by a factor; the rates of an action are then those at the schedule's highest. When training ends, also by
    Ctrl-C or an exception, the optimizer is left at the rate from before the anneal. `History` holds the rate of each
    epoch as "learning_rate". With `BackupAndRestore`, a killed fit resumes as if it had never stopped. One copy of the
    model and its optimizer is kept in memory.

    Args:
        probe_steps: Steps per sweep, at least 20; 0 for no range test.
        probe_repeats: Number of sweeps, at least 1; the short runs take as many steps again.
        min_lr: First rate of the sweep, above 0.
        max_lr: Last rate of the sweep, above `min_lr`.
        anneal_fraction: Share of the planned epochs over which the rate decays, in [0, 1]; 0 for no anneal.
        dry_run: Whether to train as without this callback and only write to `log` what it would have done.
        monitor: Name of the training loss in the logs.
        verbose: "auto" shows the range test's progress on a terminal; True, 1 and 2 always show it,
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
        probe_steps: int = NUM_STEPS,
        probe_repeats: int = 3,
        min_lr: float = MIN_LR,
        max_lr: float = MAX_LR,
        anneal_fraction: float = 0.4,
        dry_run: bool = False,
        monitor: str = "loss",
        verbose: bool | Literal["auto", 0, 1, 2] = "auto",
    ) -> None:
        super().__init__()
        _check_probe_steps(probe_steps)
        self.probe_steps = probe_steps
        self.anneal_fraction = validation.share("anneal_fraction", anneal_fraction)
        self.dry_run = dry_run
        self.monitor = monitor
        self._probe = _Probe(
            min_lr,
            max_lr,
            probe_steps or MIN_STEPS,
            repeats=probe_repeats,
            apply=True,
            monitor=monitor,
            verbose=verbose,
            refine=True,
        )
        self._state: AutoLRState | None = None
        self._controller: Controller | None = None
        self._stop_watching: Callable[[], None] | None = None
        self._epoch = self._next_tick = 0

    @property
    def log(self) -> AutoLRLog | None:
        """The actions so far and their reasons; None before the first epoch."""
        if self._state is None:
            return None
        planned = (self.params or {}).get("epochs")
        return self._state.to_log(planned_epochs=planned, dry_run=self.dry_run, monitor=self.monitor)

    def get_state(self) -> dict[str, Any]:
        """The run so far as plain JSON values, without the model's own state."""
        return {} if self._state is None else self._state.to_dict()

    def set_state(self, state: dict[str, Any]) -> None:
        """Continues from what `get_state` returned, in a `fit` that begins after the first epoch.

        Ignored while epochs are being trained: weights that are loaded then do not undo the run.

        Raises:
            ResultFormatError: `state` is something else.
        """
        if self._controller is None:
            self._state = AutoLRState.from_dict(state) if state else None

    def set_model(self, model: keras.Model) -> None:
        """Attaches the state of this callback to the model's weights."""
        super().set_model(model)
        self._controller = None
        if model.optimizer is not None:
            attach_state(model, self, name="auto_lr")

    def on_train_begin(self, logs: Any = None) -> None:
        """Prepares for backups and errors; the run starts at the first epoch, after every backup is restored."""
        move_before_backup(self)
        self._stop_watching = on_fit_error(self.model, lambda error: self._release())

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Runs the range test before the first epoch."""
        self._epoch, self._next_tick = epoch, 0
        if self._controller is None:
            self._controller = self._start(epoch)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Checks the loss and updates the annealed rate, twenty times per epoch."""
        if batch >= self._next_tick and self._controller is not None:
            steps = self.params.get("steps")
            width = TICK_STEPS if steps is None else max(-(-steps // TICKS_PER_EPOCH), self.model.steps_per_execution)
            self._next_tick = batch + width
            if batch:
                self._controller.check_running_loss(self._epoch)
            middle = 0.5 if steps is None else (batch + min(width, steps - batch) / 2) / steps
            self._controller.update_rate(self._epoch, middle, last=1 - 0.5 * min(width / (steps or width), 1))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Logs the rate, judges the epochs so far and acts on them."""
        if self._controller is None:
            return
        logs = {} if logs is None else logs
        check_logged(self.monitor, logs)
        logs["learning_rate"] = self._controller.learning_rate
        val_loss = float(logs.get(f"val_{self.monitor}", math.nan))
        self._controller.end_epoch(epoch, float(logs[self.monitor]), val_loss)

    def on_train_end(self, logs: Any = None) -> None:
        """Restores the rate from before the anneal."""
        if self._stop_watching is not None:
            self._stop_watching()
        self._release()

    def _release(self) -> None:
        self._stop_watching = None
        if self._controller is not None:
            self._controller.release()
            self._controller = None
        detach_state(self.model, name="auto_lr")

    def _start(self, epoch: int) -> Controller:
        epochs = self.params.get("epochs") or epoch + 1
        if self._state is None or not self._state.rewind(epoch):
            self._state = self._initial_state(epoch, (epochs - epoch) * (self.params.get("steps") or TICK_STEPS))
        return Controller(self.model, self._state, planned_epochs=epochs, monitor=self.monitor, dry_run=self.dry_run)

    def _initial_state(self, epoch: int, planned_steps: int) -> AutoLRState:
        """The state at the start of a run, including the range test.

        Raises:
            ModelError: The model was compiled without an optimizer, or with a rate that stays 0.
        """
        model = self.model
        check_optimizer(model)
        ahead = rates_ahead(model.optimizer, planned_steps)
        highest = float(ahead.max())
        if not highest > 0:
            raise ModelError(
                f"`optimizer` must have a learning rate above 0. Received: {highest}. Compile with another, such as "
                "1e-3."
            )
        fraction = 0.0 if ahead[-1] < SELF_ANNEALED_SHARE * highest else self.anneal_fraction
        state = AutoLRState(epoch, float(ahead[0]), highest, segment=Segment(anneal_from=1 - fraction))
        if self.probe_steps:
            state.probe = self._probe.run(model)
            state.baseline = read_baseline(state.probe.repeat_losses)
            self._start_at(state, state.probe.suggestion)
        elif not self.dry_run and not (model.built and model.optimizer.built):
            # A rollback needs the variables of the model, which two steps build.
            _Probe(num_steps=2, apply=True, monitor=self.monitor, verbose=False).run(model)
        return state

    def _start_at(self, state: AutoLRState, suggestion: Suggestion) -> None:
        """Adds the probe's action, unless it has no answer or confirms the compiled rate."""
        rate, compiled = suggestion.learning_rate, state.reference
        if rate is None or max(rate / compiled, compiled / rate) < MIN_PROBE_RATIO:
            return
        reason = f"A short range test suggests {format_rate(rate)} ({suggestion.confidence}): {suggestion.reason}"
        action = AutoLRAction("probe", state.first_epoch, compiled, rate, reason, not self.dry_run)
        state.add_action(action, **({} if self.dry_run else {"factor": rate / compiled}))


class _Probe(LRRangeTest):
    """A range test within a `fit`, which then trains all its epochs; `AutoLR` sets the rate instead of `apply`."""

    def run(self, model: keras.Model) -> RangeTestResult:
        """Sweeps and restores the model whose `fit` is running; builds it if necessary."""
        self.set_model(model)
        self.on_train_begin()
        return self.measured()

    def _apply(self, suggestion: Suggestion) -> None:
        """Changes nothing."""


def _check_probe_steps(probe_steps: Any) -> None:
    if validation.whole_number("probe_steps", probe_steps, least=0) in range(1, MIN_STEPS):
        raise InvalidArgumentError(
            f"`probe_steps` must be 0 or an integer >= {MIN_STEPS}, got {probe_steps!r}. Try 100."
        )
