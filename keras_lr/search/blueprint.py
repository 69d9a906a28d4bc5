"""The user's model, built with the weights of a seed and at a learning rate."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras.src.backend.common import global_state

from keras_lr.errors import ModelError
from keras_lr.search.description import describe, difference, schedules
from keras_lr.search.fit_arguments import FitArguments
from keras_lr.search.runs import Run
from keras_lr.training.rate_control import leaf_optimizers, set_learning_rate

_NAME_COUNTERS = "object_name_uids"
_MAX_KEPT_STATES = 32


class Blueprint:
    """Builds models for runs.

    The weights depend on the run's seed alone: the seeds of Python, NumPy and TensorFlow are set before each build, and
    layers are named as in a fresh process.

    Args:
        build: Takes a learning rate and a batch size, and returns a compiled model.
        arguments: The arguments of the search.

    Attributes:
        rate_in_build: Where two builds at different rates differ by more than the optimizer's rate; None where the
            tuner may train one model at every rate.
    """

    def __init__(self, build: Callable[[float, int], keras.Model], arguments: FitArguments) -> None:
        self._build = build
        self._arguments = arguments
        self._states: dict[tuple[int, int], list[np.ndarray]] = {}
        self.rate_in_build: str | None = None
        self._keeps_schedule = False
        self._spare: dict[Run, keras.Model] = {}

    def examine(self, runs: Sequence[Run]) -> keras.Model:
        """Builds at the lowest and the highest rate, compares, and returns the first of the two models."""
        low, high = min(runs), max(runs)
        first = self._ready(self._with_weights(low), low)
        second = self._with_weights(Run(high.learning_rate, high.batch_size, low.repeat, low.seed))
        lowest, highest = describe(first), describe(second)
        self.rate_in_build = difference(lowest, highest)
        self._keeps_schedule = schedules(lowest) != schedules(highest)
        self._set_rate(first, low)
        if not self._keeps_schedule:
            self._warn_of_schedule(first)
        if self.rate_in_build is None:
            self._states[low.seed, low.batch_size] = _values(first)
            self._spare[low] = first
        return first

    def model(self, run: Run) -> keras.Model:
        """A model for `run` that can train at once."""
        model = self._ready(self._with_weights(run), run)
        self._set_rate(model, run)
        return model

    def any_model(self, run: Run) -> keras.Model:
        """A model that can be set to the state of `run`, or of any other run that it may be reused for."""
        return self._spare.popitem()[1] if self._spare else self.model(run)

    def initial_state(self, run: Run) -> list[np.ndarray]:
        """Values of `model.variables` before the training of `run`."""
        key = (run.seed, run.batch_size)
        if key not in self._states:
            if len(self._states) >= _MAX_KEPT_STATES:
                self._states.pop(next(iter(self._states)))
            self._states[key] = _values(self._with_weights(run))
        return self._states[key]

    def _with_weights(self, run: Run) -> keras.Model:
        model = self.unbuilt(run)
        return model if all(layer.built for layer in model._flatten_layers()) else self._ready(model, run)

    def _ready(self, model: keras.Model, run: Run) -> keras.Model:
        """The model with its weights, metrics and optimizer built on the shapes of the run's first batch."""
        batch = self._arguments.first_batch(run.batch_size)
        with model.distribute_strategy.scope():
            if batch is not None:
                model._symbolic_build(data_batch=batch)
            elif model.built and not model.optimizer.built:
                model.optimizer.build(model.trainable_variables)
        return model

    def unbuilt(self, run: Run) -> keras.Model:
        """The model as the user's function returns it."""
        counters = global_state.get_global_attribute(_NAME_COUNTERS)
        global_state.set_global_attribute(_NAME_COUNTERS, None)
        keras.utils.set_random_seed(run.seed)
        try:
            model = self._build(run.learning_rate, run.batch_size)
        finally:
            global_state.set_global_attribute(_NAME_COUNTERS, counters)
        if not isinstance(model, keras.Model):
            raise ModelError(
                f"`hypermodel` must return a keras.Model. Received: {type(model).__name__}. Return the compiled model."
            )
        if not model.compiled or model.optimizer is None:
            raise ModelError(
                "`hypermodel` must return a compiled model. Received one without an optimizer. Call "
                "`model.compile(optimizer, loss)` before returning it."
            )
        return model

    def _set_rate(self, model: keras.Model, run: Run) -> None:
        if not self._keeps_schedule:
            set_learning_rate(model.optimizer, run.learning_rate)

    def _warn_of_schedule(self, model: keras.Model) -> None:
        fresh = leaf_optimizers(model.optimizer)[0]._learning_rate
        if not isinstance(fresh, keras.Variable):
            warnings.warn(
                "`hypermodel` compiles a learning-rate schedule that does not depend on the searched rate; the search "
                'trains at constant rates instead. Read hp.get("learning_rate") into the schedule to search its scale.',
                UserWarning,
                stacklevel=2,
            )


def load_state(model: keras.Model, values: Sequence[np.ndarray]) -> None:
    """Writes `values` into `model.variables`."""
    for variable, value in zip(model.variables, values, strict=True):
        variable.assign(value)


def _values(model: keras.Model) -> list[np.ndarray]:
    return [variable.numpy() for variable in model.variables]
