"""What a history shows, one function per kind of finding.

Only the first epochs whose loss is finite are searched. The texts say "improves" and "gets worse", because the judged
series may be a metric that should grow. What to do about a finding depends on the verdict: see `advice`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from keras_lr.analysis._diagnosis.decay import find_divergence, find_plateau, fit_decay, residual_noise
from keras_lr.analysis._diagnosis.history import TrainingHistory
from keras_lr.analysis._diagnosis.oscillation import find_oscillation
from keras_lr.analysis._statistics import block_means, block_starts, curvature_noise, rank_trend, ratio, reaches_zero
from keras_lr.results._diagnosis import Finding

# Longer histories are averaged in blocks. An oscillation needs more points than the other findings, which are about
# the course of the whole run.
OSCILLATION_POINTS = 2000
TREND_POINTS = 200
NOISE_UNIT = "noise standard deviations"

# A rise counts as divergence only above this fraction of the preceding fall. (A huge first loss can hide a slow creep
# in the noise.)
MIN_RISE_FRACTION = 0.05

# Stagnation: an insignificant trend over at least this many points, and no clear fall in the last half.
MIN_TREND_POINTS = 8
MAX_LATE_TREND = -0.3

# Slow learning: at least this fraction of the fall happens in the last third, by this many standard errors.
SLOW_FRACTION = 0.15
SLOW_STRENGTH = 2.0

MIN_VALIDATED_EPOCHS = 8
# Overfitting: while validation rises, Kendall's tau of the training loss is below this.
STILL_FALLING = -0.5
# Noisy validation: this many times the noise of the training loss, and this fraction of the fall of validation.
NOISY_TIMES_TRAINING = 3.0
NOISY_FRACTION = 0.1
# Bounds the strength of a finding if validation never fell.
MAX_NOISE_OVER_FALL = 1e4


def find_all(history: TrainingHistory) -> tuple[Finding, ...]:
    """The findings in the loss and in the validation loss, sorted by their first epoch."""
    finite = np.isfinite(history.loss)
    end = history.loss.size if finite.all() else int(np.argmin(finite))
    found = [] if finite.all() else [_non_finite(history, end)]
    if end >= 3:
        found += [*_in_loss(history, end), *_in_validation(history)]
    return tuple(sorted(found, key=lambda finding: finding.start_epoch))


def _in_loss(history: TrainingHistory, end: int) -> Iterator[Finding]:
    """An oscillation, and one of divergence, a plateau, stagnation and slow learning, in the first `end` epochs."""
    if oscillation := _oscillation(history, end):
        yield oscillation
    if reaches_zero(history.loss[:end]):
        return
    trend = divergence_finding(history, end) or _early_plateau(history, end)
    trend = trend or _stagnation(history, end) or _slow_learning(history, end)
    if trend:
        yield trend


def _in_validation(history: TrainingHistory) -> Iterator[Finding]:
    """Overfitting and noisy validation, if at least eight epochs were validated."""
    if history.val_loss is None:
        return
    usable = np.isfinite(history.val_loss) & np.isfinite(history.loss)
    if usable.sum() < MIN_VALIDATED_EPOCHS:
        return
    loss, validation = (block_means(series[usable], TREND_POINTS) for series in (history.loss, history.val_loss))
    epochs, last = block_starts(history.epochs[usable], TREND_POINTS), int(history.epochs[usable][-1])
    rise = find_divergence(validation)
    if rise and rank_trend(loss[rise.onset :]) < STILL_FALLING:
        yield _overfitting(history, int(epochs[rise.onset]), last, rise.strength)
    noise, fall = curvature_noise(validation), float(validation[0] - validation.min())
    if noise > NOISY_TIMES_TRAINING * curvature_noise(loss) and ratio(noise, fall) > NOISY_FRACTION:
        yield _noisy_validation(history, int(epochs[0]), last, min(ratio(noise, fall), MAX_NOISE_OVER_FALL))


def _non_finite(history: TrainingHistory, start: int) -> Finding:
    """The loss is NaN or infinite from index `start` on."""
    first = int(history.epochs[start])
    return Finding(
        kind="divergence",
        severity="critical",
        start_epoch=first,
        end_epoch=int(history.epochs[-1]),
        effect_size=float(history.loss.size - start),
        effect_unit=f"{history.unit}s",
        evidence=f"`{history.monitor}` is NaN or infinite from {history.unit} {first} on.",
    )


def _oscillation(history: TrainingHistory, end: int) -> Finding | None:
    values = block_means(history.loss[:end], OSCILLATION_POINTS)
    epochs = block_starts(history.epochs[:end], OSCILLATION_POINTS)
    found = find_oscillation(values)
    if found is None:
        return None
    first, last = int(epochs[found.start]), int(epochs[min(found.end, epochs.size - 1)])
    period = found.period * end / values.size
    return Finding(
        kind="oscillation",
        severity="warning",
        start_epoch=first,
        end_epoch=last,
        effect_size=found.amplitude,
        effect_unit=NOISE_UNIT,
        evidence=f"`{history.monitor}` oscillates from {history.unit} {first} to {last}, with a period of "
        f"{period:.3g} {history.unit}s.",
    )


def divergence_finding(history: TrainingHistory, end: int) -> Finding | None:
    """The rise in which the first `end` values of the loss end, if they end in one."""
    values = block_means(history.loss[:end], TREND_POINTS)
    found = find_divergence(values)
    if found is None or found.rise < MIN_RISE_FRACTION * (values[0] - values[: found.onset + 1].min()):
        return None
    first = int(block_starts(history.epochs[:end], TREND_POINTS)[found.onset])
    return Finding(
        kind="divergence",
        severity="critical",
        start_epoch=first,
        end_epoch=int(history.epochs[end - 1]),
        effect_size=found.strength,
        effect_unit=NOISE_UNIT,
        evidence=f"`{history.monitor}` gets worse from {history.unit} {first} on, by {found.strength:.3g} times its "
        "noise.",
    )


def _early_plateau(history: TrainingHistory, end: int) -> Finding | None:
    found = find_plateau(block_means(history.loss[:end], TREND_POINTS))
    if found is None:
        return None
    first = int(block_starts(history.epochs[:end], TREND_POINTS)[found.onset])
    return Finding(
        kind="early_plateau",
        severity="warning",
        start_epoch=first,
        end_epoch=int(history.epochs[end - 1]),
        effect_size=found.strength,
        effect_unit=NOISE_UNIT,
        evidence=f"`{history.monitor}` improved by {found.strength:.3g} times its noise and has not changed since "
        f"{history.unit} {first}.",
    )


def _stagnation(history: TrainingHistory, end: int) -> Finding | None:
    values = block_means(history.loss[:end], TREND_POINTS)
    trend = rank_trend(values)
    # For independent values, Kendall's tau has a standard deviation of about 2 / (3 sqrt(n)): three of them.
    if values.size < MIN_TREND_POINTS or abs(trend) >= 2 / np.sqrt(values.size):
        return None
    if rank_trend(values[-values.size // 2 :]) <= MAX_LATE_TREND:
        return None
    return Finding(
        kind="stagnation",
        severity="warning",
        start_epoch=int(history.epochs[0]),
        end_epoch=int(history.epochs[end - 1]),
        effect_size=trend,
        effect_unit="Kendall's tau",
        evidence=f"`{history.monitor}` shows no trend over {end} {history.unit}s.",
    )


def _slow_learning(history: TrainingHistory, end: int) -> Finding | None:
    values = block_means(history.loss[:end], TREND_POINTS)
    residual, curve = fit_decay(values)
    noise = residual_noise(residual, values)
    late = float(curve[2 * values.size // 3] - curve[-1])
    late_share = min(ratio(late, float(curve[0] - curve[-1])), 1.0)
    if late_share < SLOW_FRACTION or late <= SLOW_STRENGTH * noise / np.sqrt(values.size / 3):
        return None
    return Finding(
        kind="slow_learning",
        severity="info",
        start_epoch=int(history.epochs[0]),
        end_epoch=int(history.epochs[end - 1]),
        effect_size=late_share,
        effect_unit="share of the fall in the last third",
        evidence=f"`{history.monitor}` made {late_share:.0%} of its improvement in the last third and is still "
        "improving.",
    )


def _overfitting(history: TrainingHistory, first: int, last: int, strength: float) -> Finding:
    return Finding(
        kind="overfitting",
        severity="warning",
        start_epoch=first,
        end_epoch=last,
        effect_size=strength,
        effect_unit=NOISE_UNIT,
        evidence=f"`{history.val_monitor}` gets worse from {history.unit} {first} on while `{history.monitor}` still "
        "improves.",
    )


def _noisy_validation(history: TrainingHistory, first: int, last: int, noise_over_fall: float) -> Finding:
    return Finding(
        kind="noisy_validation",
        severity="info",
        start_epoch=first,
        end_epoch=last,
        effect_size=noise_over_fall,
        effect_unit="noise over fall",
        evidence=(
            f"The noise of `{history.val_monitor}` is {noise_over_fall:.0%} of its total improvement."
            if noise_over_fall < 1
            else f"`{history.val_monitor}` improved by less than its noise."
        ),
    )
