"""Published rules: fastai's through `suggest`, those of other packages reimplemented from their code."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from keras_lr.analysis._statistics import exponential_average
from keras_lr.analysis._suggestion.suggest import suggest
from keras_lr.errors import KerasLRError

Rule = Callable[[np.ndarray, np.ndarray], float | None]
KTRAIN_SKIPPED_STEPS = 32


def fastai(rule: str) -> Rule:
    """One of fastai's rules, as in `suggest`; gives None if fastai's trimming leaves too few points."""

    def read(learning_rates: np.ndarray, losses: np.ndarray) -> float | None:
        try:
            return suggest(learning_rates, losses, rule=rule).learning_rate
        except KerasLRError:
            return None

    return read


def lightning(learning_rates: np.ndarray, losses: np.ndarray) -> float:
    """Steepest fall of the smoothed loss per unit of learning rate, not of its logarithm.

    Source:
        Lightning 2.5 `tuner/lr_finder.py`: `skip_begin=10, skip_end=1`, smoothing 0.98, stop at four times the best.
    """
    smooth = _until_four_times_best(exponential_average(losses))
    kept = slice(10, len(smooth) - 1)
    return float(learning_rates[kept][np.argmin(np.gradient(smooth[kept], learning_rates[kept]))])


def ktrain(learning_rates: np.ndarray, losses: np.ndarray) -> float:
    """Steepest fall per step, found after the first 32 steps, but looked up without skipping them.

    Source:
        ktrain 0.41 `lroptimize/lrfinder.py`, `estimate`.
    """
    smooth = _until_four_times_best(exponential_average(losses))
    return float(learning_rates[np.argmin(np.gradient(smooth[KTRAIN_SKIPPED_STEPS:-1]))])


def keras_lr_finder(learning_rates: np.ndarray, losses: np.ndarray) -> float:
    """Steepest fall over 20 steps of the running mean of the epoch.

    Source:
        surmenok/keras_lr_finder, `get_best_lr(sma=20)`; Keras logs the mean since the start of the epoch.
    """
    logged = np.cumsum(losses) / np.arange(1, len(losses) + 1)
    over = np.flatnonzero(logged > 4 * np.minimum.accumulate(logged))
    logged = logged[: over[0] + 1 if len(over) else len(logged)]
    falls = np.concatenate([np.zeros(20), (logged[20:] - logged[:-20]) / 20])
    kept = slice(10, len(logged) - 5)
    return float(learning_rates[kept][np.argmin(falls[kept])])


PUBLIC = {
    "fastai valley": fastai("valley"),
    "fastai slide": fastai("slide"),
    "fastai minimum": fastai("minimum"),
    "fastai steep": fastai("steepest"),
    "Lightning": lightning,
    "ktrain": ktrain,
    "keras_lr_finder": keras_lr_finder,
}


def _until_four_times_best(smooth: np.ndarray) -> np.ndarray:
    over = np.flatnonzero(smooth > 4 * np.minimum.accumulate(smooth))
    return smooth[: over[0] + 1 if len(over) else len(smooth)]
