"""Comparing several runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from keras_lr.analysis.diagnosis import analyze_history
from keras_lr.analysis.history import read_history
from keras_lr.analysis.history_records import sensitivity_runs
from keras_lr.analysis.history_series import TrainingHistory
from keras_lr.errors import InvalidArgumentError
from keras_lr.records import Diagnosis, HistoryComparison, SensitivityResult


def analyze_histories(sources: Mapping[str, Any] | Iterable[Any] | SensitivityResult) -> HistoryComparison:
    """Which run is better, where they part, and which rate to try next.

    Args:
        sources: The runs by name, a sequence of them, then named "run 1", "run 2" and so on, or a search's
            `SensitivityResult`, whose runs are named by learning rate and repeat.

    Raises:
        InvalidArgumentError: There is no run.
        CurveError: A run cannot be judged.
    """
    named = _named(sources)
    if not named:
        raise InvalidArgumentError(
            "`sources` must hold at least one run. Received: none. Pass histories or their paths."
        )
    histories = {name: read_history(source) for name, source in named.items()}
    diagnoses = {name: analyze_history(history) for name, history in histories.items()}
    bests = {name: _best_loss(history) for name, history in histories.items()}
    order = sorted((name for name, best in bests.items() if best is not None), key=lambda name: bests[name] or 0.0)
    part = _part_epoch(histories[order[0]], histories[order[1]]) if len(order) > 1 else None
    low, high, reason = _next_range(diagnoses, order[0] if order else None)
    return HistoryComparison(diagnoses, bests, order[0] if order else None, part, low, high, reason)


def _named(sources: Mapping[str, Any] | Iterable[Any] | SensitivityResult) -> dict[str, Any]:
    if isinstance(sources, SensitivityResult):
        return dict(sensitivity_runs(sources))
    return dict(sources) if isinstance(sources, Mapping) else {f"run {i}": item for i, item in enumerate(sources, 1)}


def _judged(history: TrainingHistory) -> np.ndarray:
    return history.loss if history.val_loss is None else history.val_loss


def _best_loss(history: TrainingHistory) -> float | None:
    finite = _judged(history)[np.isfinite(_judged(history))]
    return float(finite.min()) if finite.size else None


def _part_epoch(best: TrainingHistory, second: TrainingHistory) -> int | None:
    epochs, first, other = np.intersect1d(best.epochs, second.epochs, return_indices=True)
    behind = np.flatnonzero(~(_judged(best)[first] < _judged(second)[other]))
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
