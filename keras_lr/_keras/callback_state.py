"""Keeping a callback's state in the weights of the model it trains."""

from __future__ import annotations

import json
import weakref
from typing import Any, Protocol

import keras
import numpy as np


class Resumable(Protocol):
    """A callback that can go on where another one stopped."""

    def get_state(self) -> dict[str, Any]:
        """What it must remember, as plain JSON values."""

    def set_state(self, state: dict[str, Any]) -> None:
        """Goes on from what `get_state` returned."""


class _StateCarrier(keras.layers.Layer):  # type: ignore[misc]
    """Writes and reads the state as Keras walks over a model: it has no variable of its own."""

    def __init__(self, callback: Resumable) -> None:
        super().__init__(dtype="float32")
        self._callback = weakref.ref(callback)
        self.built = True

    def save_own_variables(self, store: Any) -> None:
        callback = self._callback()
        if callback is not None:
            store["state"] = np.frombuffer(json.dumps(callback.get_state(), allow_nan=False).encode(), dtype=np.uint8)

    def load_own_variables(self, store: Any) -> None:
        callback = self._callback()
        if callback is not None and "state" in store:
            callback.set_state(json.loads(np.asarray(store["state"]).tobytes()))


def attach_state(model: keras.Model, callback: Resumable, *, name: str) -> None:
    """Lets the optimizer of `model` save and load the state of `callback` with its own variables.

    So `keras.callbacks.BackupAndRestore`, and every other way of saving weights, keeps both from the same moment: a
    file beside them could be an epoch older or newer when the process is killed. A file with a state loads without
    the callback, and one without loads with it.
    """
    setattr(model.optimizer, _attribute(name), _StateCarrier(callback))


def detach_state(model: keras.Model, *, name: str) -> None:
    """Ends what `attach_state` began; the optimizer is then as it was."""
    if hasattr(model.optimizer, _attribute(name)):
        delattr(model.optimizer, _attribute(name))


def _attribute(name: str) -> str:
    return f"keras_lr_{name}"
