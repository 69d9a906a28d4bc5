"""Findings in the training loss."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from keras_lr.analysis._diagnosis.advice import HIGHER, LOWER, try_both_ways, try_rates
from keras_lr.analysis._diagnosis.decay import noise_left, residual_sum
from keras_lr.analysis._diagnosis.divergence import find_rise
from keras_lr.analysis._diagnosis.history import TrainingHistory
from keras_lr.analysis._diagnosis.oscillation import find_wave
from keras_lr.analysis._diagnosis.plateau import flat_onset
from keras_lr.analysis._statistics import block_means, noise_level, rank_trend, reaches_zero, share
from keras_lr.results._diagnosis import Finding

WAVE_POINTS = 2000
COURSE_POINTS = 200
MIN_STRENGTH = 3.0
"""Standard errors by which a course must move to be told from noise."""

SLOW_SHARE = 0.15
SLOW_STRENGTH = 2.0
MIN_TREND_POINTS = 8
# Of the fall before it, by which a loss must rise to diverge: one that a first loss far too high has left in the noise
# may creep.
MIN_RISE_SHARE = 0.05
NOISE_UNIT = "noise standard deviations"

MIN_EPOCHS = 8
STILL_FALLING = -0.5
NOISY_SHARE = 0.1
MAX_SHARE = 1e4


def block_epochs(epochs: np.ndarray, max_points: int) -> np.ndarray:
    """The first epoch of each block that `block_means` averages over."""
    if epochs.size <= max_points:
        return epochs
    return np.asarray(epochs[np.linspace(0, epochs.size, max_points + 1).astype(int)[:-1]])


def find_all(history: TrainingHistory) -> tuple[Finding, ...]:
    """The findings in the loss and in the validation loss, sorted by their first epoch."""
    finite = np.isfinite(history.loss)
    end = history.loss.size if finite.all() else int(np.argmin(finite))
    found = [] if finite.all() else [not_finite(history, end)]
    if end >= 3:
        found += [*find_in_loss(history, end), *find_in_validation(history)]
    return tuple(sorted(found, key=lambda finding: finding.start_epoch))


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
