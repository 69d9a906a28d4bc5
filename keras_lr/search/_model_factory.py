"""The user's hypermodel, and the factory that builds its model with the weights of a seed and at a learning rate."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from typing import Any

import keras
import keras_tuner
import numpy as np

from keras_lr._keras.learning_rate import (
    RateControl,
    compiled_rate,
    leaf_optimizers,
    set_learning_rate,
    steps_done,
)
from keras_lr._keras.model import (
    build_on,
    fresh_layer_names,
    is_built,
    is_distributed,
    is_own_step,
    overridden,
    trace_step,
)
from keras_lr._keras.snapshot import (
    VariableSnapshot,
    components,
    plain_variables,
    unchanged_if_it_fails,
)
from keras_lr._keras.traced_state import only_builds, watched_trace
from keras_lr._utils.validation import check_own_model
from keras_lr.errors import InvalidArgumentError, KerasLRError, ModelError
from keras_lr.range_test._data_checks import (
    check_trainable,
    explain_first_step,
    first_step_error,
    further_optimizers,
    misfit,
    steps_counted,
    uses_optimizer,
)
from keras_lr.results._search_records import Point, Run
from keras_lr.search._description import common_part, first_difference
from keras_lr.search._fingerprint import (
    describe_details,
    describe_model,
    in_words,
    initial_norms,
    schedules_in,
)
from keras_lr.search._fit_arguments import FitArguments
from keras_lr.search._keras_tuner import Trial, TunerCallback, build_hypermodel, configure_tensorboard
from keras_lr.search._runs import Result, has_no_name, read_result

_MAX_KEPT_STATES = 32
_RATE_NAMES = ("learning_rate", "lr")
_SEEDS = ("seed", "initial_seed", "seed_generator")
_HYPERPARAMETERS = keras_tuner.HyperParameters
_TO_SEARCH = (
    "To search the rate of one of them, make it with the searched rate, as in "
    "`{name}=keras.optimizers.Adam(hp.get('learning_rate'))`. The others keep their own rates."
)
FATAL = (KerasLRError, keras_tuner.errors.FatalError)
"""Errors that end the search; any other one fails a rate."""


class TunedHypermodel:
    """A tuner's hypermodel as a search with these arguments uses it.

    Args:
        tuner: The tuner.
        fit_args: Positional arguments of `fit`.
        fit_kwargs: The other ones.
        takes_any_data: Whether a `fit` or `run_trial` of the user's reads the data, which then need not be the model's.
        hooks: Names of the tuner's methods that are called within `fit` and that a user overrides.

    Attributes:
        exists: Whether there is a hypermodel; a tuner with its own `run_trial` may have none.
        has_own_fit: Whether the hypermodel overrides `HyperModel.fit`.
        model_has_own_fit: Whether the model overrides `fit`; known once one is built.
        searches_batch_size: Whether the batch size is part of the grid.
        reads_rate: Whether its `build` is given the rate, so that it may build another model at another rate.
        max_model_size: The most trainable weights that a model may have; None for any number.
        distributed: Whether the tuner builds its models under a distribution strategy.
        given_values: Hyperparameters that the hypermodel's own `fit` was given, by point.
    """

    def __init__(
        self,
        tuner: Any,
        fit_args: tuple[Any, ...],
        fit_kwargs: Mapping[str, Any],
        *,
        takes_any_data: bool,
        hooks: Sequence[str],
    ) -> None:
        self._tuner, self._oracle = tuner, tuner.oracle
        self._fit_args, self._fit_kwargs = fit_args, fit_kwargs
        self.takes_any_data = takes_any_data
        self.hooks = hooks
        self.exists = tuner.hypermodel is not None
        self.has_own_fit = has_own_fit(tuner.hypermodel)
        self.model_has_own_fit = False
        self.searches_batch_size = tuner.batch_sizes is not None
        self.reads_rate = not isinstance(tuner.hypermodel, _BuildFunction) or tuner.hypermodel.reads_rate
        self.max_model_size: int | None = tuner.max_model_size
        self.distributed = tuner.distribution_strategy is not None
        self.given_values: dict[Point, keras_tuner.HyperParameters] = {}

    @property
    def calls_own_fit(self) -> bool:
        """Whether a `fit` of the user's trains, of the hypermodel or of the model."""
        return self.has_own_fit or self.model_has_own_fit

    @property
    def builds_each_run(self) -> bool:
        """Whether each run needs a model of its own, whatever the model."""
        return self.has_own_fit or self.distributed

    def build(self, point: Point) -> Any:
        """A compiled model for a point of the grid."""
        return build_hypermodel(self._tuner, self._oracle.values_at(point))

    def fit(self, run: Run, model: keras.Model, arguments: dict[str, Any]) -> Result | None:
        """Fits the model of `run`, and returns what a `fit` of the user's returned, if there is one.

        `arguments` are those of `model.fit`, by name.
        """
        if not self.calls_own_fit:
            model.fit(**arguments)
            return None
        objective = self._oracle.objective
        if not self.has_own_fit:
            returned = _call_own_fit(model, arguments)
            # What else it may return, such as the model, says no more than the epochs that it has trained.
            counts = isinstance(returned, (int, float, np.floating, dict))
            return read_result(returned, objective, f"`{type(model).__name__}.fit`") if counts else None
        # KerasTuner passes on what `search` was given, and `callbacks`. A `fit` may set `verbose` itself.
        given = {**self._fit_kwargs, "callbacks": arguments["callbacks"]}
        if "verbose" in given:
            given["verbose"] = arguments["verbose"]
        values = self.given_values[run.point] = self._oracle.values_at(run.point)
        returned = self._tuner.hypermodel.fit(values, model, *self._fit_args, **given)
        if returned is None and not has_no_name(objective):
            return None
        return read_result(returned, objective, "`HyperModel.fit`")

    def adapt_to(self, model: keras.Model) -> None:
        """Takes account of what the first model shows."""
        self.model_has_own_fit = bool(overridden(model, ["fit"]))
        self.takes_any_data |= self.model_has_own_fit

    def adopt(self, values: Mapping[Point, keras_tuner.HyperParameters]) -> None:
        """Takes over the hyperparameters that another process has given to `fit`."""
        for point, given in values.items():
            self._oracle.running_trial(point).hyperparameters = given

    def prepare_callbacks(self, run: Run, callbacks: list[Any]) -> list[Any]:
        """Gives `TensorBoard` a folder per run, and adds a callback that calls the tuner's own methods."""
        if self.hooks and (trial := self._oracle.running_trial(run.point)) is not None:
            callbacks = [*callbacks, TunerCallback(self._tuner, trial)]
        if any(type(callback).__name__ == "TensorBoard" for callback in callbacks):
            trial = Trial(self._oracle.values_at(run.point), self.trial_id(run.point))
            configure_tensorboard(self._tuner, callbacks, trial, run.repeat)
        return callbacks

    def trial_id(self, point: Point) -> str:
        """Name of the trial of a point."""
        name: str = self._oracle.trial_id(point)
        return name


def _call_own_fit(model: keras.Model, arguments: dict[str, Any]) -> Any:
    """Calls a `fit` that a model overrides, which may name its data otherwise and print what it likes."""
    data = [arguments.pop(name) for name in ("x", "y") if arguments.get(name) is not None]
    parameters = inspect.signature(model.fit).parameters
    if "verbose" not in parameters and not any(one.kind is one.VAR_KEYWORD for one in parameters.values()):
        del arguments["verbose"]
    return model.fit(*data, **arguments)


def as_hypermodel(hypermodel: Any) -> Any:
    """A hypermodel that KerasTuner accepts, made of one, of `build(hp)`, `build(learning_rate)` or `build()`.

    Raises:
        InvalidArgumentError: `hypermodel` is neither a function nor a `keras_tuner.HyperModel`.
    """
    if isinstance(hypermodel, keras_tuner.HyperModel):
        return hypermodel
    check_own_model("hypermodel", hypermodel)
    given = inspect.unwrap(hypermodel)
    if not callable(given) or isinstance(given, keras.Model):
        raise InvalidArgumentError(
            f"`hypermodel` must be a function that builds a compiled model, or a keras_tuner.HyperModel. Received: "
            f"{type(given).__name__}. Wrap the model's construction and `compile` in a function."
        )
    if isinstance(given, type) and issubclass(given, keras_tuner.HyperModel):
        raise InvalidArgumentError(
            f"`hypermodel` must be a function that builds a compiled model, or a keras_tuner.HyperModel. Received: the "
            f"class {given.__name__}. Pass an instance of it, such as {given.__name__}()."
        )
    parameters = _parameters(hypermodel)
    rate = next((one for one in parameters if one.name in _RATE_NAMES), None)
    takes_hyperparameters = _takes_hyperparameters(parameters)
    _check_callable(parameters[1:] if takes_hyperparameters else parameters, None if takes_hyperparameters else rate)
    return hypermodel if takes_hyperparameters else _BuildFunction(hypermodel, rate)


def has_own_fit(hypermodel: Any) -> bool:
    """Whether a hypermodel overrides `HyperModel.fit`."""
    if not isinstance(hypermodel, keras_tuner.HyperModel):
        return False
    return getattr(hypermodel.fit, "__func__", None) is not keras_tuner.HyperModel.fit


def code_of(hypermodel: Any) -> list[Any]:
    """What the user has given to build the models."""
    return [hypermodel.build_model if isinstance(hypermodel, _BuildFunction) else hypermodel]


class _BuildFunction(keras_tuner.HyperModel):
    """A function without arguments, or of the learning rate, as a hypermodel."""

    def __init__(self, build: Callable[..., Any], rate: inspect.Parameter | None) -> None:
        super().__init__()
        self.build_model = build
        self._rate = rate
        self.reads_rate = rate is not None

    def build(self, hp: Any) -> Any:
        """The model at the rate of `hp`."""
        if self._rate is None:
            return self.build_model()
        value = float(hp.get("learning_rate"))
        positional = self._rate.kind is inspect.Parameter.POSITIONAL_ONLY
        return self.build_model(value) if positional else self.build_model(**{self._rate.name: value})


def _parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return [inspect.Parameter("hp", inspect.Parameter.POSITIONAL_ONLY)]


def _takes_hyperparameters(parameters: Sequence[inspect.Parameter]) -> bool:
    """Whether the first argument is for KerasTuner's hyperparameters: not a rate, and not an option with a default."""
    first = next(iter(parameters), None)
    if first is None or first.kind in (first.KEYWORD_ONLY, first.VAR_KEYWORD) or first.name in _RATE_NAMES:
        return False
    return first.default is first.empty or first.default is None or isinstance(first.default, _HYPERPARAMETERS)


def _check_callable(parameters: Sequence[inspect.Parameter], rate: inspect.Parameter | None) -> None:
    variadic = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [one for one in parameters if one.default is one.empty and one.kind not in variadic and one is not rate]
    if needed:
        raise InvalidArgumentError(
            f"`hypermodel` must take the hyperparameters, the learning rate or nothing. Received a function that also "
            f"needs {', '.join(f'`{one.name}`' for one in needed)}. Wrap it, as in "
            f"`lambda learning_rate: build(learning_rate, ...)`."
        )


class ModelFactory:
    """Builds models for runs.

    The weights depend only on the run's seed: before each build the seeds of Python, NumPy and TensorFlow are set, and
    layers are named as in a new process.

    Attributes:
        rate_in_build: What differs between builds at two rates beside the optimizer's rate, in words; None if one model
            can be trained at every rate.
        failures: The error of each rate at which the hypermodel's `build` fails.
        unbuilt: Whether the model's weights are made by `fit` alone.
        copies_weights: Whether the optimizer copies the weights into its slots while it is built.
        seed_in_build: What differs between builds with two seeds beside the weights, in words; None if one model can be
            trained with the weights of every seed.
        trained: Whether the hypermodel returns models whose optimizer has done steps.
        description: Description of the model, as far as it is the same at every rate.
    """

    def __init__(self, hypermodel: TunedHypermodel, arguments: FitArguments) -> None:
        self._hypermodel = hypermodel
        self._arguments = arguments
        self._states: dict[tuple[int, int], list[np.ndarray]] = {}
        self._keeps_schedule = False
        self._spare: dict[Run, keras.Model] = {}
        self._examined: set[float] = set()
        self._uses_optimizer = True
        self.rate_in_build: str | None = None
        self.failures: dict[float, Exception] = {}
        self.unbuilt = False
        self.copies_weights = False
        self.seed_in_build: str | None = None
        self.trained = False
        self._shared = VariableSnapshot(())
        self.description: Mapping[str, Any] = {}

    def examine(self, runs: Sequence[Run]) -> keras.Model:
        """Builds at the lowest and at the highest rate, compares the two models, and returns the first.

        If `build` is given the rate, it also builds once at each rate between them.
        """
        by_rate = {run.learning_rate: run for run in sorted(runs, reverse=True)}
        (low, first), (high, second) = self._build_two(by_rate.values())
        self.trained = steps_done(first.optimizer) > 0
        second = self._with_weights(second, high)
        # What the code of the model keeps while its step is traced is no difference between the two.
        lowest = self._as_built if is_built(first) else None
        first = self._built(self._with_weights(first, low), low)
        lowest = whole_description(first) if lowest is None else lowest
        self._keep_shared(first, second)
        if not self._hypermodel.takes_any_data:
            check_trainable(first, built_only=True)
        self._compare(first, second, lowest)
        self.copies_weights = not self.unbuilt and _copies_weights(first)
        if self._hypermodel.reads_rate:
            self.check_rates(by_rate)
        rebuilds = self.rate_in_build is not None or self.unbuilt or self._hypermodel.builds_each_run
        if not rebuilds and not first.run_eagerly:
            self._check_seeds(first, runs)
        if is_own_step(first) and not self._uses_optimizer and self.rate_in_build is None:
            raise _unused_optimizer(first)
        self._set_rate(first, low)
        if not self._keeps_schedule:
            self._warn_of_schedule(first)
        if self.rate_in_build is None and not self.unbuilt:
            self._states[low.seed, low.batch_size] = _values(first)
            self._spare[low] = first
        return first

    def _build_two(self, runs: Iterable[Run]) -> tuple[tuple[Run, keras.Model], tuple[Run, keras.Model]]:
        """The runs of the lowest and of the highest rate at which `build` succeeds, with a model for each.

        Args:
            runs: One run per rate, the highest first.
        """
        runs = list(runs)
        low, first = self._first_that_builds(sorted(runs))
        self._first_run, self._as_built = low, whole_description(first)
        self._hypermodel.adapt_to(first)
        high, second = self._first_that_builds([replace(run, repeat=low.repeat, seed=low.seed) for run in runs])
        if high == low and self._hypermodel.reads_rate:
            # Another rate shows what depends on it once the grid grows.
            with suppress(Exception):
                second = self._new_model(replace(low, learning_rate=2 * low.learning_rate))
        if second is first:
            raise ModelError(
                "`hypermodel` must build a new model each time. Received the same model twice. Make the model inside "
                "the function."
            )
        return (low, first), (high, second)

    def check_rates(self, rates: Iterable[float]) -> None:
        """Builds once at each rate that has not been built at, to see whether `build` fails or builds another model."""
        if not self._hypermodel.reads_rate:
            return
        for rate in sorted(set(rates) - self._examined):
            model = self._try_to_build(replace(self._first_run, learning_rate=rate))
            if model is not None and self.rate_in_build is None:
                self.rate_in_build = difference(self._as_built, whole_description(model))

    def _keep_shared(self, first: keras.Model, second: keras.Model) -> None:
        """Keeps the values of variables that two builds share, such as those of a base model made before them."""
        of_first = {id(variable) for variable in components(first.variables)}
        shared = [variable for variable in components(second.variables) if id(variable) in of_first]
        self._shared = VariableSnapshot(shared)

    def _check_seeds(self, first: keras.Model, runs: Sequence[Run]) -> None:
        """Compares the first model with those of other seeds: `build` may draw more than weights, such as constants."""
        described, low = _without_seeds(self._as_built), self._first_run
        others = {run.seed: replace(run, learning_rate=low.learning_rate) for run in runs if run.seed != low.seed}
        for run in list(others.values())[:_MAX_KEPT_STATES]:
            try:
                model = self._new_model(run)
                self.seed_in_build = difference(described, _without_seeds(whole_description(model)))
                if self.trained and self.seed_in_build is None and not _same_values(first.optimizer, model.optimizer):
                    self.seed_in_build = "the state of the optimizer"
                if self.seed_in_build is not None:
                    return
                self._states[run.seed, run.batch_size] = _values(self._with_weights(model, run))
            except Exception:
                # The build fails again for its own run.
                continue

    def _first_that_builds(self, runs: Sequence[Run]) -> tuple[Run, keras.Model]:
        for run in runs:
            model = self._try_to_build(run)
            if model is not None:
                return run, model
        raise self.failures[runs[0].learning_rate]

    def _try_to_build(self, run: Run) -> keras.Model | None:
        """A model for `run`; None, with the error among the failures, if `build` fails at its rate."""
        self._examined.add(run.learning_rate)
        try:
            return self._new_model(run)
        except FATAL:
            raise
        except Exception as error:
            self.failures[run.learning_rate] = error
            return None

    def _compare(self, first: keras.Model, second: keras.Model, lowest: Mapping[str, Any]) -> None:
        highest = whole_description(second)
        self.rate_in_build = difference(lowest, highest)
        self._keeps_schedule = schedules_in(lowest) != schedules_in(highest)
        initial = [] if self.unbuilt else common_part(initial_norms(first), initial_norms(second))
        initial = [] if initial is NotImplemented else initial
        self.description = {**common_part(lowest, highest), "initial": initial}

    def model(self, run: Run) -> keras.Model:
        """A model that is ready to train `run`.

        `fit` builds two kinds itself: a step that runs in Python may count its calls, which cannot be undone, and an
        optimizer that copies the weights, built inside the step, copies them in every step of that trace.
        """
        model = self._new_model(run)
        if not (model.run_eagerly and is_own_step(model)):
            model = self._with_weights(model, run)
            if not self.copies_weights:
                model = self._built(model, run)
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
            self._states[key] = _values(self._with_weights(self._new_model(run), run))
        return self._states[key]

    def prepare_states(self, runs: Sequence[Run]) -> None:
        """Makes the initial states of `runs`, as many as are kept; a build that fails does so again for its run."""
        first = {(run.seed, run.batch_size): run for run in reversed(runs)}
        for run in list(first.values())[::-1][:_MAX_KEPT_STATES]:
            with suppress(Exception):
                self.initial_state(run)

    def _with_weights(self, model: keras.Model, run: Run) -> keras.Model:
        return model if is_built(model) else self._built(model, run)

    def _built(self, model: keras.Model, run: Run) -> keras.Model:
        """The model with its weights, metrics and optimizer built for the shapes of the run's first batch."""
        if self._hypermodel.takes_any_data and not is_built(model):
            # Its data need not be the model's.
            self.unbuilt = True
            return model
        batch = self._arguments.first_batch(run.batch_size)
        with model.distribute_strategy.scope():
            if batch is not None:
                self._build_on(model, batch)
            elif model.built and not model.optimizer.built:
                model.optimizer.build(model.trainable_variables)
            else:
                self.unbuilt |= not model.built
        return model

    def _build_on(self, model: keras.Model, batch: Any) -> None:
        try:
            with unchanged_if_it_fails(model):
                self._uses_optimizer = build_as_fit(model, batch)
        except Exception as error:
            if self._hypermodel.takes_any_data:
                return
            x, y, _ = keras.utils.unpack_x_y_sample_weight(batch)
            sentence = explain_first_step(model, error, x=x, y=y, of_dataset=self._arguments.train is None)
            if sentence is None and "{{node" not in str(error):
                raise
            raise first_step_error(sentence or misfit(error)) from error

    def _new_model(self, run: Run) -> keras.Model:
        """A model as the hypermodel returns it."""
        keras.utils.set_random_seed(run.seed)
        self._shared.restore()
        with fresh_layer_names():
            model = self._hypermodel.build(run.point)
        if not isinstance(model, keras.Model):
            check_own_model("hypermodel", model)
            raise ModelError(
                f"`hypermodel` must return a keras.Model. Received: {type(model).__name__}. Return the compiled model."
            )
        if not model.compiled or model.optimizer is None:
            which = (
                "Train with `model.optimizer` in the hypermodel's `fit`; the search sets its rate."
                if self._hypermodel.has_own_fit
                else "Of several optimizers, compile the one whose rate is searched."
            )
            raise ModelError(
                "`hypermodel` must return a compiled model. Received one without an optimizer. Call "
                f"`model.compile(optimizer, loss)` before returning it. {which}"
            )
        self._check_size(model)
        return model

    def _check_size(self, model: keras.Model) -> None:
        largest = self._hypermodel.max_model_size
        size = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) if model.built else 0
        if largest and size > largest:
            raise InvalidArgumentError(
                f"`max_model_size` is {largest}, but `hypermodel` builds a model with {size} trainable weights. Raise "
                "it, or build a smaller model."
            )

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


def _unused_optimizer(model: keras.Model) -> ModelError:
    return ModelError(
        "`train_step` must train with the compiled optimizer, whose learning rate is searched. Received a step that "
        f"leaves the compiled {type(model.optimizer).__name__} unused. "
        f"{further_optimizers(model, _TO_SEARCH) or 'Compile the model with the optimizer that trains it.'}"
    )


def build_as_fit(model: keras.Model, batch: Any) -> bool:
    """Builds the model, its metrics and its optimizer on the shapes of `batch`, as the first step of `fit` does.

    A model with a `train_step` of its own is built by that step, which may be all that understands the batch. It is
    traced, or with `run_eagerly` run and undone.

    Returns:
        Whether the step trains with the compiled optimizer.
    """
    if not is_own_step(model) or is_distributed(model):
        build_on(model, batch)
        return True
    try:
        uses = (
            _build_by_a_step(model, batch)
            if model.run_eagerly
            else uses_optimizer(model, _traced_step(model, batch).graph.variables)
        )
    except Exception as error:
        try:
            build_on(model, batch)
        except Exception:
            raise error from None
        return True
    if uses and not model.optimizer.built:
        model.optimizer.build(model.trainable_variables)
    return uses


def _traced_step(model: keras.Model, batch: Any) -> Any:
    """The traced `train_step`. What a built model's code changes meanwhile is undone, as `fit` traces it once more."""
    with watched_trace(model) if is_built(model) else nullcontext():
        return trace_step(model.train_step, batch)


def _build_by_a_step(model: keras.Model, batch: Any) -> bool:
    """Builds the model by its step, run eagerly; returns whether that trains with the compiled optimizer."""
    before = steps_counted(model)
    with only_builds(model):
        model.train_step(keras.tree.map_structure(_as_tensor, batch))
        return before is None or steps_counted(model) != before


def _as_tensor(leaf: Any) -> Any:
    return None if leaf is None else keras.ops.convert_to_tensor(leaf)


def _copies_weights(model: keras.Model) -> bool:
    """Whether a slot of the new optimizer holds the values of a weight that is not constant."""
    weights = [variable.numpy() for variable in model.trainable_variables]
    varied = [value for value in weights if value.size > 1 and np.ptp(value) > 0]
    slots = [variable.numpy() for variable in model.optimizer.variables if len(variable.shape)]
    return any(np.array_equal(slot, value) for slot in slots if slot.size > 1 and np.ptp(slot) > 0 for value in varied)


def whole_description(model: keras.Model) -> dict[str, Any]:
    """What decides the numbers of a built `model` beside its weights and its constant learning rate."""
    return {**describe_model(model), **describe_details(model)}


def difference(first: Mapping[str, Any], second: Mapping[str, Any]) -> str | None:
    """How two descriptions of a model differ, in words; None if they are equal."""
    path = first_difference(first, second)
    return None if path is None else in_words(path, first)


def _without_seeds(described: Any) -> Any:
    """A description without the seeds that layers draw for themselves."""
    if isinstance(described, Mapping):
        return {name: _without_seeds(part) for name, part in described.items() if name.strip("_") not in _SEEDS}
    return [_without_seeds(part) for part in described] if isinstance(described, list) else described


def _same_values(first: keras.Optimizer, second: keras.Optimizer) -> bool:
    pairs = zip(first.variables, second.variables, strict=True)
    return all(np.array_equal(one.numpy(), other.numpy()) for one, other in pairs)


RunState = Sequence[np.ndarray]
"""What a paused run goes on from: the values of `model.variables`, and then those of the variables of optimizers and
metrics, and of variables that Keras does not list."""


class ReusableModel:
    """A model that is traced once and can start from any state, at any constant learning rate.

    Args:
        model: A compiled model, built with its optimizer, which has not been trained.
    """

    def __init__(self, model: keras.Model) -> None:
        self.model = model
        self._rates = RateControl(model.optimizer)
        self._rates.engage()
        # A metric may keep its state from epoch to epoch, but not from run to run.
        self._others = components([*model.optimizer.variables, *model.metrics_variables, *plain_variables(model)])
        self._fresh = [variable.numpy() for variable in self._others]

    def reset(self, state: Sequence[np.ndarray], learning_rate: float) -> None:
        """Sets the model to `state` and a learning rate, and every optimizer that it holds to its initial state."""
        self._load([*state, *self._fresh])
        self._rates.assign(learning_rate)

    def state(self) -> RunState:
        """All that `restore` needs to go on from here."""
        return [*_values(self.model), *(variable.numpy() for variable in self._others)]

    def restore(self, state: RunState, learning_rate: float) -> None:
        """Sets the model and its optimizers to what `state` returned.

        A learning rate that a callback has changed is restored, too, since it is a variable of the optimizer.
        """
        self._rates.assign(learning_rate)
        self._load(state)

    def _load(self, values: RunState) -> None:
        for variable, value in zip([*self.model.variables, *self._others], values, strict=True):
            variable.assign(value)


def load_state(model: keras.Model, values: Sequence[np.ndarray]) -> None:
    """Assigns `values` to `model.variables`."""
    for variable, value in zip(model.variables, values, strict=True):
        variable.assign(value)


def _values(model: keras.Model) -> list[np.ndarray]:
    return [variable.numpy() for variable in model.variables]
