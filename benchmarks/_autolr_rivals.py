"""Optimizers that find their own rate, for the comparison with `AutoLR`: Prodigy and Mechanic.

They follow the published packages, whose numbers `tests/benchmarks` compares with, and are made for float32 variables
on one device. The sparse gradients of embeddings are made dense.
"""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
from keras import ops


class _Rival(keras.optimizers.Optimizer):
    """Adam's moments, the initial weights, and a step that looks at all variables together.

    Args:
        learning_rate: A factor on the rate that is found, or a schedule of it.
        name: Name of the optimizer.
        **kwargs: As in `keras.optimizers.Optimizer`.
    """

    beta_1, beta_2, epsilon = 0.9, 0.999, 1e-8

    def __init__(self, learning_rate: Any = 1.0, name: str = "rival", **kwargs: Any) -> None:
        super().__init__(learning_rate, name=name, **kwargs)

    def build(self, variables: Any) -> None:
        """Makes the slots, once."""
        if self.built:
            return
        super().build(variables)
        self.first, self.second, self.origin, self.sums = (
            [self.add_variable_from_reference(variable, name=name) for variable in variables]
            for name in ("first", "second", "origin", "sum")
        )

    def apply(self, grads: Any, trainable_variables: Any = None) -> None:
        """One step of all variables."""
        variables = list(self._trainable_variables if trainable_variables is None else trainable_variables)
        self.build(variables)
        begins = ops.equal(self.iterations, 0)
        for origin, variable in zip(self.origin, variables, strict=True):
            origin.assign(ops.where(begins, variable, origin))
        self.step(list(map(tf.convert_to_tensor, grads)), variables)
        self.iterations.assign_add(1)

    def step(self, grads: list[Any], variables: list[Any]) -> None:
        """Moves the variables."""
        raise NotImplementedError

    def _moments(self, grads: list[Any]) -> None:
        for first, second, grad in zip(self.first, self.second, grads, strict=True):
            first.assign(self.beta_1 * first + (1 - self.beta_1) * grad)
            second.assign(self.beta_2 * second + (1 - self.beta_2) * ops.square(grad))

    def _correction(self) -> Any:
        count = ops.cast(self.iterations + 1, "float32")
        return ops.sqrt(1 - self.beta_2**count) / (1 - self.beta_1**count)


class Prodigy(_Rival):
    """Adam at a rate that grows to the distance from the initial weights which the gradients so far prove.

    Source:
        Mishchenko & Defazio 2023, arXiv:2306.06101, algorithm 4, with Adam's bias correction.
    """

    initial_distance = 1e-6

    def build(self, variables: Any) -> None:
        """Makes the slots, once."""
        if self.built:
            return
        super().build(variables)
        self.distance = self.add_variable((), keras.initializers.Constant(self.initial_distance), name="distance")
        self.numerator = self.add_variable((), name="numerator")

    def step(self, grads: list[Any], variables: list[Any]) -> None:
        """Moves the variables, and then estimates the distance again."""
        distance = ops.convert_to_tensor(self.distance)
        rate = distance * self.learning_rate * self._correction()
        weight = rate * distance / self.initial_distance
        decay = self.beta_2**0.5
        moved = sum(
            ops.sum(grad * (origin - variable))
            for grad, origin, variable in zip(grads, self.origin, variables, strict=True)
        )
        self._moments([distance * grad for grad in grads])
        for total, grad in zip(self.sums, grads, strict=True):
            total.assign(decay * total + weight * grad)
        self.numerator.assign(decay * self.numerator + weight * moved)
        proven = self.numerator / sum(ops.sum(ops.abs(total)) for total in self.sums)
        self.distance.assign(ops.where(proven > distance, proven, distance))
        for first, second, variable in zip(self.first, self.second, variables, strict=True):
            variable.assign_sub(rate * first / (ops.sqrt(second) + self.distance * self.epsilon))


class Mechanic(_Rival):
    """AdamW whose total displacement is multiplied by a scale, which grows while it pays.

    Source:
        Cutkosky et al. 2023, arXiv:2306.00144, with the clipping that optax adds.
    """

    weight_decay_of_adamw = 0.004
    decay, initial_scale = 1e-2, 1e-6
    betas = tuple(1 - 0.1**power for power in range(1, 7))

    def build(self, variables: Any) -> None:
        """Makes the slots, once."""
        if self.built:
            return
        super().build(variables)
        shape = (len(self.betas),)
        self.scales = self.add_variable(shape, keras.initializers.Constant(self.initial_scale), name="scales")
        self.largest = self.add_variable(shape, name="largest")
        self.squares = self.add_variable(shape, name="squares")
        self.reward = self.add_variable(shape, name="reward")

    def step(self, grads: list[Any], variables: list[Any]) -> None:
        """Moves the variables by what AdamW would add to the displacement, at the new scale."""
        scale = ops.sum(self.scales)
        pull = self.decay * scale * _norm(grads) / (_norm(variables) + self.epsilon)
        displaced = [
            (variable - origin) / (scale + self.epsilon)
            for variable, origin in zip(variables, self.origin, strict=True)
        ]
        gain = -sum(
            ops.sum((grad + pull * variable) * delta)
            for grad, variable, delta in zip(grads, variables, displaced, strict=True)
        )
        self._moments(grads)
        rate, correction = self.learning_rate, self._correction()
        count = ops.cast(self.iterations + 1, "float32")
        epsilon = self.epsilon * ops.sqrt(1 - self.beta_2**count)
        for delta, first, second, variable, origin in zip(
            displaced, self.first, self.second, variables, self.sums, strict=True
        ):
            update = correction * first / (ops.sqrt(second) + epsilon) + self.weight_decay_of_adamw * variable
            origin.assign(delta - rate * update)
        self._tune(gain)
        for variable, origin, delta in zip(variables, self.origin, self.sums, strict=True):
            variable.assign(origin + ops.sum(self.scales) * delta)

    def _tune(self, gain: Any) -> None:
        """The scales that would have won most, one per memory."""
        betas = ops.convert_to_tensor(self.betas, "float32")
        largest = ops.convert_to_tensor(self.largest)
        clipped = tf.clip_by_value(gain * ops.ones_like(largest), -largest, largest)
        self.largest.assign(ops.maximum(betas * largest, ops.abs(gain) + self.epsilon))
        self.squares.assign(ops.square(betas) * self.squares + ops.square(gain))
        self.reward.assign(betas * self.reward + clipped * self.scales)
        wealth = self.initial_scale / len(self.betas) * self.largest + ops.maximum(self.reward, 0.0)
        self.scales.assign(wealth / (ops.sqrt(self.squares) + self.epsilon))


def _norm(values: list[Any]) -> Any:
    return ops.sqrt(sum(ops.sum(ops.square(value)) for value in values))
