"""Short runs at constant rates near a suggestion, which settle it."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np

from keras_lr.analysis.optimizer_kind import kind_of
from keras_lr.analysis.refinement import Plan, plan_runs, settle
from keras_lr.analysis.suggestion import landmarks_of
from keras_lr.records.range_test import RangeTestResult
from keras_lr.records.refinement import Refinement
from keras_lr.training.array_batches import ArrayStream
from keras_lr.training.data import BatchStream
from keras_lr.training.sweep import Sweep


def refine(
    test: Sweep, stream: BatchStream, result: RangeTestResult, *, num_steps: int, optimizer: keras.Optimizer
) -> tuple[RangeTestResult, BaseException | None]:
    """The result with its suggestion settled by short runs, and the error that cut them short, if any.

    The runs go through the loop that the sweep compiled. Each starts from the state before the sweep; those of arrays
    see the same batches too. Where there is nothing to refine, or the runs are cut short, the result stays as it is.

    Args:
        test: The range test, entered.
        stream: Where its batches come from.
        result: What the sweeps measured.
        num_steps: Budget of all runs together.
        optimizer: The model's optimizer.
    """
    plan = plan_runs(result.suggestion, num_steps=num_steps)
    if plan is None:
        return result, None
    losses, error = _run(test, stream, plan)
    if losses is None or not np.isfinite(losses[:, 0]).any():
        return result, error
    curves = result.repeat_losses if result.repeat_losses.size else result.losses
    suggestion = settle(
        result.suggestion,
        plan.learning_rates,
        losses,
        marks=landmarks_of(result.learning_rates, curves),
        kind=kind_of(optimizer),
    )
    refinement = Refinement(plan.learning_rates, losses, result.suggestion)
    return replace(result, suggestion=suggestion, refinement=refinement), None


def _run(test: Sweep, stream: BatchStream, plan: Plan) -> tuple[np.ndarray | None, BaseException | None]:
    """Losses of every run, shape `(n_runs, n_steps)`, NaN after a run stopped; None where an error or the end of the
    data cut the runs short, with that error.
    """
    losses = np.full((len(plan.learning_rates), plan.num_steps), np.nan)
    source = stream.source(plan.num_steps) if isinstance(stream, ArrayStream) else None
    for row, rate in zip(losses, plan.learning_rates, strict=True):
        curve = test.run(np.full(plan.num_steps, rate), source=source)
        row[: len(curve.losses)] = curve.losses
        if curve.error is not None or curve.stop_reason == "data_exhausted":
            return None, curve.error
    return losses, None
