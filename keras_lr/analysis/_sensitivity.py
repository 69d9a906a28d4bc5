"""Summarizing a search: the best learning rate, its basin, how confident the runs allow us to be, and typical runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from scipy import stats

from keras_lr._utils.formatting import counted, format_rate, with_article
from keras_lr.analysis._race import NEVER_LOGGED
from keras_lr.errors import InvalidArgumentError
from keras_lr.results._sensitivity import FRAME_COLUMNS, LOST_SHARE, SensitivityResult

RUN_KEYS = ["batch_size", "learning_rate", "repeat"]
"""Columns that identify a run."""

MAX_BUDGETS = 20
"""Largest number of rows of `best_by_epochs`."""

BUDGET_COLUMNS = ("best_learning_rate", "low", "high", "at_edge", "confidence", "best_batch_size")
"""What `best_by_epochs` reports for each number of epochs."""

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

ENOUGH_REPEATS = 3
"""With fewer repeats the noise is uncertain. If three repeats of one rate are all worse than all of another's, that is
chance once in twenty; of two, once in six."""

FEW_REPEATS = f"Fewer than {ENOUGH_REPEATS} repeats leave the noise uncertain."


def analyze_sensitivity(
    frame: pd.DataFrame,
    *,
    objective: str = "val_loss",
    direction: Literal["min", "max"] = "min",
    engine: str = "",
    engine_reason: str = "",
    environment: dict[str, Any] | None = None,
) -> SensitivityResult:
    """The best learning rate of a search and the basin around it, at the batch size with the best score.

    Args:
        frame: One row per learning rate, repeat, batch size and epoch, as in `SensitivityResult.frame`; each run ends
            with its status.
        objective: Column to compare.
        direction: "min" if lower is better, else "max".
        engine: How the runs were trained; empty if unknown.
        engine_reason: Why no faster engine could be used.
        environment: Versions, devices, optimizer and precision of the search.

    Returns:
        A result that holds `frame`. If no run can be compared, its confidence is "none", and its `reason` says why.

    Raises:
        InvalidArgumentError: `frame` has no rows or lacks a column, or `direction` is neither "min" nor "max".

    Example:
        >>> keras_lr.analysis.analyze_sensitivity(tuner.sensitivity().frame, objective="loss")
    """
    _check(frame, objective, direction)
    runs = run_scores(frame, objective=objective, direction=direction)
    best = _best_grid(frame, runs, objective, direction)
    low, rate, high = (None, None, None) if best is None else best.basin_rates
    usable_low, usable_high = (None, None) if best is None else best.usable_rates
    doubts = () if best is None else tuple(_doubts(best))
    return SensitivityResult(
        frame=frame,
        objective=objective,
        direction=direction,
        best_learning_rate=rate,
        low=low,
        high=high,
        at_edge=best is not None and best.at_edge,
        confidence="none" if best is None else "tentative" if doubts else "clear",
        reason=" ".join([_answer(best, runs, objective, direction), *doubts]) if best else _refusal(runs, objective),
        engine=engine,
        engine_reason=engine_reason,
        best_batch_size=best.batch_size if best else None,
        environment=environment or {},
        basin_by="gain" if best is not None and np.isnan(best.basin.noise) else "noise",
        usable_low=usable_low,
        usable_high=usable_high,
        lr_sensitivity=None if best is None else expected_lost_share(best.learning_rates, best.lost_shares),
        doubts=doubts,
    )


def run_scores(frame: pd.DataFrame, *, objective: str, direction: Literal["min", "max"]) -> pd.DataFrame:
    """One row per run: its best epoch's objective and how it ended.

    Args:
        frame: One row per learning rate, repeat, batch size and epoch, as in `SensitivityResult.frame`.
        objective: Column to compare.
        direction: "min" if lower is better, else "max".

    Returns:
        Columns `batch_size`, `learning_rate`, `repeat`, `status` (of the last epoch), `epochs` (their number) and
        `score`, in the objective's unit. A run that diverged, or whose objective is never finite, gets the worst
        possible score, infinity; a pruned or failed run gets NaN, since its outcome is unknown.
    """
    ordered = frame.sort_values([*RUN_KEYS, "epoch"], kind="stable")
    values = ordered[objective].to_numpy(dtype=np.float64)
    runs = ordered.assign(score=np.where(np.isfinite(values), values, np.nan)).groupby(RUN_KEYS, sort=True)
    table = runs.agg(status=("status", "last"), epochs=("epoch", "size"), score=("score", direction)).reset_index()
    worst = np.inf if direction == "min" else -np.inf
    score = table["score"].fillna(worst).where(table["status"] != "diverged", worst)
    return table.assign(score=score.where(~table["status"].isin(["pruned", "failed"])))


def best_by_epochs(result: SensitivityResult) -> pd.DataFrame:
    """What the search would have found with fewer epochs.

    A run at a constant rate passes through every shorter run, so its curve contains the outcome of all of them.

    Args:
        result: A search whose runs were trained at constant rates.

    Returns:
        One row per number of epochs, with the columns `epochs` (increasing; at most 20, the last the whole run),
        `best_learning_rate`, `low`, `high` (NaN if no run can be compared), `at_edge`, `confidence` and
        `best_batch_size`.
    """
    frame = result.frame
    longest = int(frame["epoch"].max()) + 1
    budgets = np.unique(np.rint(np.geomspace(1, longest, MAX_BUDGETS)).astype(int))
    rows = []
    for epochs in budgets if longest > MAX_BUDGETS else range(1, longest + 1):
        found = analyze_sensitivity(
            frame[frame["epoch"] < epochs], objective=result.objective, direction=result.direction
        )
        rows.append({"epochs": int(epochs), **{name: getattr(found, name) for name in BUDGET_COLUMNS}})
    numbers = ["best_learning_rate", "low", "high", "best_batch_size"]
    return pd.DataFrame(rows).astype(dict.fromkeys(numbers, "float64"))


def lost_gain(result: SensitivityResult) -> dict[float, float]:
    """By learning rate, the share of the gain that it loses at the best batch size; NaN if its outcome is unknown.

    The gain leads from the median objective after the first epoch to the lowest, or highest, median of a rate. Empty if
    no run can be compared.
    """
    runs = run_scores(result.frame, objective=result.objective, direction=result.direction)
    best = _best_grid(result.frame, runs, result.objective, result.direction)
    return {} if best is None else dict(zip(best.learning_rates.tolist(), best.lost_shares.tolist(), strict=True))


def main_batch_size(result: SensitivityResult) -> int | None:
    """The batch size of the best run; the smallest if no run is best, None if there are no runs."""
    sizes = result.batch_sizes
    return result.best_batch_size if result.best_batch_size in sizes else next(iter(sizes), None)


def trained_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """The rows of `run_scores` whose run ended normally with a finite score."""
    finite = np.isfinite(runs["score"].to_numpy(dtype=np.float64))
    trained: pd.DataFrame = runs[finite & (runs["status"] == "ok").to_numpy()]
    return trained


def median_scores(runs: pd.DataFrame) -> pd.Series:
    """Median score per learning rate, increasing, where that median is finite.

    A diverged run counts as the worst possible one: the median of the remaining runs alone would look better than the
    learning rate is. Rates at which most runs diverged are left out, because their median is infinite.

    Args:
        runs: Rows of `run_scores` with one batch size.
    """
    medians = _comparable(runs).groupby(runs["learning_rate"]).median()
    usable: pd.Series = medians[np.isfinite(medians.to_numpy(dtype=np.float64))]
    return usable


def runs_at(result: SensitivityResult, learning_rate: float) -> list[pd.DataFrame]:
    """The epochs of each repeat at a learning rate and the main batch size, in order."""
    frame = result.frame
    chosen = (frame["batch_size"] == main_batch_size(result)) & (frame["learning_rate"] == learning_rate)
    return [run.sort_values("epoch") for _, run in frame[chosen].groupby("repeat")]


def middle_run(result: SensitivityResult, runs: pd.DataFrame, learning_rate: float) -> pd.DataFrame:
    """The epochs of the repeat with the median score: what to expect, neither the lucky nor the unlucky one.

    Args:
        result: What the search measured.
        runs: What `run_scores` made of it.
        learning_rate: One of the rates tried at the main batch size.
    """
    chosen = (runs["learning_rate"] == learning_rate) & (runs["batch_size"] == main_batch_size(result))
    ranked = runs[chosen].sort_values("score", kind="stable")
    repeat = ranked["repeat"].iloc[(len(ranked) - 1) // 2]
    return next(run for run in runs_at(result, learning_rate) if run["repeat"].iloc[0] == repeat)


def _check(frame: pd.DataFrame, objective: str, direction: str) -> None:
    if direction not in ("min", "max"):
        raise InvalidArgumentError(f"`direction` must be 'min' or 'max'. Received: {direction!r}.")
    if missing := [name for name in (*FRAME_COLUMNS, objective) if name not in frame.columns]:
        raise InvalidArgumentError(
            f"`frame` must have the columns {missing}. Received: {list(frame.columns)}. Add them, or name another "
            "`objective`."
        )
    if frame.empty:
        raise InvalidArgumentError("`frame` must have rows, but it is empty. Train at least one run first.")


@dataclass(frozen=True)
class _Grid:
    """The runs of one batch size.

    Attributes:
        learning_rates: Increasing, shape `(n_rates,)`.
        scores: Lower is better, shape `(n_rates, n_repeats)`; infinite if the run diverged, NaN if unknown.
        basin: The best rate and the rates around it.
        batch_size: Number of samples per batch.
        gain: How far training has improved the objective, 0 or more.
    """

    learning_rates: np.ndarray
    scores: np.ndarray
    basin: Basin
    batch_size: int
    gain: float

    @property
    def basin_rates(self) -> tuple[float, float, float]:
        """The lowest rate of the basin, the best rate and the highest rate of the basin."""
        low, best, high = self.learning_rates[[self.basin.low, self.basin.best, self.basin.high]]
        return float(low), float(best), float(high)

    @property
    def usable_rates(self) -> tuple[float, float]:
        """The lowest and the highest of the rates around the best that lose little of the gain."""
        low, high = self.learning_rates[[self.basin.usable_low, self.basin.usable_high]]
        return float(low), float(high)

    @property
    def lost_shares(self) -> np.ndarray:
        """The share of the gain that each rate loses, shape `(n_rates,)`; NaN if unknown."""
        return lost_shares(median_per_rate(self.scores), self.basin.best, self.gain)

    @property
    def score(self) -> float:
        """Median over the repeats of the best rate, lower is better."""
        return float(np.nanmedian(self.scores[self.basin.best]))

    @property
    def diverged_at_best(self) -> int:
        """Number of repeats of the best rate that diverged."""
        return int(np.isinf(self.scores[self.basin.best]).sum())

    @property
    def repeats_at_best(self) -> int:
        """Number of repeats of the best rate whose score is known."""
        return int((~np.isnan(self.scores[self.basin.best])).sum())

    @property
    def at_edge(self) -> bool:
        """Whether the best rate is the lowest or the highest of the grid."""
        return self.basin.best in (0, len(self.learning_rates) - 1)


def _best_grid(frame: pd.DataFrame, runs: pd.DataFrame, objective: str, direction: str) -> _Grid | None:
    """The runs of the batch size with the best score; None if no run can be compared.

    Values that are all exactly 0 cannot: the model's `train_step` does not log what it trains.

    Args:
        frame: The epochs.
        runs: What `run_scores` made of them.
        objective: Column to compare.
        direction: "min" or "max".
    """
    sign = 1.0 if direction == "min" else -1.0
    # With `validation_freq`, the first epochs may have no value.
    measured = frame[frame[objective].notna()]
    if not measured[objective].any():
        return None
    first_epoch = sign * measured.loc[measured["epoch"] == measured["epoch"].min(), objective].median()
    parts = [part.assign(score=sign * part["score"]) for _, part in runs.groupby("batch_size")]
    grids = [grid for part in parts if (grid := _read_grid(part, first_epoch)) is not None]
    return min(grids, key=lambda grid: grid.score, default=None)


def _read_grid(runs: pd.DataFrame, first_epoch: float) -> _Grid | None:
    """The runs of one batch size as a grid; None if no rate has a finite median.

    Args:
        runs: One row per run with its `score`, lower is better.
        first_epoch: Median of the objective after the first epoch that has one, lower is better.
    """
    comparable = runs.assign(score=_comparable(runs))
    scores = comparable.pivot(index="learning_rate", columns="repeat", values="score")
    rates, values = scores.index.to_numpy(dtype=np.float64), scores.to_numpy(dtype=np.float64)
    medians = median_per_rate(values)
    gain = max(first_epoch - np.min(medians[np.isfinite(medians)], initial=np.inf), 0.0)
    basin = find_basin(rates, values, gain=gain)
    return None if basin is None else _Grid(rates, values, basin, int(runs["batch_size"].iloc[0]), gain)


def _comparable(runs: pd.DataFrame) -> pd.Series:
    """The scores of the runs of one batch size, NaN at rates with a pruned run if that leaves any.

    A pruned run could not win with its seed. The median of the other runs alone would look better than the rate is.
    """
    pruned = (runs["status"] == "pruned").groupby(runs["learning_rate"]).transform("any")
    scores: pd.Series = runs["score"].mask(pruned)
    return scores if np.isfinite(scores).any() else runs["score"]


def _answer(best: _Grid, runs: pd.DataFrame, objective: str, direction: str) -> str:
    """One sentence on the best rate; `runs` is what was compared."""
    value = best.score if direction == "min" else -best.score
    repeats, batch_sizes = best.scores.shape[1], runs["batch_size"].nunique()
    where = f" at batch size {best.batch_size}" if batch_sizes > 1 else ""
    times = f" x {batch_sizes} batch sizes" if batch_sizes > 1 else ""
    extreme = "lowest" if direction == "min" else "highest"
    return (
        f"Of {counted(len(best.learning_rates), 'learning rate')}{times} x {counted(repeats, 'repeat')}, "
        f"{format_rate(best.basin_rates[1], digits=3)}{where} gave the {extreme} {objective} ({value:.3g})."
    )


def _doubts(best: _Grid) -> list[str]:
    """What keeps the answer from being clear, one sentence each."""
    rates, basin, last = best.learning_rates, best.basin, len(best.learning_rates) - 1
    doubts = []
    if best.diverged_at_best:
        doubts.append(f"{best.diverged_at_best} of its {counted(best.repeats_at_best, 'run')} diverged.")
    if best.repeats_at_best < ENOUGH_REPEATS:
        doubts.append(FEW_REPEATS)
    if last == 0:
        doubts.append("No other rate was tried.")
    elif basin.low == 0 and basin.high == last:
        doubts.append("No two rates could be distinguished.")
    elif best.at_edge:
        doubts.append(at_edge_in_words(highest=basin.best == last))
    elif basin.low == 0 or basin.high == last:
        end = format_rate(rates[0 if basin.low == 0 else last], digits=3)
        doubts.append(f"The rates that are as good reach the end of the grid, {end}, so a better one may lie beyond.")
    return doubts


def at_edge_in_words(*, highest: bool) -> str:
    """What is doubtful about a best rate at an edge of the grid."""
    return f"The best rate is the {'highest' if highest else 'lowest'} one tried, so a better one may lie beyond."


def _refusal(runs: pd.DataFrame, objective: str) -> str:
    """One sentence on why no run can be compared, and one on what to do."""
    if (runs["score"] == 0).any():
        return f"{objective} {NEVER_LOGGED}"
    counts = runs["status"].value_counts()
    parts = [f"{counts[status]} {status}" for status in ("diverged", "failed", "pruned") if counts.get(status)]
    how = ", ".join(parts) if parts else f"{objective} is never a finite number"
    remedy = "Lower the learning rates" if counts.get("diverged") else "Read the messages of the runs"
    return f"None of the {len(runs)} runs reached {with_article(objective)} that can be compared ({how}). {remedy}."


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
    are all worse than all of the best's counts as different, too.

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
