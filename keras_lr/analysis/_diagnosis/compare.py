"""Comparing several runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from keras_lr.analysis._diagnosis.diagnose import analyze_history
from keras_lr.analysis._diagnosis.history import TrainingHistory
from keras_lr.analysis._diagnosis.readers import read_history, sensitivity_runs
from keras_lr.errors import InvalidArgumentError
from keras_lr.results import Diagnosis, HistoryComparison, SensitivityResult


def analyze_histories(sources: Mapping[str, Any] | Iterable[Any] | SensitivityResult) -> HistoryComparison:
    """Which run is better, where they part, and which rate to try next.

    Args:
        sources: The runs by name, a sequence of them, then named "run 1", "run 2" and so on, or a search's
            `SensitivityResult`, whose runs are named by learning rate and repeat.

    Returns:
        The comparison, by validation where every run has it. Runs that were judged by different series, such as a loss
        and an accuracy, have no best one.

    Raises:
        InvalidArgumentError: There is no run, or `sources` is a single one.
        CurveError: A run cannot be judged.
    """
    named = _named(sources)
    if not named:
        raise InvalidArgumentError(
            "`sources` must hold at least one run. Received: none. Pass histories or their paths."
        )
    histories = {name: read_history(source) for name, source in named.items()}
    diagnoses = {name: analyze_history(history) for name, history in histories.items()}
    judged = _judged(histories)
    bests = {name: _best_loss(losses) for name, losses in judged.items()}
    order = sorted((name for name, best in bests.items() if best is not None), key=lambda name: bests[name] or 0.0)
    if len({history.monitor for history in histories.values()}) > 1:
        order = []
    part = _part_epoch(*((histories[name].epochs, judged[name]) for name in order[:2])) if len(order) > 1 else None
    low, high, reason = _next_range(diagnoses, order[0] if order else None)
    return HistoryComparison(diagnoses, bests, order[0] if order else None, part, low, high, reason)


def _named(sources: Mapping[str, Any] | Iterable[Any] | SensitivityResult) -> dict[str, Any]:
    if isinstance(sources, SensitivityResult):
        return dict(sensitivity_runs(sources))
    if isinstance(sources, Mapping):
        return {str(name): item for name, item in sources.items()}
    if isinstance(sources, (str, Path, pd.DataFrame)) or not isinstance(sources, Iterable):
        raise InvalidArgumentError(
            f"`sources` must be a dict or a list of runs. Received: {type(sources).__name__}. Put the run in a list."
        )
    return {f"run {i}": item for i, item in enumerate(sources, 1)}


def _judged(histories: Mapping[str, TrainingHistory]) -> dict[str, np.ndarray]:
    validations = {name: history.val_loss for name, history in histories.items() if history.val_loss is not None}
    if len(validations) == len(histories):
        return validations
    return {name: history.loss for name, history in histories.items()}


def _best_loss(losses: np.ndarray) -> float | None:
    finite = losses[np.isfinite(losses)]
    return float(finite.min()) if finite.size else None


def _part_epoch(best: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]) -> int | None:
    epochs, first, other = np.intersect1d(best[0], second[0], return_indices=True)
    behind = np.flatnonzero(~(best[1][first] < second[1][other]))
    start = behind[-1] + 1 if behind.size else 0
    return int(epochs[start]) if start < epochs.size else None


def _next_range(diagnoses: Mapping[str, Diagnosis], best: str | None) -> tuple[float | None, float | None, str]:
    rates: dict[str, list[float]] = {"too_low": [], "good": [], "too_high": []}
    for diagnosis in diagnoses.values():
        if diagnosis.learning_rate is not None and diagnosis.verdict in rates:
            rates[diagnosis.verdict].append(diagnosis.learning_rate)
    if rates["good"]:
        return min(rates["good"]), max(rates["good"]), "These rates were judged good."
    if rates["too_low"] and rates["too_high"] and max(rates["too_low"]) < min(rates["too_high"]):
        return max(rates["too_low"]), min(rates["too_high"]), "The runs below were too low, those above too high."
    if best is not None and diagnoses[best].suggested_low is not None:
        return (
            diagnoses[best].suggested_low,
            diagnoses[best].suggested_high,
            f"{best} was the best and {diagnoses[best].verdict}.",
        )
    return None, None, "The runs give no direction for the learning rate."
