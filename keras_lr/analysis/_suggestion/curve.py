"""The loss curve of a sweep and its landmarks: where the loss falls, bottoms out, rises again and breaks away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter1d

from keras_lr._utils.formatting import format_rate
from keras_lr.analysis._statistics import block_means, gaussian_smooth, rolling_median, step_noise
from keras_lr.errors import CurveError
from keras_lr.results._range_test import RangeTestResult

SMOOTHING_DECADES = 0.25
"""Standard deviation of the kernel that smooths the loss, in decades of learning rate."""

START_DECADES = 0.75
"""Width of the first part of a sweep, in decades, in which the loss is that of the untrained model."""

MIN_START_STEPS = 5
"""The first part of a sweep has at least this many steps."""

BREAKAWAY_SIGMAS = 4.0
"""The loss has broken away once it exceeds its start by this many standard deviations of its noise."""

JUMP_FRACTION = 0.3
JUMP_SIGMAS = 4.0
"""A single loss jumps if it exceeds the lowest smoothed loss so far by `JUMP_FRACTION` of the fall plus `JUMP_SIGMAS`
standard deviations of the noise."""

FLOAT32_RESOLUTION = 1e-6
"""Smaller relative differences of a loss are rounding errors."""

SEEN_FALL_ERRORS = 3.5
"""A fall beyond this many standard errors is real: in 95% of sweeps of pure noise, the lowest of the twenty or so
independent windows stays within them."""

SURE_FALL_ERRORS = 7.0
"""A fall of at least this many standard errors is read as if there were no noise."""

_WIDTH_DECADES = 0.12
"""Standard deviation of the smoothing kernel for an exponential sweep, in decades of learning rate."""

_WIDTH_FRACTION = 0.02
"""The same for a linear sweep, as a fraction of its steps."""

_MAX_POINTS = 20_000
"""A longer sweep is averaged over blocks first, each far narrower than the kernel."""


@dataclass(frozen=True, eq=False)
class LossCurve:
    """The losses of one sweep against the logarithm of the learning rate.

    Attributes:
        decades: Log10 of the learning rates, strictly increasing, shape `(n_steps,)`.
        losses: Finite losses, shape `(n_steps,)`.
    """

    decades: np.ndarray
    losses: np.ndarray

    @property
    def span_decades(self) -> float:
        """Width of the sweep, in decades."""
        return float(self.decades[-1] - self.decades[0]) if len(self.decades) else 0.0

    @property
    def steps_per_decade(self) -> float:
        """Density of the sweep, from the median gap between its steps."""
        return float(1 / np.median(np.diff(self.decades)))


def read_curves(learning_rates: Any, losses: Any) -> list[LossCurve]:
    """One curve per repeat. Non-finite losses are dropped, and steps at the same learning rate are averaged.

    Args:
        learning_rates: Positive, not decreasing, dimensionless, shape `(n_steps,)`.
        losses: Shape `(n_steps,)`, or `(repeats, n_steps)` with NaN after a repeat stopped.

    Raises:
        CurveError: Shapes do not match, a rate is not positive and finite, rates decrease, or no loss is finite.
    """
    rates = _floats(learning_rates, name="learning_rates")
    values = _floats(losses, name="losses")
    if rates.ndim != 1:
        raise CurveError(
            f"`learning_rates` must be one-dimensional. Received shape: {rates.shape}. Pass one rate per step."
        )
    if values.ndim not in (1, 2) or values.shape[-1] != rates.shape[0]:
        raise CurveError(
            f"`losses` must have shape (n_steps,) or (repeats, n_steps) with n_steps={rates.shape[0]}, as "
            f"`learning_rates` has. Received shape: {values.shape}. Pass one loss per rate."
        )
    if not (np.isfinite(rates).all() and (rates > 0).all()):
        raise CurveError(
            f"`learning_rates` must be positive and finite. Received: {_first_bad(rates)}. Drop these steps."
        )
    if (np.diff(rates) < 0).any():
        step = int(np.argmax(np.diff(rates) < 0))
        raise CurveError(
            f"`learning_rates` must not decrease. Received: {format_rate(rates[step], digits=6)} followed by "
            f"{format_rate(rates[step + 1], digits=6)} at step {step + 1}. Sort the steps by learning rate."
        )
    if not np.isfinite(values).any():
        raise CurveError(
            f"`losses` must contain a finite loss. Received: {values.size} values, none finite. Lower `min_lr`."
        )
    return [_curve(rates, repeat) for repeat in np.atleast_2d(values)]


def _curve(rates: np.ndarray, losses: np.ndarray) -> LossCurve:
    finite = np.isfinite(losses)
    distinct, place, count = np.unique(rates[finite], return_inverse=True, return_counts=True)
    return LossCurve(np.log10(distinct), np.bincount(place, weights=losses[finite], minlength=len(distinct)) / count)


def _floats(values: Any, *, name: str) -> np.ndarray:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as err:
        raise CurveError(f"`{name}` must be an array of numbers. Received: {type(values).__name__}. {err}.") from err


def _first_bad(rates: np.ndarray) -> str:
    step = int(np.argmin(np.isfinite(rates) & (rates > 0)))
    return f"{format_rate(rates[step], digits=6)} at step {step}"


@dataclass(frozen=True)
class Landmarks:
    """The shape of one curve in numbers; each position is the log10 of a learning rate.

    Attributes:
        start: Loss of the untrained model.
        noise: Standard deviation of one step's loss about the curve, in the loss's unit.
        fall: Drop of the smoothed loss from its start to its lowest point, at least 0.
        fall_error: Standard error of `fall` due to the noise.
        half: Where half of the fall is reached.
        nearly: Where 95% of the fall is reached.
        lowest: Where the smoothed loss is lowest.
        rise: Where the smoothed loss has risen again by half of the fall; the end of the sweep if it never does.
        jump: Where a single loss first jumps above the smoothed curve by 30% of the fall plus four times the noise.
            Training is unstable from here on, even if no breakaway follows. The end of the sweep if no loss jumps.
        breakaway: Where the loss exceeds its start by four times the noise; None if the sweep ended before that.
        first: Lowest rate of the sweep.
        last: Highest rate of the sweep that has a finite loss.
        steps_per_decade: Density of the sweep.
    """

    start: float
    noise: float
    fall: float
    fall_error: float
    half: float
    nearly: float
    lowest: float
    rise: float
    jump: float
    breakaway: float | None
    first: float
    last: float
    steps_per_decade: float

    @property
    def fall_in_errors(self) -> float:
        """The fall in standard errors of its noise."""
        return self.fall / self.fall_error if self.fall_error > 0 else 0.0

    @property
    def fell(self) -> bool:
        """Whether the loss fell by more than its noise explains."""
        return self.fall_in_errors > SEEN_FALL_ERRORS

    @property
    def doubt(self) -> float:
        """How much of the fall may be noise: 0 for a certain fall, 1 for no visible fall."""
        return float(np.clip((SURE_FALL_ERRORS - self.fall_in_errors) / (SURE_FALL_ERRORS - SEEN_FALL_ERRORS), 0, 1))

    @property
    def fall_share(self) -> float:
        """The fall as a fraction of the loss at the start; above 1 if the loss falls below zero."""
        return self.fall / max(abs(self.start), FLOAT32_RESOLUTION * self.fall) if self.fall > 0 else 0.0

    @property
    def basin_decades(self) -> float:
        """Width of the valley between its fall and its rise."""
        return self.rise - self.half


def read_landmarks(curve: LossCurve) -> Landmarks:
    """Reads the landmarks off a curve of at least ten steps."""
    decades, losses = curve.decades, curve.losses
    medians = rolling_median(losses)
    start_steps = max(MIN_START_STEPS, int(np.searchsorted(decades, decades[0] + START_DECADES)))
    noise = _noise(losses, medians, start_steps)
    ceiling = float(np.median(losses[:start_steps])) + BREAKAWAY_SIGMAS * noise
    breakaway = _first(np.arange(len(medians)) > np.argmin(medians), medians > ceiling)
    smooth = _smooth(curve, np.minimum(medians, ceiling), ceiling, breakaway)
    bottom = int(np.argmin(smooth))
    start = float(np.median(smooth[: min(start_steps, bottom + 1)]))
    fall = max(start - float(smooth[bottom]), 0.0)

    def fallen(fraction: float) -> int:
        higher = np.flatnonzero(smooth[: bottom + 1] > start - fraction * fall)
        return min(int(higher[-1]) + 1, bottom) if len(higher) else 0

    floor = np.minimum.accumulate(smooth)
    steps = np.arange(len(smooth))
    rise = _first(steps > fallen(0.5), smooth > floor + 0.5 * fall)
    jump = _first(steps > fallen(JUMP_FRACTION), losses > floor + JUMP_FRACTION * fall + JUMP_SIGMAS * noise)
    averaged_steps = max(2 * np.sqrt(np.pi) * SMOOTHING_DECADES * curve.steps_per_decade, 1.0)
    return Landmarks(
        start=start,
        noise=noise,
        fall=fall,
        fall_error=noise / float(np.sqrt(averaged_steps)),
        half=float(decades[fallen(0.5)]),
        nearly=float(decades[fallen(0.95)]),
        lowest=float(decades[bottom]),
        rise=float(decades[-1 if rise is None else rise]),
        jump=float(decades[-1 if jump is None else jump]),
        breakaway=None if breakaway is None else float(decades[breakaway]),
        first=float(decades[0]),
        last=float(decades[-1]),
        steps_per_decade=curve.steps_per_decade,
    )


def _noise(losses: np.ndarray, medians: np.ndarray, start_steps: int) -> float:
    """Noise of one step, estimated before the lowest point, where the curve changes little from step to step."""
    before = losses[: max(int(np.argmin(medians)), 2 * MIN_START_STEPS)]
    return max(step_noise(before), FLOAT32_RESOLUTION * float(np.abs(losses[:start_steps]).max()))


def _smooth(curve: LossCurve, capped: np.ndarray, ceiling: float, breakaway: int | None) -> np.ndarray:
    """The smoothed loss, with the curve held at the ceiling from its breakaway on, also beyond the end of the sweep.

    Thus neither the height of a diverged tail nor the step at which the sweep stopped affects the curve before it.
    """
    if breakaway is None:
        return gaussian_smooth(curve.decades, capped, width_decades=SMOOTHING_DECADES)
    beyond = np.arange(1, int(3 * SMOOTHING_DECADES * curve.steps_per_decade) + 2) / curve.steps_per_decade
    decades = np.concatenate([curve.decades, curve.decades[-1] + beyond])
    values = np.concatenate([capped[:breakaway], np.full(len(decades) - breakaway, ceiling)])
    return gaussian_smooth(decades, values, width_decades=SMOOTHING_DECADES)[: len(curve.decades)]


def _first(*conditions: np.ndarray) -> int | None:
    """The first step at which all conditions hold."""
    steps = np.flatnonzero(np.all(conditions, axis=0))
    return int(steps[0]) if len(steps) else None


@dataclass(frozen=True, eq=False)
class SmoothCurve:
    """A centred Gaussian average of the finite losses, which unlike a running mean does not lag.

    Attributes:
        learning_rates: The rates with a finite loss, positive, increasing, shape `(n,)`.
        losses: Smoothed losses, in the loss's unit, shape `(n,)`.
        slopes: Change of the smoothed loss per decade of learning rate (per unit in a linear sweep), shape `(n,)`.
        start: Loss of the untrained model: the median of the first tenth of the sweep.
        ceiling: Loss above which the run has diverged: half of the fall or four times the noise above the start.
    """

    learning_rates: np.ndarray
    losses: np.ndarray
    slopes: np.ndarray
    start: float
    ceiling: float

    @property
    def steepest(self) -> int | None:
        """Index at which the smoothed loss falls fastest before it diverges; None if it never falls."""
        slopes = self.slopes[: self.divergence]
        if not len(slopes) or not np.min(slopes) < 0:
            return None
        return int(np.argmin(slopes))

    @property
    def divergence(self) -> int:
        """Index of the first loss above `ceiling`; the number of losses if no loss is."""
        above = np.flatnonzero(self.losses > self.ceiling)
        return int(above[0]) if len(above) else len(self.losses)


@dataclass(frozen=True)
class Region:
    """A range of learning rates; its name is "too low", "good", "unstable" or "diverged"."""

    name: str
    low: float
    high: float


def smooth_curve(result: RangeTestResult) -> SmoothCurve:
    """The smoothed curve of `result`; empty if no loss is finite."""
    usable = np.isfinite(result.losses) & np.isfinite(result.learning_rates) & (result.learning_rates > 0)
    rates, first_seen = np.unique(result.learning_rates[usable], return_index=True)
    losses = result.losses[usable][first_seen]
    if not len(rates):
        empty = np.empty(0)
        return SmoothCurve(empty, empty, empty, float("nan"), float("nan"))
    start_steps = max(1, len(losses) // 10)
    start = float(np.median(losses[:start_steps]))
    fall = max(start - float(np.min(losses)), 1e-3 * abs(start), 1e-12)
    noise = _noise(losses, rolling_median(losses), start_steps) if len(losses) > 1 else 0.0
    excess = max(0.5 * fall, BREAKAWAY_SIGMAS * noise)
    ceiling = start + excess
    rates, losses = block_means(rates, _MAX_POINTS), block_means(np.minimum(losses, start + 4 * excess), _MAX_POINTS)
    smoothed = gaussian_filter1d(losses, _sigma_steps(rates, result.sweep), mode="nearest")
    position = np.log10(rates) if result.sweep == "exponential" else rates
    slopes = np.gradient(smoothed, position) if len(rates) > 1 else np.zeros(1)
    return SmoothCurve(rates, smoothed, slopes, start, ceiling)


def regions(result: RangeTestResult) -> tuple[Region, ...]:
    """The regions of the swept range, in order; empty without a suggestion."""
    suggestion = result.suggestion
    if suggestion.low is None or suggestion.high is None or not len(result.learning_rates):
        return ()
    first, last = float(result.learning_rates[0]), float(result.learning_rates[-1])
    curve = smooth_curve(result)
    crossed = curve.divergence < len(curve.losses)
    diverged = max(suggestion.high, float(curve.learning_rates[curve.divergence])) if crossed else last
    edges = [
        Region("too low", first, suggestion.low),
        Region("good", max(first, suggestion.low), min(last, suggestion.high)),
        Region("unstable", suggestion.high, diverged),
        Region("diverged", diverged, last),
    ]
    return tuple(region for region in edges if region.low < region.high)


def _sigma_steps(rates: np.ndarray, sweep: str) -> float:
    """Standard deviation of the smoothing kernel, in steps."""
    if len(rates) < 2:
        return 1.0
    if sweep == "linear":
        return max(1.0, _WIDTH_FRACTION * len(rates))
    decades_per_step = float(np.log10(rates[-1] / rates[0])) / (len(rates) - 1)
    return max(1.0, _WIDTH_DECADES / decades_per_step)
