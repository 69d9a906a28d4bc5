"""Every finding in a history, in order of onset."""

from __future__ import annotations

import numpy as np

from keras_lr.analysis.findings.loss import find_in_loss, not_finite
from keras_lr.analysis.findings.validation import find_in_validation
from keras_lr.analysis.history_series import TrainingHistory
from keras_lr.records.diagnosis import Finding


def find_all(history: TrainingHistory) -> tuple[Finding, ...]:
    """The findings in the loss and in the validation loss, sorted by their first epoch."""
    finite = np.isfinite(history.loss)
    end = history.loss.size if finite.all() else int(np.argmin(finite))
    found = [] if finite.all() else [not_finite(history, end)]
    if end >= 3:
        found += [*find_in_loss(history, end), *find_in_validation(history)]
    return tuple(sorted(found, key=lambda finding: finding.start_epoch))
