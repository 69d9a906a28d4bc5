"""Judging a run's learning rate from its history."""

from __future__ import annotations

from typing import Any, cast

import numpy as np

from keras_lr.analysis.advice import HIGHER, LOWER, next_rates
from keras_lr.analysis.features import features, is_validated
from keras_lr.analysis.findings.collect import find_all
from keras_lr.analysis.history import read_history
from keras_lr.analysis.history_series import TrainingHistory
from keras_lr.analysis.history_thinning import kept_rows
from keras_lr.analysis.scorecard import judge
from keras_lr.analysis.verdict_rules import by_rule
from keras_lr.records.diagnosis import Diagnosis, Finding, Verdict

FACTORS = {"too_low": HIGHER, "too_high": LOWER}
SHOWN_POINTS = 1000
# Among three verdicts a third is what guessing gives.
MIN_SHARE = 0.35


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
