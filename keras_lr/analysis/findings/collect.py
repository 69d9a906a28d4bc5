"""Every finding in a history, in order of onset."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from keras_lr.analysis.advice import HIGHER, LOWER, try_rates
from keras_lr.analysis.features import block_means, noise_level, rank_trend, share
from keras_lr.analysis.findings.decay import residual_sum
from keras_lr.analysis.findings.kinks import flat_onset, rising_onset
from keras_lr.analysis.findings.waves import find_wave
from keras_lr.analysis.history_series import TrainingHistory
from keras_lr.records.diagnosis import Finding

WAVE_POINTS = 2000
COURSE_POINTS = 400
SLOW_SHARE = 0.15
MIN_STRENGTH = 3.0


def find_all(history: TrainingHistory) -> tuple[Finding, ...]:
    """The findings in the loss, then in the validation loss, sorted by their first epoch."""
    finite = np.isfinite(history.loss)
    end = history.loss.size if finite.all() else int(np.argmin(finite))
    found = [] if finite.all() else [_non_finite(history, end)]
    if end >= 3:
        found += [*_in_loss(history, end), *_in_validation(history)]
    return tuple(sorted(found, key=lambda finding: finding.start_epoch))


def _non_finite(history: TrainingHistory, start: int) -> Finding:
    return Finding(
        "divergence",
        "critical",
        int(history.epochs[start]),
        int(history.epochs[-1]),
        float(history.loss.size - start),
        "epochs",
        f"`{history.monitor}` is not finite from epoch {history.epochs[start]}.",
        try_rates(history.learning_rate, LOWER),
    )


def _in_loss(history: TrainingHistory, end: int) -> Iterator[Finding]:
    rate, name = history.learning_rate, history.monitor
    values, epochs = block_means(history.loss[:end], COURSE_POINTS), _block_epochs(history.epochs[:end], COURSE_POINTS)
    last = int(history.epochs[end - 1])
    waves, wave_epochs = block_means(history.loss[:end], WAVE_POINTS), _block_epochs(history.epochs[:end], WAVE_POINTS)
    if wave := find_wave(waves):
        first, final = int(wave_epochs[wave.start]), int(wave_epochs[min(wave.end, wave_epochs.size - 1)])
        yield Finding(
            "oscillation",
            "warning",
            first,
            final,
            wave.amplitude,
            "noise standard deviations",
            f"`{name}` swings every {wave.period * end / waves.size:.3g} epochs from {first} to {final}.",
            try_rates(rate, LOWER),
        )
    if rise := rising_onset(values):
        start = int(epochs[rise[0]])
        yield Finding(
            "divergence",
            "critical",
            start,
            last,
            rise[1],
            "noise standard deviations",
            f"`{name}` rises from epoch {start} by {rise[1]:.3g} times its noise.",
            try_rates(rate, LOWER),
        )
    elif flat := flat_onset(values):
        start = int(epochs[flat[0]])
        yield Finding(
            "early_plateau",
            "warning",
            start,
            last,
            flat[1],
            "noise standard deviations",
            f"`{name}` fell by {flat[1]:.3g} times its noise and has not moved since epoch {start}.",
            try_rates(rate, LOWER),
        )
    else:
        yield from _course(history, values, last)


def _course(history: TrainingHistory, values: np.ndarray, last: int) -> Iterator[Finding]:
    first = int(history.epochs[0])
    if (
        values.size >= 8
        and abs(rank_trend(values)) < 2 / np.sqrt(values.size)
        and rank_trend(values[-values.size // 2 :]) > -0.3
    ):
        yield Finding(
            "stagnation",
            "warning",
            first,
            last,
            rank_trend(values),
            "Kendall's tau",
            f"`{history.monitor}` shows no trend over {values.size} points.",
            try_rates(history.learning_rate, LOWER),
        )
        return
    residual, course = residual_sum(values)
    noise = max(float(np.sqrt(residual / values.size)), 1e-9 * float(np.ptp(values)))
    late = float(course[2 * values.size // 3] - course[-1])
    remaining = share(late, float(course[0] - course[-1]))
    if remaining >= SLOW_SHARE and late > MIN_STRENGTH * noise / np.sqrt(values.size / 3):
        yield Finding(
            "slow_learning",
            "info",
            first,
            last,
            min(remaining, 1.0),
            "share of the fall in the last third",
            f"`{history.monitor}` made {min(remaining, 1.0):.0%} of its fall in the last third and is still falling.",
            try_rates(history.learning_rate, HIGHER),
        )


def _in_validation(history: TrainingHistory) -> Iterator[Finding]:
    if history.val_loss is None:
        return
    usable = np.isfinite(history.val_loss) & np.isfinite(history.loss)
    if usable.sum() < 8:
        return
    epochs = _block_epochs(history.epochs[usable], COURSE_POINTS)
    loss, values = (block_means(series[usable], COURSE_POINTS) for series in (history.loss, history.val_loss))
    last = int(history.epochs[usable][-1])
    rise = rising_onset(values)
    if rise and rank_trend(loss[rise[0] :]) < -0.5:
        start = int(epochs[rise[0]])
        yield Finding(
            "overfitting",
            "warning",
            start,
            last,
            rise[1],
            "noise standard deviations",
            f"Validation rises from epoch {start} while `{history.monitor}` still falls.",
            f"Stop at epoch {start} or regularise. {try_rates(history.learning_rate, (0.3, 1.0))}",
        )
    noise, fall = noise_level(values), float(values[0] - values.min())
    if noise > MIN_STRENGTH * noise_level(loss) and share(noise, fall) > 0.1:
        strength = min(share(noise, fall), 1e4)
        yield Finding(
            "noisy_validation",
            "info",
            int(epochs[0]),
            last,
            strength,
            "noise over fall",
            f"The noise of validation is {strength:.0%} of its fall.",
            f"Validate on more data. {try_rates(history.learning_rate, LOWER)}",
        )


def _block_epochs(epochs: np.ndarray, max_points: int) -> np.ndarray:
    if epochs.size <= max_points:
        return epochs
    return np.asarray(epochs[np.linspace(0, epochs.size, max_points + 1).astype(int)[:-1]])
