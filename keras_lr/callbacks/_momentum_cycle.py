"""`MomentumCycle`: cycles the momentum against the learning rate."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from keras_lr._keras.callback_state import Callback
from keras_lr._keras.learning_rate import compiled_rate, iterations_of, leaf_optimizers, steps_done
from keras_lr._keras.running_fit import on_fit_error
from keras_lr._utils import validation
from keras_lr._utils.formatting import with_article
from keras_lr.errors import InvalidArgumentError
from keras_lr.schedules._base import PRECISION, rate_at
from keras_lr.schedules._composed import Resumed, Scaled
from keras_lr.schedules._preview import cycle_position_of, momentum_at, position_in_range, preview

MOMENTA = ("momentum", "beta_1", "adam_beta_1")
# Its `beta_1` interpolates between two sequences of weights and must stay constant.
_NOT_CYCLED = ("ScheduleFreeAdamW",)


class DynamicFloat(float):
    """A float whose value is recomputed in each training step.

    A Keras optimizer holds its momentum as a Python number, and tracing a step turns that number into a constant. Set
    in its place, this one behaves differently for its two readers:

    - Comparisons, `get_config`, JSON, copies and pickles see the number it was made from. Keras compares the momentum
      with 0 when it builds the slots, and saves it with the model.
    - Arithmetic and conversion to a tensor, which happen while a step is traced, see the tensor that `compute` returns.

    Args:
        value: The number outside of a step.
        compute: Returns the value in a step, a scalar tensor; called while the step is traced.
    """

    _compute: Callable[[], Any]

    def __new__(cls, value: float, compute: Callable[[], Any]) -> DynamicFloat:
        number = super().__new__(cls, value)
        number._compute = compute
        return number

    @property
    def dtype(self) -> str:
        """The dtype that `keras.ops` converts it to."""
        return str(keras.config.floatx())

    def __tf_tensor__(self, dtype: Any = None, name: str | None = None) -> Any:
        return tf.cast(self._compute(), dtype or self.dtype)

    def __reduce__(self) -> tuple[Any, ...]:
        return float, (float(self),)

    def __deepcopy__(self, memo: Any) -> float:
        return float(self)

    def __add__(self, other: Any) -> Any:
        return self.__tf_tensor__() + other

    def __sub__(self, other: Any) -> Any:
        return self.__tf_tensor__() - other

    def __rsub__(self, other: Any) -> Any:
        return other - self.__tf_tensor__()

    def __mul__(self, other: Any) -> Any:
        return self.__tf_tensor__() * other

    __radd__, __rmul__ = __add__, __mul__


class MomentumCycle(Callback):
    """Lowers the momentum while the learning rate is high, and raises it while the rate is low.

    The momentum (`momentum` or `beta_1`, depending on the optimizer) is `max_momentum` at the bottom of the learning
    rate's cycle and `min_momentum` at its top. It is computed inside each step from the optimizer's own step counter,
    so it also works with `steps_per_execution` and XLA, and a resumed fit continues exactly. After the fit, also one
    that an error ended, the optimizer has the momentum it was compiled with.

    Without a momentum in the compiled optimizer the fit goes on as it is, and one warning says so.

    The cycle is that of a `OneCycle` or `Cyclical` schedule. With any other schedule the momentum follows the rate
    itself, from the lowest to the highest rate of the fit, or over `rate_range`. Without `rate_range`, a factor on the
    schedule, such as that of a part of the model, does not change the momentum.

    Args:
        min_momentum: Momentum at the highest rate, in (0, 1).
        max_momentum: Momentum at the lowest rate, in (0, 1), above `min_momentum`.
        rate_range: Lowest and highest learning rate; required if no schedule changes the rate or if Keras does not know
            the number of steps per epoch.

    Raises:
        InvalidRangeError: A range is reversed or empty.
        InvalidArgumentError: Another argument breaks its rule; or, as `fit` begins, `rate_range` is required.

    Source:
        Smith 2018, arXiv:1803.09820, section 4.3; the default momenta are those of PyTorch's `OneCycleLR` and
        `CyclicLR`.

    Example:
        >>> cycle = keras_lr.MomentumCycle(0.85, 0.95)
    """

    def __init__(
        self,
        min_momentum: float = 0.85,
        max_momentum: float = 0.95,
        *,
        rate_range: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        self.min_momentum = validation.open_fraction("min_momentum", min_momentum)
        self.max_momentum = validation.open_fraction("max_momentum", max_momentum)
        validation.increasing_pair("min_momentum, max_momentum", (min_momentum, max_momentum))
        self.rate_range = None if rate_range is None else validation.increasing_pair("rate_range", rate_range)
        self._momenta: list[Callable[[], Any]] = []
        self._idle = False
        self._stop_watching: Callable[[], None] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """What a copy or a pickle holds: not the momenta, which are computed from the steps of this model."""
        return {name: value for name, value in vars(self).items() if value is not self._momenta}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Takes what `__getstate__` returned."""
        self._momenta = []
        self.__dict__.update(state)

    @property
    def momentum(self) -> float | None:
        """The momentum of the next step, with several optimizers the first one's; None if none is cycled."""
        return float(tf.convert_to_tensor(self._momenta[0]())) if self._momenta else None

    def on_train_begin(self, logs: Any = None) -> None:
        """Makes sure that the compiled momentum is restored if an error ends the fit."""
        super().on_train_begin(logs)
        self._momenta, self._idle = [], False
        self._stop_watching = on_fit_error(self.model, lambda error: self._restore())

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Replaces the compiled momentum by the cycled one.

        That is before the first epoch, and again where the end of another run of a search has restored it.
        """
        if self._idle or (self._momenta and _is_cycled(self.model.optimizer)):
            return
        cycled, lacking = _cycled_names(self.model.optimizer)
        if lacking:
            self._idle = True
            warnings.warn(lacking, stacklevel=2)
            return
        self._momenta = []
        for leaf, names in cycled:
            compute = self._momentum_of(leaf, epoch)
            self._momenta.append(compute)
            for name in names:
                setattr(leaf, name, DynamicFloat(getattr(leaf, name), compute))
        self.model.make_train_function(force=True)

    def on_train_end(self, logs: Any = None) -> None:
        """Restores the compiled momentum."""
        if self._stop_watching is not None:
            self._stop_watching()
            self._stop_watching = None
        self._restore()

    def _restore(self) -> None:
        for leaf in leaf_optimizers(self.model.optimizer):
            for name in MOMENTA:
                momentum = getattr(leaf, name, None)
                if isinstance(momentum, DynamicFloat):
                    setattr(leaf, name, float(momentum))
                    self.model.train_function = None

    def _momentum_of(self, leaf: Any, epoch: int) -> Callable[[], Any]:
        if self.rate_range is not None:
            low, high = self.rate_range
            return lambda: self._opposed(position_in_range(leaf.learning_rate, low, high))
        rate = compiled_rate(leaf)
        position = cycle_position_of(rate) or self._position_in_fit(rate, steps_done(leaf), epoch)
        return lambda: self._opposed(position(keras.ops.cast(iterations_of(leaf), PRECISION)))

    def _opposed(self, position: Any) -> Any:
        return momentum_at(position, self.min_momentum, self.max_momentum)

    def _position_in_fit(self, rate: Any, done: int, epoch: int) -> Callable[[Any], Any]:
        """The position of a schedule between its lowest and highest rate of the whole fit, by the optimizer's step.

        A factor on the schedule, which a callback may change, does not count.

        Args:
            rate: The optimizer's rate as compiled.
            done: Number of steps that the optimizer had done when `epoch` began.
            epoch: The first epoch that this `fit` trains; a resumed one begins later.
        """
        schedule = rate
        while isinstance(schedule, Scaled):
            schedule = schedule.schedule
        steps, epochs = self.params.get("steps"), self.params.get("epochs")
        if isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule) and steps and epochs:
            first = max(done // int(steps) - epoch, 0) * int(steps)
            rates = preview(Resumed(schedule, first), int(steps) * int(epochs)).learning_rates
            low, high = float(rates.min()), float(rates.max())
            if low < high:
                return lambda step: position_in_range(rate_at(schedule, step), low, high)
        raise InvalidArgumentError(
            "`rate_range` is required unless a schedule changes the learning rate and the steps per epoch are known. "
            f"Received: rate_range=None, {with_article(type(rate).__name__)} as the learning rate, {steps} steps per "
            "epoch. Pass `rate_range=(lowest, highest)`."
        )


def _is_cycled(optimizer: Any) -> bool:
    momenta = (getattr(leaf, name, None) for leaf in leaf_optimizers(optimizer) for name in MOMENTA)
    return any(isinstance(momentum, DynamicFloat) for momentum in momenta)


def _cycled_names(optimizer: Any) -> tuple[list[tuple[Any, list[str]]], str]:
    """Each optimizer with the names of its momentum attributes, and a sentence if one has none that is above 0."""
    found = []
    if optimizer is None:
        return [], "`MomentumCycle` does nothing in this fit, since the model was compiled without an optimizer."
    for leaf in leaf_optimizers(optimizer):
        momenta = {name: getattr(leaf, name) for name in MOMENTA if isinstance(getattr(leaf, name, None), float)}
        names = [name for name, value in momenta.items() if value > 0]
        if momenta and type(leaf).__name__ in _NOT_CYCLED:
            return [], (
                f"`MomentumCycle` does nothing in this fit, since {type(leaf).__name__} needs a constant `beta_1`. "
                "Compile with SGD(momentum=0.9) or Adam."
            )
        if not names:
            return [], (
                "`MomentumCycle` does nothing in this fit. The optimizer must have a `momentum` or a `beta_1` above 0 "
                f"to cycle. Received: {type(leaf).__name__} with {momenta or 'neither'}. Compile with "
                "SGD(momentum=0.9) or Adam."
            )
        found.append((leaf, names))
    return found, ""
