"""Which neighbours of the best learning rate cannot be told from it, given a few repeats of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

ERROR_RATE = 0.02
"""Chance, over the whole neighbourhood, that a rate as good as the best is left out of the basin."""

NEIGHBOURHOOD_DECADES = 1.0
"""Noise is pooled over so wide a part on either side: the repeats scatter more where training gets unstable."""

SHARED_NOISE = 0.5
"""Differences to one best share its noise, so that k of them tell half as much about it as k alone would."""

ROUNDING = 1e-4
LOST_SHARE = 0.05
"""Share of the possible gain that does not count: what may be lost for a steady rate, in the basin of single runs, of
unknown noise, and by a rate all of whose repeats are worse than the best's."""


@dataclass(frozen=True)
class Basin:
    """The best rate and the rates around it that are within its noise, as places in the grid.

    Attributes:
        best: Place of the best rate.
        low: Place of the lowest rate of the basin.
        high: Place of the highest.
        noise: Standard error of a difference to the best, in the objective's unit; NaN where it is not known.
    """

    best: int
    low: int
    high: int
    noise: float


def find_basin(learning_rates: np.ndarray, scores: np.ndarray, *, gain: float = np.nan) -> Basin | None:
    """The rates around the best that a paired test does not tell from it.

    The repeats of a rate are paired by seed: what a lucky start gives to every rate cancels in the differences to the
    best. Three differences say little about their own scatter, so each variance is drawn towards the median of the
    neighbourhood's, and the threshold allows for as many comparisons as there are neighbours.

    Args:
        learning_rates: Increasing, shape `(n_rates,)`.
        scores: What each repeat came to, lower is better, shape `(n_rates, n_repeats)`; infinite for a diverged run,
            NaN for one that is not known.
        gain: What training can improve at most, in the unit of the scores; NaN where that is not known.

    Returns:
        The basin; None where no rate has a finite median. The best has the lowest median; one of which a repeat
        diverged gives way to one of which none did, where that loses at most `LOST_SHARE` of the gain. No rate with
        a diverged repeat is let into the basin of another.

    Source:
        Gupta 1965, doi:10.1080/00401706.1965.10490251, for the subset that holds the best; Smyth 2004,
        doi:10.2202/1544-6115.1027, for the variances.
    """
    medians = np.array([_median(row) for row in scores])
    if not np.isfinite(medians).any():
        return None
    steady = np.isfinite(medians) & ~np.isinf(scores).any(axis=1)
    best = _best(medians, steady, gain)
    finite = np.where(np.isfinite(scores), scores, np.nan)
    differences = np.where(steady[:, None], finite, np.nan) - finite[best]
    errors = _standard_errors(differences, steady & _near(learning_rates, best))
    if errors is None:
        return Basin(best, *_around(best, steady & (medians - medians[best] <= LOST_SHARE * gain)), np.nan)
    within = errors.within(differences) & ~_plainly_worse(finite, medians, best, gain)
    return Basin(best, *_around(best, steady & within), errors.typical)


def _plainly_worse(scores: np.ndarray, medians: np.ndarray, best: int, gain: float) -> np.ndarray:
    """Rates of which every repeat is worse than every one of the best, by more than counts; shape `(n_rates,)`.

    Where training gets unstable the scatter of three repeats hides even such a gap from a test of their mean.
    """
    luckiest = np.min(np.where(np.isnan(scores), np.inf, scores), axis=1)
    return np.asarray((luckiest > np.nanmax(scores[best])) & (medians - medians[best] > LOST_SHARE * gain))


def _best(medians: np.ndarray, steady: np.ndarray, gain: float) -> int:
    best = int(np.nanargmin(medians))
    safe = int(np.argmin(np.where(steady, medians, np.inf)))
    loses_much = medians[safe] - medians[best] > LOST_SHARE * gain
    return best if not steady[safe] or loses_much else safe


def _median(row: np.ndarray) -> float:
    known = row[~np.isnan(row)]
    return float(np.median(known)) if len(known) else np.nan


def _near(learning_rates: np.ndarray, best: int) -> np.ndarray:
    """The rates of the neighbourhood but the best itself; at least the next one on either side."""
    near: np.ndarray = np.abs(np.log10(learning_rates / learning_rates[best])) <= NEIGHBOURHOOD_DECADES + ROUNDING
    near[max(best - 1, 0) : best + 2] = True
    near[best] = False
    return near


@dataclass(frozen=True)
class _Errors:
    """Standard errors of mean differences to the best, and how many of them noise alone may reach.

    Attributes:
        own: Of each rate, its variance drawn towards the neighbourhood's; shape `(n_rates,)`.
        common: Of the neighbourhood; shape `(n_rates,)`, as the rates may have different numbers of repeats.
        quantile: Of Student's t, shape `(n_rates,)`.
        typical: Median of the neighbours' own.
    """

    own: np.ndarray
    common: np.ndarray
    quantile: np.ndarray
    typical: float

    def within(self, differences: np.ndarray) -> np.ndarray:
        """Which rates are not told from the best, shape `(n_rates,)`.

        A rate that trains unreliably has a wide error of its own; where even its luckiest repeat is worse than the
        best by more than the common noise allows, it is told apart all the same.
        """
        count = (~np.isnan(differences)).sum(axis=1)
        mean = np.nansum(differences, axis=1) / np.maximum(count, 1)
        luckiest = np.where(np.isnan(differences), np.inf, differences).min(axis=1)
        return np.asarray((count > 0) & (mean <= self.quantile * self.own) & (luckiest <= self.quantile * self.common))


def _standard_errors(differences: np.ndarray, neighbours: np.ndarray) -> _Errors | None:
    """None where no neighbour shares two repeats with the best."""
    count = (~np.isnan(differences)).sum(axis=1)
    own_freedom = np.maximum(count - 1, 0)
    several = neighbours & (own_freedom > 0)
    if not several.any():
        return None
    mean = np.nansum(differences, axis=1) / np.maximum(count, 1)
    own: np.ndarray = np.nansum((differences - mean[:, None]) ** 2, axis=1) / np.maximum(own_freedom, 1)
    pooled, pooled_freedom = np.median(own[several]), SHARED_NOISE * own_freedom[several].sum()
    freedom = pooled_freedom + own_freedom
    drawn = (pooled_freedom * pooled + own_freedom * own) / freedom
    errors = np.sqrt(drawn / np.maximum(count, 1))
    quantile = stats.t.ppf(1 - ERROR_RATE / neighbours.sum(), freedom)
    return _Errors(errors, np.sqrt(pooled / np.maximum(count, 1)), quantile, float(np.median(errors[several])))


def _around(best: int, within: np.ndarray) -> tuple[int, int]:
    """First and last place of the unbroken stretch of `within` that holds `best`."""
    outside = np.flatnonzero(~within)
    below, above = outside[outside < best], outside[outside > best]
    return int(below[-1]) + 1 if len(below) else 0, int(above[0]) - 1 if len(above) else len(within) - 1
