"""A number that Keras takes for a float and TensorFlow for a tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf


class DynamicFloat(float):
    """A float that is computed anew in each training step.

    Keras optimizers keep their momentum as a Python number, which a traced step holds for ever. In the optimizer's
    place for it this one answers comparisons, `get_config` and JSON as the number it was made from, and arithmetic and
    conversion to a tensor with what `compute` returns.

    Args:
        value: The number it stands for outside of a step.
        compute: Returns the value of the current step, a scalar tensor; called while a step is traced.
    """

    _compute: Callable[[], Any]

    def __new__(cls, value: float, compute: Callable[[], Any]) -> DynamicFloat:
        number = super().__new__(cls, value)
        number._compute = compute
        return number

    @property
    def dtype(self) -> str:
        """What `keras.ops` makes of it."""
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
