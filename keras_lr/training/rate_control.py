"""Setting the learning rate of whatever optimizer a model was compiled with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

_STEPS = [2**exponent for exponent in range(21)]
"""Where to look for a rate of a schedule that is 0 now: soon, for one that warms up, and up to a million steps on."""


class RateControl:
    """Drives the learning rate of an optimizer from inside a traced step, and gives it back.

    Wrapped optimizers are reached through their wrapper. Of several optimizers (`keras.optimizers.MultiOptimizer`)
    each keeps its ratio to the first; where a schedule is 0 now, the ratio of another step. A schedule or a callable is
    swapped for a variable while the sweep runs.

    Args:
        optimizer: The compiled optimizer.
    """

    def __init__(self, optimizer: Any) -> None:
        self._leaves = leaf_optimizers(optimizer)
        self._originals = [leaf._learning_rate for leaf in self._leaves]
        self._ratios = _ratios(self._leaves)
        self._stand_ins = [
            None
            if isinstance(leaf._learning_rate, keras.Variable)
            else tf.Variable(_current_rate(leaf), trainable=False, dtype=tf.float32)
            for leaf in self._leaves
        ]

    def engage(self) -> None:
        """Puts a variable in the place of each schedule."""
        for leaf, stand_in in zip(self._leaves, self._stand_ins, strict=True):
            if stand_in is not None:
                leaf.learning_rate = stand_in.read_value

    def assign(self, rate: Any) -> None:
        """Sets the learning rate, a scalar; traced into the step."""
        for leaf, stand_in, ratio in zip(self._leaves, self._stand_ins, self._ratios, strict=True):
            target = leaf._learning_rate if stand_in is None else stand_in
            target.assign(tf.cast(rate if ratio == 1.0 else rate * ratio, target.dtype))

    def release(self) -> None:
        """Puts each schedule back; the variables are restored with the rest of the optimizer."""
        for leaf, stand_in, original in zip(self._leaves, self._stand_ins, self._originals, strict=True):
            if stand_in is not None:
                leaf.learning_rate = original


def set_learning_rate(optimizer: Any, rate: float) -> None:
    """Sets a fixed learning rate for good, also where the optimizer was compiled with a schedule."""
    leaves = leaf_optimizers(optimizer)
    for leaf, ratio in zip(leaves, _ratios(leaves), strict=True):
        if isinstance(leaf._learning_rate, keras.Variable):
            leaf.learning_rate = rate * ratio
        else:
            leaf.learning_rate = keras.optimizers.schedules.PiecewiseConstantDecay([1], [rate * ratio] * 2)


def follows_schedule(optimizer: Any) -> bool:
    """Whether a learning rate is a schedule or a callable, not a number."""
    return any(not isinstance(leaf._learning_rate, keras.Variable) for leaf in leaf_optimizers(optimizer))


def keeps_average(optimizer: Any) -> bool:
    """Whether any part of the optimizer was made with `use_ema=True`."""
    return any(bool(getattr(leaf, "use_ema", False)) for leaf in leaf_optimizers(optimizer))


def leaf_optimizers(optimizer: Any) -> list[Any]:
    """The optimizers that hold a learning rate: through loss scaling, and each of several."""
    inner = getattr(optimizer, "inner_optimizer", None)
    if inner is not None:
        return leaf_optimizers(inner)
    several = getattr(optimizer, "_optimizers", None) or getattr(optimizer, "optimizers", None)
    if several:
        return [leaf for part in several for leaf in leaf_optimizers(part)]
    return [optimizer]


def _ratios(leaves: Sequence[Any]) -> list[float]:
    """Each optimizer's rate divided by the first one's: now, or where a schedule is 0 now, when none is."""
    now = [_current_rate(leaf) for leaf in leaves]
    others = ([_rate_at(leaf, step) for leaf in leaves] for step in _STEPS if 0.0 in now and len(leaves) > 1)
    rates = next((rates for rates in (now, *others) if 0.0 not in rates), now)
    return [rate / rates[0] if rates[0] else 1.0 for rate in rates]


def _rate_at(leaf: Any, step: int) -> float:
    """A schedule's rate at `step`; any other rate is what it is now."""
    rate = leaf._learning_rate
    if not isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        return _current_rate(leaf)
    return float(keras.ops.convert_to_numpy(rate(step)))


def _current_rate(leaf: Any) -> float:
    return float(keras.ops.convert_to_numpy(leaf.learning_rate))
