"""How the best learning rate changes with the batch size: by rule, and as a search measured it."""

from __future__ import annotations

import math

import numpy as np

from keras_lr.analysis._sensitivity import median_scores, run_scores
from keras_lr.results._sensitivity import SensitivityResult

LINEAR = frozenset({"sgd"})
SQUARE_ROOT = frozenset(
    {
        "adadelta",
        "adafactor",
        "adagrad",
        "adam",
        "adamax",
        "adamw",
        "ftrl",
        "lamb",
        "lion",
        "nadam",
        "rmsprop",
        "schedulefreeadamw",
    }
)
"""Optimizers whose steps do not grow with the gradient."""


def scaling_exponent(optimizer: str) -> float | None:
    """The power of the batch size with which the rate grows, by the name of the optimizer; None if no rule is known."""
    name = optimizer.lower()
    return 1.0 if name in LINEAR else 0.5 if name in SQUARE_ROOT else None


def measured_ridge(result: SensitivityResult) -> dict[int, float]:
    """The rate with the best median at each batch size, where one can be compared."""
    runs = run_scores(result.frame, objective=result.objective, direction=result.direction)
    first = np.argmin if result.direction == "min" else np.argmax
    medians = {size: median_scores(runs[runs["batch_size"] == size]) for size in result.batch_sizes}
    return {size: float(scores.index.to_numpy()[first(scores)]) for size, scores in medians.items() if len(scores)}


def rule_ridge(result: SensitivityResult) -> dict[int, float]:
    """The rate at each batch size that the rule of the optimizer makes of the best; empty if either is unknown."""
    exponent = scaling_exponent(str(result.environment.get("optimizer", "")))
    rate, size = result.best_learning_rate, result.best_batch_size
    if exponent is None or rate is None or not size:
        return {}
    return {other: rate * math.pow(other / size, exponent) for other in result.batch_sizes}
