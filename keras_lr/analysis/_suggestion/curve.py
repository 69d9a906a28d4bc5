"""Where on the axis of learning rates a loss curve falls, bottoms out, rises again and breaks away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_lr.analysis._statistics import gaussian_smooth, rolling_median, step_noise
from keras_lr.errors import CurveError

SMOOTHING_DECADES = 0.25
START_DECADES = 0.75
MIN_START_STEPS = 5
BREAKAWAY_SIGMAS = 4.0
JUMP_SIGMAS = 4.0
JUMP_FRACTION = 0.3
FLOAT32_RESOLUTION = 1e-6
SEEN_FALL_ERRORS = 3.5
"""Standard errors that the lowest of some twenty independent windows of pure noise stays within, in 95% of sweeps."""

SURE_FALL_ERRORS = 7.0
"""Standard errors from which on a fall is read as if there were no noise."""


@dataclass(frozen=True, eq=False)
class Curve:
    """One sweep's losses over log learning rate.

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
        """Density of the sweep; a linear sweep counts as dense as its median gap."""
        return float(1 / np.median(np.diff(self.decades)))


def read_curves(learning_rates: Any, losses: Any) -> list[Curve]:
    """One curve a repeat, with non-finite losses dropped and steps at one learning rate averaged.

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
            f"`learning_rates` must be one-dimensional. Received shape: {rates.shape}. Pass one rate a step."
        )
    if values.ndim not in (1, 2) or values.shape[-1] != rates.shape[0]:
        raise CurveError(
            f"`losses` must have shape (n_steps,) or (repeats, n_steps) with n_steps={rates.shape[0]}, as "
            f"`learning_rates` has. Received shape: {values.shape}. Pass one loss a rate."
        )
    if not (np.isfinite(rates).all() and (rates > 0).all()):
        raise CurveError(
            f"`learning_rates` must be positive and finite. Received: {_first_bad(rates)}. Drop such steps."
        )
    if (np.diff(rates) < 0).any():
        step = int(np.argmax(np.diff(rates) < 0))
        raise CurveError(
            f"`learning_rates` must not decrease. Received: {rates[step]:g} followed by {rates[step + 1]:g} at step "
            f"{step + 1}. Sort the steps by learning rate."
        )
    if not np.isfinite(values).any():
        raise CurveError(
            f"`losses` must hold a finite loss. Received: {values.size} values, none finite. Lower `min_lr`."
        )
    return [_curve(rates, repeat) for repeat in np.atleast_2d(values)]


def _curve(rates: np.ndarray, losses: np.ndarray) -> Curve:
    finite = np.isfinite(losses)
    distinct, place, count = np.unique(rates[finite], return_inverse=True, return_counts=True)
    return Curve(np.log10(distinct), np.bincount(place, weights=losses[finite], minlength=len(distinct)) / count)


def _floats(values: Any, *, name: str) -> np.ndarray:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as err:
        raise CurveError(f"`{name}` must be an array of numbers. Received: {type(values).__name__}. {err}.") from err


def _first_bad(rates: np.ndarray) -> str:
    step = int(np.argmin(np.isfinite(rates) & (rates > 0)))
    return f"{rates[step]:g} at step {step}"


@dataclass(frozen=True)
class Landmarks:
    """What the shape of one curve says; positions are log10 of a learning rate.

    Attributes:
        start: Loss of the untrained model.
        noise: Standard deviation of one step's loss about the curve, in the loss's unit.
        fall: Drop of the smoothed loss from its start to its lowest point, at least 0.
        fall_error: Standard error of `fall` that the noise alone causes.
        half: Where half of the fall has happened.
        nearly: Where 95% of it has.
        lowest: Where the smoothed loss is lowest.
        rise: Where it has risen again by half of the fall; the end of the sweep where it never does.
        jump: Where a single loss first stands above the smoothed curve by 30% of the fall and four times the noise,
            though no breakaway need follow: training is unstable from here on. The end of the sweep where none does.
        breakaway: Where the loss stands above its start by four times the noise; None where the sweep ended before.
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
        """How surely the loss fell, in standard errors."""
        return self.fall / self.fall_error if self.fall_error > 0 else 0.0

    @property
    def fell(self) -> bool:
        """Whether the loss fell by more than its noise explains."""
        return self.fall_in_errors > SEEN_FALL_ERRORS

    @property
    def doubt(self) -> float:
        """How far the fall drowns in its noise: 0 for a sure fall, 1 for none."""
        return float(np.clip((SURE_FALL_ERRORS - self.fall_in_errors) / (SURE_FALL_ERRORS - SEEN_FALL_ERRORS), 0, 1))

    @property
    def fall_share(self) -> float:
        """How much of the loss at the start was gone at the lowest point; above 1 where that is below zero."""
        return self.fall / max(abs(self.start), FLOAT32_RESOLUTION * self.fall) if self.fall > 0 else 0.0

    @property
    def basin_decades(self) -> float:
        """Width of the valley between its fall and its rise."""
        return self.rise - self.half


def read_landmarks(curve: Curve) -> Landmarks:
    """Reads the landmarks off one curve.

    Args:
        curve: At least ten steps.
    """
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
    """Noise of one step before the lowest point, where the curve moves little from step to step."""
    before = losses[: max(int(np.argmin(medians)), 2 * MIN_START_STEPS)]
    return max(step_noise(before), FLOAT32_RESOLUTION * float(np.abs(losses[:start_steps]).max()))


def _smooth(curve: Curve, capped: np.ndarray, ceiling: float, breakaway: int | None) -> np.ndarray:
    """The smoothed loss; past its breakaway the curve stands at the ceiling, and goes on there beyond the sweep.

    So neither the height of a diverged tail nor where the sweep was stopped in it moves what lies before.
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
