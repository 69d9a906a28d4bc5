"""Many steps of a schedule at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from keras import ops


def compiled(schedule: Any) -> Callable[[np.ndarray], np.ndarray]:
    """A function from steps to the rates of `schedule`, both of shape `(n_steps,)`, int64 to float64.

    The schedule is traced once and sees one scalar step at a time, as in training; a schedule that branches on its step
    could not take a vector.
    """

    def rates(steps: Any) -> Any:
        return tf.map_fn(lambda step: ops.cast(schedule(step), "float64"), steps, fn_output_signature=tf.float64)

    traced = tf.function(rates, input_signature=[tf.TensorSpec([None], tf.int64)]).get_concrete_function()

    def evaluate(steps: np.ndarray) -> np.ndarray:
        return np.asarray(traced(tf.constant(steps, tf.int64)), dtype=np.float64)

    return evaluate
