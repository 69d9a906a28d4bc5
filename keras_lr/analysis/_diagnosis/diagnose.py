"""The verdict on the learning rate of a run: by a fact if one settles it, else by the scorecard.

One arbiter: the verdict comes first, and the advice and the rates to try follow from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from keras_lr._utils.names import suggests_arguments
from keras_lr.analysis._diagnosis.facts import learned_nothing, not_comparable, ruled_out, settled_verdict
from keras_lr.analysis._diagnosis.features import features, is_validated
from keras_lr.analysis._diagnosis.findings import find_all
from keras_lr.analysis._diagnosis.history import (
    MIN_EPOCHS,
    RunContext,
    TrainingHistory,
    at_the_end,
    kept_rows,
    run_context,
    without_passing_gaps,
)
from keras_lr.analysis._diagnosis.readers import read_history
from keras_lr.analysis._diagnosis.scorecard import MIN_SHARE_TO_BLAME, score_verdict
from keras_lr.results._diagnosis import (
    Diagnosis,
    Finding,
    FindingKind,
    Verdict,
    is_only_probable,
    rate_span,
)

# Longer histories are thinned in the diagnosis.
MAX_STORED_POINTS = 1000

# The scorecards were fitted on runs of about this length and more.
MIN_BLAMED_EPOCHS = 5

# Multiples of the run's learning rate to try next, from the lower to the higher end of the range.
LOWER = (0.1, 0.3)
HIGHER = (3.0, 10.0)
FACTORS: dict[Verdict, tuple[float, float]] = {"too_low": HIGHER, "too_high": LOWER}

# What the runs that were judged right had.
RATES: dict[Verdict, str] = {
    "too_low": "a rate that was too low",
    "good": "a good rate",
    "too_high": "a rate that was too high",
}
# A share from here on is shown as nearly all.
ALL_RUNS = 0.985

MEASURE = "Measure the learning rate with `keras_lr.find_lr(model, x, y)`."
ALIKE = "A learning rate far too low and one far too high look alike here."
SLOW_OTHERWISE = (
    "At a usual learning rate such a run is rather too short, or slow for another reason: data that are not scaled, "
    "saturated activations or frozen layers."
)
# What helps against a finding at any learning rate; `{start}` is where it begins.
OTHER_ADVICE: dict[FindingKind, str] = {
    "oscillation": "Larger batches or averaged weights smooth the loss.",
    "stagnation": "Check that inputs and targets belong together and are scaled.",
    "divergence": "Keep the weights from before {start}.",
    "slow_learning": "Train longer.",
    "early_plateau": "Training beyond {start} gains nothing at this rate.",
    "overfitting": "Stop at {start} or regularise.",
    "noisy_validation": "Validate on more data.",
}
# The verdict that a finding alone would speak for. Under the opposite one, a change of the rate is no advice on it.
SUGGESTED_BY: dict[FindingKind, Verdict] = {
    "oscillation": "too_high",
    "divergence": "too_high",
    "slow_learning": "too_low",
    "early_plateau": "too_high",
    "noisy_validation": "too_high",
}


@suggests_arguments
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
    was assumed, such as which of several runs was read, is the last of the diagnosis's reasons. What the source itself
    knows, as the callbacks of keras_lr do, need not be passed.

    Args:
        source: A Keras `History`, a callback of keras_lr, a dict or DataFrame of columns, a list of rows, an
            `AutoLRLog`, XGBoost's `evals_result`, or a path. A file may be that of a `CSVLogger` (Keras, Lightning,
            fastai) with any separator, YOLO's `results.csv`, a download from W&B, MLflow or TensorBoard, Hugging Face's
            `trainer_state.json`, any other JSON with columns or rows, the console output of `fit` or of another
            training loop, or a notebook that shows it. It may be compressed with gzip, bzip2 or xz. A directory may
            hold TensorBoard event files or MLflow runs.
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

    Example:
        >>> keras_lr.analyze_history(history).verdict
    """
    history = without_passing_gaps(read_history(source, run=run, validation_freq=validation_freq))
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
    views = (features(view, context) for view in (history, at_the_end(history)))
    score = score_verdict(*views, excluded=excluded, monitored=monitored)
    surer = _surer(history, context)
    verdict = score.verdict(near_default=context.is_near_default)
    if verdict == "unclear":
        why = "The curves are ambiguous: they support no verdict much more than another."
        if score.share >= MIN_SHARE_TO_BLAME:
            course = "is still improving or improves slowly" if score.leader == "too_low" else "does not settle"
            why = (
                f"`{history.monitor}` {course}, but the learning rate is near the optimizer's default: the run may be "
                "short, or the data, the labels, the loss or an activation may be at fault."
            )
        return "unclear", score.share, (why, *excluded.values(), MEASURE, *surer)
    if verdict in FACTORS and history.loss.size < MIN_BLAMED_EPOCHS:
        few = (
            f"{history.loss.size} {history.unit}s are too few to blame the learning rate. Train longer, or measure it."
        )
        return "unclear", score.share, (few, *excluded.values(), MEASURE, *surer)
    if verdict in FACTORS and (apart := not_comparable(history)):
        return "unclear", score.share, (apart, *excluded.values(), MEASURE, *surer)
    if verdict == "good" and (little := learned_nothing(history, context)):
        return "unclear", score.share, (little, ALIKE, MEASURE, *surer)
    overall = f"{_how_many(score.share)} runs with such curves in the benchmark had {RATES[verdict]}."
    other = (SLOW_OTHERWISE,) if verdict == "too_low" and context.rate_position is None else ()
    return verdict, score.share, (*score.reasons, *excluded.values(), overall, *other, *surer)


def _how_many(share: float) -> str:
    """About how many runs with this share of the evidence were judged right: the beginning of a sentence."""
    if is_only_probable(share):
        return "Little more than half of the" if share >= MIN_SHARE_TO_BLAME else "Nearly half of the"
    return "Nearly all" if share >= ALL_RUNS else f"About {share:.0%} of the"


def _surer(history: TrainingHistory, context: RunContext) -> tuple[str, ...]:
    """Which further knowledge would make a verdict by the curves surer, in one sentence if there is any."""
    if history.direction == "max":
        return ()
    knows_rates = context.usual_rates is not None or context.optimizer is None
    missing = [
        what
        for what, known in (
            ("a validation loss", is_validated(history)),
            ("`untrained_loss`", context.untrained_loss is not None),
            ("`optimizer`", context.optimizer is not None),
            ("`learning_rate`", context.learning_rate is not None or not knows_rates),
        )
        if not known
    ]
    listed = " and ".join(filter(None, (", ".join(missing[:-1]), *missing[-1:])))
    return (f"This would be surer with {listed}.",) if missing else ()


def _stored(series: np.ndarray | None, rows: np.ndarray) -> tuple[float | None, ...]:
    """The series at these rows, with None for what is not finite; empty if it was not recorded."""
    if series is None:
        return ()
    return tuple(float(value) if np.isfinite(value) else None for value in series[rows])


def next_rates(learning_rate: float | None, verdict: Verdict) -> tuple[float, float] | None:
    """The range of learning rates to try after a verdict; None if it gives no direction or the rate is unknown."""
    if verdict not in FACTORS or learning_rate is None:
        return None
    low, high = FACTORS[verdict]
    return learning_rate * low, learning_rate * high


def advised(
    findings: Iterable[Finding], verdict: Verdict, learning_rate: float | None, unit: str
) -> tuple[Finding, ...]:
    """The findings with what to do about each. None points another way than the verdict does.

    Args:
        findings: What `find_all` found.
        verdict: The verdict on the run.
        learning_rate: The run's learning rate, if known.
        unit: What the findings' spans count.
    """
    about_rate = rate_advice(verdict, learning_rate)
    return tuple(replace(finding, advice=_joined(finding, about_rate, verdict, unit)) for finding in findings)


def rate_advice(verdict: Verdict, learning_rate: float | None) -> str:
    """How to change the learning rate after a verdict, in one sentence; empty if it should stay as it is.

    With a rate that is known the sentence names others, `Try a learning rate of 3e-4 to 1e-3.`, else their ratio.
    """
    if verdict == "unclear":
        return MEASURE
    if verdict not in FACTORS:
        return ""
    rates = next_rates(learning_rate, verdict)
    return f"Try a learning rate {times_in_words(verdict)}." if rates is None else try_between(*rates)


def times_in_words(verdict: Verdict) -> str:
    """How far to change a rate after a verdict: `3 to 10 times higher`; empty if it gives no direction."""
    if verdict not in FACTORS:
        return ""
    low, high = FACTORS[verdict]
    return f"{low:g} to {high:g} times higher" if low > 1 else f"{1 / high:.0f} to {1 / low:.0f} times lower"


def try_between(low: float, high: float) -> str:
    """A range of learning rates in words."""
    return f"Try a learning rate of {rate_span(low, high)}."


def _joined(finding: Finding, about_rate: str, verdict: Verdict, unit: str) -> str:
    # "Train longer" and "gains nothing at this rate" are other ways out than a change of the rate.
    instead = finding.kind in ("oscillation", "stagnation", "divergence", "slow_learning", "early_plateau")
    if verdict in FACTORS and SUGGESTED_BY.get(finding.kind, verdict) != verdict:
        about_rate = ""
    if verdict == "unclear" and finding.kind == "stagnation":
        return f"{ALIKE} {about_rate}"
    if about_rate and instead:
        return about_rate
    other = OTHER_ADVICE[finding.kind].format(start=f"{unit} {finding.start_epoch}")
    return f"{other} {about_rate}" if about_rate and verdict != "unclear" else other
