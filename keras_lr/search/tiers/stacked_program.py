"""Many copies of a model, each with weights, slots and a learning rate of its own, trained as one batched program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_lr.search.order import take
from keras_lr.search.tiers.stacking_rules import register_rules
from keras_lr.search.tiers.stateless_optimizer import stateless


class Copies(NamedTuple):
    """What the copies of a model hold; each tensor has the copies along its first axis."""

    trainable: list[Any]
    other: list[Any]
    slots: list[Any]

    @property
    def number(self) -> int:
        """Number of copies."""
        return int(self.trainable[0].shape[0])


class StackedProgram:
    """An epoch of every copy as one function.

    One copy's step is written without side effects, as Keras's JAX trainer does it, from the model's own forward pass,
    loss, metrics and optimizer; `tf.vectorized_map` turns it into one program for all copies.

    Args:
        model: A compiled model, built with its optimizer; only its structure is used.
        train: Training data, nested tensors.
        validation: Validation data likewise, or None.
    """

    def __init__(self, model: keras.Model, train: Any, validation: Any) -> None:
        register_rules()
        self.model = model
        self._train, self._validation = train, validation
        self._trainable = model.trainable_variables
        self._other = [v for v in model.variables if not _among(v, self._trainable)]
        self._slots = model.optimizer.variables
        self._metrics = model.metrics_variables
        model.reset_metrics()
        self._fresh_metrics = [variable.numpy() for variable in self._metrics]
        self._fresh_slots = [variable.numpy() for variable in self._slots]
        self._rate = next(i for i, v in enumerate(self._slots) if v is model.optimizer._learning_rate)
        self._epoch = tf.function(self._all_epoch, autograph=False, input_signature=self._signature())
        self._epoch._omit_frequent_tracing_warning = True

    @property
    def values_per_copy(self) -> int:
        """Number of weights and slots of one copy."""
        return sum(int(np.prod(variable.shape)) for group in self._groups() for variable in group)

    def copies(self, states: Sequence[Sequence[np.ndarray]], learning_rates: Sequence[float]) -> Copies:
        """Copies that start from `states`, values of `model.variables`, at `learning_rates`."""
        count = len(learning_rates)
        slots = [tf.constant(np.stack([value] * count)) for value in self._fresh_slots]
        slots[self._rate] = tf.constant(np.asarray(learning_rates, self._fresh_slots[self._rate].dtype))
        place = {id(variable): number for number, variable in enumerate(self.model.variables)}
        trainable, other = (
            [tf.constant(np.stack([state[place[id(variable)]] for state in states])) for variable in group]
            for group in (self._trainable, self._other)
        )
        return Copies(trainable, other, slots)

    def epoch(
        self, copies: Copies, orders: np.ndarray, batch_size: int, test_batch_size: int, max_steps: int = -1
    ) -> tuple[Copies, dict[str, np.ndarray]]:
        """Trains every copy for an epoch and validates it.

        Args:
            copies: As the epoch before left them.
            orders: Order of the samples for each copy, shape `(copies, samples)`, int32.
            batch_size: Samples a training step.
            test_batch_size: Samples a validation step.
            max_steps: Most steps to train, and to validate; all where negative.

        Returns:
            The copies afterwards, and what Keras would log, each of shape `(copies,)`.
        """
        limit = np.iinfo(np.int32).max if max_steps < 0 else max_steps
        state, logs = self._epoch(*copies, tf.constant(orders), batch_size, test_batch_size, limit)
        return Copies(*state), {name: value.numpy() for name, value in logs.items()}

    def weights(self, copies: Copies, index: int) -> list[np.ndarray]:
        """Values of `model.weights` in one copy."""
        values = [*zip(self._trainable, copies.trainable, strict=True), *zip(self._other, copies.other, strict=True)]
        by_variable = {id(variable): value for variable, value in values}
        return [by_variable[id(weight)][index].numpy() for weight in self.model.weights]

    def _signature(self) -> list[Any]:
        groups = [[tf.TensorSpec([None, *v.shape], v.dtype) for v in g] for g in self._groups()]
        scalar = tf.TensorSpec([], tf.int32)
        return [*groups, tf.TensorSpec([None, None], tf.int32), scalar, scalar, scalar]

    def _groups(self) -> tuple[list[Any], list[Any], list[Any]]:
        return self._trainable, self._other, self._slots

    def _all_epoch(
        self, trainable: Any, other: Any, slots: Any, orders: Any, batch_size: Any, test_batch_size: Any, limit: Any
    ) -> Any:
        count, samples = tf.shape(orders)[0], tf.shape(orders)[1]
        fresh = [tf.repeat(value[None], count, axis=0) for value in self._fresh_metrics]

        def train(step: Any, *state: Any) -> Any:
            chosen = orders[:, step * batch_size : tf.minimum((step + 1) * batch_size, samples)]
            return (step + 1, *_vectorized(self._train_one, (*state, chosen)))

        with stateless(self.model.optimizer, self._trainable):
            state = _times(train, -(-samples // batch_size), limit, (trainable, other, slots, fresh))
        logs = _vectorized(self._results, state[3])
        if self._validation is not None:
            tested = self._all_test(state, fresh, test_batch_size, limit)
            logs.update({f"val_{name}": value for name, value in tested.items()})
        return state[:3], logs

    def _all_test(self, state: Any, fresh: Any, batch_size: Any, limit: Any) -> Any:
        samples = tf.shape(keras.tree.flatten(self._validation)[0])[0]

        def test(step: Any, metrics: Any) -> Any:
            chosen = tf.range(step * batch_size, tf.minimum((step + 1) * batch_size, samples))
            batch = take(self._validation, chosen)
            return step + 1, _vectorized(lambda copy: self._test_one(copy, batch), (*state[:2], metrics))

        metrics = _times(test, -(-samples // batch_size), limit, (fresh,))[0]
        return _vectorized(self._results, metrics)

    def _train_one(self, copy: Any) -> Any:
        trainable, other, slots, metrics, positions = copy
        model, optimizer = self.model, self.model.optimizer
        x, y, weight = keras.utils.unpack_x_y_sample_weight(take(self._train, positions))
        with tf.GradientTape() as tape:
            tape.watch(trainable)
            with self._scope(trainable, other, slots, metrics) as scope:
                prediction, loss = self._loss(x, y, weight, training=True)
                scaled = optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, trainable)
        gradients = [None if part is None else tf.convert_to_tensor(part) for part in gradients]
        _, other, slots, metrics = self._values(scope)
        with self._scope(trainable, other, slots, metrics) as scope:
            optimizer.apply(gradients, self._trainable)
            model.compute_metrics(x, y, prediction, sample_weight=weight)
        return self._values(scope)

    def _test_one(self, copy: Any, batch: Any) -> Any:
        trainable, other, metrics = copy
        x, y, weight = keras.utils.unpack_x_y_sample_weight(batch)
        with self._scope(trainable, other, (), metrics) as scope:
            prediction, _ = self._loss(x, y, weight, training=False)
            self.model.compute_metrics(x, y, prediction, sample_weight=weight)
        return self._values(scope)[3]

    def _loss(self, x: Any, y: Any, weight: Any, *, training: bool) -> Any:
        """The forward pass and the loss, which is counted in the model's loss metric."""
        model = self.model
        prediction = model(x, training=training) if model._call_has_training_arg else model(x)
        loss = model._compute_loss(x=x, y=y, y_pred=prediction, sample_weight=weight, training=training)
        samples = tf.shape(next(part for part in keras.tree.flatten(x) if part is not None))[0]
        model._loss_tracker.update_state(loss, sample_weight=samples)
        return prediction, loss

    def _results(self, metrics: Any) -> Any:
        with keras.StatelessScope(list(zip(self._metrics, metrics, strict=True))):
            return {name: tf.convert_to_tensor(value) for name, value in self.model.get_metrics_result().items()}

    def _scope(self, trainable: Any, other: Any, slots: Any, metrics: Any) -> keras.StatelessScope:
        pairs = [(self._trainable, trainable), (self._other, other), (self._metrics, metrics)]
        if slots:
            pairs.append((self._slots, slots))
        return keras.StatelessScope([pair for group in pairs for pair in zip(*group, strict=True)])

    def _values(self, scope: keras.StatelessScope) -> tuple[list[Any], ...]:
        groups = (*self._groups(), self._metrics)
        return tuple([scope.get_current_value(variable) for variable in group] for group in groups)


def _times(body: Any, steps: Any, limit: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
    """Runs `body` for `steps` steps, `limit` at most."""
    steps = tf.minimum(steps, limit)
    _, *final = tf.while_loop(lambda step, *_: step < steps, body, (tf.constant(0), *state), parallel_iterations=1)
    return tuple(final)


def _vectorized(function: Any, copies: Any) -> Any:
    return tf.vectorized_map(function, copies, fallback_to_while_loop=False)


def _among(variable: Any, group: Sequence[Any]) -> bool:
    return any(variable is other for other in group)
