"""The best constant rate for each optimizer, chosen on all other tasks: what habit knows without measuring."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from _advice_cases import OPTIMIZERS
from _advice_score import GOOD_REGRET, Truth

RATES = np.logspace(-6, 1, 22)
ENOUGH = 5
"""With fewer other tasks of its optimizer, the constant is chosen on those of all optimizers that are as adaptive."""


def optimizer_name(task: str) -> str:
    """The optimizer's part of a task's name."""
    return next(part for part in task.split("-") if part in OPTIMIZERS)


def best_constants(names: Sequence[str]) -> dict[str, float]:
    """The rate for each task with the lowest mean regret on the other tasks of its optimizer."""
    regrets = {name: Truth.load(name).regret(RATES) for name in names}
    return {name: constant_for(name, regrets) for name in names}


def where_constant_is_good(constants: dict[str, float]) -> set[str]:
    """The tasks on which the constant of the others loses at most 5% of the gain."""
    return {name for name, rate in constants.items() if Truth.load(name).regret(rate) <= GOOD_REGRET}


def constant_for(name: str, regrets: dict[str, np.ndarray]) -> float:
    """The rate of `RATES` with the lowest mean of `regrets` over the tasks other than `name` that are alike."""
    optimizer, others = optimizer_name(name), [other for other in regrets if other != name]
    alike = [other for other in others if optimizer_name(other) == optimizer]
    if len(alike) < ENOUGH:
        adaptive = OPTIMIZERS[optimizer].adaptive
        alike = [other for other in others if OPTIMIZERS[optimizer_name(other)].adaptive == adaptive]
    return float(RATES[np.mean([regrets[other] for other in alike], axis=0).argmin()])
