"""The user's hypermodel, and the factory that builds its model with the weights of a seed and at a learning rate."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import keras
import keras_tuner
import numpy as np

from keras_lr._keras.learning_rate import RateControl, compiled_rate, leaf_optimizers, set_learning_rate
from keras_lr._keras.model import build_on, fresh_layer_names, layers_of
from keras_lr.errors import InvalidArgumentError, ModelError
from keras_lr.search._fingerprint import describe_model, first_difference, schedules_in
from keras_lr.search._fit_arguments import FitArguments
from keras_lr.search._runs import Point, Run

_MAX_KEPT_STATES = 32


class TunedHypermodel(Protocol):
    """A tuner's hypermodel as a search uses it."""

    @property
    def has_own_fit(self) -> bool:
        """Whether the hypermodel overrides `HyperModel.fit`."""

    @property
    def distributed(self) -> bool:
        """Whether the tuner builds its models under a distribution strategy."""

    def build(self, point: Point) -> keras.Model:
        """A compiled model for a point of the grid."""

    def fit(self, run: Run, model: keras.Model, arguments: dict[str, Any]) -> Any:
        """Fits the model of `run`; `arguments` are those of `model.fit`, by name."""

    def prepare_callbacks(self, run: Run, callbacks: list[Any]) -> list[Any]:
        """Adapts copies of the user's callbacks to `run`."""

    def trial_id(self, point: Point) -> str:
        """Name of the trial of a point."""


def as_hypermodel(hypermodel: Any) -> Any:
    """A hypermodel that KerasTuner accepts, made of one, of `build(hp)` or of `build()`.

    Raises:
        InvalidArgumentError: `hypermodel` is neither a function nor a `keras_tuner.HyperModel`.
    """
    if isinstance(hypermodel, keras_tuner.HyperModel):
        return hypermodel
    if not callable(hypermodel) or isinstance(hypermodel, keras.Model):
        raise InvalidArgumentError(
            f"`hypermodel` must be a function that builds a compiled model, or a keras_tuner.HyperModel. Received: "
            f"{type(hypermodel).__name__}. Wrap the model's construction and `compile` in a function."
        )
    return hypermodel if _takes_argument(hypermodel) else _WithoutHyperparameters(hypermodel)


def has_own_fit(hypermodel: Any) -> bool:
    """Whether a hypermodel overrides `HyperModel.fit`."""
    return type(hypermodel).fit is not keras_tuner.HyperModel.fit


class _WithoutHyperparameters(keras_tuner.HyperModel):
    """A function without arguments as a hypermodel."""

    def __init__(self, build: Callable[[], Any]) -> None:
        super().__init__()
        self._build_model = build

    def build(self, hp: Any) -> Any:
        return self._build_model()


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

    The weights depend only on the run's seed: before each build the seeds of Python, NumPy and TensorFlow are set, and
    layers are named as in a new process.

    Args:
        hypermodel: Builds a compiled model for a point.
        arguments: The arguments of the search.

    Attributes:
        rate_in_build: Where builds at two rates differ by more than the optimizer's rate; None if one model can be
            trained at every rate.
    """

    def __init__(self, hypermodel: TunedHypermodel, arguments: FitArguments) -> None:
        self._hypermodel = hypermodel
        self._arguments = arguments
        self._states: dict[tuple[int, int], list[np.ndarray]] = {}
        self.rate_in_build: str | None = None
        self._keeps_schedule = False
        self._spare: dict[Run, keras.Model] = {}

    def examine(self, runs: Sequence[Run]) -> keras.Model:
        """Builds at the lowest and at the highest rate, compares the two models, and returns the first."""
        low, high = min(runs), max(runs)
        first = self._built(self._with_weights(low), low)
        second = self._with_weights(Run(high.learning_rate, high.batch_size, low.repeat, low.seed))
        lowest, highest = describe_model(first), describe_model(second)
        self.rate_in_build = first_difference(lowest, highest)
        self._keeps_schedule = schedules_in(lowest) != schedules_in(highest)
        self._set_rate(first, low)
        if not self._keeps_schedule:
            self._warn_of_schedule(first)
        if self.rate_in_build is None:
            self._states[low.seed, low.batch_size] = _values(first)
            self._spare[low] = first
        return first

    def model(self, run: Run) -> keras.Model:
        """A model that is ready to train `run`."""
        model = self._built(self._with_weights(run), run)
        self._set_rate(model, run)
        return model

    def any_model(self, run: Run) -> keras.Model:
        """A model that can be set to the initial state of `run`, or of any other run if one model serves them all."""
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
        model = self._new_model(run)
        return model if all(layer.built for layer in layers_of(model)) else self._built(model, run)

    def _built(self, model: keras.Model, run: Run) -> keras.Model:
        """The model with its weights, metrics and optimizer built for the shapes of the run's first batch."""
        batch = self._arguments.first_batch(run.batch_size)
        with model.distribute_strategy.scope():
            if batch is not None:
                build_on(model, batch)
            elif model.built and not model.optimizer.built:
                model.optimizer.build(model.trainable_variables)
        return model

    def _new_model(self, run: Run) -> keras.Model:
        """A model as the hypermodel returns it."""
        keras.utils.set_random_seed(run.seed)
        with fresh_layer_names():
            model = self._hypermodel.build(run.point)
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
        rate = compiled_rate(leaf_optimizers(model.optimizer)[0])
        if not isinstance(rate, keras.Variable):
            warnings.warn(
                "`hypermodel` compiles a learning-rate schedule that does not depend on the searched rate; the search "
                'trains at constant rates instead. Read hp.get("learning_rate") into the schedule to search its scale.',
                UserWarning,
                stacklevel=2,
            )


class ReusableModel:
    """A model that is traced once and can start from any state, at any constant learning rate.

    Args:
        model: A compiled model, built with its optimizer, which has not been trained.

    Attributes:
        model: The model itself.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self._rates = RateControl(model.optimizer)
        self._rates.engage()
        self._fresh_slots = [variable.numpy() for variable in model.optimizer.variables]

    def reset(self, state: Sequence[np.ndarray], learning_rate: float) -> None:
        """Sets the model to `state` and a learning rate, and the optimizer to its initial state."""
        load_state(self.model, state)
        for variable, value in zip(self.model.optimizer.variables, self._fresh_slots, strict=True):
            variable.assign(value)
        self._rates.assign(learning_rate)


def load_state(model: keras.Model, values: Sequence[np.ndarray]) -> None:
    """Assigns `values` to `model.variables`."""
    for variable, value in zip(model.variables, values, strict=True):
        variable.assign(value)


def _values(model: keras.Model) -> list[np.ndarray]:
    return [variable.numpy() for variable in model.variables]
