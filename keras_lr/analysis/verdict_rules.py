"""What decides on a learning rate before anything is weighed."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from keras_lr.analysis.advice import LOWER, try_rates
from keras_lr.analysis.features import courses
from keras_lr.analysis.history_series import TrainingHistory
from keras_lr.analysis.series import reaches_zero
from keras_lr.analysis.standstill import stands_still
from keras_lr.records.diagnosis import Finding, Verdict


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
