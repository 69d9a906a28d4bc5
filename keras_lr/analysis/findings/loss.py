"""Findings in the training loss."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from keras_lr.analysis.advice import HIGHER, LOWER, try_both_ways, try_rates
from keras_lr.analysis.findings.blocks import COURSE_POINTS, WAVE_POINTS, block_epochs
from keras_lr.analysis.findings.decay import noise_left, residual_sum
from keras_lr.analysis.findings.plateaus import flat_onset
from keras_lr.analysis.findings.rises import find_rise
from keras_lr.analysis.findings.waves import find_wave
from keras_lr.analysis.history_series import TrainingHistory
from keras_lr.analysis.series import block_means, rank_trend, reaches_zero, share
from keras_lr.records.diagnosis import Finding

SLOW_SHARE = 0.15
SLOW_STRENGTH = 2.0
MIN_TREND_POINTS = 8
# Of the fall before it, by which a loss must rise to diverge: one that a first loss far too high has left in the noise
# may creep.
MIN_RISE_SHARE = 0.05
NOISE_UNIT = "noise standard deviations"


def find_in_loss(history: TrainingHistory, end: int) -> Iterator[Finding]:
    """In the first `end` epochs, all finite: a swing, and one of a rise, a plateau, no trend and slow learning."""
    if wave := _oscillation(history, end):
        yield wave
    if reaches_zero(history.loss[:end]):
        return
    course = _rise(history, end) or _plateau(history, end) or _stagnation(history, end) or _slow(history, end)
    if course:
        yield course


def not_finite(history: TrainingHistory, start: int) -> Finding:
    """The loss is NaN or infinite from index `start` on."""
    first = int(history.epochs[start])
    return Finding(
        kind="divergence",
        severity="critical",
        start_epoch=first,
        end_epoch=int(history.epochs[-1]),
        effect_size=float(history.loss.size - start),
        effect_unit=f"{history.unit}s",
        evidence=f"`{history.monitor}` is not finite from {history.unit} {first}.",
        advice=try_rates(history.learning_rate, LOWER),
    )


def _oscillation(history: TrainingHistory, end: int) -> Finding | None:
    values, epochs = block_means(history.loss[:end], WAVE_POINTS), block_epochs(history.epochs[:end], WAVE_POINTS)
    wave = find_wave(values)
    if wave is None:
        return None
    first, last = int(epochs[wave.start]), int(epochs[min(wave.end, epochs.size - 1)])
    period = wave.period * end / values.size
    return Finding(
        kind="oscillation",
        severity="warning",
        start_epoch=first,
        end_epoch=last,
        effect_size=wave.amplitude,
        effect_unit=NOISE_UNIT,
        evidence=f"`{history.monitor}` swings every {period:.3g} {history.unit}s from {first} to {last}.",
        advice=try_rates(history.learning_rate, LOWER),
    )


def _rise(history: TrainingHistory, end: int) -> Finding | None:
    values = block_means(history.loss[:end], COURSE_POINTS)
    rise = find_rise(values)
    if rise is None or rise.size < MIN_RISE_SHARE * (values[0] - values[: rise.onset + 1].min()):
        return None
    first = int(block_epochs(history.epochs[:end], COURSE_POINTS)[rise.onset])
    return Finding(
        kind="divergence",
        severity="critical",
        start_epoch=first,
        end_epoch=int(history.epochs[end - 1]),
        effect_size=rise.strength,
        effect_unit=NOISE_UNIT,
        evidence=f"`{history.monitor}` rises from {history.unit} {first} by {rise.strength:.3g} times its noise.",
        advice=try_rates(history.learning_rate, LOWER),
    )


def _plateau(history: TrainingHistory, end: int) -> Finding | None:
    onset = flat_onset(block_means(history.loss[:end], COURSE_POINTS))
    if onset is None:
        return None
    first = int(block_epochs(history.epochs[:end], COURSE_POINTS)[onset[0]])
    return Finding(
        kind="early_plateau",
        severity="warning",
        start_epoch=first,
        end_epoch=int(history.epochs[end - 1]),
        effect_size=onset[1],
        effect_unit=NOISE_UNIT,
        evidence=f"`{history.monitor}` fell by {onset[1]:.3g} times its noise and has not moved since {history.unit} "
        f"{first}.",
        advice=try_rates(history.learning_rate, LOWER),
    )


def _stagnation(history: TrainingHistory, end: int) -> Finding | None:
    values = block_means(history.loss[:end], COURSE_POINTS)
    trend = rank_trend(values)
    # Under independence Kendall's tau has a standard deviation of 2 / (3 sqrt(n)).
    if values.size < MIN_TREND_POINTS or abs(trend) >= 2 / np.sqrt(values.size):
        return None
    if rank_trend(values[-values.size // 2 :]) <= -0.3:
        return None
    return Finding(
        kind="stagnation",
        severity="warning",
        start_epoch=int(history.epochs[0]),
        end_epoch=int(history.epochs[end - 1]),
        effect_size=trend,
        effect_unit="Kendall's tau",
        evidence=f"`{history.monitor}` shows no trend over {end} {history.unit}s: too low and too high look alike.",
        advice=try_both_ways(history.learning_rate),
    )


def _slow(history: TrainingHistory, end: int) -> Finding | None:
    values = block_means(history.loss[:end], COURSE_POINTS)
    residual, course = residual_sum(values)
    noise = noise_left(residual, values)
    late = float(course[2 * values.size // 3] - course[-1])
    remaining = min(share(late, float(course[0] - course[-1])), 1.0)
    if remaining < SLOW_SHARE or late <= SLOW_STRENGTH * noise / np.sqrt(values.size / 3):
        return None
    return Finding(
        kind="slow_learning",
        severity="info",
        start_epoch=int(history.epochs[0]),
        end_epoch=int(history.epochs[end - 1]),
        effect_size=remaining,
        effect_unit="share of the fall in the last third",
        evidence=f"`{history.monitor}` made {remaining:.0%} of its fall in the last third and is still falling.",
        advice=try_rates(history.learning_rate, HIGHER),
    )
