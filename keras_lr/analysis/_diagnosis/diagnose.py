"""The verdict on the learning rate of a run: by a fact if one settles it, else by the scorecard.

One arbiter: the verdict comes first, and the advice and the rates to try follow from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from keras_lr.analysis._diagnosis.advice import FACTORS, MEASURE, advised, next_rates
from keras_lr.analysis._diagnosis.facts import ruled_out, settled_verdict
from keras_lr.analysis._diagnosis.features import features, is_validated
from keras_lr.analysis._diagnosis.findings import find_all
from keras_lr.analysis._diagnosis.history import MIN_EPOCHS, RunContext, TrainingHistory, kept_rows, run_context
from keras_lr.analysis._diagnosis.readers import read_history
from keras_lr.analysis._diagnosis.scorecard import MIN_SHARE, score_verdict
from keras_lr.results._diagnosis import Diagnosis, Finding, Verdict

# Longer histories are thinned in the diagnosis.
MAX_STORED_POINTS = 1000


def analyze_history(
    source: Any,
    *,
    run: str | int | None = None,
    validation_freq: int | Iterable[int] | None = None,
    untrained_loss: float | None = None,
    baseline_loss: float | None = None,
    optimizer: Any = None,
    learning_rate: float | None = None,
    loss: Any = None,
) -> Diagnosis:
    """Judges the learning rate of a finished run by its training history.

    A value that was not logged (a blank cell, `null`, None) is not a value that is not finite (the text `nan`). A
    validation series is recognised by its name: `val_loss`, `valid_loss`, `eval/loss`, `Loss/test` and the like. What
    was assumed, such as which of several runs was read, is the last of the diagnosis's reasons.

    Args:
        source: A Keras `History`, a dict or DataFrame of columns, a list of rows, an `AutoLRLog`, XGBoost's
            `evals_result`, or a path. A file may be that of a `CSVLogger` (Keras, Lightning, fastai) with any
            separator, YOLO's `results.csv`, a download from W&B, MLflow or TensorBoard, Hugging Face's
            `trainer_state.json`, any other JSON with columns or rows, the console output of `fit`, or a notebook that
            shows it. A directory may hold TensorBoard event files or MLflow runs.
        run: Which run to read if `source` holds several: its name, or its number from 1 on. By default the last, if
            the epochs start over.
        validation_freq: As given to `fit`. Needed for a `History` if its lengths do not show which epochs were
            validated.
        untrained_loss: Training loss before the first step, in the loss's unit: what `model.evaluate` returns then, or
            the first batch's own loss. The verdict gains most from it.
        baseline_loss: Loss of the best constant output, in the loss's unit: the variance of the targets for a mean
            squared error, the entropy of the class frequencies for a cross-entropy.
        optimizer: The Keras optimizer or its name, such as "adam". SGD with momentum is "momentum".
        learning_rate: Dimensionless. Used if neither the history nor the optimizer gives one.
        loss: The Keras loss or its name, such as "binary_crossentropy".

    Returns:
        The verdict with its reasons, the findings, and the learning rates to try next. "not_the_rate" says that
        something else is wrong, and what. The verdict on two epochs is "unclear", unless a loss is not finite.

    Raises:
        CurveError: The history has no loss or a single epoch, the file is damaged, it is unknown which epochs were
            validated, or `source` holds several runs side by side and `run` is None.
        InvalidArgumentError: `source` is none of these, there is no such run, or `validation_freq` does not fit.
        OSError: The file cannot be read.
    """
    history = read_history(source, run=run, validation_freq=validation_freq)
    context = run_context(
        history,
        untrained_loss=untrained_loss,
        baseline_loss=baseline_loss,
        optimizer=optimizer,
        learning_rate=learning_rate,
        loss=loss,
    )
    findings = find_all(history)
    verdict, share, reasons = _verdict(history, context, findings)
    rates = next_rates(context.learning_rate, verdict)
    rows = kept_rows(history, max_points=MAX_STORED_POINTS)
    return Diagnosis(
        verdict=verdict,
        reasons=(*reasons, *history.notes),
        findings=advised(findings, verdict, context.learning_rate, history.unit),
        n_epochs=history.epochs.size,
        learning_rate=context.learning_rate,
        suggested_low=rates and rates[0],
        suggested_high=rates and rates[1],
        monitor=history.monitor,
        epochs=tuple(history.epochs[rows].tolist()),
        losses=_stored(history.values, rows),
        val_losses=_stored(history.val_values, rows),
        learning_rates=_stored(history.learning_rates, rows),
        unit=history.unit,
        direction=history.direction,
        share=share,
        untrained_loss=context.untrained_loss,
        baseline_loss=context.baseline_loss,
        optimizer=context.optimizer,
    )


def _verdict(
    history: TrainingHistory, context: RunContext, findings: tuple[Finding, ...]
) -> tuple[Verdict, float | None, tuple[str, ...]]:
    """The verdict, the share of the evidence for it if it was weighed, and the reasons."""
    if history.loss.size < MIN_EPOCHS and np.isfinite(history.loss).all():
        few = f"{history.loss.size} {history.unit}s are too few for a verdict. Train longer."
        return "unclear", None, (few,)
    if fact := settled_verdict(history, context, findings):
        # Such a history shows the direction, but not how far the rate is off.
        how_far = [MEASURE] if fact.verdict in FACTORS else []
        return fact.verdict, None, (fact.reason, *how_far)
    excluded = ruled_out(history, context)
    monitored = "loss" if history.direction == "min" else f"`{history.monitor}`"
    score = score_verdict(features(history, context), excluded=excluded, monitored=monitored)
    surer = _surer(history, context)
    verdict = score.verdict(near_default=context.is_near_default)
    if verdict == "unclear":
        why = f"The curves are ambiguous: no verdict has more than {score.share:.0%} of the evidence."
        if score.share >= MIN_SHARE:
            why = (
                f"`{history.monitor}` is still improving or improves slowly, but the learning rate is near the "
                "optimizer's default: the run may be short, or the data, the labels, the loss or an activation may be "
                "at fault."
            )
        return "unclear", score.share, (why, *excluded.values(), MEASURE, *surer)
    judged = verdict.replace("_", " ")
    overall = f"Together, {score.share:.0%} of the evidence says that the learning rate was {judged}."
    return verdict, score.share, (*score.reasons, *excluded.values(), overall, *surer)


def _surer(history: TrainingHistory, context: RunContext) -> tuple[str, ...]:
    """Which further knowledge would make a verdict by the curves surer, in one sentence if there is any."""
    if history.direction == "max":
        return ()
    missing = [
        what
        for what, known in (
            ("a validation loss", is_validated(history)),
            ("`untrained_loss`", context.untrained_loss is not None),
            ("`optimizer` and `learning_rate`", context.rate_position is not None),
        )
        if not known
    ]
    return (f"This would be surer with {', '.join(missing)}.",) if missing else ()


def _stored(series: np.ndarray | None, rows: np.ndarray) -> tuple[float | None, ...]:
    """The series at these rows, with None for what is not finite; empty if it was not recorded."""
    if series is None:
        return ()
    return tuple(float(value) if np.isfinite(value) else None for value in series[rows])
