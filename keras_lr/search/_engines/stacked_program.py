"""Many copies of a model, each with its own weights, slots and learning rate, trained as one batched program."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import keras
import numpy as np
import tensorflow as tf

from keras_lr._keras.learning_rate import compiled_rate
from keras_lr._keras.model import flat_logs, forward, loss_of, loss_tracker
from keras_lr._keras.snapshot import trainer_variables
from keras_lr._keras.stateless import (
    allow_many_traces,
    excludes_from_weight_decay,
    register_rules,
    replaced_methods,
    slot_lists,
    stateless,
    stateless_kind,
    unlogged_batching,
)
from keras_lr._keras.traced_state import hidden_state, reads_any
from keras_lr.search._engines.base import EngineUnavailableError
from keras_lr.search._engines.twins import with_last_bit_changed
from keras_lr.search._runs import take

_ELEMENTWISE = tuple(
    getattr(keras.optimizers, name)
    for name in ("SGD", "RMSprop", "Adam", "AdamW", "Adamax", "Nadam", "Adagrad", "Adadelta", "Ftrl", "Lion")
)
_PLAIN_OPTIONS = {
    "clipnorm": None,
    "global_clipnorm": None,
    "use_ema": False,
    "gradient_accumulation_steps": None,
    "loss_scale_factor": None,
}


class ModelState(NamedTuple):
    """Values of a model's variables: of one copy, or of all copies along the first axis of each tensor.

    Attributes:
        trainable: Of `model.trainable_variables`.
        other: Of the remaining `model.variables`, such as moving averages and seeds.
        metrics: Of `model.metrics_variables`.
    """

    trainable: list[Any]
    other: list[Any]
    metrics: list[Any]


class Copies(NamedTuple):
    """All copies of a model between two epochs.

    Attributes:
        model: State of the models.
        slots: State of the optimizers, as `Update.slots` lays it out.
        rates: Learning rates, as `Update.rates` lays them out.
    """

    model: ModelState
    slots: list[Any]
    rates: Any


class StackedProgram:
    """An epoch of every copy as one function.

    The step of one copy is written without side effects, as in Keras's JAX trainer, from the model's own forward pass,
    loss, metrics and optimizer; `tf.vectorized_map` turns it into one program for all copies. All that a step changes
    is part of a copy's state. A step that changes anything else is refused while it is traced.

    Args:
        model: A compiled model, built with its optimizer; only its structure is used.
        train: Training data, nested tensors.
        validation: Validation data likewise, or None.
        count: Number of copies. Fixing it in the graph saves a third of the operations.
        flat: Whether the weights of all copies may be updated together, where the optimizer allows it.
    """

    def __init__(self, model: keras.Model, train: Any, validation: Any, count: int, *, flat: bool = True) -> None:
        register_rules()
        self.model, self.count = model, count
        self._train, self._validation = train, validation
        trainable = model.trainable_variables
        other = [variable for variable in model.variables if not any(variable is one for one in trainable)]
        self._variables = ModelState(trainable, other, model.metrics_variables)
        self._known = {id(variable) for group in self._variables for variable in group}
        model.reset_metrics()
        self._fresh_metrics = [np.stack([variable.numpy()] * count) for variable in model.metrics_variables]
        self._update = FlatUpdate(model, count) if flat and may_update_flat(model) else CopyUpdate(model, count)
        self._read = tf.function(lambda model: _vectorized(self._read_one, model), autograph=False)
        self._epoch = tf.function(self._all_epoch, autograph=False, input_signature=self._signature())
        allow_many_traces(self._epoch)

    def copies(self, states: Sequence[Sequence[np.ndarray]], learning_rates: Sequence[float]) -> Copies:
        """New copies.

        Args:
            states: Initial values of `model.variables` for each copy.
            learning_rates: Learning rate of each copy.
        """
        place = {id(variable): number for number, variable in enumerate(self.model.variables)}
        trainable, other = (
            [tf.constant(np.stack([state[place[id(variable)]] for state in states])) for variable in group]
            for group in (self._variables.trainable, self._variables.other)
        )
        metrics = [tf.constant(value) for value in self._fresh_metrics]
        rates = self._update.rates(np.asarray(learning_rates))
        return Copies(ModelState(trainable, other, metrics), self._update.slots(), rates)

    def continued(self, parts: Sequence[tuple[Copies, int]]) -> Copies:
        """Copies that go on from where others stopped, all after the same number of steps.

        Args:
            parts: For each copy, copies that an epoch has left, of this program or another of the same model, and the
                place of the one to go on from.
        """
        structure = parts[0][0]
        leaves = [keras.tree.flatten(copies) for copies, _ in parts]
        places = [place for _, place in parts]
        joined = [
            tf.stack([value[place] for value, place in zip(values, places, strict=True)])
            if values[0].shape.rank
            else values[0]
            for values in zip(*leaves, strict=True)
        ]
        packed: Copies = keras.tree.pack_sequence_as(structure, joined)
        return packed

    def with_twins(self, copies: Copies, twins: Mapping[int, int]) -> Copies:
        """`copies` with some replaced by others whose weights are changed in the last bit.

        Args:
            copies: As an epoch left them, or new ones.
            twins: The place of the copy to repeat, by the place where its twin goes.
        """
        order = [twins.get(place, place) for place in range(self.count)]
        taken = keras.tree.map_structure(lambda value: tf.gather(value, order) if value.shape.rank else value, copies)
        weights = [value.numpy() for value in taken.model.trainable]
        for value in weights:
            value[list(twins)] = with_last_bit_changed(value[list(twins)])
        model = taken.model._replace(trainable=[tf.constant(value) for value in weights])
        return Copies(model, *taken[1:])

    def epoch(
        self, copies: Copies, orders: np.ndarray, batch_size: int, test_batch_size: int, max_steps: int = -1
    ) -> tuple[Copies, dict[str, np.ndarray]]:
        """Trains and validates an epoch of every copy.

        Args:
            copies: As the previous epoch left them.
            orders: Order of the samples for each copy, shape `(count, samples)`, int32.
            batch_size: Samples per training step.
            test_batch_size: Samples per validation step.
            max_steps: Limit on the steps of training and of validation; no limit if negative.

        Returns:
            The copies after the epoch, and what Keras would log, each value of shape `(count,)`.

        Raises:
            SparseGradientsError: The program was made with `flat`, but some gradients are sparse or missing.
        """
        limit = np.iinfo(np.int32).max if max_steps < 0 else max_steps
        copies, logs = self._epoch(copies, tf.constant(orders), batch_size, test_batch_size, limit)
        # Only numbers are recorded.
        return copies, {name: value.numpy() for name, value in logs.items() if value.shape.rank == 1}

    def weights(self, copies: Copies, index: int) -> list[np.ndarray]:
        """Values of `model.weights` in one copy."""
        by_variable = {id(variable): value for variable, value in self._pairs(copies.model)}
        return [by_variable[id(weight)].numpy()[index].copy() for weight in self.model.weights]

    def load(self, copies: Copies, index: int) -> None:
        """Assigns the state of one copy, except its learning rate, to the model and its optimizer."""
        for variable, value in self._pairs(copies.model):
            variable.assign(value[index])
        for variable, value in self._update.values(copies.slots, index):
            variable.assign(value)

    def hidden_state(self) -> str:
        """State outside of the copies that an epoch depends on, in words that complete "its step ..."."""
        traced = self._epoch.get_concrete_function()
        if reads_any(traced, trainer_variables(self.model)):
            return "reads the state of the optimizer"
        return hidden_state(traced, ())

    def _signature(self) -> list[Any]:
        def spec(value: Any) -> tf.TensorSpec:
            return tf.TensorSpec([self.count, *value.shape], value.dtype)

        def spec_of_all(value: Any) -> tf.TensorSpec:
            return tf.TensorSpec(value.shape, value.dtype)

        model = ModelState(*([spec(variable) for variable in group] for group in self._variables))
        slots = [spec_of_all(slot) for slot in self._update.slots()]
        copies = Copies(model, slots, spec_of_all(self._update.rates(np.zeros(self.count))))
        scalar = tf.TensorSpec([], tf.int32)
        return [copies, tf.TensorSpec([self.count, None], tf.int32), scalar, scalar, scalar]

    def _all_epoch(self, copies: Copies, orders: Any, batch_size: Any, test_batch_size: Any, limit: Any) -> Any:
        samples = tf.shape(orders)[1]

        def train(step: Any, model: ModelState, slots: Any) -> Any:
            indices = orders[:, step * batch_size : tf.minimum((step + 1) * batch_size, samples)]
            return (step + 1, *self._train_step(model, slots, copies.rates, indices))

        model, slots = _times(train, -(-samples // batch_size), limit, (copies.model, copies.slots))
        logs, model = self._read(model)
        if self._validation is not None:
            tested, model = self._read(self._all_test(model, test_batch_size, limit))
            logs.update({f"val_{name}": value for name, value in tested.items()})
        return Copies(model, slots, copies.rates), logs

    def _train_step(self, model: ModelState, slots: Any, rates: Any, indices: Any) -> tuple[ModelState, Any]:
        """A step of every copy."""
        if self._update.within_copy:
            model, slots = _vectorized(lambda copy: self._train_one(*copy), (model, slots, rates, indices))
            return model, slots
        gradients, model = _vectorized(lambda copy: self._flat_gradients_of_one(*copy), (model, indices))
        trainable, slots = self._update.apply(model.trainable, gradients, slots, rates)
        return model._replace(trainable=trainable), slots

    def _train_one(self, model: ModelState, slots: Any, rate: Any, indices: Any) -> tuple[ModelState, Any]:
        """A step of one copy."""
        gradients, model = self._gradients_of_one(model, indices)
        trainable, slots = self._update.apply(model.trainable, gradients, slots, rate)
        return model._replace(trainable=trainable), slots

    def _flat_gradients_of_one(self, model: ModelState, indices: Any) -> tuple[list[Any], ModelState]:
        gradients, model = self._gradients_of_one(model, indices)
        if not all(isinstance(gradient, tf.Tensor) for gradient in gradients):
            raise SparseGradientsError("some gradients are sparse or missing")
        return gradients, model

    def _gradients_of_one(self, model: ModelState, indices: Any) -> tuple[list[Any], ModelState]:
        """The gradients of one copy, and its state after the forward pass."""
        x, y, weight = keras.utils.unpack_x_y_sample_weight(take(self._train, indices))
        with tf.GradientTape() as tape:
            tape.watch(model.trainable)
            with self._scope(model) as scope:
                loss = self._forward(x, y, weight, training=True)
                loss = self.model.optimizer.scale_loss(loss)
            state = self._state_after(scope, model)
        return tape.gradient(loss, model.trainable), state

    def _all_test(self, model: ModelState, batch_size: Any, limit: Any) -> ModelState:
        """The state of every copy after validation, which may draw random numbers and so move their state."""
        samples = tf.shape(keras.tree.flatten(self._validation)[0])[0]

        def test(step: Any, other: Any, metrics: Any) -> Any:
            indices = tf.range(step * batch_size, tf.minimum((step + 1) * batch_size, samples))
            batch, state = take(self._validation, indices), ModelState(model.trainable, other, metrics)
            return (step + 1, *_vectorized(lambda copy: self._test_one(copy, batch), state))

        other, metrics = _times(test, -(-samples // batch_size), limit, (model.other, model.metrics))
        return ModelState(model.trainable, other, metrics)

    def _test_one(self, model: ModelState, batch: Any) -> tuple[list[Any], list[Any]]:
        """What a validation step of one copy changes: `other` and `metrics` of its state."""
        with self._scope(model) as scope:
            self._forward(*keras.utils.unpack_x_y_sample_weight(batch), training=False)
        after = self._state_after(scope, model)
        return after.other, after.metrics

    def _forward(self, x: Any, y: Any, weight: Any, *, training: bool) -> Any:
        """What the model's step does before and after its gradients; returns the loss."""
        model = self.model
        prediction = forward(model, x, training=training)
        loss = loss_of(model, x, y, prediction, weight, training=training)
        samples = tf.shape(next(part for part in keras.tree.flatten(x) if part is not None))[0]
        loss_tracker(model).update_state(loss, sample_weight=samples)
        logged = model.compute_metrics(x, y, prediction, sample_weight=weight)
        if set(logged) != set(model.get_metrics_result()):
            raise EngineUnavailableError("its `compute_metrics` returns other values than its metrics hold")
        return loss

    def _read_one(self, model: ModelState) -> tuple[Any, ModelState]:
        """The results of one copy's metrics, and its state with the metrics reset."""
        with self._scope(model) as scope:
            logs = flat_logs(self.model.get_metrics_result())
            results = {name: tf.convert_to_tensor(value) for name, value in logs.items()}
            self.model.reset_metrics()
        return results, self._state_after(scope, model)

    def _scope(self, state: ModelState) -> keras.StatelessScope:
        """A scope in which the model has `state`; losses that layers add are part of `model.losses` in it."""
        return keras.StatelessScope(self._pairs(state), collect_losses=True)

    def _state_after(self, scope: keras.StatelessScope, before: ModelState) -> ModelState:
        trainable = _values(scope, self._variables.trainable)
        if any(value is not given for value, given in zip(trainable, before.trainable, strict=True)):
            raise EngineUnavailableError("its forward pass changes trainable weights")
        if not scope.state_mapping.keys() <= self._known:
            raise EngineUnavailableError("its step changes a variable that the model does not list")
        other, metrics = _values(scope, self._variables.other), _values(scope, self._variables.metrics)
        return ModelState(before.trainable, other, metrics)

    def _pairs(self, state: ModelState) -> list[tuple[Any, Any]]:
        """Each variable with its value."""
        groups = zip(self._variables, state, strict=True)
        return [pair for variables, values in groups for pair in zip(variables, values, strict=True)]


class SparseGradientsError(Exception):
    """Some gradients are sparse or missing, which only the optimizer's own update of one copy treats as `fit` does."""


class Update(Protocol):
    """An optimizer's update of all copies."""

    @property
    def within_copy(self) -> bool:
        """Whether `apply` updates a single copy, inside the program that is vectorized over copies."""

    def slots(self) -> list[Any]:
        """The optimizers' initial state."""

    def rates(self, learning_rates: np.ndarray) -> Any:
        """The learning rate of each copy, in the shape and type that `apply` takes."""

    def apply(
        self, trainable: list[Any], gradients: list[Any], slots: list[Any], rates: Any
    ) -> tuple[list[Any], list[Any]]:
        """The weights and slots after a step."""

    def values(self, slots: list[Any], index: int) -> list[tuple[Any, Any]]:
        """The variables of the model's own optimizer except its rate, each with its value in one copy."""


def may_update_flat(model: keras.Model) -> bool:
    """Whether one element-wise update of all weights together is the optimizer's update of each."""
    variables = model.trainable_variables
    return (
        _is_elementwise(model.optimizer)
        and len({variable.dtype for variable in variables}) == 1
        and not any(variable.constraint is not None or variable.overwrite_with_gradient for variable in variables)
    )


class FlatUpdate:
    """An element-wise update, applied at once to all weights of all copies, laid out as `(copies, weights)`.

    The learning rates have the shape `(copies, 1)`. A single update replaces one per variable, which would make up most
    of the program's operations.
    """

    within_copy = False

    def __init__(self, model: keras.Model, count: int) -> None:
        optimizer = model.optimizer
        self._shapes = [tuple(variable.shape) for variable in model.trainable_variables]
        self._sizes = [int(np.prod(shape)) for shape in self._shapes]
        dtype = model.trainable_variables[0].dtype
        self._weights = keras.Variable(np.zeros((count, sum(self._sizes))), dtype=dtype)
        self._rates = keras.Variable(np.zeros((count, 1)), dtype=dtype)
        config = {**optimizer.get_config(), "learning_rate": 1.0}
        self._optimizer = stateless_kind(type(optimizer)).from_config(config)
        self._optimizer.build([self._weights])
        # Keras accepts a number, a schedule or a callable, but not a rate per copy.
        self._optimizer.learning_rate = lambda: self._rates.value
        self._variables = self._optimizer.variables
        self._own_slots = slot_lists(optimizer)

    def slots(self) -> list[Any]:
        return [tf.constant(variable.numpy()) for variable in self._variables]

    def rates(self, learning_rates: np.ndarray) -> Any:
        return tf.constant(learning_rates[:, None], self._rates.dtype)

    def apply(
        self, trainable: list[Any], gradients: list[Any], slots: list[Any], rates: Any
    ) -> tuple[list[Any], list[Any]]:
        values = [(self._weights, self._flat(trainable)), (self._rates, rates)]
        with keras.StatelessScope([*values, *zip(self._variables, slots, strict=True)]) as scope:
            self._optimizer.apply([self._flat(gradients)], [self._weights])
        parts = tf.split(scope.get_current_value(self._weights), self._sizes, axis=1)
        count = self._weights.shape[0]
        weights = [tf.reshape(part, (count, *shape)) for part, shape in zip(parts, self._shapes, strict=True)]
        return weights, _values(scope, self._variables)

    def values(self, slots: list[Any], index: int) -> list[tuple[Any, Any]]:
        by_variable = {id(variable): slot for variable, slot in zip(self._variables, slots, strict=True)}
        found: list[tuple[Any, Any]] = []
        for name, (variable,) in slot_lists(self._optimizer).items():
            own, slot = self._own_slots[name], by_variable[id(variable)]
            if slot.shape == own[0].shape:
                found.append((own[0], slot))
                continue
            parts = zip(own, tf.split(slot[index], self._sizes), self._shapes, strict=True)
            found.extend((variable, tf.reshape(part, shape)) for variable, part, shape in parts)
        return found

    def _flat(self, tensors: Sequence[Any]) -> Any:
        count = self._weights.shape[0]
        return tf.concat([tf.reshape(tensor, (count, -1)) for tensor in tensors], axis=1)


class CopyUpdate:
    """Any optimizer's update, applied within the program of one copy, which is then vectorized with the rest of it."""

    within_copy = True

    def __init__(self, model: keras.Model, count: int) -> None:
        self._optimizer = model.optimizer
        self._trainable = model.trainable_variables
        self._rate = compiled_rate(model.optimizer)
        self._variables = [variable for variable in model.optimizer.variables if variable is not self._rate]
        self._fresh = [variable.numpy() for variable in self._variables]
        self._count = count

    def slots(self) -> list[Any]:
        return [tf.constant(np.stack([value] * self._count)) for value in self._fresh]

    def rates(self, learning_rates: np.ndarray) -> Any:
        return tf.constant(learning_rates.astype(self._rate.dtype))

    def apply(
        self, trainable: list[Any], gradients: list[Any], slots: list[Any], rates: Any
    ) -> tuple[list[Any], list[Any]]:
        values = [*zip(self._trainable, trainable, strict=True), *zip(self._variables, slots, strict=True)]
        with stateless(self._optimizer, self._trainable), keras.StatelessScope([*values, (self._rate, rates)]) as scope:
            self._optimizer.apply_gradients(zip(gradients, self._trainable, strict=True))
        return _values(scope, self._trainable), _values(scope, self._variables)

    def values(self, slots: list[Any], index: int) -> list[tuple[Any, Any]]:
        return [(variable, slot[index]) for variable, slot in zip(self._variables, slots, strict=True)]


def _is_elementwise(optimizer: Any) -> bool:
    """Whether the optimizer is known to update each weight independently of the others and of its variable."""
    plain = all(getattr(optimizer, name, value) == value for name, value in _PLAIN_OPTIONS.items())
    known = type(optimizer) in _ELEMENTWISE and not replaced_methods(optimizer)
    return known and plain and not excludes_from_weight_decay(optimizer)


def _values(scope: keras.StatelessScope, variables: Sequence[Any]) -> list[Any]:
    return [scope.get_current_value(variable) for variable in variables]


def _times(body: Any, steps: Any, limit: Any, state: tuple[Any, ...]) -> tuple[Any, ...]:
    """Runs `body` for `steps` steps, at most `limit`."""
    steps = tf.minimum(steps, limit)
    _, *final = tf.while_loop(lambda step, *_: step < steps, body, (tf.constant(0), *state), parallel_iterations=1)
    return tuple(final)


def _vectorized(function: Any, copies: Any) -> Any:
    with unlogged_batching():
        return tf.vectorized_map(function, copies, fallback_to_while_loop=False)
