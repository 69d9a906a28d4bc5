"""The traced loop of each model, kept between its range tests."""

from __future__ import annotations

import sys
import weakref
from typing import Any

import keras

from keras_lr.training.rate_control import leaf_optimizers
from keras_lr.training.step_loop import StepLoop

_loops: weakref.WeakKeyDictionary[keras.Model, tuple[tuple[Any, ...], StepLoop]] = weakref.WeakKeyDictionary()


def cached_loop(model: keras.Model, monitor: str) -> StepLoop | None:
    """The loop traced before for this model, unless it was compiled anew, frozen or given another rate since."""
    signature, loop = _loops.get(model, ((), None))
    current = _signature(model, monitor)
    fits = len(signature) == len(current) and all(old is new for old, new in zip(signature, current, strict=True))
    return loop if fits else None


def keep_loop(model: keras.Model, monitor: str, loop: StepLoop) -> None:
    """Keeps a traced loop for the model's next range test, for as long as the model lives.

    One that drives several optimizers is not kept, since the ratios of their rates are traced into it.
    """
    if len(leaf_optimizers(model.optimizer)) == 1:
        _loops[model] = (_signature(model, monitor), loop)


def _signature(model: keras.Model, monitor: str) -> tuple[Any, ...]:
    """Every object that tracing baked into the loop; compared by identity, and none of them refers to the model."""
    return (
        getattr(model, "_loss_tracker", None),
        model.optimizer,
        *(leaf._learning_rate for leaf in leaf_optimizers(model.optimizer)),
        getattr(model.train_step, "__func__", None),
        model.jit_compile,
        model.run_eagerly,
        sys.intern(monitor),
        *model.trainable_variables,
    )
