"""Which neighbours of the best learning rate are statistically indistinguishable from it, given a few repeats."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

ERROR_RATE = 0.02
"""Probability, over the whole neighbourhood, that a rate as good as the best is excluded from the basin."""

NEIGHBOURHOOD_DECADES = 1.0
"""Noise is pooled over this distance on either side of the best, since repeats scatter more where training becomes
unstable."""

ROUNDING_DECADES = 1e-4
"""Tolerance of that distance, for rates that are rounded."""

SHARED_NOISE = 0.5
"""All differences share the noise of the best rate, so `k` of them say half as much about it as `k` independent ones.
"""

LOST_SHARE = 0.05
"""Fraction of the possible gain that does not matter. It may be given up for a stable rate; it bounds the basin if the
noise is unknown, as with single runs; and a rate whose repeats are all worse than all of the best's must exceed it to
be excluded."""


@dataclass(frozen=True)
class Basin:
    """The best rate and the rates around it that are within its noise, as indices into the grid.

    Attributes:
        best: Index of the best rate.
        low: Index of the lowest rate of the basin.
        high: Index of the highest rate of the basin.
        noise: Standard error of a difference from the best, in the objective's unit; NaN if unknown.
    """

    best: int
    low: int
    high: int
    noise: float


def find_basin(learning_rates: np.ndarray, scores: np.ndarray, *, gain: float = np.nan) -> Basin | None:
    """The rates around the best that a paired test cannot distinguish from it.

    The repeats of different rates are paired by seed, so what a lucky start gives to every rate cancels in the
    differences from the best. Three differences say little about their own variance, so each variance is shrunk towards
    the median of the neighbourhood, and the threshold is corrected for the number of comparisons.

    The best rate has the lowest median. If one of its repeats diverged, the best fully stable rate is preferred,
    provided it gives up at most `LOST_SHARE` of the gain. Otherwise no rate with a diverged repeat enters the basin.

    Args:
        learning_rates: Increasing, shape `(n_rates,)`.
        scores: Score of each repeat, lower is better, shape `(n_rates, n_repeats)`; infinite if the run diverged, NaN
            if unknown.
        gain: Largest possible improvement by training, in the unit of the scores; NaN if unknown.

    Returns:
        The basin; None if no rate has a finite median.

    Source:
        Gupta 1965, doi:10.1080/00401706.1965.10490251, for the subset that contains the best; Smyth 2004,
        doi:10.2202/1544-6115.1027, for the variances.
    """
    medians = np.array([_median(row) for row in scores])
    if not np.isfinite(medians).any():
        return None
    stable = np.isfinite(medians) & ~np.isinf(scores).any(axis=1)
    best = _best(medians, stable, gain)
    finite = np.where(np.isfinite(scores), scores, np.nan)
    differences = np.where(stable[:, None], finite, np.nan) - finite[best]
    errors = _standard_errors(differences, stable & _neighbours(learning_rates, best))
    if errors is None:
        return Basin(best, *_stretch_around(best, stable & (medians - medians[best] <= LOST_SHARE * gain)), np.nan)
    within = errors.within(differences) & ~_all_repeats_worse(finite, medians, best, gain)
    return Basin(best, *_stretch_around(best, stable & within), errors.typical)


def _median(row: np.ndarray) -> float:
    known = row[~np.isnan(row)]
    return float(np.median(known)) if len(known) else np.nan


def _best(medians: np.ndarray, stable: np.ndarray, gain: float) -> int:
    best = int(np.nanargmin(medians))
    best_stable = int(np.argmin(np.where(stable, medians, np.inf)))
    loses_much = medians[best_stable] - medians[best] > LOST_SHARE * gain
    return best if not stable[best_stable] or loses_much else best_stable


def _neighbours(learning_rates: np.ndarray, best: int) -> np.ndarray:
    """The rates of the neighbourhood without the best itself, including at least the next rate on either side."""
    distances = np.abs(np.log10(learning_rates / learning_rates[best]))
    near: np.ndarray = distances <= NEIGHBOURHOOD_DECADES + ROUNDING_DECADES
    near[max(best - 1, 0) : best + 2] = True
    near[best] = False
    return near


def _all_repeats_worse(scores: np.ndarray, medians: np.ndarray, best: int, gain: float) -> np.ndarray:
    """Rates whose repeats are all worse than all of the best's, with medians that differ by more than `LOST_SHARE`.

    Where training becomes unstable, three repeats scatter so much that a test of their mean misses even such a gap.

    Returns:
        Shape `(n_rates,)`.
    """
    luckiest = np.min(np.where(np.isnan(scores), np.inf, scores), axis=1)
    return np.asarray((luckiest > np.nanmax(scores[best])) & (medians - medians[best] > LOST_SHARE * gain))


def _stretch_around(best: int, within: np.ndarray) -> tuple[int, int]:
    """First and last index of the unbroken stretch of `within` that contains `best`."""
    outside = np.flatnonzero(~within)
    below, above = outside[outside < best], outside[outside > best]
    return int(below[-1]) + 1 if len(below) else 0, int(above[0]) - 1 if len(above) else len(within) - 1


@dataclass(frozen=True)
class _Errors:
    """Standard errors of the mean differences from the best, and how many of them noise alone may reach.

    Attributes:
        own: Of each rate, with its variance shrunk towards the neighbourhood's; shape `(n_rates,)`.
        common: Of the neighbourhood; shape `(n_rates,)`, since the rates may differ in their number of repeats.
        quantile: Quantile of Student's t, shape `(n_rates,)`.
        typical: Median of `own` over the neighbours.
    """

    own: np.ndarray
    common: np.ndarray
    quantile: np.ndarray
    typical: float

    def within(self, differences: np.ndarray) -> np.ndarray:
        """Which rates cannot be distinguished from the best, shape `(n_rates,)`.

        A rate that trains unreliably has a wide error of its own. It is still distinguished if even its luckiest repeat
        is worse than the best by more than the common noise allows.
        """
        count = (~np.isnan(differences)).sum(axis=1)
        mean = np.nansum(differences, axis=1) / np.maximum(count, 1)
        luckiest = np.where(np.isnan(differences), np.inf, differences).min(axis=1)
        return np.asarray((count > 0) & (mean <= self.quantile * self.own) & (luckiest <= self.quantile * self.common))


def _standard_errors(differences: np.ndarray, neighbours: np.ndarray) -> _Errors | None:
    """The errors of the differences; None if no neighbour shares two repeats with the best."""
    count = (~np.isnan(differences)).sum(axis=1)
    own_freedom = np.maximum(count - 1, 0)
    several = neighbours & (own_freedom > 0)
    if not several.any():
        return None
    mean = np.nansum(differences, axis=1) / np.maximum(count, 1)
    own: np.ndarray = np.nansum((differences - mean[:, None]) ** 2, axis=1) / np.maximum(own_freedom, 1)
    pooled, pooled_freedom = np.median(own[several]), SHARED_NOISE * own_freedom[several].sum()
    freedom = pooled_freedom + own_freedom
    shrunk = (pooled_freedom * pooled + own_freedom * own) / freedom
    errors = np.sqrt(shrunk / np.maximum(count, 1))
    quantile = stats.t.ppf(1 - ERROR_RATE / neighbours.sum(), freedom)
    return _Errors(errors, np.sqrt(pooled / np.maximum(count, 1)), quantile, float(np.median(errors[several])))
