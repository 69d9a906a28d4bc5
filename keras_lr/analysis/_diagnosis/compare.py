"""Comparing several runs: which is best, from which epoch on, and which learning rates to try next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_lr.analysis._diagnosis.diagnose import analyze_history
from keras_lr.analysis._diagnosis.history import TrainingHistory
from keras_lr.analysis._diagnosis.readers import read_history, search_runs
from keras_lr.errors import InvalidArgumentError
from keras_lr.results import Diagnosis, HistoryComparison, SensitivityResult


def analyze_histories(sources: Mapping[str, Any] | Iterable[Any] | SensitivityResult) -> HistoryComparison:
    """Judges several runs and compares them.

    Args:
        sources: The runs by name; or a sequence of runs, which are named "run 1", "run 2" and so on; or a search's
            `SensitivityResult`, whose runs are named by learning rate and repeat. Each run is anything that
            `analyze_history` takes.

    Returns:
        The diagnosis of each run, the best run, and the learning rates to try next. Runs are compared by validation if
        all have it, else by training. If they were judged by different series, such as a loss and an accuracy, none is
        the best.

    Raises:
        InvalidArgumentError: There is no run, or `sources` is a single one.
        CurveError: A run cannot be judged.
        OSError: A file cannot be read.
    """
    named = _named(sources)
    if not named:
        raise InvalidArgumentError(
            "`sources` must hold at least one run. Received: none. Pass histories or their paths."
        )
    histories = {name: read_history(source) for name, source in named.items()}
    diagnoses = {name: analyze_history(history) for name, history in histories.items()}
    compared = _compared_losses(histories)
    bests = {name: _lowest(losses) for name, losses in compared.items()}
    order = sorted((name for name, best in bests.items() if best is not None), key=lambda name: bests[name] or 0.0)
    if len({history.monitor for history in histories.values()}) > 1:
        order = []
    ahead = _first_epoch_ahead(*((histories[name].epochs, compared[name]) for name in order[:2]))
    best_values = {name: _recorded(best, histories[name]) for name, best in bests.items()}
    low, high, reason = _next_range(diagnoses, order[0] if order else None)
    return HistoryComparison(diagnoses, best_values, order[0] if order else None, ahead, low, high, reason)


def _named(sources: Mapping[str, Any] | Iterable[Any] | SensitivityResult) -> dict[str, Any]:
    if isinstance(sources, SensitivityResult):
        return dict(search_runs(sources))
    if isinstance(sources, Mapping):
        return {str(name): item for name, item in sources.items()}
    if isinstance(sources, (str, Path, pd.DataFrame)) or not isinstance(sources, Iterable):
        raise InvalidArgumentError(
            f"`sources` must be a dict or a list of runs. Received: {type(sources).__name__}. "
            "To judge a single run, use `analyze_history`."
        )
    return {f"run {i}": item for i, item in enumerate(sources, 1)}


def _compared_losses(histories: Mapping[str, TrainingHistory]) -> dict[str, np.ndarray]:
    """Each run's validation loss if all have one, else each run's training loss; lower is better."""
    validations = {name: history.val_loss for name, history in histories.items() if history.val_loss is not None}
    if len(validations) == len(histories):
        return validations
    return {name: history.loss for name, history in histories.items()}


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


def _next_range(diagnoses: Mapping[str, Diagnosis], best: str | None) -> tuple[float | None, float | None, str]:
    """The learning rates to try next, and why: those judged good, or those between too low and too high."""
    rates: dict[str, list[float]] = {"too_low": [], "good": [], "too_high": []}
    for diagnosis in diagnoses.values():
        if diagnosis.learning_rate is not None and diagnosis.verdict in rates:
            rates[diagnosis.verdict].append(diagnosis.learning_rate)
    if rates["good"]:
        return min(rates["good"]), max(rates["good"]), "These learning rates were judged good."
    if rates["too_low"] and rates["too_high"] and max(rates["too_low"]) < min(rates["too_high"]):
        return max(rates["too_low"]), min(rates["too_high"]), "Lower rates were too low and higher ones too high."
    if best is not None and diagnoses[best].suggested_low is not None:
        return (
            diagnoses[best].suggested_low,
            diagnoses[best].suggested_high,
            f"The best run, {best}, had a learning rate that was {diagnoses[best].verdict.replace('_', ' ')}.",
        )
    return None, None, "The runs do not show in which direction to change the learning rate."
