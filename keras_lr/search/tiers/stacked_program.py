"""Many copies of a model, each with weights, slots and a learning rate of its own, trained as one batched program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_lr.search.order import take
from keras_lr.search.tiers.stacking_rules import register_rules
from keras_lr.search.tiers.updates import update_of


class Copies(NamedTuple):
    """What the copies of a model hold; each tensor has the copies along its first axis."""

    trainable: list[Any]
    other: list[Any]
    slots: list[Any]


class StackedProgram:
    """An epoch of every copy as one function.

    One copy's step is written without side effects, as Keras's JAX trainer does it, from the model's own forward pass,
    loss, metrics and optimizer; `tf.vectorized_map` turns it into one program for all copies.

    Args:
        model: A compiled model, built with its optimizer; only its structure is used.
        train: Training data, nested tensors.
        validation: Validation data likewise, or None.
        count: Number of copies; a fixed one leaves a third fewer operations than any.
    """

    def __init__(self, model: keras.Model, train: Any, validation: Any, count: int) -> None:
        register_rules()
        self.model, self.count = model, count
        self._train, self._validation = train, validation
        self._trainable = model.trainable_variables
        self._other = [v for v in model.variables if not _among(v, self._trainable)]
        self._metrics = model.metrics_variables
        model.reset_metrics()
        self._fresh_metrics = [np.stack([variable.numpy()] * count) for variable in self._metrics]
        self._update = update_of(model, count)
        self._results = tf.function(lambda metrics: _vectorized(self._one_result, metrics), autograph=False)
        self._epoch = tf.function(self._all_epoch, autograph=False, input_signature=self._signature())
        self._epoch._omit_frequent_tracing_warning = True

    def copies(self, states: Sequence[Sequence[np.ndarray]], learning_rates: Sequence[float]) -> Copies:
        """Copies that start from `states`, values of `model.variables`, at `learning_rates`; `count` of each."""
        place = {id(variable): number for number, variable in enumerate(self.model.variables)}
        trainable, other = (
            [tf.constant(np.stack([state[place[id(variable)]] for state in states])) for variable in group]
            for group in (self._trainable, self._other)
        )
        return Copies(trainable, other, self._update.slots(np.asarray(learning_rates)))

    def epoch(
        self, copies: Copies, orders: np.ndarray, batch_size: int, test_batch_size: int, max_steps: int = -1
    ) -> tuple[Copies, dict[str, np.ndarray]]:
        """Trains every copy for an epoch and validates it.

        Args:
            copies: As the epoch before left them.
            orders: Order of the samples for each copy, shape `(count, samples)`, int32.
            batch_size: Samples a training step.
            test_batch_size: Samples a validation step.
            max_steps: Most steps to train, and to validate; all where negative.

        Returns:
            The copies afterwards, and what Keras would log, each of shape `(count,)`.
        """
        limit = np.iinfo(np.int32).max if max_steps < 0 else max_steps
        state, logs = self._epoch(*copies, tf.constant(orders), batch_size, test_batch_size, limit)
        return Copies(*state), {name: value.numpy() for name, value in logs.items()}

    def weights(self, copies: Copies, index: int) -> list[np.ndarray]:
        """Values of `model.weights` in one copy."""
        values = [*zip(self._trainable, copies.trainable, strict=True), *zip(self._other, copies.other, strict=True)]
        by_variable = {id(variable): value for variable, value in values}
        return [by_variable[id(weight)].numpy()[index].copy() for weight in self.model.weights]

    def _signature(self) -> list[Any]:
        groups = [[tf.TensorSpec([self.count, *v.shape], v.dtype) for v in g] for g in (self._trainable, self._other)]
        slots = [tf.TensorSpec(slot.shape, slot.dtype) for slot in self._update.slots(np.zeros(self.count))]
        scalar = tf.TensorSpec([], tf.int32)
        return [*groups, slots, tf.TensorSpec([self.count, None], tf.int32), scalar, scalar, scalar]

    def _all_epoch(
        self, trainable: Any, other: Any, slots: Any, orders: Any, batch_size: Any, test_batch_size: Any, limit: Any
    ) -> Any:
        samples = tf.shape(orders)[1]
        fresh = [tf.constant(value) for value in self._fresh_metrics]

        def train(step: Any, *state: Any) -> Any:
            chosen = orders[:, step * batch_size : tf.minimum((step + 1) * batch_size, samples)]
            return (step + 1, *self._train_step(state, chosen))

        state = _times(train, -(-samples // batch_size), limit, (trainable, other, slots, fresh))
        logs = self._results(state[3])
        if self._validation is not None:
            tested = self._all_test(state, fresh, test_batch_size, limit)
            logs.update({f"val_{name}": value for name, value in tested.items()})
        return state[:3], logs

    def _train_step(self, state: Any, chosen: Any) -> Any:
        """A step of every copy."""
        trainable, other, slots, metrics = state
        if self._update.within_copy:
            return _vectorized(self._train_one, (trainable, other, metrics, chosen, slots))
        gradients, other, metrics = _vectorized(self._gradients_of_one, (trainable, other, metrics, chosen))
        trainable, slots = self._update.apply(trainable, slots, gradients)
        return trainable, other, slots, metrics

    def _train_one(self, copy: Any) -> Any:
        """A step of one copy."""
        *of_model, slots = copy
        gradients, other, metrics = self._gradients_of_one(of_model)
        trainable, slots = self._update.apply(of_model[0], slots, gradients)
        return trainable, other, slots, metrics

    def _gradients_of_one(self, copy: Any) -> Any:
        trainable, other, metrics, positions = copy
        x, y, weight = keras.utils.unpack_x_y_sample_weight(take(self._train, positions))
        with tf.GradientTape() as tape:
            tape.watch(trainable)
            with self._scope(trainable, other, metrics) as scope:
                prediction, loss = self._loss(x, y, weight, training=True)
                loss = self.model.optimizer.scale_loss(loss)
                self.model.compute_metrics(x, y, prediction, sample_weight=weight)
        gradients = [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, trainable)]
        return gradients, _values(scope, self._other), _values(scope, self._metrics)

    def _all_test(self, state: Any, fresh: Any, batch_size: Any, limit: Any) -> Any:
        samples = tf.shape(keras.tree.flatten(self._validation)[0])[0]

        def test(step: Any, metrics: Any) -> Any:
            chosen = tf.range(step * batch_size, tf.minimum((step + 1) * batch_size, samples))
            batch = take(self._validation, chosen)
            return step + 1, _vectorized(lambda copy: self._test_one(copy, batch), (*state[:2], metrics))

        return self._results(_times(test, -(-samples // batch_size), limit, (fresh,))[0])

    def _test_one(self, copy: Any, batch: Any) -> Any:
        x, y, weight = keras.utils.unpack_x_y_sample_weight(batch)
        with self._scope(*copy) as scope:
            prediction, _ = self._loss(x, y, weight, training=False)
            self.model.compute_metrics(x, y, prediction, sample_weight=weight)
        return _values(scope, self._metrics)

    def _loss(self, x: Any, y: Any, weight: Any, *, training: bool) -> Any:
        """The forward pass and the loss, which is counted in the model's loss metric."""
        model = self.model
        prediction = model(x, training=training) if model._call_has_training_arg else model(x)
        loss = model._compute_loss(x=x, y=y, y_pred=prediction, sample_weight=weight, training=training)
        samples = tf.shape(next(part for part in keras.tree.flatten(x) if part is not None))[0]
        model._loss_tracker.update_state(loss, sample_weight=samples)
        return prediction, loss

    def _one_result(self, metrics: Any) -> Any:
        with keras.StatelessScope(list(zip(self._metrics, metrics, strict=True))):
            return {name: tf.convert_to_tensor(value) for name, value in self.model.get_metrics_result().items()}

    def _scope(self, trainable: Any, other: Any, metrics: Any) -> keras.StatelessScope:
        pairs = ((self._trainable, trainable), (self._other, other), (self._metrics, metrics))
        return keras.StatelessScope([pair for group in pairs for pair in zip(*group, strict=True)])


def _values(scope: keras.StatelessScope, variables: Sequence[Any]) -> list[Any]:
    return [scope.get_current_value(variable) for variable in variables]


def _times(body: Any, steps: Any, limit: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
    """Runs `body` for `steps` steps, `limit` at most."""
    steps = tf.minimum(steps, limit)
    _, *final = tf.while_loop(lambda step, *_: step < steps, body, (tf.constant(0), *state), parallel_iterations=1)
    return tuple(final)


def _vectorized(function: Any, copies: Any) -> Any:
    return tf.vectorized_map(function, copies, fallback_to_while_loop=False)


def _among(variable: Any, group: Sequence[Any]) -> bool:
    return any(variable is other for other in group)
