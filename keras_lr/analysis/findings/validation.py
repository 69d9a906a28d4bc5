"""Findings in the validation loss."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from keras_lr.analysis.advice import LOWER, try_rates
from keras_lr.analysis.findings.blocks import COURSE_POINTS, MIN_STRENGTH, block_epochs
from keras_lr.analysis.findings.rises import find_rise
from keras_lr.analysis.history_series import TrainingHistory
from keras_lr.analysis.series import block_means, noise_level, rank_trend, share
from keras_lr.records.diagnosis import Finding

MIN_EPOCHS = 8
STILL_FALLING = -0.5
NOISY_SHARE = 0.1
MAX_SHARE = 1e4


def find_in_validation(history: TrainingHistory) -> Iterator[Finding]:
    """Overfitting and noise, where at least eight epochs were validated."""
    if history.val_loss is None:
        return
    usable = np.isfinite(history.val_loss) & np.isfinite(history.loss)
    if usable.sum() < MIN_EPOCHS:
        return
    epochs = block_epochs(history.epochs[usable], COURSE_POINTS)
    loss, values = (block_means(series[usable], COURSE_POINTS) for series in (history.loss, history.val_loss))
    last = int(history.epochs[usable][-1])
    rise = find_rise(values)
    if rise and rank_trend(loss[rise.onset :]) < STILL_FALLING:
        yield _overfitting(history, int(epochs[rise.onset]), last, rise.strength)
    noise, fall = noise_level(values), float(values[0] - values.min())
    if noise > MIN_STRENGTH * noise_level(loss) and share(noise, fall) > NOISY_SHARE:
        yield _noise(history, int(epochs[0]), last, min(share(noise, fall), MAX_SHARE))


def _overfitting(history: TrainingHistory, first: int, last: int, strength: float) -> Finding:
    return Finding(
        kind="overfitting",
        severity="warning",
        start_epoch=first,
        end_epoch=last,
        effect_size=strength,
        effect_unit="noise standard deviations",
        evidence=f"Validation rises from {history.unit} {first} while `{history.monitor}` still falls.",
        advice=f"Stop at {history.unit} {first} or regularise. {try_rates(history.learning_rate, (0.3, 1.0))}",
    )


def _noise(history: TrainingHistory, first: int, last: int, strength: float) -> Finding:
    return Finding(
        kind="noisy_validation",
        severity="info",
        start_epoch=first,
        end_epoch=last,
        effect_size=strength,
        effect_unit="noise over fall",
        evidence=f"The noise of validation is {strength:.0%} of its fall.",
        advice=f"Validate on more data. {try_rates(history.learning_rate, LOWER)}",
    )
