"""The curve of a range test as it is shown to people: smoothed, with its slope and its regions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from keras_lr.analysis._statistics import block_means
from keras_lr.results._range_test import RangeTestResult

_WIDTH_DECADES = 0.12
"""Standard deviation of the smoothing kernel for an exponential sweep, in decades of learning rate."""

_WIDTH_FRACTION = 0.02
"""The same for a linear sweep, as a fraction of its steps."""

_MAX_POINTS = 20_000
"""A longer sweep is averaged over blocks first, each far narrower than the kernel."""


@dataclass(frozen=True, eq=False)
class SmoothCurve:
    """A centred Gaussian average of the finite losses, which unlike a running mean does not lag.

    Attributes:
        learning_rates: The rates with a finite loss, positive, increasing, shape `(n,)`.
        losses: Smoothed losses, in the loss's unit, shape `(n,)`.
        slopes: Change of the smoothed loss per decade of learning rate (per unit in a linear sweep), shape `(n,)`.
        start: Loss of the untrained model: the median of the first tenth of the sweep.
        ceiling: Loss above which the run has diverged.
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
    start = float(np.median(losses[: max(1, len(losses) // 10)]))
    fall = max(start - float(np.min(losses)), 1e-3 * abs(start), 1e-12)
    ceiling = start + 0.5 * fall
    rates, losses = block_means(rates, _MAX_POINTS), block_means(np.minimum(losses, start + 2 * fall), _MAX_POINTS)
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
