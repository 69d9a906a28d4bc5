"""`AutoLR`: from any compiled learning rate to a good one, while the model trains.

Its rules are in `analysis._auto_lr_rules`; `_auto_lr_start` measures before the first epoch, and
`_auto_lr_controller` applies the rules to the model.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import keras
import numpy as np

from keras_lr._keras.batches import data_of_fit
from keras_lr._keras.callback_state import Callback, TrainingSetup, attach_state, detach_state
from keras_lr._keras.learning_rate import steps_done
from keras_lr._keras.model import check_is_loss, is_built
from keras_lr._keras.running_fit import (
    callbacks_of_fit,
    epoch_iterator_of_fit,
    facts_of_fit,
    move_before_backup,
    on_fit_error,
    validation_of_fit,
    weighs_samples,
)
from keras_lr._utils import validation
from keras_lr._utils.names import SuggestsAttributes
from keras_lr._utils.progress import shown_in_fit, summary
from keras_lr._utils.validation import MAX_LR, MIN_LR, NUM_STEPS, SWEEP, check_logged
from keras_lr.analysis._suggestion.suggest import MIN_STEPS
from keras_lr.callbacks._auto_lr_controller import Controller, Fit
from keras_lr.callbacks._auto_lr_start import (
    Start,
    data_fault_of_fit,
    output_remedy,
    outputs_are_constant,
    validates_on_arrays,
    validation_fault_of_fit,
)
from keras_lr.callbacks._auto_lr_state import AutoLRState
from keras_lr.callbacks._reduce_on_plateau import ReduceOnPlateau
from keras_lr.errors import InvalidArgumentError
from keras_lr.range_test._callback import LRRangeTest
from keras_lr.range_test._run import RangeTestSettings, sweep_learning_rates
from keras_lr.results._auto_lr import AutoLRAction, AutoLRLog, action_in_words

TICKS_PER_EPOCH = 20
TICK_STEPS = 100
"""Steps between two ticks if the length of an epoch is unknown."""
MOST_RACED_STEPS = 2000
"""Steps of the longest training that is raced without being asked: with two of them, as long as a range test takes."""


class AutoLR(SuggestsAttributes, Callback):
    """Finds a learning rate before the first epoch, then watches the training loss and adjusts the rate.

    - **Probe**: a range test before the first epoch, refined by short runs, suggests a rate. A rehearsal of the first
      150 steps compares it with the compiled rate, and the better one is set; a run of at most 150 steps is
      rehearsed whole, with and without the anneal. The model is restored exactly, so this costs time but no epoch:
      at most 1264 steps in a compiled loop, which is several times faster than `fit`.
    - **Race**: a training of at most 2000 steps that has validation data needs no such guess. With arrays, a few rates
      around the suggestion train side by side before the first epoch, as in `keras_lr.RaceSearch`, the compiled rate
      among them unless one near it races. The one with the lowest validation loss is set. With the range
      test that costs about three trainings in the compiled loop.
    - **Rollback**: if the loss becomes NaN, also within an epoch, or an epoch gives back half of the total fall, the
      model and its optimizer return to the end of the last good epoch and the rate is divided by 3.2; if that is not
      enough, to the one before it, and the rate is divided by 10, then by 32 and so on, but not below `min_lr`. A model
      that gives the same output for every input starts again from its initial weights, at a lower rate. If the rate
      turns out not to be the cause, a warning says so, and the last good rate stays. If the fit ends with nearly the
      same output for every input, a warning says that, and what to do.
    - **Lower, raise**: if the loss oscillates, the rate is divided by 3.2. If the loss falls in a straight line, the
      rate is multiplied by 3.2 or 10, but not up to a rate that was rolled back. After a race or the rehearsal of a
      whole run, neither is done.
    - **Anneal**: over the last `anneal_fraction` of the planned epochs, or earlier if the loss stops falling, the rate
      decays to 0, unless it was compiled as a schedule that decays by itself. A race also tries a decay of three
      eighths of that length, and sets it if it ends clearly better.

    Epochs of fewer than 16 steps are judged several at a time. The training loss must mean the same in every epoch, and
    no other callback may set the rate. A schedule is multiplied by a factor; the rates of an action are then those at
    the schedule's highest. When training ends, also by Ctrl-C or an exception, the optimizer is left at the rate from
    before the anneal. A schedule is then the user's own again if the factor is 1; otherwise it stays in a
    `keras_lr.schedules.Scaled`, and keras_lr must be imported before a model saved with it is loaded.

    `History` holds the rate of each epoch as "learning_rate". A `fit` with a later `initial_epoch` continues the last
    one, unless the optimizer, the `compile` or the trainable weights are others: then `AutoLR` starts over with a range
    test, and says so. With `BackupAndRestore`, a killed fit resumes as if it had never stopped. One copy of the model
    and its optimizer is kept on their device and two in main memory, and all three in each backup.

    Where it cannot act (nothing to train, no optimizer, a rate of 0, a `train_step` with other optimizers, data with
    NaN), the fit goes on and one warning says so.

    Args:
        start: How the first rate is found: "range_test"; "race", for which `fit` needs validation data, and data of a
            known length that can be read again; or "auto", a race where it is short.
        probe_steps: Steps per sweep, at least 20; 0 for no range test.
        probe_repeats: Number of sweeps, at least 1; the short runs take as many steps again.
        min_lr: First rate of the sweep, above 0; no action lowers the rate below it.
        max_lr: Last rate of the sweep, above `min_lr`.
        anneal_fraction: Share of the planned epochs over which the rate decays, in [0, 1]; 0 for no anneal.
        dry_run: Whether to train as without this callback and only write to `log` what it would have done.
        monitor: Name of the training loss in the logs.
        verbose: "auto", True, 1 and 2 show the range test's progress, and each change of the rate in a line on
            stderr; False and 0 show nothing, and "auto" nothing with `fit(verbose=0)`.

    Raises:
        InvalidRangeError: `min_lr` and `max_lr` are not a range.
        InvalidArgumentError: Another argument breaks its rule; or, as `fit` begins, the data do not allow a race.
        ModelError: A `monitor` other than "loss" is not in the logs, or is better when higher; raised when the first
            epoch ends.

    Source:
        Custom. Smith 2017, arXiv:1506.01186, for the range test; Hagele et al. 2024, arXiv:2405.18392, for the decay.

    Example:
        >>> auto = keras_lr.AutoLR(verbose=0)
        >>> model.fit(x, y, epochs=3, verbose=0, callbacks=[auto])
        >>> print(auto.log)
    """

    _elsewhere: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"suggestion": "log.probe.suggestion", "result": "log", "history": "log"}
        | {name: f"log.{name}" for name in ("actions", "plot", "save", "to_frame", "to_html")}
        | dict.fromkeys(("lr", "best_lr", "learning_rate"), "log.learning_rates")
    )

    def __init__(
        self,
        *,
        start: Literal["auto", "range_test", "race"] = "auto",
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
        self.start = validation.choice("start", start, ("auto", "range_test", "race"))
        _check_probe_steps(probe_steps)
        if self.start == "race" and not probe_steps:
            raise InvalidArgumentError(
                '`probe_steps` must be above 0 with start="race", which races around the suggestion of a range test. '
                "Received: 0. Leave it out."
            )
        self.probe_steps = probe_steps
        self.anneal_fraction = validation.share("anneal_fraction", anneal_fraction)
        self.dry_run = dry_run
        self.monitor = monitor
        self._settings = RangeTestSettings(
            learning_rates=sweep_learning_rates(min_lr, max_lr, probe_steps or MIN_STEPS, SWEEP),
            sweep=SWEEP,
            repeats=probe_repeats,
            validation_data=None,
            monitor=monitor,
            stop_on_divergence=True,
            verbose=verbose,
            refine=True,
        )
        self._state: AutoLRState | None = None
        self._arrays: dict[str, np.ndarray] | None = None
        self._setup: TrainingSetup | None = None
        self._controller: Controller | None = None
        self._began = False
        self._said: list[AutoLRAction] = []
        self._stop_watching: Callable[[], None] | None = None
        self._epoch = self._next_tick = self._steps_before = 0

    @property
    def log(self) -> AutoLRLog | None:
        """The actions so far and their reasons; None before the first epoch and for a model without an optimizer."""
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
            self._setup = None

    def get_arrays(self) -> dict[str, np.ndarray]:
        """The states of the model to which the run can return."""
        checkpoints = None if self._controller is None else self._controller.checkpoints
        return {} if checkpoints is None else checkpoints.to_arrays()

    def set_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        """Continues with what `get_arrays` returned; ignored while epochs are being trained."""
        if self._controller is None:
            self._arrays = arrays

    def set_model(self, model: keras.Model) -> None:
        """Attaches the state of this callback to the model's weights."""
        super().set_model(model)
        self._controller = self._arrays = None
        if model.optimizer is not None:
            attach_state(model, self, name="auto_lr")

    def on_train_begin(self, logs: Any = None) -> None:
        """Prepares for backups and errors; the run starts at the first epoch, after every backup is restored."""
        super().on_train_begin(logs)
        self._began = False
        if self.start == "race" and self.model.optimizer is not None:
            self._check_race()
        move_before_backup(self)
        self._stop_watching = on_fit_error(self.model, lambda error: self._release())

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Runs the range test before the first epoch."""
        self._epoch, self._next_tick = epoch, 0
        if not self._began:
            self._began = True
            self._said = [] if self._state is None else list(self._state.actions)
            self._controller = self._begin(epoch)
            self._say_changes()
        self._steps_before = steps_done(self.model.optimizer)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Checks the loss and updates the annealed rate, twenty times per epoch."""
        if batch == 1 and self._controller is not None and not weighs_samples(self.model):
            self._controller.keep_first_loss()
        if batch >= self._next_tick and self._controller is not None:
            # Of empty arrays, Keras plans no step but begins one.
            steps = self.params.get("steps") or None
            width = TICK_STEPS if steps is None else max(-(-steps // TICKS_PER_EPOCH), self.model.steps_per_execution)
            self._next_tick = batch + width
            if batch:
                self._controller.check_running_loss(self._epoch)
            middle = 0.5 if steps is None else (batch + min(width, steps - batch) / 2) / steps
            last = width if steps is None else steps % width or width
            self._controller.update_rate(self._epoch, middle, last=1 - 0.5 * min(last / (steps or last), 1))

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Logs the rate, judges the epochs so far and acts on them."""
        controller, state = self._controller, self._state
        if controller is None or state is None:
            return
        logs = {} if logs is None else logs
        if self.monitor not in logs and self.monitor == "loss":
            self._stand_aside(f"the logs hold no 'loss', only {sorted(logs)}; name one of these as `monitor`")
        else:
            check_logged(self.monitor, logs)
            check_is_loss(self.model, self.monitor)
        if self._setup is None and logs.get(self.monitor) == 0 and not logs.get(f"val_{self.monitor}"):
            self._stand_aside(
                f"the logged {self.monitor!r} is exactly 0, so it is not the one that is trained; a `train_step` of "
                "your own has to update the metric of that name in `self.metrics`"
            )
        steps = steps_done(self.model.optimizer) - self._steps_before
        rolled_back = any(action.kind == "rollback" for action in state.actions)
        if steps > 0:
            state.steps = self.params.get("steps") or steps
        elif self._setup is None and not rolled_back:
            self._stand_aside("the model's `train_step` does not train with the compiled optimizer")
        self._setup = TrainingSetup(self.model)
        if steps > 0 or rolled_back:
            logs["learning_rate"] = controller.learning_rate
        values = [float(logs.get(name, math.nan)) for name in (self.monitor, f"val_{self.monitor}")]
        controller.end_epoch(epoch, *values)
        self._say_changes()
        if f"val_{self.monitor}" in logs and state.rows[-1].kept is not False:
            self._check_validation(*values)

    def on_train_end(self, logs: Any = None) -> None:
        """Says what became of the model, and restores the rate from before the anneal."""
        if self._controller is not None:
            self._controller.end_training()
        if self._stop_watching is not None:
            self._stop_watching()
        self._release()

    def _release(self) -> None:
        self._stop_watching = None
        if self._controller is not None:
            self._controller.release()
            self._controller = None
        detach_state(self.model, name="auto_lr")

    def _begin(self, epoch: int) -> Controller | None:
        """The controller of this fit; None if the model has no optimizer."""
        model = self.model
        if model.optimizer is None:
            self._state = None
            self._warn("`AutoLR` does nothing in this fit, since the model was compiled without an optimizer.")
            return None
        epochs = self.params.get("epochs") or epoch + 1
        start = Start(model, epoch, epochs, self.params.get("steps"), self.dry_run, self._warn, self._find_obstacle())
        again = self._why_again(epoch)
        if again or self._state is None or not self._state.rewind(epoch):
            self._state, self._arrays = self._initial_state(start), None
            if again:
                start.say_why_again(self._state, again)
        self._state.known |= facts_of_fit(model, self.params, monitor=self.monitor)
        self._setup = None
        if start.obstacle:
            self._say_obstacle(start.obstacle)
        fit = Fit(
            planned_epochs=epochs,
            monitor=self.monitor,
            dry_run=self.dry_run,
            passive=bool(start.obstacle),
            min_lr=self._settings.learning_rates[0],
            rivals=self._name_rivals(),
            data_fault=lambda: data_fault_of_fit(model),
            outputs_are_constant=lambda: outputs_are_constant(model, start.sample),
            output_remedy=lambda: output_remedy(model, start.sample),
        )
        arrays, self._arrays = self._arrays, None
        return Controller(model, self._state, fit, arrays)

    def _initial_state(self, start: Start) -> AutoLRState:
        if not self.probe_steps:
            two_steps = sweep_learning_rates(MIN_LR, MAX_LR, 2, SWEEP)
            builds = replace(self._settings, learning_rates=two_steps, repeats=1, refine=False, verbose=False)
            return start.without_probe(builds, anneal_fraction=self.anneal_fraction)
        rehearsed = max(self.probe_steps * self._settings.repeats // 2, 1)
        return start.with_probe(
            replace(self._settings, verbose=shown_in_fit(self._settings.verbose, self.params)),
            anneal_fraction=self.anneal_fraction,
            rehearsed_steps=rehearsed,
            validate=self._validate if self.start == "race" or self._races_by_itself(start) else None,
        )

    def _races_by_itself(self, start: Start) -> bool:
        """Whether a race costs little: a short training, with the usual loss, on arrays."""
        if self.start != "auto" or self.monitor != "loss" or not start.steps:
            return False
        return (start.epochs - start.epoch) * start.steps <= MOST_RACED_STEPS and validates_on_arrays(self.model)

    def _check_race(self) -> None:
        given = validation_of_fit(self.model)
        epochs = epoch_iterator_of_fit(self.model)
        if given is None:
            raise InvalidArgumentError(
                'start="race" needs validation data, by which it compares the rates. Received: a fit without them. '
                'Pass `validation_data` or `validation_split` to `fit`, or leave `start` at "auto".'
            )
        if self.params.get("steps") is None:
            raise InvalidArgumentError(
                'start="race" needs to know the number of batches per epoch. Received: data of unknown length. Pass '
                '`steps_per_epoch` to `fit`, or leave `start` at "auto".'
            )
        if isinstance(given["x"], Iterator) or (
            epochs is not None and data_of_fit(epochs, self.model, self.probe_steps).is_generator
        ):
            raise InvalidArgumentError(
                'start="race" needs data that can be read again for each run. Received: a generator. Pass arrays, a '
                '`tf.data.Dataset` or a `PyDataset`, or leave `start` at "auto".'
            )

    def _validate(self) -> float:
        """The validation loss of the model as it is."""
        given = validation_of_fit(self.model) or {}
        logs = self.model.evaluate(**given, verbose=0, return_dict=True)
        check_logged(self.monitor, logs)
        return float(logs[self.monitor])

    def _why_again(self, epoch: int) -> str | None:
        """Why a fit that could continue the last one does not, as a clause."""
        known = self._state is not None and any(row.epoch < epoch for row in self._state.rows)
        return self._setup.change(self.model) if known and self._setup is not None else None

    def _find_obstacle(self) -> str:
        """Why the fit can only be recorded, as far as that is known before it; else empty."""
        siblings = self._siblings()
        before = siblings[: siblings.index(self)] if self in siblings else []
        if not self.dry_run and any(isinstance(one, AutoLR) and not one.dry_run for one in before):
            return "another `AutoLR` comes before it in the list of callbacks"
        if is_built(self.model) and not self.model.trainable_variables:
            return "the model has no trainable weights"
        return ""

    def _name_rivals(self) -> bool:
        """Warns of other callbacks that set the rate; returns whether there are any."""
        names = [] if self.dry_run else [name for one in self._siblings() if (name := _sets_rate(one))]
        for name in dict.fromkeys(names):
            note = f"`AutoLR` sets the learning rate itself, so what `{name}` beside it sets does not last. Remove one."
            self._add_note(note)
            self._warn(note)
        return bool(names)

    def _siblings(self) -> list[keras.callbacks.Callback]:
        running = callbacks_of_fit()
        return [] if running is None else running.callbacks

    def _say_changes(self) -> None:
        """Writes a line for each change of the rate since the last call."""
        actions = [] if self._state is None else self._state.actions
        for action in actions:
            if action not in self._said:
                self._said.append(action)
                summary(action_in_words(action), verbose=shown_in_fit(self._settings.verbose, self.params))

    def _stand_aside(self, obstacle: str) -> None:
        """Records the rest of the fit without acting on it."""
        if self._controller is not None and not self._controller.passive:
            self._controller.stand_aside()
            self._say_obstacle(obstacle)

    def _check_validation(self, loss: float, val_loss: float) -> None:
        """Says once that the validation loss alone is not finite, which is no reason to change the rate."""
        found = f"`val_{self.monitor}` is not finite, although `{self.monitor}` is."
        known = [] if self._state is None else self._state.notes
        if math.isfinite(val_loss) or not math.isfinite(loss) or any(note.startswith(found) for note in known):
            return
        note = f"{found} {validation_fault_of_fit(self.model)} `AutoLR` goes by `{self.monitor}` alone."
        self._add_note(note)
        self._warn(note)

    def _say_obstacle(self, obstacle: str) -> None:
        note = f"`AutoLR` only records this fit and leaves the learning rate as it is: {obstacle.rstrip('.')}."
        self._add_note(note)
        self._warn(note)

    def _add_note(self, note: str) -> None:
        if self._state is not None:
            self._state.add_note(note)

    def _warn(self, text: str) -> None:
        warnings.warn(text, stacklevel=2)


def _sets_rate(callback: keras.callbacks.Callback) -> str | None:
    """The name of a callback that sets the learning rate while a model trains; None for any other."""
    if isinstance(callback, LRRangeTest):
        return f"{type(callback).__name__}(apply=True)" if callback.apply else None
    kinds = (keras.callbacks.LearningRateScheduler, keras.callbacks.ReduceLROnPlateau, ReduceOnPlateau)
    return type(callback).__name__ if isinstance(callback, kinds) else None


def _check_probe_steps(probe_steps: Any) -> None:
    if validation.whole_number("probe_steps", probe_steps, least=0) in range(1, MIN_STEPS):
        raise InvalidArgumentError(
            f"`probe_steps` must be 0 or an integer >= {MIN_STEPS}. Received: {probe_steps!r}. Try 100."
        )
