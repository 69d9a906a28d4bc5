"""From the curves of a range test to its result."""

from __future__ import annotations

import keras
import numpy as np

from keras_lr.analysis.suggestion import suggest
from keras_lr.callbacks.range_test_settings import RangeTestSettings
from keras_lr.records.range_test import RangeTestResult
from keras_lr.records.rate_words import format_rate
from keras_lr.records.suggestion import Suggestion
from keras_lr.training.causes import one_line
from keras_lr.training.devices import environment
from keras_lr.training.sweep import Curve

_CUT_SHORT = ("data_exhausted", "interrupted", "error")
_DETAILS = {
    "completed": "The sweep reached the end of its range.",
    "diverged": "The loss diverged at a learning rate of {rate}.",
    "non_finite": "The loss became NaN or infinite at a learning rate of {rate}.",
    "data_exhausted": "The data ended for good after {steps} of {num_steps} steps{sweep}.",
    "interrupted": "Interrupted after {steps} of {num_steps} steps{sweep}.",
    "error": "A step failed after {steps} of {num_steps} steps{sweep}: {error}.",
}


def summarize(model: keras.Model, settings: RangeTestSettings, curves: list[Curve]) -> RangeTestResult:
    """The result of one or several sweeps of a model.

    A sweep that was cut short says nothing of the rates it did not reach, so it does not count beside a whole one.
    """
    whole = [curve for curve in curves if curve.stop_reason not in _CUT_SHORT] or curves
    losses = consensus(whole)
    rates = settings.learning_rates[: len(losses)]
    repeat_losses = np.full((len(whole), len(losses)), np.nan)
    for row, curve in zip(repeat_losses, whole, strict=True):
        row[: len(curve.losses)] = curve.losses[: len(losses)]
    last = curves[-1] if curves[-1].stop_reason in _CUT_SHORT else min(curves, key=lambda curve: len(curve.losses))
    return RangeTestResult(
        learning_rates=rates,
        losses=losses,
        suggestion=_suggest(rates, repeat_losses if len(whole) > 1 else losses, model.optimizer),
        stop_reason=last.stop_reason,
        stop_detail=_detail(last, settings.learning_rates, sweep=f" of sweep {len(curves)}" if len(curves) > 1 else ""),
        num_steps=len(settings.learning_rates),
        sweep=settings.sweep,
        scored_on="training" if settings.validation_data is None else "validation",
        repeat_losses=repeat_losses,
        engine="per_batch" if model.run_eagerly else "graph",
        engine_reason="The model was compiled with `run_eagerly=True`." if model.run_eagerly else "",
        monitor=settings.monitor,
        environment=environment(model),
    )


def consensus(curves: list[Curve]) -> np.ndarray:
    """The median loss at each step; a repeat that stopped counts as infinitely high, and the curve ends where the
    median does."""
    longest = max(len(curve.losses) for curve in curves)
    table = np.full((len(curves), longest), np.inf)
    for row, curve in zip(table, curves, strict=True):
        row[: len(curve.losses)] = curve.losses
    median = np.median(table, axis=0)
    return np.asarray(median[np.isfinite(median)])


def _detail(curve: Curve, learning_rates: np.ndarray, *, sweep: str) -> str:
    steps = len(curve.losses)
    # A divergence is seen at the last point kept, a loss that is not finite at the first one not kept.
    reached = steps - 1 if curve.stop_reason == "diverged" else min(steps, len(learning_rates) - 1)
    error = "" if curve.error is None else one_line(curve.error)
    rate = format_rate(learning_rates[reached], digits=3)
    return _DETAILS[curve.stop_reason].format(
        rate=rate, steps=steps, num_steps=len(learning_rates), sweep=sweep, error=error
    )


def _suggest(rates: np.ndarray, losses: np.ndarray, optimizer: keras.Optimizer) -> Suggestion:
    if len(rates) == 0:
        return Suggestion.refuse("No step gave a finite loss.", rule="none")
    return suggest(rates, losses, optimizer=optimizer)
