"""The learning-rate range test, as a callback of `model.fit`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import keras
import numpy as np

from keras_lr.analysis.suggestion import suggest
from keras_lr.callbacks.progress import progress_line
from keras_lr.errors import DataError, InvalidArgumentError, InvalidRangeError, ModelError
from keras_lr.records.range_test import RangeTestResult
from keras_lr.records.suggestion import Suggestion
from keras_lr.training.data import BatchStream, epoch_iterator_of_fit
from keras_lr.training.devices import environment
from keras_lr.training.rate_control import set_learning_rate
from keras_lr.training.sweep import Curve, Sweep

_DETAILS = {
    "completed": "The sweep reached the end of its range.",
    "diverged": "The loss diverged at a learning rate of {rate:.3g}.",
    "non_finite": "The loss became NaN or infinite at a learning rate of {rate:.3g}.",
    "data_exhausted": "The data ended for good after {steps} of {num_steps} steps.",
    "interrupted": "Interrupted after {steps} of {num_steps} steps.",
    "error": "A step failed after {steps} of {num_steps} steps: {error}",
}


class LRRangeTest(keras.callbacks.Callback):
    """Raises the learning rate step by step and records each batch's own loss.

    The test runs before the first epoch, inside one compiled loop, and leaves everything as it was: weights,
    optimizer, metrics, random states, data order. Then `fit` ends without an epoch, or, with `apply=True`, trains all
    its epochs at the suggested rate.

    Args:
        min_lr: First learning rate, above 0.
        max_lr: Last learning rate, above `min_lr`.
        num_steps: Number of training steps, at least 2, each with one batch; over as many epochs as the data needs.
        sweep: "exponential" (equal ratios) or "linear" (equal differences).
        apply: Whether to set the suggested learning rate and go on with the training.
        repeats: Number of sweeps, each from the same weights with other batches and dropout masks.
        validation_data: `(x, y)` or `(x, y, sample_weight)`, one batch on which each point is scored instead of its
            training batch.
        monitor: Name of the loss in what `train_step` returns.
        stop_on_divergence: Whether to stop once the loss has diverged.
        verbose: "auto" shows a progress line on a terminal; True always, False never.

    Attributes:
        result: A `RangeTestResult` once the test has run, also where it was cut short; None before.

    Raises:
        InvalidRangeError: `min_lr` and `max_lr` are not a range.
        InvalidArgumentError: Another argument breaks its rule.

    Source:
        Smith 2017, arXiv:1506.01186.
    """

    def __init__(
        self,
        min_lr: float = 1e-7,
        max_lr: float = 10.0,
        num_steps: int = 100,
        sweep: Literal["exponential", "linear"] = "exponential",
        apply: bool = False,
        repeats: int = 1,
        *,
        validation_data: Any = None,
        monitor: str = "loss",
        stop_on_divergence: bool = True,
        verbose: bool | Literal["auto"] = "auto",
    ) -> None:
        super().__init__()
        self.learning_rates = sweep_learning_rates(min_lr, max_lr, num_steps, sweep)
        _check_count("repeats", repeats, 1)
        if validation_data is not None and not (isinstance(validation_data, tuple) and len(validation_data) in (2, 3)):
            raise InvalidArgumentError(
                "`validation_data` must be a tuple (x, y) or (x, y, sample_weight). "
                f"Received: {type(validation_data).__name__}. Take one batch of your set."
            )
        self.sweep: Literal["exponential", "linear"] = sweep
        self.apply = apply
        self.repeats = repeats
        self.validation_data = validation_data
        self.monitor = monitor
        self.stop_on_divergence = stop_on_divergence
        self.verbose = verbose
        self.result: RangeTestResult | None = None
        self._after_fit: Callable[[], None] | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Runs the whole test."""
        self.result = None
        model = self.model
        stream = BatchStream(epoch_iterator_of_fit(model))
        total = len(self.learning_rates) * self.repeats
        with progress_line("Range test", total, show=self.verbose) as progress:
            test = Sweep(
                model,
                stream,
                monitor=self.monitor,
                validation_batch=_as_tensors(self.validation_data),
                stop_on_divergence=self.stop_on_divergence,
                on_progress=progress,
            )
            with test:
                curves = self._run_repeats(test)
        self.result = self._summarize(curves)
        error = curves[-1].error
        if error is not None and not (isinstance(error, KeyboardInterrupt) and not self.apply):
            if not isinstance(error, KeyboardInterrupt):
                error.add_note("keras_lr: the model was restored; the points so far stand in the callback's `result`.")
            raise error
        if self.apply:
            stream.hand_back()
            self._apply(self.result.suggestion)
        else:
            self._skip_epochs(test)

    def on_train_end(self, logs: Any = None) -> None:
        """Undoes what `fit` does at its end, where no epoch was run."""
        if self._after_fit is not None:
            self._after_fit()
            self._after_fit = None

    def measured(self) -> RangeTestResult:
        """The result of the test.

        Raises:
            DataError: The test has not run.
        """
        if self.result is None:
            raise DataError(
                "`result` must come from a `fit` with this callback. Received no such fit. Call `model.fit` first."
            )
        return self.result

    def _run_repeats(self, test: Sweep) -> list[Curve]:
        curves: list[Curve] = []
        for _ in range(self.repeats):
            curves.append(test.run(self.learning_rates))
            if curves[-1].error is not None or curves[-1].stop_reason == "data_exhausted":
                break
        return curves

    def _skip_epochs(self, test: Sweep) -> None:
        model = self.model
        initial_epoch = model._initial_epoch
        model._initial_epoch = max(self.params.get("epochs") or 1, 1)

        def after_fit() -> None:
            # With `use_ema` keras overwrites the weights by their average at the end of every fit.
            test.restore()
            model._initial_epoch = initial_epoch

        self._after_fit = after_fit

    def _apply(self, suggestion: Suggestion) -> None:
        if suggestion.learning_rate is None:
            raise ModelError(
                f"`apply=True` must have a suggested learning rate to train with. Received none: {suggestion.reason} "
                "Set the learning rate yourself, or test another range."
            )
        set_learning_rate(self.model.optimizer, suggestion.learning_rate)
        self.model.make_train_function(force=True)

    def _summarize(self, curves: list[Curve]) -> RangeTestResult:
        losses = consensus(curves)
        rates = self.learning_rates[: len(losses)]
        last = curves[-1] if curves[-1].error is not None else min(curves, key=lambda curve: len(curve.losses))
        repeat_losses = np.full((len(curves), len(losses)), np.nan)
        for row, curve in zip(repeat_losses, curves, strict=True):
            row[: len(curve.losses)] = curve.losses[: len(losses)]
        reached = min(len(last.losses), len(self.learning_rates) - 1)
        return RangeTestResult(
            learning_rates=rates,
            losses=losses,
            suggestion=_suggest(rates, repeat_losses if len(curves) > 1 else losses),
            stop_reason=last.stop_reason,
            stop_detail=_DETAILS[last.stop_reason].format(
                rate=self.learning_rates[reached],
                steps=len(last.losses),
                num_steps=len(self.learning_rates),
                error=last.error,
            ),
            num_steps=len(self.learning_rates),
            sweep=self.sweep,
            scored_on="training" if self.validation_data is None else "validation",
            repeat_losses=repeat_losses,
            engine="per_batch" if self.model.run_eagerly else "graph",
            engine_reason="The model was compiled with `run_eagerly=True`." if self.model.run_eagerly else "",
            monitor=self.monitor,
            environment=environment(self.model),
        )


def sweep_learning_rates(min_lr: float, max_lr: float, num_steps: int, sweep: str) -> np.ndarray:
    """The learning rates of a sweep, increasing from `min_lr` to `max_lr`, shape `(num_steps,)`, float64.

    Raises:
        InvalidRangeError: A rate is not a finite number above 0, or `min_lr >= max_lr`.
        InvalidArgumentError: `num_steps` is below 2, or `sweep` is unknown.
    """
    for name, rate in (("min_lr", min_lr), ("max_lr", max_lr)):
        if (
            isinstance(rate, bool)
            or not isinstance(rate, (int, float, np.number))
            or not (math.isfinite(rate) and rate > 0)
        ):
            raise InvalidRangeError(
                f"`{name}` must be a finite number above 0. Received: {name}={rate!r}. Try 1e-7 to 10."
            )
    if min_lr >= max_lr:
        raise InvalidRangeError(
            f"`max_lr` must be greater than `min_lr`. Received: min_lr={min_lr}, max_lr={max_lr}. "
            + ("Swap them." if min_lr > max_lr else "Widen the range.")
        )
    _check_count("num_steps", num_steps, 2)
    if sweep not in ("exponential", "linear"):
        raise InvalidArgumentError(
            f'`sweep` must be "exponential" or "linear". Received: {sweep!r}. Use "exponential".'
        )
    return np.geomspace(min_lr, max_lr, num_steps) if sweep == "exponential" else np.linspace(min_lr, max_lr, num_steps)


def consensus(curves: list[Curve]) -> np.ndarray:
    """The median loss at each step; a repeat that stopped counts as infinitely high, and the curve ends where the
    median does."""
    longest = max(len(curve.losses) for curve in curves)
    table = np.full((len(curves), longest), np.inf)
    for row, curve in zip(table, curves, strict=True):
        row[: len(curve.losses)] = curve.losses
    median = np.median(table, axis=0)
    return np.asarray(median[np.isfinite(median)])


def _suggest(rates: np.ndarray, losses: np.ndarray) -> Suggestion:
    if len(rates) == 0:
        return Suggestion.refuse("No step gave a finite loss.", rule="none")
    return suggest(rates, losses)


def _check_count(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise InvalidArgumentError(
            f"`{name}` must be an integer of at least {least}. Received: {name}={value!r}. Raise it."
        )


def _as_tensors(batch: Any) -> Any:
    return None if batch is None else keras.tree.map_structure(keras.ops.convert_to_tensor, batch)
