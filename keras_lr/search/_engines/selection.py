"""Which engine trains a model: the fastest that can, and why no faster one."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import keras
import tensorflow as tf

from keras_lr._keras.learning_rate import follows_schedule, holds_one_rate
from keras_lr._keras.model import is_distributed, layers_of, overridden
from keras_lr._keras.stateless import stacking_unavailable
from keras_lr._utils.formatting import short_error_message
from keras_lr.errors import KerasLRError
from keras_lr.results._search_records import Run
from keras_lr.results._sensitivity import ENGINES, EngineName
from keras_lr.search._engines.base import Cost, Engine, EngineUnavailableError, HiddenStateError
from keras_lr.search._engines.fit import RebuildEngine, ReuseEngine
from keras_lr.search._engines.function import FunctionEngine
from keras_lr.search._engines.stacked import StackedEngine
from keras_lr.search._engines.twins import EdgeSearch
from keras_lr.search._fit_arguments import FitArguments
from keras_lr.search._model_factory import ModelFactory, TunedHypermodel
from keras_lr.search._recorder import Recorder

_CONVOLUTIONS = tuple(
    getattr(keras.layers, f"{kind}{rank}D")
    for kind, ranks in (
        ("Conv", (1, 2, 3)),
        ("DepthwiseConv", (1, 2)),
        ("SeparableConv", (1, 2)),
    )
    for rank in ranks
) + tuple(getattr(keras.layers, f"Conv{rank}DTranspose") for rank in (1, 2, 3))
_BATCH_NORMALIZATION = keras.layers.BatchNormalization
_ROUNDING_STABLE_OPTIMIZERS = (keras.optimizers.SGD, keras.optimizers.RMSprop, keras.optimizers.Adagrad)
"""The gradient of a bias before a batch normalization is only rounding error, which these optimizers keep small. Adam
divides it by its own size and so takes a full step; the batched product, which rounds differently, then moves the
validation loss by 1e-4."""
_STEPS = ("train_step", "test_step")
_LOOPS = ("fit", "evaluate", "make_train_function", "make_test_function")
_MAX_DATA_BYTES = 2 << 30
_MAX_STACKED_PARAMETERS = 2_000_000
_NOT_FASTER_STACKED = (keras.layers.RNN, keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention)
"""Layers whose stacked steps seldom take less time, so that the function engine is timed first."""
_WORTH: dict[EngineName, float] = {"stacked": 4, "function": 12}
"""How many times as long as its trace the training with an engine must take before another engine is traced and timed.
The stacked program takes about three times as long to trace as one function."""


class EngineSelector:
    """Trains runs with the fastest engine that can, and falls back to a slower one for good if that one fails.

    Args:
        makers: Creates each engine, by name.
        recorder: Where failed runs are recorded.
        fastest: The fastest engine to try.
        reason: Why no faster engine is tried; empty for the fastest of all.
        choice: Engines to time before the first training, in this order; empty to train with `fastest`.
        planned_steps: Number of steps of all runs of the search.

    Attributes:
        engine: Name of the present engine.
        reason: Why it is not a faster one.
    """

    def __init__(
        self,
        makers: Mapping[EngineName, Callable[[], Engine]],
        recorder: Recorder,
        *,
        fastest: EngineName,
        reason: str,
        choice: Sequence[EngineName] = (),
        planned_steps: int = 0,
    ) -> None:
        self._makers = makers
        self._recorder = recorder
        self._made: dict[EngineName, Engine] = {}
        self._choice = choice
        self._planned_steps = planned_steps
        self._edge = EdgeSearch()
        self.engine: EngineName = fastest
        self.reason = reason

    @classmethod
    def for_model(
        cls,
        model: keras.Model,
        factory: ModelFactory,
        arguments: FitArguments,
        recorder: Recorder,
        hypermodel: TunedHypermodel,
        *,
        allowed: EngineName,
        why_allowed: str,
        runs: int,
        by_cost: bool = False,
        recorded: tuple[EngineName, str, Any] | None = None,
    ) -> EngineSelector:
        """A selector that begins with the fastest engine for `model`, or with a slower one that is asked for.

        Engines round differently. So the runs of a project that are trained later use the engine of the earlier ones.

        Args:
            model: The first model that `factory` has built.
            factory: Builds the models.
            arguments: The arguments of the search.
            recorder: Records each epoch.
            hypermodel: Calls `fit`.
            allowed: The fastest engine that may be used.
            why_allowed: Why no faster one may be.
            runs: Number of runs of the whole search.
            by_cost: Whether several engines that can train are timed, where that pays.
            recorded: The engine that trained earlier runs and the reason for it, if there are any.
        """
        engine, reason = fastest_engine(model, factory, arguments, hypermodel, runs=runs)
        if recorded is not None and ENGINES.index(engine) < ENGINES.index(recorded[0]):
            engine, reason, _ = recorded
        if ENGINES.index(engine) < ENGINES.index(allowed):
            engine, reason = allowed, why_allowed
        common = (factory, arguments, recorder)
        makers: dict[EngineName, Callable[[], Engine]] = {
            "stacked": lambda: StackedEngine(*common),
            "function": lambda: FunctionEngine(*common),
            "reuse": lambda: ReuseEngine(*common, hypermodel),
            "rebuild": lambda: RebuildEngine(*common, hypermodel),
        }
        if not by_cost or engine != "stacked" or recorded is not None:
            return cls(makers, recorder, fastest=engine, reason=reason)
        steps = runs * arguments.epochs * -(-arguments.size // arguments.batch_size)
        choice = _timed_engines(model)
        return cls(makers, recorder, fastest=engine, reason=reason, choice=choice, planned_steps=steps)

    def train(
        self, runs: Sequence[Run], on_engine: Callable[[], None], checkpoints: Mapping[Run, Any] = MappingProxyType({})
    ) -> None:
        """Trains runs.

        Args:
            runs: The runs.
            on_engine: Called each time an engine begins.
            checkpoints: What runs go on from that have paused in another process with this engine.
        """
        self._choose(runs)
        on_engine()
        paused = {run: state for run, (engine, state) in checkpoints.items() if engine == self.engine}
        if paused:
            self._engine().paused.update(paused)
        if self.engine == "stacked":
            try:
                self._engine().train(runs)
            except Exception as error:
                if isinstance(error, KerasLRError) and not isinstance(error, EngineUnavailableError):
                    raise
                self._fall_back(_why_failed(error), on_engine, next_slower("stacked"))
        if missing := [run for run in runs if not self._recorder.complete(run)]:
            self._engine().prepare(missing)
            train = self._train if self._engine().takes_all else self._train_in_turn
            train(missing, on_engine)
        engine = self._made.get(self.engine)
        if engine is not None and engine.has_twins:
            self._edge.watch(self._recorder, runs, engine.train_twin)

    def _choose(self, runs: Sequence[Run]) -> None:
        """Times the engines of the choice, as far as that pays, and settles on the one with the shortest steps."""
        names, self._choice = self._choice, ()
        costs: dict[EngineName, Cost] = {}
        untimed = ""
        for name in names:
            engine = self._makers[name]()
            try:
                costs[name] = engine.measured(runs)
            except Exception as error:
                if name == "stacked":
                    self.engine, self.reason = next_slower("stacked"), _why_failed(error)
                    return
                untimed = f"{name} could not be timed: {_why_failed(error)}"
                continue
            self._made[name] = engine
            if not pays_to_time_another(name, costs[name], self._planned_steps):
                break
        if costs:
            self.engine, reason = cheapest(costs)
            self.reason = "; ".join(filter(None, [reason, untimed]))
            self._made = {self.engine: self._made[self.engine]}

    def checkpoints(self, runs: Iterable[Run]) -> dict[Run, Any]:
        """What those of `runs` that have paused go on from in another process, where the engine can send it."""
        return {run: (self.engine, state) for run, state in self._engine().checkpoints(runs).items()}

    def forget(self, runs: Sequence[Run]) -> None:
        """Drops what is kept of paused runs that will not go on."""
        for engine in self._made.values():
            engine.forget(runs)

    def _train_in_turn(self, runs: Sequence[Run], on_engine: Callable[[], None]) -> None:
        for run in runs:
            # Another run may have pruned this one.
            if not self._recorder.complete(run):
                self._train([run], on_engine)

    def _train(self, runs: Sequence[Run], on_engine: Callable[[], None]) -> None:
        """Trains runs in one call, and those that it has not completed one by one."""
        try:
            self._engine().train(runs)
            return
        except HiddenStateError as error:
            self._fall_back(str(error), on_engine, "rebuild")
        except EngineUnavailableError as error:
            self._fall_back(str(error), on_engine, next_slower(self.engine))
        except KerasLRError:
            raise
        except Exception as error:
            if len(runs) == 1:
                self._recorder.fail(runs[0], error)
                return
            self._train_in_turn(runs, on_engine)
            if not any(row["status"] == "failed" for run in runs for row in self._recorder.table.rows(run)):
                self.reason = f"{_why_failed(error)}; one run at a time trains"
                on_engine()
            return
        self._train_in_turn(runs, on_engine)

    def _engine(self) -> Engine:
        if self.engine not in self._made:
            self._made[self.engine] = self._makers[self.engine]()
        return self._made[self.engine]

    def _fall_back(self, reason: str, on_engine: Callable[[], None], engine: EngineName) -> None:
        self._made.pop(self.engine, None)
        self.engine, self.reason = engine, reason
        on_engine()


def _why_failed(error: Exception) -> str:
    if isinstance(error, EngineUnavailableError):
        return str(error)
    return f"its program for several runs failed ({short_error_message(error)})"


def pays_to_time_another(engine: EngineName, cost: Cost, steps: int) -> bool:
    """Whether all `steps` of a search take so long with `engine` that another one is worth its trace."""
    return steps * cost.step > _WORTH[engine] * cost.trace


def cheapest(costs: Mapping[EngineName, Cost]) -> tuple[EngineName, str]:
    """The engine with the shortest steps, and the reason: the figures of all; empty for the stacked engine alone."""
    best = min(costs, key=lambda name: costs[name].step)
    figures = [
        f"{name} takes {1000 * costs[name].step:.3g} ms" for name in sorted(costs, key=lambda one: costs[one].step)
    ]
    if len(costs) == 1:
        return best, "" if best == "stacked" else f"{figures[0]} per step and run, too little to try another engine"
    return best, f"measured per step and run: {', '.join(figures)}"


def _timed_engines(model: keras.Model) -> tuple[EngineName, ...]:
    late = any(isinstance(layer, _NOT_FASTER_STACKED) for layer in layers_of(model))
    return ("function", "stacked") if late else ("stacked", "function")


def next_slower(engine: EngineName) -> EngineName:
    """The engine to try where `engine` cannot train."""
    return ENGINES[ENGINES.index(engine) + 1]


def own_steps(model: keras.Model) -> list[str]:
    """Names of the steps, `train_step` and `test_step`, that the model overrides."""
    return overridden(model, _STEPS)


def fastest_engine(
    model: keras.Model, factory: ModelFactory, arguments: FitArguments, hypermodel: TunedHypermodel, *, runs: int
) -> tuple[EngineName, str]:
    """The fastest engine that may be able to train, and why no faster one; it completes "not faster, because ..."."""
    if reason := _why_not_reuse(model, factory, hypermodel):
        return "rebuild", reason
    if reason := _why_not_function(model, arguments, hypermodel):
        return "reuse", reason
    if reason := _why_not_stacked(model, factory, arguments, runs):
        return "function", reason
    return "stacked", ""


def _why_not_reuse(model: keras.Model, factory: ModelFactory, hypermodel: TunedHypermodel) -> str:
    if hypermodel.has_own_fit:
        return "the hypermodel has a `fit` of its own"
    if factory.unbuilt:
        return "the weights of the model are made by `fit` alone"
    if model.run_eagerly:
        return "the model runs in Python, whose state cannot be reset"
    if hypermodel.distributed:
        return "the model is built under a distribution strategy"
    if factory.copies_weights:
        return f"{type(model.optimizer).__name__} copies the weights when it is built, which `fit` does in its step"
    if factory.seed_in_build is not None:
        return f"the seed changes more of the model than its weights ({factory.seed_in_build})"
    if factory.rate_in_build is not None:
        changes = "the learning rate changes more of the model than the optimizer's rate"
        return f"{changes if hypermodel.reads_rate else 'two builds of the model differ'} ({factory.rate_in_build})"
    return ""


def _why_not_function(model: keras.Model, arguments: FitArguments, hypermodel: TunedHypermodel) -> str:
    if is_distributed(model):
        return "the model is built under a distribution strategy"
    if own := overridden(model, _LOOPS):
        return f"the model has a `{own[0]}` of its own"
    if hypermodel.hooks:
        return f"the tuner has its own {', '.join(f'`{name}`' for name in hypermodel.hooks)}"
    if arguments.callbacks:
        names = sorted({type(callback).__name__ for callback in arguments.callbacks})
        return f"callbacks need `fit` ({', '.join(names)})"
    if reason := arguments.outside_graph:
        return reason
    if arguments.fit_only:
        return f"only `fit` supports {', '.join(sorted(arguments.fit_only))}"
    if arguments.train is not None and _bytes(arguments.train) > _MAX_DATA_BYTES:
        return "the data is too large to hold in the graph"
    return ""


def _why_not_stacked(model: keras.Model, factory: ModelFactory, arguments: FitArguments, runs: int) -> str:
    if unavailable := stacking_unavailable():
        return f"stacked is not available: {unavailable}"
    if arguments.train is None or (arguments.validates and arguments.validation is None):
        return "the batches of a dataset do not stack"
    if runs < 2:
        return "there is a single run"
    if own := own_steps(model):
        return f"the model has a `{own[0]}` of its own"
    optimizer = model.optimizer
    if factory.trained:
        return "the optimizer has trained the model before"
    if not holds_one_rate(optimizer):
        why = "follows a schedule" if follows_schedule(optimizer) else "holds no learning rate of its own"
        return f"the compiled {type(optimizer).__name__} {why}"
    if getattr(optimizer, "gradient_accumulation_steps", None):
        return "gradient accumulation does not stack"
    if getattr(optimizer, "use_ema", False) and getattr(optimizer, "ema_overwrite_frequency", None):
        return "weights that are overwritten by their average during training do not stack"
    layers = layers_of(model)
    if convolution := next((layer for layer in layers if isinstance(layer, _CONVOLUTIONS)), None):
        return f"convolutions with weights of their own do not stack ({convolution.name})"
    normalizes = any(isinstance(layer, _BATCH_NORMALIZATION) for layer in layers)
    if normalizes and not isinstance(optimizer, _ROUNDING_STABLE_OPTIMIZERS):
        return f"{type(optimizer).__name__} amplifies the rounding of biases before a batch normalization"
    if model.count_params() > _MAX_STACKED_PARAMETERS:
        return f"stacking pays only for small models (this one has {model.count_params()} weights)"
    return ""


def _bytes(data: object) -> int:
    return sum(
        math.prod(part.shape) * tf.as_dtype(part.dtype).size for part in keras.tree.flatten(data) if part is not None
    )
