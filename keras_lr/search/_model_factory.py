"""The user's model, built with the weights of a seed and at a learning rate."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import keras
import keras_tuner
import numpy as np

from keras_lr._keras.learning_rate import compiled_rate, leaf_optimizers, set_learning_rate
from keras_lr._keras.model import build_on, fresh_layer_names, layers_of
from keras_lr.errors import InvalidArgumentError, ModelError
from keras_lr.search._fingerprint import describe, difference, schedules
from keras_lr.search._fit_arguments import FitArguments
from keras_lr.search._runs import Run

_MAX_KEPT_STATES = 32


def as_hypermodel(hypermodel: Any) -> Any:
    """A hypermodel as KerasTuner takes it, from that, `build(hp)` or `build()`.

    Raises:
        InvalidArgumentError: It is neither a function nor a `keras_tuner.HyperModel`.
    """
    if isinstance(hypermodel, keras_tuner.HyperModel):
        return hypermodel
    if not callable(hypermodel) or not _is_builder(hypermodel):
        raise InvalidArgumentError(
            f"`hypermodel` must be a function that builds a compiled model, or a keras_tuner.HyperModel. Received: "
            f"{type(hypermodel).__name__}. Wrap the model's construction and `compile` in a function."
        )
    return hypermodel if _takes_argument(hypermodel) else _WithoutHyperparameters(hypermodel)


def has_own_fit(hypermodel: Any) -> bool:
    """Whether a hypermodel overrides `HyperModel.fit`."""
    return type(hypermodel).fit is not keras_tuner.HyperModel.fit


class _WithoutHyperparameters(keras_tuner.HyperModel):
    """A function without arguments, as a hypermodel."""

    def __init__(self, build: Callable[[], Any]) -> None:
        super().__init__()
        self._build_model = build

    def build(self, hp: Any) -> Any:
        return self._build_model()


def _is_builder(value: Any) -> bool:
    return not isinstance(value, keras.Model)


def _takes_argument(function: Callable[..., Any]) -> bool:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return True
    kinds = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.VAR_POSITIONAL,
    )
    return any(parameter.kind in kinds for parameter in parameters)


class ModelFactory:
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
        return model if all(layer.built for layer in layers_of(model)) else self._ready(model, run)

    def _ready(self, model: keras.Model, run: Run) -> keras.Model:
        """The model with its weights, metrics and optimizer built on the shapes of the run's first batch."""
        batch = self._arguments.first_batch(run.batch_size)
        with model.distribute_strategy.scope():
            if batch is not None:
                build_on(model, batch)
            elif model.built and not model.optimizer.built:
                model.optimizer.build(model.trainable_variables)
        return model

    def unbuilt(self, run: Run) -> keras.Model:
        """The model as the user's function returns it."""
        keras.utils.set_random_seed(run.seed)
        with fresh_layer_names():
            model = self._build(run.learning_rate, run.batch_size)
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
        fresh = compiled_rate(leaf_optimizers(model.optimizer)[0])
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
