"""Many copies of a model, each with weights, slots and a learning rate of its own, trained as one batched program."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import keras
import numpy as np
import tensorflow as tf

from keras_lr._keras.learning_rate import compiled_rate
from keras_lr._keras.model import forward, loss_of, loss_tracker
from keras_lr._keras.stateless import (
    allow_many_traces,
    excludes_from_weight_decay,
    register_rules,
    stateless,
    stateless_kind,
)
from keras_lr.search._runs import take

_ELEMENT_WISE = tuple(
    getattr(keras.optimizers, name)
    for name in ("SGD", "RMSprop", "Adam", "AdamW", "Adamax", "Nadam", "Adagrad", "Adadelta", "Ftrl", "Lion")
)
_PLAIN = {
    "clipnorm": None,
    "global_clipnorm": None,
    "use_ema": False,
    "gradient_accumulation_steps": None,
    "loss_scale_factor": None,
}


class Update(Protocol):
    """An optimizer's rule for all copies."""

    @property
    def within_copy(self) -> bool:
        """Whether `apply` is given one copy at a time, inside the program of a single copy."""

    def slots(self, learning_rates: np.ndarray) -> list[Any]:
        """Fresh slots of the copies, with the learning rate of each."""

    def apply(self, trainable: list[Any], slots: list[Any], gradients: list[Any]) -> tuple[list[Any], list[Any]]:
        """The weights and slots after a step."""


def update_of(model: keras.Model, count: int) -> Update:
    """The fastest rule for `count` copies of a compiled model."""
    dtypes = {variable.dtype for variable in model.trainable_variables}
    flat = _is_plain(model.optimizer) and len(dtypes) == 1
    return FlatUpdate(model, count) if flat else CopyUpdate(model, count)


class FlatUpdate:
    """An element-wise rule, applied at once to all weights of all copies, laid out as `(copies, weights)`.

    The learning rate broadcasts as `(copies, 1)`. One application stands for one a variable, which would be most of
    the program's operations.
    """

    within_copy = False

    def __init__(self, model: keras.Model, count: int) -> None:
        optimizer = model.optimizer
        self._shapes = [tuple(variable.shape) for variable in model.trainable_variables]
        self._sizes = [int(np.prod(shape)) for shape in self._shapes]
        self._weights = keras.Variable(np.zeros((count, sum(self._sizes))), dtype=model.trainable_variables[0].dtype)
        config = {**optimizer.get_config(), "learning_rate": 1.0}
        self._optimizer = stateless_kind(type(optimizer)).from_config(config)
        self._optimizer.build([self._weights])
        self._optimizer.learning_rate = lambda: self._rates
        self._rates: Any = None
        self._variables = self._optimizer.variables

    def slots(self, learning_rates: np.ndarray) -> list[Any]:
        rates = tf.constant(learning_rates[:, None], self._weights.dtype)
        return [*(tf.constant(variable.numpy()) for variable in self._variables), rates]

    def apply(self, trainable: list[Any], slots: list[Any], gradients: list[Any]) -> tuple[list[Any], list[Any]]:
        *values, self._rates = slots
        mapping = [(self._weights, self._flat(trainable)), *zip(self._variables, values, strict=True)]
        with keras.StatelessScope(mapping) as scope:
            self._optimizer.apply([self._flat(gradients)], [self._weights])
        parts = tf.split(scope.get_current_value(self._weights), self._sizes, axis=1)
        count = self._weights.shape[0]
        weights = [tf.reshape(part, (count, *shape)) for part, shape in zip(parts, self._shapes, strict=True)]
        return weights, [*(scope.get_current_value(variable) for variable in self._variables), self._rates]

    def _flat(self, tensors: Sequence[Any]) -> Any:
        count = self._weights.shape[0]
        return tf.concat([tf.reshape(tensor, (count, -1)) for tensor in tensors], axis=1)


class CopyUpdate:
    """Any rule, applied within the program of one copy, which is then stacked like the rest of it."""

    within_copy = True

    def __init__(self, model: keras.Model, count: int) -> None:
        self._optimizer = model.optimizer
        self._trainable = model.trainable_variables
        self._variables = model.optimizer.variables
        self._fresh = [np.stack([variable.numpy()] * count) for variable in self._variables]
        self._rate = next(i for i, v in enumerate(self._variables) if v is compiled_rate(model.optimizer))

    def slots(self, learning_rates: np.ndarray) -> list[Any]:
        slots = [tf.constant(value) for value in self._fresh]
        slots[self._rate] = tf.constant(learning_rates.astype(self._fresh[self._rate].dtype))
        return slots

    def apply(self, trainable: list[Any], slots: list[Any], gradients: list[Any]) -> tuple[list[Any], list[Any]]:
        mapping = [*zip(self._trainable, trainable, strict=True), *zip(self._variables, slots, strict=True)]
        with stateless(self._optimizer, self._trainable), keras.StatelessScope(mapping) as scope:
            self._optimizer.apply(gradients, self._trainable)
        return (
            [scope.get_current_value(variable) for variable in self._trainable],
            [scope.get_current_value(variable) for variable in self._variables],
        )


def _is_plain(optimizer: Any) -> bool:
    """Whether a known rule treats each weight alone, with nothing that reaches across weights or names variables."""
    plain = all(getattr(optimizer, name, value) == value for name, value in _PLAIN.items())
    return type(optimizer) in _ELEMENT_WISE and plain and not excludes_from_weight_decay(optimizer)


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
        allow_many_traces(self._epoch)

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
        prediction = forward(model, x, training=training)
        loss = loss_of(model, x, y, prediction, weight, training=training)
        samples = tf.shape(next(part for part in keras.tree.flatten(x) if part is not None))[0]
        loss_tracker(model).update_state(loss, sample_weight=samples)
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
