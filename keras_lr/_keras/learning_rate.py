"""Reading and setting the learning rate of any optimizer: wrapped, one of several, or driven by a schedule."""

from __future__ import annotations

import math
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_lr.schedules._composed import Scaled

_STEPS = [2**exponent for exponent in range(21)]
"""Steps at which a schedule that is 0 now is probed for another rate: early, for warmup, and up to a million."""

_SAMPLES = 65

_RELATIVE = tuple(getattr(keras.optimizers, name) for name in ("Adafactor", "Lamb") if hasattr(keras.optimizers, name))

_wrappers: weakref.WeakSet[Any] = weakref.WeakSet()
"""The schedules that `RateFactor` has put around the user's own."""


class RateControl:
    """Drives the learning rate of an optimizer from inside a traced step, and restores it.

    A wrapped optimizer is reached through its wrapper. The parts of a `keras.optimizers.MultiOptimizer` keep their
    ratios to the first part, taken at another step if a schedule is 0 now. A schedule or a callable is replaced by a
    variable between `engage` and `release`.

    Args:
        optimizer: The compiled optimizer.

    Attributes:
        originals: The rate of each part as compiled.
    """

    def __init__(self, optimizer: Any) -> None:
        self._leaves = leaf_optimizers(optimizer)
        self.originals = [compiled_rate(leaf) for leaf in self._leaves]
        self._ratios = _ratios(self._leaves)
        self._stand_ins = [
            None
            if isinstance(compiled_rate(leaf), keras.Variable)
            else tf.Variable(current_learning_rate(leaf), trainable=False, dtype=tf.float32)
            for leaf in self._leaves
        ]

    def engage(self) -> None:
        """Replaces each schedule by a variable."""
        for leaf, stand_in in zip(self._leaves, self._stand_ins, strict=True):
            if stand_in is not None:
                leaf.learning_rate = stand_in.read_value

    def assign(self, rate: Any) -> None:
        """Sets the learning rate, a scalar; traced into the step."""
        for leaf, stand_in, ratio in zip(self._leaves, self._stand_ins, self._ratios, strict=True):
            target = compiled_rate(leaf) if stand_in is None else stand_in
            target.assign(tf.cast(rate if ratio == 1.0 else rate * ratio, target.dtype))

    def release(self) -> None:
        """Restores each schedule. A rate that is a variable is restored with the rest of the optimizer's state."""
        for leaf, stand_in, original in zip(self._leaves, self._stand_ins, self.originals, strict=True):
            if stand_in is not None:
                leaf.learning_rate = original


def compiled_rate(leaf: Any) -> Any:
    """The optimizer's rate as compiled: a `keras.Variable`, a schedule, or a callable."""
    return leaf._learning_rate


def iterations_of(leaf: Any) -> Any:
    """The variable that counts steps; with gradient accumulation the public `iterations` counts updates."""
    return leaf._iterations


def holds_one_rate(optimizer: Any) -> bool:
    """Whether the optimizer is not a wrapper and holds its learning rate as a variable, not a schedule."""
    rate = getattr(optimizer, "_learning_rate", None)
    return isinstance(rate, keras.Variable) and not hasattr(optimizer, "inner_optimizer")


def set_learning_rate(optimizer: Any, rate: float) -> None:
    """Sets a constant learning rate, replacing a schedule; several optimizers keep their ratios."""
    leaves = leaf_optimizers(optimizer)
    for leaf, ratio in zip(leaves, _ratios(leaves), strict=True):
        if isinstance(compiled_rate(leaf), keras.Variable):
            leaf.learning_rate = rate * ratio
        else:
            leaf.learning_rate = keras.optimizers.schedules.PiecewiseConstantDecay([1], [rate * ratio] * 2)


def follows_schedule(optimizer: Any) -> bool:
    """Whether any learning rate is a schedule or a callable."""
    return any(not isinstance(compiled_rate(leaf), keras.Variable) for leaf in leaf_optimizers(optimizer))


def keeps_average(optimizer: Any) -> bool:
    """Whether any optimizer was made with `use_ema=True`."""
    return any(bool(getattr(leaf, "use_ema", False)) for leaf in leaf_optimizers(optimizer))


def scales_steps_by_weights(optimizer: Any) -> bool:
    """Whether a step is proportional to the size of the weights, so that weights can grow by a factor per step."""
    return any(isinstance(leaf, _RELATIVE) for leaf in leaf_optimizers(optimizer))


def leaf_optimizers(optimizer: Any) -> list[Any]:
    """The optimizers that hold a learning rate: inside a loss-scaling wrapper, and each part of a `MultiOptimizer`.

    None, the optimizer of a model that was compiled without one, has none.
    """
    if optimizer is None:
        return []
    inner = getattr(optimizer, "inner_optimizer", None)
    if inner is not None:
        return leaf_optimizers(inner)
    several = getattr(optimizer, "_optimizers", None) or getattr(optimizer, "optimizers", None)
    if several:
        return [leaf for part in several for leaf in leaf_optimizers(part)]
    return [optimizer]


def _ratios(leaves: Sequence[Any]) -> list[float]:
    """Each optimizer's rate divided by the first one's, now, or at the first of `_STEPS` where none is 0."""
    now = [current_learning_rate(leaf) for leaf in leaves]
    others = ([_rate_at(leaf, step) for leaf in leaves] for step in _STEPS if 0.0 in now and len(leaves) > 1)
    rates = next((rates for rates in (now, *others) if 0.0 not in rates), now)
    return [rate / rates[0] if rates[0] else 1.0 for rate in rates]


def _rate_at(leaf: Any, step: int) -> float:
    """A schedule's rate at `step`; any other rate as it is now."""
    rate = compiled_rate(leaf)
    if not isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        return current_learning_rate(leaf)
    return float(keras.ops.convert_to_numpy(rate(step)))


def current_learning_rate(optimizer: Any) -> float:
    """The rate of the next step; with several optimizers, the first one's.

    It is the rate that can be set. What a `learning_rate` property of the optimizer's own makes of it does not count.
    """
    leaf = leaf_optimizers(optimizer)[0]
    rate = compiled_rate(leaf)
    if isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
        rate = rate(iterations_of(leaf))
    elif not isinstance(rate, keras.Variable):
        rate = rate()
    return float(tf.convert_to_tensor(rate))


def steps_done(optimizer: Any) -> int:
    """Number of steps that the first optimizer has done in its life; 0 for none."""
    return next((int(tf.convert_to_tensor(iterations_of(leaf))) for leaf in leaf_optimizers(optimizer)), 0)


def schedule_name(optimizer: Any) -> str | None:
    """The class of the user's schedule that the first optimizer follows, a callable's name; None for a constant."""
    rate = _own_rate(compiled_rate(leaf_optimizers(optimizer)[0]))
    if isinstance(rate, keras.Variable):
        return None
    scheduled = isinstance(rate, keras.optimizers.schedules.LearningRateSchedule)
    return type(rate).__name__ if scheduled else getattr(rate, "__name__", "callable")


def rates_ahead(optimizer: Any, num_steps: int) -> np.ndarray:
    """The first optimizer's rates over the next `num_steps` steps, at up to 65 of them; a constant rate once."""
    if not follows_schedule(optimizer):
        return np.array([current_learning_rate(optimizer)])
    return _rates_at(optimizer, np.unique(np.linspace(0, max(num_steps - 1, 0), _SAMPLES).astype(int)))


def rate_of_each_step(optimizer: Any, num_steps: int) -> np.ndarray:
    """The first optimizer's rate at each of the next `num_steps` steps, shape `(num_steps,)`."""
    if not follows_schedule(optimizer):
        return np.full(num_steps, current_learning_rate(optimizer))
    return _rates_at(optimizer, np.arange(num_steps))


def _rates_at(optimizer: Any, offsets: np.ndarray) -> np.ndarray:
    """The first optimizer's rates at steps counted from now; a callable is taken to stay as it is."""
    leaf = leaf_optimizers(optimizer)[0]
    if not isinstance(compiled_rate(leaf), keras.optimizers.schedules.LearningRateSchedule):
        return np.full(offsets.shape, current_learning_rate(optimizer))
    first = steps_done(optimizer)
    return np.array([float(tf.convert_to_tensor(compiled_rate(leaf)(first + step))) for step in offsets.tolist()])


class RateFactor:
    """A factor on the learning rate of every optimizer of a model.

    A constant rate is assigned. A schedule or a callable is wrapped once, a schedule in `Scaled`; the training function
    must then be rebuilt, since it may have been traced with the unwrapped one.

    Args:
        optimizer: The compiled optimizer.
        bases: `bases` from before a restart, for an optimizer whose rates may have changed since.

    Attributes:
        rewired: Whether a schedule or a callable was wrapped just now; `unwrap_schedules` undoes it.
        bases: What a factor of 1 means: each optimizer's constant rate, or the factor that its schedule already had.
    """

    def __init__(self, optimizer: Any, bases: Sequence[float] | None = None) -> None:
        self._optimizer = optimizer
        self.rewired = False
        leaves = leaf_optimizers(optimizer)
        setters = [self._attach(leaf) for leaf in leaves]
        self._assign = [assign for _, assign in setters]
        self.bases = tuple(base for base, _ in setters) if bases is None else tuple(bases)

    def set(self, factor: float) -> None:
        """Sets every rate to `factor` times its base, from the next step on."""
        for base, assign in zip(self.bases, self._assign, strict=True):
            assign(base * factor)

    def is_at(self, factor: float) -> bool:
        """Whether every rate is still what `set` has made it."""
        now = rate_bases(self._optimizer)
        return all(math.isclose(one, base * factor, rel_tol=2e-3) for one, base in zip(now, self.bases, strict=True))

    def _attach(self, leaf: Any) -> tuple[float, Callable[[float], None]]:
        """The base that a factor multiplies, and a function that assigns the product."""
        rate = compiled_rate(leaf)
        if isinstance(rate, keras.Variable):
            return _base(rate), rate.assign
        if not isinstance(rate, (Scaled, _ScaledCallable)):
            self.rewired = True
            scheduled = isinstance(rate, keras.optimizers.schedules.LearningRateSchedule)
            rate = Scaled(rate) if scheduled else _ScaledCallable(rate)
            _wrappers.add(rate)
            leaf.learning_rate = rate
        return _base(rate), lambda factor: setattr(rate, "factor", factor)


def unwrap_schedules(optimizer: Any) -> None:
    """Gives each optimizer back the user's own schedule or callable if the factor that was put on it is 1.

    A model that is saved then loads without keras_lr. What is compiled stays valid, since a factor of 1 changes no
    rate. A schedule with another factor keeps its `Scaled`.
    """
    for leaf in leaf_optimizers(optimizer):
        rate = compiled_rate(leaf)
        if not isinstance(rate, keras.Variable) and rate in _wrappers and rate.factor == 1.0:
            leaf.learning_rate = _own_rate(rate)


def _own_rate(rate: Any) -> Any:
    """What the user compiled: `rate` without the factor that `RateFactor` has put on it."""
    return rate.schedule if not isinstance(rate, keras.Variable) and rate in _wrappers else rate


def rate_bases(optimizer: Any) -> tuple[float, ...]:
    """The `bases` that a new `RateFactor` would have; changes nothing."""
    return tuple(_base(compiled_rate(leaf)) for leaf in leaf_optimizers(optimizer))


def _base(rate: Any) -> float:
    if isinstance(rate, keras.Variable):
        return float(tf.convert_to_tensor(rate))
    return float(rate.factor) if isinstance(rate, (Scaled, _ScaledCallable)) else 1.0


class _ScaledCallable:
    """A callable's rate times a variable factor."""

    def __init__(self, rate: Callable[[], Any]) -> None:
        self.schedule = rate
        self._factor = keras.Variable(1.0, trainable=False, dtype=keras.config.floatx(), name="learning_rate_factor")

    @property
    def factor(self) -> float:
        return float(tf.convert_to_tensor(self._factor))

    @factor.setter
    def factor(self, value: float) -> None:
        self._factor.assign(value)

    def __call__(self) -> Any:
        return self.schedule() * self._factor.value


class RateReader:
    """Reads the rates of all optimizers of a model in one compiled call, without waiting for the device.

    A schedule is evaluated at the steps just done. A constant or a callable's rate is taken to have held for all of
    them.

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
        """One name per optimizer: "learning_rate", or for several "learning_rate_" followed by the optimizer's name."""
        return _names(self._leaves)

    def read(self) -> tuple[list[Any], list[Any], Any] | None:
        """The rates of the steps just done.

        Call it after a first step: an optimizer that is not built by then trains nothing, and is left out.

        Returns:
            The rate of the last step, one scalar tensor per optimizer; the rates of the last `num_steps` steps, one
            vector per optimizer, newest last; and the number of steps that the first optimizer has done in its life.
            None if no optimizer is built.
        """
        if not self._leaves:
            self._leaves = [leaf for leaf in leaf_optimizers(self._optimizer) if leaf.built]
        if not self._leaves:
            return None
        sources = [compiled_rate(leaf) for leaf in self._leaves]
        # A callback may have replaced a schedule since the last call.
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
    """The step that a schedule is evaluated at."""
    return tf.cast(tf.convert_to_tensor(iterations_of(leaf)), tf.int64)


def _names(leaves: list[Any]) -> list[str]:
    if len(leaves) == 1:
        return ["learning_rate"]
    names = [f"learning_rate_{leaf.name}" for leaf in leaves]
    return [name if names.count(name) == 1 else f"{name}_{place}" for place, name in enumerate(names)]
