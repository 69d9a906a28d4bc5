"""A number that is a float to Keras and a tensor to TensorFlow."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf


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
