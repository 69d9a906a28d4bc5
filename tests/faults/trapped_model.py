"""A model whose training step, compiled or not, springs a trap at a chosen step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tests.training_models import CustomStep

NEVER = 2**40
MORE_THAN_ANY_MEMORY = 2**50


class Trapped(CustomStep):
    """`CustomStep` that runs `spring` at its step number `trap`.

    Args:
        spring: Takes the number of steps so far and `trap`. In a compiled step it returns an op; in an eager one it is
            called only at the trapped step.
    """

    def __init__(self, spring: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        self.spring = spring
        self.trap = tf.Variable(NEVER, dtype=tf.int64, trainable=False)

    def train_step(self, data: Any) -> dict[str, Any]:
        logs = super().train_step(data)
        if tf.executing_eagerly():
            if int(self.calls) == int(self.trap):
                self.spring(self.calls, self.trap)
            return logs
        with tf.control_dependencies([self.spring(self.calls, self.trap)]):
            return {name: tf.identity(value) for name, value in logs.items()}

    def arm(self, steps: int) -> None:
        """Sets the trap after `steps` more steps."""
        self.trap.assign(self.calls + steps + 1)

    def disarm(self) -> None:
        """Removes the trap."""
        self.trap.assign(NEVER)


def failing_assertion(calls: Any, trap: Any) -> Any:
    """An op that fails at the trapped step."""
    return tf.debugging.assert_less(calls, trap, message="trapped")


def huge_allocation(calls: Any, trap: Any) -> Any:
    """An op that requests more memory than an address space holds, at the trapped step."""
    size = tf.where(calls >= trap, tf.constant(MORE_THAN_ANY_MEMORY, tf.int64), tf.constant(1, tf.int64))
    return tf.reduce_sum(tf.fill([size], 1.0))


def trapped(spring: Callable[[Any, Any], Any], data: Any, *, optimizer: Any = "sgd", eager: bool = False) -> Trapped:
    """A model that has trained one epoch of `data`."""
    keras.utils.set_random_seed(3)
    model = Trapped(spring)
    model.compile(optimizer, run_eagerly=eager)
    model.fit(data, verbose=0)
    return model
