"""Which neighbours of the best learning rate are as good within noise, and which lose little of the gain.

These are two facts. A rate may lose next to nothing and still be told from the best, since all of its repeats are
worse; and with noisy repeats a rate that loses much may not be told from it.
"""

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
"""Fraction of the possible gain that does not matter. The usable rates lose at most this much, and it may be given up
for a stable rate."""

ENOUGH_REPEATS = 3
"""With fewer repeats the noise is uncertain. If three repeats of one rate are all worse than all of another's, that is
chance once in twenty; of two, once in six."""


@dataclass(frozen=True)
class Basin:
    """The best rate and the rates around it that are as good, as indices into the grid.

    Attributes:
        best: Index of the best rate.
        low: Index of the lowest rate that is as good within noise; if the noise is unknown, `usable_low`.
        high: Index of the highest rate that is as good within noise; if the noise is unknown, `usable_high`.
        noise: Standard error of a difference from the best, in the objective's unit; NaN if unknown.
        usable_low: Index of the lowest of the rates around the best that lose at most `LOST_SHARE` of the gain.
        usable_high: Index of the highest of these rates.
    """

    best: int
    low: int
    high: int
    noise: float
    usable_low: int
    usable_high: int


def find_basin(learning_rates: np.ndarray, scores: np.ndarray, *, gain: float = np.nan) -> Basin | None:
    """The rates around the best that a paired test cannot tell from it, and those that lose little of the gain.

    The repeats of different rates are paired by seed, so what a lucky start gives to every rate cancels in the
    differences from the best. Three differences say little about their own variance, so each variance is shrunk towards
    the median of the neighbourhood, and the threshold is corrected for the number of comparisons. Where training
    becomes unstable, repeats scatter so much that a test of their mean misses even a clear gap. So a rate whose repeats
    are all worse than all of the best's is told from it, too.

    The best rate has the lowest median. If one of its repeats diverged, the best fully stable rate is preferred,
    provided it gives up at most `LOST_SHARE` of the gain. Otherwise no rate with a diverged repeat enters the basin.

    Args:
        learning_rates: Increasing, shape `(n_rates,)`.
        scores: Score of each repeat, lower is better, shape `(n_rates, n_repeats)`; infinite if the run diverged, NaN
            if unknown.
        gain: Largest possible improvement by training, in the unit of the scores; NaN if unknown, so that only the best
            is known to lose little.

    Returns:
        The basin; None if no rate has a finite median.

    Source:
        Gupta 1965, doi:10.1080/00401706.1965.10490251, for the subset that contains the best; Smyth 2004,
        doi:10.2202/1544-6115.1027, for the variances.
    """
    medians = median_per_rate(scores)
    if not np.isfinite(medians).any():
        return None
    stable = np.isfinite(medians) & ~np.isinf(scores).any(axis=1)
    best = _best(medians, stable, gain)
    finite = np.where(np.isfinite(scores), scores, np.nan)
    differences = np.where(stable[:, None], finite, np.nan) - finite[best]
    usable = _stretch_around(best, stable & (medians - medians[best] <= LOST_SHARE * gain))
    errors = _standard_errors(differences, stable & _neighbours(learning_rates, best))
    if errors is None:
        return Basin(best, *usable, np.nan, *usable)
    within = errors.within(differences) & ~_all_repeats_worse(finite, best)
    return Basin(best, *_stretch_around(best, stable & within), errors.typical, *usable)


def lost_shares(medians: np.ndarray, best: int, gain: float) -> np.ndarray:
    """The share of the gain that each rate loses: how much worse its median is than the best rate's, over the gain.

    Args:
        medians: Median score per rate, lower is better, shape `(n_rates,)`; infinite if most repeats diverged, NaN if
            unknown.
        best: Index of the best rate.
        gain: Largest possible improvement by training, in the unit of the scores.

    Returns:
        Shape `(n_rates,)`, from 0 to 1; NaN where the median is unknown, and everywhere without a gain.
    """
    if not gain > 0:
        return np.full(len(medians), np.nan)
    return np.asarray(np.clip((medians - medians[best]) / gain, 0.0, 1.0))


def expected_lost_share(learning_rates: np.ndarray, shares: np.ndarray) -> float | None:
    """The learning-rate sensitivity: what a rate drawn log-uniformly from the searched range loses on average.

    Between two rates of the grid, the share is linear in the logarithm of the rate. Rates whose share is unknown are
    left out.

    Args:
        learning_rates: Increasing, shape `(n_rates,)`.
        shares: From `lost_shares`, shape `(n_rates,)`.

    Returns:
        A share of the gain: 0 if no rate is worse than another, 1 if all but the best gain nothing. None if fewer than
        two shares are known.

    Source:
        Wortsman et al. 2023, arXiv:2309.14322: the expectation over learning rates of `min(loss, initial loss)` minus
        the lowest loss. It is divided here by the gain, so that tasks can be compared.
    """
    known = ~np.isnan(shares)
    if known.sum() < 2:
        return None
    decades = np.log10(learning_rates[known])
    return float(np.trapezoid(shares[known], decades) / (decades[-1] - decades[0]))


def median_per_rate(scores: np.ndarray) -> np.ndarray:
    """Median over the known repeats of each rate, shape `(n_rates,)`; NaN if none is known."""
    known = [row[~np.isnan(row)] for row in scores]
    return np.array([np.median(row) if len(row) else np.nan for row in known])


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


def _all_repeats_worse(scores: np.ndarray, best: int) -> np.ndarray:
    """Rates whose repeats are all worse than all of the best's, if there are enough of both; shape `(n_rates,)`."""
    count = (~np.isnan(scores)).sum(axis=1)
    luckiest = np.min(np.where(np.isnan(scores), np.inf, scores), axis=1)
    enough = (count >= ENOUGH_REPEATS) & (count[best] >= ENOUGH_REPEATS)
    return np.asarray(enough & (luckiest > np.nanmax(scores[best])))


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
