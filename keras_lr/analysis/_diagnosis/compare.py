"""Comparing several runs: which is best, from which epoch on, and which learning rates to try next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from keras_lr._utils.formatting import format_rate
from keras_lr._utils.names import suggests_arguments
from keras_lr.analysis._diagnosis.diagnose import analyze_history
from keras_lr.analysis._diagnosis.files import is_rows
from keras_lr.analysis._diagnosis.history import TrainingHistory
from keras_lr.analysis._diagnosis.readers import read_history, search_runs
from keras_lr.analysis._sensitivity import middle_run
from keras_lr.analysis._statistics import curvature_noise
from keras_lr.errors import InvalidArgumentError, KerasLRError
from keras_lr.results import Diagnosis, HistoryComparison, SensitivityResult
from keras_lr.results._diagnosis import Verdict
from keras_lr.results._sensitivity import LOST_SHARE

_COLUMNS = (list, tuple, np.ndarray, pd.Series)
"""What a column may be; a run may be a list of rows."""

_POINTS_TO: dict[Verdict, Literal["lower", "higher"]] = {"too_high": "lower", "too_low": "higher"}


@suggests_arguments
def analyze_histories(
    sources: Mapping[str, Any] | Iterable[Any] | SensitivityResult,
    *,
    untrained_loss: float | None = None,
    baseline_loss: float | None = None,
    optimizer: Any = None,
    learning_rate: float | None = None,
    loss: Any = None,
) -> HistoryComparison:
    """Judges several runs and compares them.

    Args:
        sources: The runs by name; or a sequence of runs, which are named "run 1", "run 2" and so on; or a search or
            its `SensitivityResult`, whose runs are named by learning rate and repeat. Each run is anything that
            `analyze_history` takes.
        untrained_loss: As in `analyze_history`, for all runs.
        baseline_loss: As in `analyze_history`, for all runs.
        optimizer: As in `analyze_history`, for all runs.
        learning_rate: As in `analyze_history`, for the runs that do not record theirs.
        loss: As in `analyze_history`, for all runs.

    Returns:
        The diagnosis of each run, the best run, and the learning rates to try next. Runs are compared by validation if
        all have it, else by training. If they were judged by different series, such as a loss and an accuracy, none is
        the best. Among runs of the same length at different rates, their losses decide which rates to try next; the
        verdicts on the single runs count only where there are no such runs.

    Raises:
        InvalidArgumentError: There is no run, or `sources` is a single one.
        CurveError: A run cannot be judged.
        OSError: A file cannot be read.

    Example:
        >>> keras_lr.analyze_histories({"first": history, "second": history}).reason
    """
    named = _named(sources)
    if not named:
        raise InvalidArgumentError(
            "`sources` must hold at least one run. Received: none. Pass histories or their paths."
        )
    histories = {name: read_history(source) for name, source in named.items()}
    known: dict[str, Any] = {
        "untrained_loss": untrained_loss,
        "baseline_loss": baseline_loss,
        "optimizer": optimizer,
        "learning_rate": learning_rate,
        "loss": loss,
    }
    diagnoses = {name: analyze_history(history, **known) for name, history in histories.items()}
    validated = all(history.val_loss is not None for history in histories.values())
    compared = {name: _compared_losses(history, validated=validated) for name, history in histories.items()}
    bests = {name: _lowest(losses) for name, losses in compared.items()}
    order = sorted((name for name, best in bests.items() if best is not None), key=lambda name: bests[name] or 0.0)
    if len({history.monitor for history in histories.values()}) > 1:
        order = []
    ahead = _first_epoch_ahead(*((histories[name].epochs, compared[name]) for name in order[:2]))
    best_values = {name: _recorded(best, histories[name]) for name, best in bests.items()}
    best = order[0] if order else None
    runs = (
        [] if best is None else [_Run.of(histories[name], diagnoses[name], validated=validated) for name in histories]
    )
    low, high, reason = _around_the_lowest(runs) or _between_verdicts(diagnoses, runs, best)
    return HistoryComparison(diagnoses, best_values, best, ahead, low, high, reason)


def representative_diagnoses(
    result: SensitivityResult, runs: pd.DataFrame, learning_rates: Iterable[float]
) -> dict[float, Diagnosis]:
    """The diagnosis of the middle run at each learning rate; a run that cannot be judged is left out.

    Args:
        result: What the search measured.
        runs: What `run_scores` made of it.
        learning_rates: Rates tried at the main batch size.
    """
    diagnoses = {}
    for rate in learning_rates:
        run = middle_run(result, runs, rate)
        columns = {name: run[name].to_numpy() for name in ("epoch", "learning_rate", "loss", "val_loss")}
        if not np.isfinite(run["val_loss"]).any():
            del columns["val_loss"]
        try:
            diagnoses[rate] = analyze_history(columns)
        except KerasLRError:
            continue
    return diagnoses


def _named(sources: Mapping[str, Any] | Iterable[Any] | SensitivityResult) -> dict[str, Any]:
    if callable(measured := getattr(sources, "sensitivity", None)):
        sources = measured()
    if isinstance(sources, SensitivityResult):
        return dict(search_runs(sources))
    if isinstance(sources, Mapping):
        if columns := [name for name, item in sources.items() if isinstance(item, _COLUMNS) and not is_rows(item)]:
            raise InvalidArgumentError(
                f"`sources` must hold runs by name. Received: a single run, with the columns {columns[:6]}. "
                "To judge a single run, use `analyze_history`."
            )
        return {str(name): item for name, item in sources.items()}
    if isinstance(sources, (str, Path, pd.DataFrame)) or not isinstance(sources, Iterable):
        raise InvalidArgumentError(
            f"`sources` must be a dict or a list of runs. Received: {type(sources).__name__}. "
            "To judge a single run, use `analyze_history`."
        )
    return {f"run {i}": item for i, item in enumerate(sources, 1)}


def _compared_losses(history: TrainingHistory, *, validated: bool) -> np.ndarray:
    """The validation loss if all runs have one, else the training loss; lower is better."""
    losses = history.val_loss if validated else history.loss
    return history.loss if losses is None else losses


def _lowest(losses: np.ndarray) -> float | None:
    finite = losses[np.isfinite(losses)]
    return float(finite.min()) if finite.size else None


def _recorded(loss: float | None, history: TrainingHistory) -> float | None:
    """The value as the history recorded it."""
    return loss if loss is None or history.direction == "min" else -loss


def _first_epoch_ahead(*best_two: tuple[np.ndarray, np.ndarray]) -> int | None:
    """First common epoch from which the best run's loss stays below the second's; None if it never does.

    Args:
        best_two: The epochs and the losses, each of shape `(n,)`, of the best run and of the second.
    """
    if len(best_two) < 2:
        return None
    (epochs, losses), (other_epochs, other_losses) = best_two
    common, first, other = np.intersect1d(epochs, other_epochs, return_indices=True)
    behind = np.flatnonzero(~(losses[first] < other_losses[other]))
    start = behind[-1] + 1 if behind.size else 0
    return int(common[start]) if start < common.size else None


@dataclass(frozen=True)
class _Run:
    """What decides between runs.

    Attributes:
        learning_rate: Its rate; None if unknown.
        length: Number of epochs (or steps).
        start: Its first loss, lower is better; NaN if none was finite.
        score: Its best loss, lower is better; infinite if a loss was not finite.
        noise: Standard deviation of its loss about its trend, in the second half of the run.
        verdict: The verdict on the run alone.
        series: What was compared, with the name of the extreme, such as "lowest `val_loss`".
        unit: What its length counts.
    """

    learning_rate: float | None
    length: int
    start: float
    score: float
    noise: float
    verdict: Verdict
    series: str
    unit: str

    @classmethod
    def of(cls, history: TrainingHistory, diagnosis: Diagnosis, *, validated: bool) -> _Run:
        losses = _compared_losses(history, validated=validated)
        finite = losses[np.isfinite(losses)]
        broken = not finite.size or not np.isfinite(history.loss).all()
        extreme = "lowest" if history.direction == "min" else "highest"
        return cls(
            learning_rate=diagnosis.learning_rate,
            length=history.epochs.size,
            start=float(finite[0]) if finite.size else np.nan,
            score=np.inf if broken else float(finite.min()),
            noise=curvature_noise(finite[finite.size // 2 :]),
            verdict=diagnosis.verdict,
            series=f"{extreme} `{history.val_monitor if validated else history.monitor}`",
            unit=history.unit,
        )


@dataclass(frozen=True)
class _Rate:
    """The runs of the same length at one learning rate.

    Attributes:
        value: The learning rate.
        runs: At least one.
        score: Median of their scores.
    """

    value: float
    runs: tuple[_Run, ...]
    score: float

    @classmethod
    def each_of(cls, runs: Iterable[_Run]) -> list[_Rate]:
        """One per learning rate, increasing."""
        by_rate: dict[float, list[_Run]] = {}
        for run in runs:
            if run.learning_rate is not None:
                by_rate.setdefault(run.learning_rate, []).append(run)
        return [
            cls(rate, tuple(group), float(np.median([run.score for run in group])))
            for rate, group in sorted(by_rate.items())
        ]


def _peers(runs: Sequence[_Run], length: int) -> list[_Rate]:
    """The rates of the runs with this length; a run that broke down counts whenever it did."""
    return _Rate.each_of(run for run in runs if run.length == length or run.score == np.inf)


def _leading(rates: Sequence[_Rate]) -> tuple[int, int] | None:
    """First and last index of the rates around the best that are as good within noise or lose little of the gain.

    None if all runs broke down. The noise is that of the best rate's loss about its trend, from epoch to epoch, or that
    between runs at the same rate, whichever is larger. Scores may differ by two standard deviations of a difference.
    """
    scores = np.array([rate.score for rate in rates])
    if not np.isfinite(scores).any():
        return None
    best = int(np.argmin(scores))
    margin = max(_noise_margin(rates, best), LOST_SHARE * _gain(rates, float(scores[best])))
    outside = np.flatnonzero(~(scores - scores[best] <= margin))
    below, above = outside[outside < best], outside[outside > best]
    return int(below[-1]) + 1 if below.size else 0, int(above[0]) - 1 if above.size else len(rates) - 1


def _noise_margin(rates: Sequence[_Rate], best: int) -> float:
    scores = [[run.score for run in rate.runs] for rate in rates]
    spreads = [float(np.var(group, ddof=1)) for group in scores if len(group) > 1 and np.isfinite(group).all()]
    between = float(np.sqrt(np.mean(spreads))) if spreads else 0.0
    within = max(run.noise for run in rates[best].runs)
    return 2 * float(np.sqrt(2 / len(rates[best].runs))) * max(within, between)


def _gain(rates: Sequence[_Rate], score: float) -> float:
    """How far training improved the loss: from the median of the first losses to the best score."""
    starts = [run.start for rate in rates for run in rate.runs if np.isfinite(run.start)]
    return max(float(np.median(starts)) - score, 0.0)


def _around_the_lowest(runs: Sequence[_Run]) -> tuple[float, float, str] | None:
    """The rates around those with the best losses, half-way to the next ones on a log scale, and why.

    None unless runs of the same length as the best one were tried at several rates.
    """
    finite = [run for run in runs if np.isfinite(run.score)]
    if not finite:
        return None
    best = min(finite, key=lambda run: run.score)
    rates = _peers(runs, best.length)
    leading = _leading(rates) if len(rates) > 1 else None
    if leading is None:
        return None
    first, last = leading
    low, high = rates[first].value, rates[last].value
    reason = f"Of {sum(len(rate.runs) for rate in rates)} runs of {best.length} {best.unit}s, "
    if first == last:
        reason += f"the one at {format_rate(low)} has the {best.series}."
    else:
        reason += (
            f"those at {format_rate(low)} to {format_rate(high)} come within the noise or {LOST_SHARE:.0%} of the "
            f"gain of the {best.series}."
        )
    if first == 0:
        reason += " No lower rate was tried."
        low /= _reach(rates[0].runs[0].verdict, "lower")
    else:
        low = float(np.sqrt(low * rates[first - 1].value))
    if last == len(rates) - 1:
        reason += " No higher rate was tried."
        high *= _reach(rates[-1].runs[0].verdict, "higher")
    else:
        high = float(np.sqrt(high * rates[last + 1].value))
    return low, high, reason


def _reach(verdict: Verdict, side: Literal["lower", "higher"]) -> float:
    """How many times lower or higher to go where no rate was tried: there only the verdict on the last one can tell."""
    pointed = _POINTS_TO.get(verdict)
    return 3.0 if pointed is None else 10.0 if pointed == side else 1.0


def _between_verdicts(
    diagnoses: Mapping[str, Diagnosis], runs: Sequence[_Run], best: str | None
) -> tuple[float | None, float | None, str]:
    """The learning rates to try next, and why: those judged good, or those between too low and too high.

    A run that was judged good does not count if its loss is worse than that of another run of the same length.
    """
    rates: dict[str, list[float]] = {"too_low": [], "good": [], "too_high": []}
    beaten = _beaten(runs)
    for diagnosis in diagnoses.values():
        rate, place = diagnosis.learning_rate, (diagnosis.learning_rate, diagnosis.n_epochs)
        if rate is not None and diagnosis.verdict in rates and (diagnosis.verdict != "good" or place not in beaten):
            rates[diagnosis.verdict].append(rate)
    if rates["good"]:
        judged = "This learning rate was" if len({*rates["good"]}) == 1 else "These learning rates were"
        return min(rates["good"]), max(rates["good"]), f"{judged} judged good."
    if rates["too_low"] and rates["too_high"] and max(rates["too_low"]) < min(rates["too_high"]):
        return max(rates["too_low"]), min(rates["too_high"]), "Lower rates were too low and higher ones too high."
    if best is not None and diagnoses[best].suggested_low is not None:
        return (
            diagnoses[best].suggested_low,
            diagnoses[best].suggested_high,
            f"The best run, {best}, had a learning rate that was {diagnoses[best].verdict.replace('_', ' ')}.",
        )
    return None, None, "The runs do not show in which direction to change the learning rate."


def _beaten(runs: Sequence[_Run]) -> set[tuple[float | None, int]]:
    """The learning rates and lengths of the runs that lost against another one of the same length."""
    lost: set[tuple[float | None, int]] = set()
    for length in {run.length for run in runs}:
        rates = _peers(runs, length)
        first, last = _leading(rates) or (0, len(rates) - 1)
        lost |= {(rate.value, length) for rate in [*rates[:first], *rates[last + 1 :]]}
    return lost
