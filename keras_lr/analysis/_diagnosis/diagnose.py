"""The verdict on the learning rate of a run: by a rule if one fact settles it, else by the scorecard."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import numpy as np

from keras_lr.analysis._diagnosis.advice import HIGHER, LOWER, next_rates, try_rates
from keras_lr.analysis._diagnosis.features import features, is_validated, loss_curves
from keras_lr.analysis._diagnosis.findings import find_all
from keras_lr.analysis._diagnosis.history import MIN_EPOCHS, TrainingHistory, kept_rows
from keras_lr.analysis._diagnosis.readers import read_history
from keras_lr.analysis._diagnosis.scorecard import score_verdict
from keras_lr.analysis._statistics import curvature_noise, reaches_zero
from keras_lr.results._diagnosis import Diagnosis, Finding, Verdict

# Multiples of the learning rate to try next.
FACTORS = {"too_low": HIGHER, "too_high": LOWER}
# Longer histories are thinned in the diagnosis.
MAX_STORED_POINTS = 1000
# Share of the evidence below which the scorecard is undecided; guessing among three verdicts gives 1/3.
MIN_SHARE = 0.35

# The weights stand still if the training loss is this many times as noisy as the validation loss, ...
MIN_NOISE_RATIO = 5.0
# ... and its first value lies within this many standard deviations of the later ones.
MAX_FIRST_OFFSET = 3.0


def analyze_history(
    source: Any, *, run: str | int | None = None, validation_freq: int | Iterable[int] | None = None
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

    Returns:
        The verdict with its reasons, the findings, and the learning rates to try next. The verdict on two epochs is
        "unclear", unless a loss is not finite.

    Raises:
        CurveError: The history has no loss or a single epoch, the file is damaged, it is unknown which epochs were
            validated, or `source` holds several runs side by side and `run` is None.
        InvalidArgumentError: `source` is none of these, there is no such run, or `validation_freq` does not fit.
        OSError: The file cannot be read.
    """
    history = read_history(source, run=run, validation_freq=validation_freq)
    findings = find_all(history)
    verdict, reasons = _verdict(history, findings)
    rates = next_rates(history.learning_rate, FACTORS[verdict]) if verdict in FACTORS else None
    rows = kept_rows(history, max_points=MAX_STORED_POINTS)
    return Diagnosis(
        verdict=verdict,
        reasons=(*reasons, *history.notes),
        findings=findings,
        n_epochs=history.epochs.size,
        learning_rate=history.learning_rate,
        suggested_low=rates and rates[0],
        suggested_high=rates and rates[1],
        monitor=history.monitor,
        epochs=tuple(history.epochs[rows].tolist()),
        losses=_stored(history.values, rows),
        val_losses=_stored(history.val_values, rows),
        learning_rates=_stored(history.learning_rates, rows),
        unit=history.unit,
        direction=history.direction,
    )


def verdict_by_rule(history: TrainingHistory, findings: Iterable[Finding]) -> tuple[Verdict, str] | None:
    """The verdict and its reason if one fact settles it; None if the curves have to be weighed.

    Args:
        history: The run.
        findings: What `find_all` found in it.
    """
    monitor, unit = history.monitor, history.unit
    finite = np.isfinite(history.loss)
    if not finite.all():
        epoch = history.epochs[int(np.argmin(finite))]
        advice = try_rates(history.learning_rate, LOWER)
        return "too_high", f"`{monitor}` is NaN or infinite at {unit} {epoch}. {advice}"
    if finite.size < MIN_EPOCHS:
        return "unclear", f"{finite.size} {unit}s are too few for a verdict. Train longer."
    if not np.ptp(history.loss) > 0:
        return "unclear", f"`{monitor}` never changed."
    if reaches_zero(history.loss):
        return "good", f"`{monitor}` reached 0, the lowest it can get."
    divergence = next((finding for finding in findings if finding.kind == "divergence"), None)
    if divergence is not None and history.loss[-1] >= history.loss[0]:
        onset = divergence.start_epoch
        return "too_high", f"`{monitor}` gets worse from {unit} {onset} on and ends no better than it began."
    if stands_still(*loss_curves(history)):
        return "too_low", (
            f"`{monitor}` only fluctuates and `val_{monitor}` barely changes: the weights are hardly moving."
        )
    return None


def stands_still(loss: np.ndarray, validation: np.ndarray) -> bool:
    """Whether the training loss only fluctuates around its first value while the validation loss barely changes.

    The training loss of an epoch varies with the order of the data, dropout and the last batch even if no weight
    changes; the validation loss depends on the weights alone. If it is far smoother, the weights hardly move between
    epochs. A first loss above the later ones excludes a network that moved at once and then stopped, because a far too
    high rate killed it.

    Args:
        loss: Training loss, shape `(n,)`, n at least 3.
        validation: Validation loss at the same epochs, shape `(n,)`.
    """
    later = loss[1:] if loss.size > 4 else loss
    noise = curvature_noise(later)
    smoother = noise > MIN_NOISE_RATIO * curvature_noise(validation)
    return bool(smoother and abs(loss[0] - np.median(later)) < MAX_FIRST_OFFSET * noise)


def _verdict(history: TrainingHistory, findings: tuple[Finding, ...]) -> tuple[Verdict, tuple[str, ...]]:
    if ruled := verdict_by_rule(history, findings):
        return ruled[0], (ruled[1],)
    monitored = "loss" if history.direction == "min" else f"`{history.monitor}`"
    score = score_verdict(features(history), validated=is_validated(history), monitored=monitored)
    if score.share < MIN_SHARE:
        return "unclear", (f"The curves are ambiguous: no verdict has more than {score.share:.0%} of the evidence.",)
    judged = "good" if score.verdict == "good" else score.verdict.replace("_", " ")
    overall = f"Together, {score.share:.0%} of the evidence says that the learning rate was {judged}."
    return cast(Verdict, score.verdict), (*score.reasons, overall)


def _stored(series: np.ndarray | None, rows: np.ndarray) -> tuple[float | None, ...]:
    """The series at these rows, with None for what is not finite; empty if it was not recorded."""
    if series is None:
        return ()
    return tuple(float(value) if np.isfinite(value) else None for value in series[rows])
