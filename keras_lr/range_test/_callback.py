"""`LRRangeTest`: a range test inside `model.fit`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import keras

from keras_lr._keras.batches import ReadingOfFit, data_of_fit, reading_of_fit
from keras_lr._keras.callback_state import Callback
from keras_lr._keras.learning_rate import follows_schedule, keeps_average, set_learning_rate
from keras_lr._keras.running_fit import epoch_iterator_of_fit, refuse_backup, skip_epochs
from keras_lr._keras.snapshot import RandomState
from keras_lr._utils import validation
from keras_lr._utils.names import SuggestsAttributes
from keras_lr._utils.progress import shown_in_fit, summary
from keras_lr._utils.validation import MAX_LR, MIN_LR, NUM_STEPS, REPEATS, SWEEP
from keras_lr.errors import DataError, ModelError
from keras_lr.range_test._run import RangeTestSettings, measure, sweep_learning_rates
from keras_lr.results._range_test import RangeTestResult, Suggestion, suggestion_in_words


def calling_fit(model: keras.Model) -> Any:
    """The epoch iterator of the `fit` of `model` that is calling.

    Raises:
        DataError: No `fit` is calling.
    """
    epochs = epoch_iterator_of_fit(model)
    if epochs is None:
        raise DataError(
            "A range test in a callback reads the data of the `model.fit` that is running. Received a call from "
            "elsewhere. Use `find_lr` instead."
        )
    return epochs


class LRRangeTest(SuggestsAttributes, Callback):
    """Raises the learning rate step by step and records each batch's own loss.

    The test runs before the first epoch, inside one compiled loop. Weights, optimizer, metrics, random states and data
    order are then restored. By default `fit` ends without an epoch; with `apply=True` it trains all its epochs at the
    suggested rate. The suggestion is for the epochs that `fit` was asked for, if that is more than one or `apply` is
    set.

    Args:
        min_lr: First learning rate, above 0.
        max_lr: Last learning rate, above `min_lr`.
        num_steps: Number of training steps, at least 2, each with one batch; the data is repeated as often as needed.
        sweep: How the rate rises: "exponential" (equal ratios) or "linear" (equal differences).
        apply: Whether to set the suggested learning rate and train on.
        repeats: Number of sweeps, each from the same weights with other batches and dropout masks.
        validation_data: One batch `(x, y)` or `(x, y, sample_weight)` on which each point is scored instead of its
            training batch.
        monitor: Name of the loss in what `train_step` returns.
        stop_on_divergence: Whether to stop once the loss has diverged.
        verbose: "auto", True, 1 and 2 show the progress, and at the end one line on stderr with what was found; False
            and 0 show nothing, and "auto" nothing with `fit(verbose=0)`.
        refine: Whether to refine the suggestion by short runs at constant rates near it, from the same weights. They
            take at most as many steps as the sweeps.

    Attributes:
        result: The `RangeTestResult`, also of a test that was cut short; None before the test.

    Raises:
        InvalidRangeError: `min_lr` and `max_lr` are not a range.
        InvalidArgumentError: Another argument breaks its rule; or, as `fit` begins without `apply`, a
            `BackupAndRestore` beside this callback holds a backup of an unfinished run.

    Source:
        Smith 2017, arXiv:1506.01186.

    Example:
        >>> finder = keras_lr.LRRangeTest(num_steps=60)
        >>> model.fit(x, y, verbose=0, callbacks=[finder])
        >>> finder.result.suggestion
    """

    _elsewhere: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"suggestion": "result.suggestion", "history": "result"}
        | {name: f"result.{name}" for name in ("plot", "save", "to_frame", "to_html", "learning_rates", "losses")}
        | dict.fromkeys(("lr", "best_lr", "learning_rate", "suggested_lr"), "result.suggestion.learning_rate")
    )

    def __init__(
        self,
        min_lr: float = MIN_LR,
        max_lr: float = MAX_LR,
        num_steps: int = NUM_STEPS,
        sweep: Literal["exponential", "linear"] = SWEEP,
        apply: bool = False,
        repeats: int = REPEATS,
        *,
        validation_data: Any = None,
        monitor: str = "loss",
        stop_on_divergence: bool = True,
        verbose: bool | Literal["auto", 0, 1, 2] = "auto",
        refine: bool = False,
    ) -> None:
        super().__init__()
        validation.flag("apply", apply)
        self.settings = RangeTestSettings(
            learning_rates=sweep_learning_rates(min_lr, max_lr, num_steps, sweep),
            sweep=sweep,
            repeats=repeats,
            validation_data=validation_data,
            monitor=monitor,
            stop_on_divergence=stop_on_divergence,
            verbose=verbose,
            refine=refine,
        )
        self.apply = apply
        self.result: RangeTestResult | None = None
        self._after_fit: Callable[[], None] | None = None
        self._random_state = RandomState()

    def on_train_begin(self, logs: Any = None) -> None:
        """Runs the whole test."""
        super().on_train_begin(logs)
        self.result = None
        model = self.model
        steps = len(self.settings.learning_rates) * self.settings.repeats
        epochs = calling_fit(model)
        if not self.apply:
            refuse_backup()
        data = data_of_fit(epochs, model, steps)
        fit_read = ReadingOfFit(None, []) if self.apply else reading_of_fit(epochs, self._random_state)
        shown = shown_in_fit(self.settings.verbose, self.params)
        settings = replace(self._settings_of_fit(), verbose=shown)
        measurement = measure(model, data, settings)
        self.result = measurement.result
        if fit_read.before is not None:
            fit_read.before.restore(restart_operations=True)
        loses_batches = data.is_generator and not self.apply
        for message in measurement.messages(fit_read.unrestored, generator_is_used_up=loses_batches):
            warnings.warn(message, UserWarning, stacklevel=2)
        error = measurement.error
        if error is not None and (self.apply or not isinstance(error, KeyboardInterrupt)):
            raise error
        if self.apply:
            self._apply(self.result.suggestion)
            self._say(f"{suggestion_in_words(self.result.suggestion)} The optimizer now trains at this rate.")
            return
        self._say(suggestion_in_words(self.result.suggestion))
        skip_epochs(model, epochs, last_epoch=self.params.get("epochs") or 1)
        # At the end of every fit Keras overwrites the weights by their moving average.
        self._after_fit = measurement.restore if keeps_average(model.optimizer) else None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Raises an error if an epoch is trained after a test that was to end the fit."""
        if not self.apply:
            raise ModelError(
                "`LRRangeTest` could not end this fit before its first epoch, since the model has a `fit` of its own. "
                "Use `find_lr`, or pass `apply=True` to train on."
            )

    def on_train_end(self, logs: Any = None) -> None:
        """Restores the weights that `fit` changed at its end, although it trained no epoch."""
        if self._after_fit is not None:
            self._after_fit()
            self._after_fit = None

    def _settings_of_fit(self) -> RangeTestSettings:
        """The settings with the length of the training that `fit` was asked for.

        A single epoch, of a `fit` that ends without one, says nothing about later runs.
        """
        epochs = (self.params or {}).get("epochs")
        if epochs is None or not (self.apply or epochs > 1):
            return self.settings
        return replace(self.settings, epochs=int(epochs), steps_per_epoch=self.params.get("steps"))

    def _say(self, line: str) -> None:
        summary(line, verbose=shown_in_fit(self.settings.verbose, self.params))

    def _apply(self, suggestion: Suggestion) -> None:
        if suggestion.learning_rate is None:
            raise ModelError(
                f"`apply=True` needs a suggested learning rate, but the range test gave none: {suggestion.reason} "
                "Set the learning rate yourself or test another range."
            )
        optimizer = self.model.optimizer
        scheduled = follows_schedule(optimizer)
        set_learning_rate(optimizer, suggestion.learning_rate)
        if scheduled:
            # An earlier fit may have traced the schedule into its training function.
            self.model.make_train_function(force=True)
