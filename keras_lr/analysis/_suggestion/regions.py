"""The curve of a range test as the eye should see it: smoothed, with its slope and its regions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from keras_lr.results._range_test import RangeTestResult

_WIDTH_DECADES = 0.12
_WIDTH_FRACTION = 0.02
_MOST_POINTS = 20_000


@dataclass(frozen=True, eq=False)
class SmoothCurve:
    """A centred Gaussian average of the finite losses; unlike a running mean it does not lag behind the learning rate.

    Attributes:
        learning_rates: Those with a finite loss, positive, increasing, shape `(n,)`.
        losses: Smoothed losses, in the loss's unit, shape `(n,)`.
        slopes: Change of the smoothed loss per decade of learning rate (per unit in a linear sweep), shape `(n,)`.
        start: Loss before the sweep changed anything: the median of the first tenth.
        ceiling: Loss above which a run has plainly left the curve.
    """

    learning_rates: np.ndarray
    losses: np.ndarray
    slopes: np.ndarray
    start: float
    ceiling: float

    @property
    def steepest(self) -> int | None:
        """Index at which the smoothed loss falls fastest before it diverges, or None where it never falls."""
        slopes = self.slopes[: self.divergence]
        if not len(slopes) or not np.min(slopes) < 0:
            return None
        return int(np.argmin(slopes))

    @property
    def divergence(self) -> int:
        """Index of the first loss above `ceiling`; the number of losses where there is none."""
        above = np.flatnonzero(self.losses > self.ceiling)
        return int(above[0]) if len(above) else len(self.losses)


@dataclass(frozen=True)
class Region:
    """A stretch of learning rates: "too low", "good", "unstable" or "diverged"."""

    name: str
    low: float
    high: float


def smooth_curve(result: RangeTestResult) -> SmoothCurve:
    """The smoothed curve of `result`; empty where no loss is finite."""
    usable = np.isfinite(result.losses) & np.isfinite(result.learning_rates) & (result.learning_rates > 0)
    rates, first_seen = np.unique(result.learning_rates[usable], return_index=True)
    losses = result.losses[usable][first_seen]
    if not len(rates):
        empty = np.empty(0)
        return SmoothCurve(empty, empty, empty, float("nan"), float("nan"))
    start = float(np.median(losses[: max(1, len(losses) // 10)]))
    fall = max(start - float(np.min(losses)), 1e-3 * abs(start), 1e-12)
    ceiling = start + 0.5 * fall
    rates, losses = _block_means(rates, np.minimum(losses, start + 2 * fall))
    smoothed = gaussian_filter1d(losses, _sigma_steps(rates, result.sweep), mode="nearest")
    position = np.log10(rates) if result.sweep == "exponential" else rates
    slopes = np.gradient(smoothed, position) if len(rates) > 1 else np.zeros(1)
    return SmoothCurve(rates, smoothed, slopes, start, ceiling)


def regions(result: RangeTestResult) -> tuple[Region, ...]:
    """The stretches of the swept range, in order; empty where the curve gave no suggestion."""
    advice = result.suggestion
    if advice.low is None or advice.high is None or not len(result.learning_rates):
        return ()
    first, last = float(result.learning_rates[0]), float(result.learning_rates[-1])
    curve = smooth_curve(result)
    crossed = curve.divergence < len(curve.losses)
    diverged = max(advice.high, float(curve.learning_rates[curve.divergence])) if crossed else last
    edges = [
        Region("too low", first, advice.low),
        Region("good", max(first, advice.low), min(last, advice.high)),
        Region("unstable", advice.high, diverged),
        Region("diverged", diverged, last),
    ]
    return tuple(region for region in edges if region.low < region.high)


def _block_means(rates: np.ndarray, losses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means of neighbouring steps where there are very many; each block is far narrower than the average to come."""
    if len(rates) <= _MOST_POINTS:
        return rates, losses
    starts = np.linspace(0, len(rates), _MOST_POINTS, endpoint=False).astype(int)
    sizes = np.diff(starts, append=len(rates))
    return tuple(np.add.reduceat(values, starts) / sizes for values in (rates, losses))  # type: ignore[return-value]


def _sigma_steps(rates: np.ndarray, sweep: str) -> float:
    if len(rates) < 2:
        return 1.0
    if sweep == "linear":
        return max(1.0, _WIDTH_FRACTION * len(rates))
    decades_per_step = float(np.log10(rates[-1] / rates[0])) / (len(rates) - 1)
    return max(1.0, _WIDTH_DECADES / decades_per_step)
