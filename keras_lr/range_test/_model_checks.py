"""What a model needs for a range test, and what to do without it."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from keras_lr._keras.learning_rate import iterations_of, leaf_optimizers
from keras_lr._keras.snapshot import components
from keras_lr.errors import ModelError


def check_optimizer(model: keras.Model) -> None:
    """Raises `ModelError` if the model was compiled without an optimizer."""
    if model.optimizer is None:
        raise ModelError(
            "`model` must be compiled with an optimizer. Received none. "
            f"{_remedy(model) or 'Call `model.compile(optimizer=...)` first.'}"
        )


def check_trainable(model: keras.Model, *, built_only: bool = False) -> None:
    """Raises `ModelError` if the model has no optimizer or nothing to train.

    Args:
        model: A compiled model.
        built_only: Whether a model without weights passes if it is not built yet.
    """
    check_optimizer(model)
    if not model.trainable_variables and (model.built or not built_only):
        raise ModelError(
            "`model` must have trainable weights. Received a model without any. Set `trainable = True` on a layer, "
            "then compile."
        )


def check_optimizer_used(model: keras.Model, touched: list[Any]) -> None:
    """Raises `ModelError` if the step trains with another optimizer, so that sweeping the compiled one has no effect.

    Args:
        model: A compiled model.
        touched: Every variable that its step touches; a step counter among them shows that the optimizer is used.
    """
    counters = components(iterations_of(leaf) for leaf in leaf_optimizers(model.optimizer))
    if not {id(counter) for counter in counters} & {id(variable) for variable in components(touched)}:
        raise ModelError(unused_optimizer(model))


def steps_counted(model: keras.Model) -> list[int] | None:
    """The steps that each compiled optimizer has counted; None for one that may skip steps to scale its loss."""
    if hasattr(model.optimizer, "inner_optimizer"):
        return None
    return [int(tf.convert_to_tensor(iterations_of(leaf))) for leaf in leaf_optimizers(model.optimizer)]


def unused_optimizer(model: keras.Model) -> str:
    """Says that the step does not train with the compiled optimizer, and how to sweep one that it trains with."""
    compiled = type(model.optimizer).__name__
    return (
        "`train_step` must train with `model.optimizer`, whose learning rate is swept. Received a step that leaves the "
        f"compiled {compiled} unused. {_remedy(model) or 'Compile it with the optimizer that trains it.'}"
    )


def _remedy(model: keras.Model) -> str:
    """How to sweep one of the further optimizers that the model holds as attributes; empty if it holds none."""
    names = [
        name
        for name, value in vars(model).items()
        if isinstance(value, keras.Optimizer) and value is not model.optimizer and not name.startswith("_")
    ]
    if not names:
        return ""
    return (
        f"The model also holds {' and '.join(f'`{name}`' for name in names)}. To sweep one of them, set "
        f"`model.optimizer = model.{names[0]}` and name the loss that it lowers by `monitor`; the others train at "
        "their own rates."
    )
