"""Runs a range test: checks its arguments, sweeps, summarizes the curves, and refines the suggestion."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

import keras
import numpy as np

from keras_lr._keras.batches import ArrayStream, DataSource, sliceable_arrays
from keras_lr._keras.learning_rate import scales_steps_by_weights
from keras_lr._utils import validation
from keras_lr._utils.formatting import format_rate, short_error_message
from keras_lr._utils.progress import progress_line
from keras_lr.analysis._suggestion.calibration import kind_of
from keras_lr.analysis._suggestion.refine import Plan, allow_for_length, plan_runs, refine_suggestion
from keras_lr.analysis._suggestion.suggest import allow_for_constant, landmarks_of, suggest
from keras_lr.devices import environment
from keras_lr.errors import DataError, InvalidArgumentError
from keras_lr.range_test._data_checks import own_loop_advice
from keras_lr.range_test._sweep import Curve, Sweep
from keras_lr.results._range_test import RangeTestResult, Refinement, Suggestion

_CUT_SHORT = ("data_exhausted", "interrupted", "error")
_DETAILS = {
    "completed": "The sweep reached the end of its range.",
    "diverged": "The loss diverged at a learning rate of {rate}.",
    "non_finite": "The loss became NaN or infinite at a learning rate of {rate}.",
    "data_exhausted": "The data ran out after {steps} of {num_steps} steps{sweep}.",
    "interrupted": "Interrupted after {steps} of {num_steps} steps{sweep}.",
    "error": "A step failed after {steps} of {num_steps} steps{sweep}: {error}.",
}


@dataclass(frozen=True, eq=False)
class RangeTestSettings:
    """The checked arguments of a range test.

    Attributes:
        learning_rates: Increasing, shape `(num_steps,)`, float64.
        sweep: "exponential" or "linear".
        repeats: Number of sweeps.
        validation_data: `(x, y)` or `(x, y, sample_weight)`, or None.
        monitor: Name of the loss in what `train_step` returns.
        stop_on_divergence: Whether to stop once the loss has diverged.
        verbose: "auto", a bool, or 0, 1 or 2 as in `fit`.
        refine: Whether to refine the suggestion by short runs.
        epochs: Length of the training that is to follow; None if unknown.
        steps_per_epoch: Steps of each of these epochs; None for as many as the data have batches.

    Raises:
        InvalidArgumentError: An argument breaks its rule.
    """

    learning_rates: np.ndarray
    sweep: Literal["exponential", "linear"]
    repeats: int
    validation_data: Any
    monitor: str
    stop_on_divergence: bool
    verbose: bool | Literal["auto", 0, 1, 2]
    refine: bool
    epochs: int | None = None
    steps_per_epoch: int | None = None

    def __post_init__(self) -> None:
        validation.whole_number("repeats", self.repeats)
        validation.flag("stop_on_divergence", self.stop_on_divergence)
        validation.flag("refine", self.refine)
        if self.epochs is not None:
            validation.whole_number("epochs", self.epochs)
        if self.verbose != "auto" and not (isinstance(self.verbose, (bool, int, np.bool_)) and 0 <= self.verbose <= 2):
            raise InvalidArgumentError(
                f'`verbose` must be "auto", True, False, 0, 1 or 2. Received: {self.verbose!r}. Leave it at "auto".'
            )
        batch = self.validation_data
        if batch is not None and not (isinstance(batch, tuple) and len(batch) in (2, 3)):
            raise InvalidArgumentError(
                "`validation_data` must be a tuple (x, y) or (x, y, sample_weight). "
                f"Received: {type(batch).__name__}. Pass one batch of your validation set."
            )


def sweep_learning_rates(min_lr: float, max_lr: float, num_steps: int, sweep: str) -> np.ndarray:
    """The learning rates of a sweep, increasing from `min_lr` to `max_lr`, shape `(num_steps,)`, float64.

    Raises:
        InvalidRangeError: A rate is not a finite number above 0, or `min_lr >= max_lr`.
        InvalidArgumentError: `num_steps` is below 2, or `sweep` is unknown.
    """
    validation.learning_rate_range(min_lr, max_lr)
    validation.whole_number("num_steps", num_steps, least=2)
    validation.choice("sweep", sweep, ("exponential", "linear"))
    return np.geomspace(min_lr, max_lr, num_steps) if sweep == "exponential" else np.linspace(min_lr, max_lr, num_steps)


@dataclass(frozen=True)
class Measurement:
    """What a range test returned and what ended it.

    Attributes:
        result: The measured curve, complete or cut short.
        error: The exception that cut it short, or None.
        restore: Restores the model once more, for a caller that changes it after the test.
        unrestored: What the test has changed for good in the user's data, each as a clause.
        advice: What to change about the model's output or the targets, a text each.
    """

    result: RangeTestResult
    error: BaseException | None
    restore: Callable[[], None]
    unrestored: list[str]
    advice: list[str]

    def messages(self, further: Iterable[str] = (), *, generator_is_used_up: bool = False) -> list[str]:
        """What to warn of: the advice, and what the test has changed for good.

        Args:
            further: What else has changed, each as a clause.
            generator_is_used_up: Whether the batches came from a generator, and no training follows in the same `fit`.
        """
        used_up = ["the generator has lost the batches that the test took"] if generator_is_used_up else []
        clauses = [*self.unrestored, *further, *used_up]
        if not clauses:
            return self.advice
        return [
            *self.advice,
            f"The range test could not restore everything: {'; '.join(clauses)}. A later fit trains "
            "otherwise than without the test. Create what is named here again before it.",
        ]


FurtherRuns = Callable[[Sweep, RangeTestResult], BaseException | None]


def measure(
    model: keras.Model,
    data: DataSource,
    settings: RangeTestSettings,
    *,
    further: FurtherRuns | None = None,
    on_open: Callable[[], None] = lambda: None,
) -> Measurement:
    """Runs every sweep, derives the suggestion, refines it if asked to, and restores the model.

    Args:
        model: A compiled model.
        data: Where the batches come from.
        settings: The checked arguments.
        further: Makes more runs before the model is restored, and returns the error that cut them short, if any.
        on_open: Called once the model is built, before the first sweep.

    Raises:
        ModelError: The model has nothing to train, or its step does not return the monitored loss.
        DataError: The data holds no batch, its first batch fails, or a label is outside the classes.
    """
    budget = len(settings.learning_rates) * settings.repeats
    total = budget * (2 if settings.refine else 1)
    with progress_line("Range test", total, show=settings.verbose) as progress:
        test = Sweep(
            model,
            data,
            monitor=settings.monitor,
            validation_batch=_as_tensors(settings.validation_data),
            stop_on_divergence=settings.stop_on_divergence,
            on_progress=progress,
            on_open=on_open,
        )
        with test:
            curves = _run_repeats(test, settings)
            result, error = _summarize(test, model, settings, curves), curves[-1].error
            if settings.refine and error is None:
                result, error = refine(test, result, num_steps=budget, optimizer=model.optimizer)
            result = replace(result, suggestion=_suggest_for_training(test, model, settings, result, curves))
            if further is not None and error is None:
                error = further(test, result)
    if error is not None and not isinstance(error, KeyboardInterrupt):
        error.add_note("keras_lr: the model was restored to its state before the range test.")
    return Measurement(result, error, test.restore, test.unrestored, [*own_loop_advice(model), *test.advice])


def _suggest_for_training(
    test: Sweep, model: keras.Model, settings: RangeTestSettings, result: RangeTestResult, curves: list[Curve]
) -> Suggestion:
    """The suggestion of `result` for the training that is to follow, as far as it is known."""
    steps = settings.steps_per_epoch or test.stream.steps_per_epoch
    planned = None if settings.epochs is None or steps is None else settings.epochs * steps
    suggestion = allow_for_length(result.suggestion, planned)
    if settings.validation_data is not None:
        return suggestion
    # Regularizers make a loss fall without any learning. They cost the best constant output nothing.
    learned = result.repeat_losses - _table_of([curve.penalties for curve in _whole(curves)], len(result.losses))
    kind = kind_of(model.optimizer)
    suggestion = allow_for_constant(suggestion, result.learning_rates, learned, test.constant_loss, kind=kind)
    return _allow_for_growth(suggestion, model.optimizer)


def _allow_for_growth(suggestion: Suggestion, optimizer: keras.Optimizer) -> Suggestion:
    """The suggestion for an optimizer that may let the weights grow long after the test would have ended."""
    if suggestion.confidence != "clear" or not scales_steps_by_weights(optimizer):
        return suggestion
    name = type(optimizer).__name__
    reason = (
        f"{suggestion.reason} But {name} takes steps in proportion to the weights, which can keep growing in a longer "
        "run. If they do, train at a tenth of this rate."
    )
    return replace(suggestion, confidence="tentative", reason=reason)


def _as_tensors(batch: Any) -> Any:
    if batch is not None:
        try:
            sliceable_arrays(*keras.utils.unpack_x_y_sample_weight(batch))
        except DataError as error:
            raise DataError(f"In `validation_data`: {error}") from error
    return keras.tree.map_structure(lambda part: None if part is None else keras.ops.convert_to_tensor(part), batch)


def _run_repeats(test: Sweep, settings: RangeTestSettings) -> list[Curve]:
    curves: list[Curve] = []
    for _ in range(settings.repeats):
        curves.append(test.run(settings.learning_rates))
        if curves[-1].error is not None or curves[-1].fault or curves[-1].stop_reason == "data_exhausted":
            break
    return curves


def _summarize(test: Sweep, model: keras.Model, settings: RangeTestSettings, curves: list[Curve]) -> RangeTestResult:
    """The result of one or several sweeps of a model."""
    whole = _whole(curves)
    losses = _median_losses(whole)
    rates = settings.learning_rates[: len(losses)]
    repeat_losses = _table_of([curve.losses for curve in whole], len(losses))
    cut_short = curves[-1].stop_reason in _CUT_SHORT or curves[-1].fault
    last = curves[-1] if cut_short else min(curves, key=lambda curve: len(curve.losses))
    fault, size = curves[-1].fault or test.target_fault, test.stream.batch_size
    if not len(rates):
        fault = fault or test.validation_fault or "No step gave a finite loss."
    return RangeTestResult(
        learning_rates=rates,
        losses=losses,
        suggestion=_suggest(rates, repeat_losses if len(whole) > 1 else losses, model.optimizer, fault=fault),
        stop_reason=last.stop_reason,
        stop_detail=_detail(last, settings.learning_rates, sweep=f" of sweep {len(curves)}" if len(curves) > 1 else ""),
        num_steps=len(settings.learning_rates),
        sweep=settings.sweep,
        scored_on="training" if settings.validation_data is None else "validation",
        repeat_losses=repeat_losses,
        engine="per_batch" if model.run_eagerly else "graph",
        engine_reason="The model was compiled with `run_eagerly=True`." if model.run_eagerly else "",
        monitor=settings.monitor,
        environment={**environment(model), **({} if size is None else {"batch_size": size})},
        constant_loss=test.constant_loss,
        epochs=settings.epochs,
    )


def _whole(curves: list[Curve]) -> list[Curve]:
    """The sweeps that count: one that was cut short, which says nothing about further rates, only if all were."""
    return [curve for curve in curves if curve.stop_reason not in _CUT_SHORT and not curve.fault] or curves


def _table_of(series: list[np.ndarray], num_steps: int) -> np.ndarray:
    """The first steps of each of `series` in a row of its own, shape `(n_series, num_steps)`, NaN after it ends."""
    table = np.full((len(series), num_steps), np.nan)
    for row, values in zip(table, series, strict=True):
        row[: len(values)] = values[:num_steps]
    return table


def _median_losses(curves: list[Curve]) -> np.ndarray:
    """The median loss of each step, for as many steps as it is finite.

    A repeat that stopped counts as infinitely high from there on.
    """
    longest = max(len(curve.losses) for curve in curves)
    table = np.full((len(curves), longest), np.inf)
    for row, curve in zip(table, curves, strict=True):
        row[: len(curve.losses)] = curve.losses
    median = np.median(table, axis=0)
    return np.asarray(median[np.isfinite(median)])


def _suggest(rates: np.ndarray, losses: np.ndarray, optimizer: keras.Optimizer, *, fault: str) -> Suggestion:
    if fault:
        return Suggestion.refuse(fault, rule="none")
    return suggest(rates, losses, optimizer=optimizer)


def _detail(curve: Curve, learning_rates: np.ndarray, *, sweep: str) -> str:
    if curve.fault:
        return curve.fault
    steps = len(curve.losses)
    # The curve keeps the point at which it diverged, but not the first loss that is not finite.
    reached = steps - 1 if curve.stop_reason == "diverged" else min(steps, len(learning_rates) - 1)
    error = "" if curve.error is None else short_error_message(curve.error)
    rate = format_rate(learning_rates[reached], digits=3)
    return _DETAILS[curve.stop_reason].format(
        rate=rate, steps=steps, num_steps=len(learning_rates), sweep=sweep, error=error
    )


def refine(
    test: Sweep, result: RangeTestResult, *, num_steps: int, optimizer: keras.Optimizer
) -> tuple[RangeTestResult, BaseException | None]:
    """The result with its suggestion refined by short runs, and the error that cut them short, if any.

    The runs use the loop that was compiled for the sweep. Each starts from the state before the sweep; with arrays, all
    see the same batches too. Without a suggestion, or if the runs are cut short, the result stays as it is.

    Args:
        test: The range test, entered.
        result: What the sweeps measured.
        num_steps: Budget of all runs together.
        optimizer: The model's optimizer.
    """
    plan = plan_runs(result.suggestion, num_steps=num_steps)
    if plan is None:
        return result, None
    losses, error = _run_plan(test, plan)
    if losses is None or not np.isfinite(losses[:, 0]).any():
        return result, error
    curves = result.repeat_losses if result.repeat_losses.size else result.losses
    suggestion = refine_suggestion(
        result.suggestion,
        plan.learning_rates,
        losses,
        landmarks=landmarks_of(result.learning_rates, curves),
        kind=kind_of(optimizer),
        constant=test.constant_loss if result.scored_on == "training" else None,
    )
    refinement = Refinement(plan.learning_rates, losses, result.suggestion)
    return replace(result, suggestion=suggestion, refinement=refinement), None


def _run_plan(test: Sweep, plan: Plan) -> tuple[np.ndarray | None, BaseException | None]:
    """Losses of all runs, shape `(n_runs, n_steps)`, NaN after a run stopped.

    If an error or the end of the data cuts the runs short, the losses are None and come with the error, if any.
    """
    losses = np.full((len(plan.learning_rates), plan.num_steps), np.nan)
    source = test.stream.source(plan.num_steps) if isinstance(test.stream, ArrayStream) else None
    for row, rate in zip(losses, plan.learning_rates, strict=True):
        curve = test.run(np.full(plan.num_steps, rate), source=source)
        row[: len(curve.losses)] = curve.losses
        if curve.error is not None or curve.fault or curve.stop_reason == "data_exhausted":
            return None, curve.error
    return losses, None
