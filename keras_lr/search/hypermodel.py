"""What a search may be given to build its models."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import keras_tuner

from keras_lr.errors import InvalidArgumentError


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
    import keras

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
