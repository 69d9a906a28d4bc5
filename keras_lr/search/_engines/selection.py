"""Which way of training serves a model: the fastest one, and why no faster."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from keras_lr._keras.learning_rate import holds_one_rate
from keras_lr._keras.model import is_distributed, layers_of
from keras_lr.errors import KerasLRError
from keras_lr.search._engines.base import ENGINES, Engine, EngineName, EngineUnavailableError
from keras_lr.search._fit_arguments import FitArguments
from keras_lr.search._model_factory import ModelFactory
from keras_lr.search._recorder import Recorder
from keras_lr.search._runs import Run

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
"""A bias before a batch normalization has no gradient but rounding, which these keep small. Adam, dividing it by its
own size, makes it a full step: then a batched product, which rounds otherwise, moves the validation loss by 1e-4."""
OWN_STEPS = ("train_step", "test_step")
_MAX_DATA_BYTES = 2 << 30
_STACKABLE_PARAMETERS = 2_000_000


class EngineSelector:
    """Trains runs in the fastest way that serves, and steps down for good where one turns out not to.

    Args:
        makers: Makes each engine, by name.
        recorder: Where failed runs are recorded.
        fastest: The fastest engine to try.
        reason: Why it is not a faster one; empty where it is the fastest of all.
    """

    def __init__(
        self, makers: Mapping[EngineName, Callable[[], Engine]], recorder: Recorder, *, fastest: EngineName, reason: str
    ) -> None:
        self._makers = makers
        self._recorder = recorder
        self._made: dict[EngineName, Engine] = {}
        self.engine: EngineName = fastest
        self.reason = reason

    def train(self, runs: Sequence[Run], on_engine: Callable[[], None]) -> None:
        """Trains `runs`; `on_engine` is called whenever a engine begins."""
        on_engine()
        if self.engine == "stacked":
            try:
                self._engine().train(runs)
            except EngineUnavailableError as error:
                self._fall_back(str(error), on_engine)
            except KerasLRError:
                raise
            except Exception as error:
                self._fall_back(f"its stacked program failed ({type(error).__name__})", on_engine)
        for run in runs:
            if not self._recorder.complete(run):
                self._train_one(run, on_engine)

    def _train_one(self, run: Run, on_engine: Callable[[], None]) -> None:
        while True:
            try:
                self._engine().train([run])
                return
            except EngineUnavailableError as error:
                self._fall_back(str(error), on_engine)
            except KerasLRError:
                raise
            except Exception as error:
                self._recorder.fail(run, error)
                return

    def _engine(self) -> Engine:
        if self.engine not in self._made:
            self._made[self.engine] = self._makers[self.engine]()
        return self._made[self.engine]

    def _fall_back(self, reason: str, on_engine: Callable[[], None]) -> None:
        self._made.pop(self.engine, None)
        self.engine = ENGINES[ENGINES.index(self.engine) + 1]
        self.reason = reason
        on_engine()


def fastest_engine(
    model: keras.Model, factory: ModelFactory, arguments: FitArguments, *, own_fit: bool, distributed: bool, runs: int
) -> tuple[EngineName, str]:
    """The fastest engine that may serve, and why no faster one; the reason completes "not faster, because ..."."""
    for engine, reasons in (
        ("rebuild", _why_rebuild(factory, own_fit, distributed)),
        ("reuse", _why_reuse(model, arguments)),
        ("function", _why_function(model, runs)),
    ):
        reason = next(reasons, None)
        if reason is not None:
            return engine, reason  # type: ignore[return-value]
    return "stacked", ""


def _why_rebuild(factory: ModelFactory, own_fit: bool, distributed: bool) -> Any:
    if own_fit:
        yield "the hypermodel has a `fit` of its own"
    if distributed:
        yield "the model is built under a distribution strategy"
    if factory.rate_in_build is not None:
        yield f"the learning rate changes more of the model than the optimizer's rate ({factory.rate_in_build})"


def _why_reuse(model: keras.Model, arguments: FitArguments) -> Any:
    if is_distributed(model):
        yield "the model is built under a distribution strategy"
    if arguments.callbacks:
        names = sorted({type(callback).__name__ for callback in arguments.callbacks})
        yield f"callbacks need `fit` ({', '.join(names)})"
    if arguments.train is None or (arguments.validates and arguments.validation is None):
        yield "the data is not made of arrays"
    if arguments.foreign:
        yield f"`fit` alone honours {', '.join(sorted(arguments.foreign))}"
    if model.run_eagerly:
        yield "the model runs eagerly"
    if arguments.train is not None and _bytes(arguments.train) > _MAX_DATA_BYTES:
        yield "the data is too large to hold in the graph"


def _why_function(model: keras.Model, runs: int) -> Any:
    if runs < 2:
        yield "there is a single run"
    for name in OWN_STEPS:
        if getattr(type(model), name) is not getattr(keras.Model, name):
            yield f"the model has a `{name}` of its own"
    optimizer = model.optimizer
    if not holds_one_rate(optimizer):
        yield f"the optimizer holds no single learning rate ({type(optimizer).__name__})"
    layers = layers_of(model)
    layer = next((layer for layer in layers if isinstance(layer, _CONVOLUTIONS)), None)
    if layer is not None:
        yield f"convolutions with weights of their own do not stack ({layer.name})"
    if any(isinstance(layer, _BATCH_NORMALIZATION) for layer in layers) and not isinstance(
        optimizer, _ROUNDING_STABLE_OPTIMIZERS
    ):
        yield f"{type(optimizer).__name__} blows up the rounding of biases before a batch normalization"
    if model.count_params() > _STACKABLE_PARAMETERS:
        yield f"stacking pays for small models only ({model.count_params()} weights)"


def _bytes(data: Any) -> int:
    return sum(
        int(part.shape.num_elements() or 0) * part.dtype.size for part in keras.tree.flatten(data) if part is not None
    )
