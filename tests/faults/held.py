"""What a fault must not change: a model's state, its learning-rate object, random states, the handler of Ctrl-C."""

from __future__ import annotations

import random
import signal
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_lr._keras.snapshot import plain_variables, trainer_variables


class Held:
    """The state of a built model before a fault.

    Args:
        model: A compiled model whose optimizer is built.
    """

    def __init__(self, model: keras.Model) -> None:
        self._model = model
        self._values = _bits(model)
        self._rate = model.optimizer._learning_rate
        self._random = _random_state()

    def check(self) -> None:
        """Asserts that everything is bit-identical to before."""
        now = _bits(self._model)
        assert now.keys() == self._values.keys(), "variables were added or removed"
        changed = [name for name, bits in self._values.items() if bits != now[name]]
        assert not changed, f"changed: {changed}"
        assert self._model.optimizer._learning_rate is self._rate, "the learning rate is a different object"
        assert _random_state() == self._random, "a random state changed"
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, "Ctrl-C has a different handler"


def check_trains_on(model: keras.Model, data: Any) -> None:
    """Asserts that the next `fit` trains: its loss is finite, and every weight matrix changes."""
    before = [kernel.numpy() for kernel in model.trainable_variables]
    history = model.fit(data, verbose=0).history
    assert np.isfinite(history["loss"]).all(), "the loss of the next fit is not finite"
    moved = [not np.array_equal(old, new.numpy()) for old, new in zip(before, model.trainable_variables, strict=True)]
    assert all(moved), "the next fit trains nothing"


def _bits(model: keras.Model) -> dict[str, bytes]:
    variables = [*trainer_variables(model), *plain_variables(model)]
    return {
        f"{place} {variable.name}": tf.convert_to_tensor(variable).numpy().tobytes()
        for place, variable in enumerate(variables)
    }


def _random_state() -> tuple[Any, ...]:
    name, keys, *rest = np.random.get_state()
    return random.getstate(), name, np.asarray(keys).tobytes(), *rest
