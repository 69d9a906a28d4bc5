"""Setting the learning rate of whatever optimizer a model was compiled with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_lr.schedules._scaled import Scaled

_STEPS = [2**exponent for exponent in range(21)]
"""Where to look for a rate of a schedule that is 0 now: soon, for one that warms up, and up to a million steps on."""

_SAMPLES = 65


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
        self._originals = [compiled_rate(leaf) for leaf in self._leaves]
        self._ratios = _ratios(self._leaves)
        self._stand_ins = [
            None
            if isinstance(compiled_rate(leaf), keras.Variable)
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
            target = compiled_rate(leaf) if stand_in is None else stand_in
            target.assign(tf.cast(rate if ratio == 1.0 else rate * ratio, target.dtype))

    def release(self) -> None:
        """Puts each schedule back; the variables are restored with the rest of the optimizer."""
        for leaf, stand_in, original in zip(self._leaves, self._stand_ins, self._originals, strict=True):
            if stand_in is not None:
                leaf.learning_rate = original


def compiled_rate(leaf: Any) -> Any:
    """What the optimizer holds as its rate: a `keras.Variable`, a schedule, or a callable."""
    return leaf._learning_rate


def iterations_of(leaf: Any) -> Any:
    """The variable that counts the optimizer's steps; under gradient accumulation `iterations` counts updates."""
    return leaf._iterations


def holds_one_rate(optimizer: Any) -> bool:
    """Whether the optimizer itself holds its learning rate, as a variable: it is no wrapper and follows no schedule."""
    rate = getattr(optimizer, "_learning_rate", None)
    return isinstance(rate, keras.Variable) and not hasattr(optimizer, "inner_optimizer")


def set_learning_rate(optimizer: Any, rate: float) -> None:
    """Sets a fixed learning rate for good, also where the optimizer was compiled with a schedule."""
    leaves = leaf_optimizers(optimizer)
    for leaf, ratio in zip(leaves, _ratios(leaves), strict=True):
        if isinstance(compiled_rate(leaf), keras.Variable):
            leaf.learning_rate = rate * ratio
        else:
            leaf.learning_rate = keras.optimizers.schedules.PiecewiseConstantDecay([1], [rate * ratio] * 2)


def follows_schedule(optimizer: Any) -> bool:
    """Whether a learning rate is a schedule or a callable, not a number."""
    return any(not isinstance(compiled_rate(leaf), keras.Variable) for leaf in leaf_optimizers(optimizer))


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
    rate = compiled_rate(leaf)
    if not isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        return _current_rate(leaf)
    return float(keras.ops.convert_to_numpy(rate(step)))


def _current_rate(leaf: Any) -> float:
    return float(keras.ops.convert_to_numpy(leaf.learning_rate))


def current_learning_rate(optimizer: Any) -> float:
    """The rate of the next step; of several optimizers the first one's."""
    return float(tf.convert_to_tensor(leaf_optimizers(optimizer)[0].learning_rate))


def rates_ahead(optimizer: Any, num_steps: int) -> np.ndarray:
    """The rates of the next `num_steps` steps at 65 of them: a schedule's, or the constant rate; of several optimizers
    the first one's.
    """
    leaf = leaf_optimizers(optimizer)[0]
    if not isinstance(compiled_rate(leaf), keras.optimizers.schedules.LearningRateSchedule):
        return np.array([current_learning_rate(optimizer)])
    first = int(tf.convert_to_tensor(iterations_of(leaf)))
    steps = np.unique(np.linspace(first, first + max(num_steps - 1, 0), _SAMPLES).astype(int))
    return np.array([float(tf.convert_to_tensor(compiled_rate(leaf)(step))) for step in steps.tolist()])


class RateFactor:
    """One factor on the learning rate of each optimizer of a model.

    A constant rate is assigned. A schedule is wrapped in `Scaled`, a callable likewise, once; the training function
    must then be made anew, since it may have been traced with the bare one.

    Args:
        optimizer: The compiled optimizer.
        bases: What `bases` was before a restart, where the optimizer may since hold changed rates.

    Attributes:
        rewired: Whether a schedule or a callable was wrapped.
        bases: Each optimizer's constant rate, or the factor already on its schedule, at a factor of 1.
    """

    def __init__(self, optimizer: Any, bases: Sequence[float] | None = None) -> None:
        self._optimizer = optimizer
        self.rewired = False
        leaves = leaf_optimizers(optimizer)
        setters = [self._attach(leaf) for leaf in leaves]
        self._assign = [assign for _, assign in setters]
        self.bases = tuple(base for base, _ in setters) if bases is None else tuple(bases)

    def set(self, factor: float) -> None:
        """Makes the rate `factor` times what it was compiled as; takes effect at the next step."""
        for base, assign in zip(self.bases, self._assign, strict=True):
            assign(base * factor)

    @property
    def learning_rate(self) -> float:
        """The rate of the next step."""
        return current_learning_rate(self._optimizer)

    def _attach(self, leaf: Any) -> tuple[float, Callable[[float], None]]:
        """What the rate is multiplied from, and the function that assigns the product."""
        rate = compiled_rate(leaf)
        if isinstance(rate, keras.Variable):
            return float(tf.convert_to_tensor(rate)), rate.assign
        if not isinstance(rate, (Scaled, _ScaledCallable)):
            self.rewired = True
            scheduled = isinstance(rate, keras.optimizers.schedules.LearningRateSchedule)
            rate = Scaled(rate) if scheduled else _ScaledCallable(rate)
            leaf.learning_rate = rate
        return rate.factor, lambda factor: setattr(rate, "factor", factor)


class _ScaledCallable:
    """A rate that is computed by a callable, times a variable factor."""

    def __init__(self, rate: Callable[[], Any]) -> None:
        self._rate = rate
        self._factor = keras.Variable(1.0, trainable=False, dtype=keras.config.floatx(), name="learning_rate_factor")

    @property
    def factor(self) -> float:
        return float(tf.convert_to_tensor(self._factor))

    @factor.setter
    def factor(self, value: float) -> None:
        self._factor.assign(value)

    def __call__(self) -> Any:
        return self._rate() * self._factor.value


class RateReader:
    """Reads the rates of each optimizer of a model in one compiled call, without waiting for the device.

    A schedule is asked for the steps just done; an assigned rate, or a callable's, holds for all of them.

    Args:
        optimizer: The compiled optimizer.
        num_steps: Number of steps to look back, at least 1.
    """

    def __init__(self, optimizer: Any, *, num_steps: int = 1) -> None:
        self._optimizer = optimizer
        self._num_steps = num_steps
        self._leaves: list[Any] = []
        self._sources: list[Any] = []
        self._read: Any = None

    @property
    def names(self) -> list[str]:
        """One an optimizer: "learning_rate", or with several "learning_rate_" and the optimizer's name."""
        return _names(self._leaves)

    def read(self) -> tuple[list[Any], list[Any], Any]:
        """The rate of the last step, a scalar tensor an optimizer; those of the last `num_steps`, newest last; and the
        number of steps that the first optimizer has ever done, a scalar tensor.

        To be called after a first step: by then an optimizer that is not built trains nothing, and is left out.
        """
        if not self._leaves:
            self._leaves = [leaf for leaf in leaf_optimizers(self._optimizer) if leaf.built]
        sources = [compiled_rate(leaf) for leaf in self._leaves]
        # A callback may have put a schedule in the place of another meanwhile.
        if len(sources) != len(self._sources) or any(a is not b for a, b in zip(sources, self._sources, strict=True)):
            self._sources = sources
            self._read = tf.function(self._rates, autograph=False).get_concrete_function()
        return self._read()  # type: ignore[no-any-return]

    def _rates(self) -> tuple[list[Any], list[Any], Any]:
        series = [self._series(leaf) for leaf in self._leaves]
        return [rates[-1] for rates in series], series, _steps_done(self._leaves[0])

    def _series(self, leaf: Any) -> Any:
        rate = compiled_rate(leaf)
        if not isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
            return tf.fill([self._num_steps], tf.cast(leaf.learning_rate, tf.float32))
        steps = tf.maximum(_steps_done(leaf) - self._num_steps + tf.range(self._num_steps, dtype=tf.int64), 0)
        if self._num_steps == 1:
            return tf.cast(rate(steps[0]), tf.float32)[tf.newaxis]
        return tf.map_fn(lambda step: tf.cast(rate(step), tf.float32), steps, fn_output_signature=tf.float32)


def _steps_done(leaf: Any) -> Any:
    """Steps of the schedule: `iterations` counts updates, which gradient accumulation makes fewer."""
    return tf.cast(tf.convert_to_tensor(iterations_of(leaf)), tf.int64)


def _names(leaves: list[Any]) -> list[str]:
    if len(leaves) == 1:
        return ["learning_rate"]
    names = [f"learning_rate_{leaf.name}" for leaf in leaves]
    return [name if names.count(name) == 1 else f"{name}_{place}" for place, name in enumerate(names)]
