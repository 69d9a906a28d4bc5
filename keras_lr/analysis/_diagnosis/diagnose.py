"""Judging a run's learning rate from its history."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import numpy as np

from keras_lr.analysis._diagnosis.advice import HIGHER, LOWER, next_rates, try_rates
from keras_lr.analysis._diagnosis.features import courses, features, is_validated
from keras_lr.analysis._diagnosis.findings import find_all
from keras_lr.analysis._diagnosis.history import TrainingHistory, kept_rows
from keras_lr.analysis._diagnosis.readers import read_history
from keras_lr.analysis._diagnosis.scorecard import judge
from keras_lr.analysis._statistics import noise_level, reaches_zero
from keras_lr.results._diagnosis import Diagnosis, Finding, Verdict

# A validation course this many times calmer than the training loss.
MIN_NOISE_RATIO = 5.0
DRIFT = 3.0

FACTORS = {"too_low": HIGHER, "too_high": LOWER}
SHOWN_POINTS = 1000
# Among three verdicts a third is what guessing gives.
MIN_SHARE = 0.35


def stands_still(loss: np.ndarray, validation: np.ndarray) -> bool:
    """Whether the loss only flickers about its first value while the validation loss glides.

    The training loss of an epoch varies with its order, its dropout and its last batch even where no weight moves; the
    validation loss is computed from the weights alone. Where it is far calmer, the weights hardly move between
    epochs; and where the first epoch's loss was not above the later ones, they did not move at once and then settle,
    as those of a network that a far too high rate has killed.

    Args:
        loss: Training loss, shape `(n,)`, `n` at least 3.
        validation: Validation loss at the same epochs, shape `(n,)`.
    """
    later = loss[1:] if loss.size > 4 else loss
    noise = noise_level(later)
    return bool(noise > MIN_NOISE_RATIO * noise_level(validation) and abs(loss[0] - np.median(later)) < DRIFT * noise)


def by_rule(history: TrainingHistory, findings: Iterable[Finding]) -> tuple[Verdict, str] | None:
    """The verdict and its reason where one fact settles it, None where the curves have to be weighed."""
    finite = np.isfinite(history.loss)
    if not finite.all():
        epoch = history.epochs[int(np.argmin(finite))]
        advice = try_rates(history.learning_rate, LOWER)
        return "too_high", f"`{history.monitor}` is not finite at {history.unit} {epoch}. {advice}"
    if not np.ptp(history.loss) > 0:
        return "unclear", f"`{history.monitor}` never changed."
    if reaches_zero(history.loss):
        return "good", f"`{history.monitor}` fell to 0, below which there is nothing to reach."
    rise = next((finding for finding in findings if finding.kind == "divergence"), None)
    if rise is not None and history.loss[-1] >= history.loss[0]:
        return "too_high", (
            f"`{history.monitor}` rises from {history.unit} {rise.start_epoch} and ends above where it began."
        )
    if stands_still(*courses(history)):
        return "too_low", f"`{history.monitor}` only flickers while validation glides: the weights hardly move."
    return None


def analyze_history(source: Any) -> Diagnosis:
    """What the history in `source` says about its learning rate.

    Args:
        source: A Keras `History`, a dict or DataFrame of columns, an `AutoLRLog`, or the path of a `CSVLogger` file, a
            JSON file or a TensorBoard log directory.

    Raises:
        CurveError: The history has no loss, fewer than three epochs, or is a file with nothing finite in it.
        InvalidArgumentError: `source` is none of these.
        OSError: The file cannot be read.
    """
    history = read_history(source)
    findings = find_all(history)
    verdict, reasons = _verdict(history, findings)
    rates = next_rates(history.learning_rate, FACTORS[verdict]) if verdict in FACTORS else None
    rows = kept_rows(history, max_points=SHOWN_POINTS)
    return Diagnosis(
        verdict=verdict,
        reasons=reasons,
        findings=findings,
        n_epochs=history.epochs.size,
        learning_rate=history.learning_rate,
        suggested_low=rates and rates[0],
        suggested_high=rates and rates[1],
        monitor=history.monitor,
        epochs=tuple(history.epochs[rows].tolist()),
        losses=_shown(history.loss, rows),
        val_losses=_shown(history.val_loss, rows),
        learning_rates=_shown(history.learning_rates, rows),
        unit=history.unit,
    )


def _shown(series: np.ndarray | None, rows: np.ndarray) -> tuple[float | None, ...]:
    if series is None:
        return ()
    return tuple(float(value) if np.isfinite(value) else None for value in series[rows])


def _verdict(history: TrainingHistory, findings: tuple[Finding, ...]) -> tuple[Verdict, tuple[str, ...]]:
    if rule := by_rule(history, findings):
        return rule[0], (rule[1],)
    winner, evidence, reasons = judge(features(history), validated=is_validated(history))
    if evidence < MIN_SHARE:
        return "unclear", (f"The curves are divided: no verdict has more than {evidence:.0%} of the weight.",)
    words = "a good learning rate" if winner == "good" else f"a learning rate that is {winner.replace('_', ' ')}"
    return cast(Verdict, winner), (*reasons, f"Together, the curves put {evidence:.0%} of the weight on {words}.")
