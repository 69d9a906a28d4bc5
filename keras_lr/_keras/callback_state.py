"""A callback's state, saved in the same file as the weights of the model it trains.

To resume a killed `fit` exactly, `keras.callbacks.BackupAndRestore` must restore the weights and the state of each
callback from the same moment. With two files, the process can be killed after one is written and before the other. So
the state is written into the weights file. Keras saves and loads an optimizer by visiting its attributes, and gives
every layer that it meets a place in the file for its own arrays. A layer without weights, set as an attribute of the
optimizer, writes the callback's state there as the bytes of its JSON.
"""

from __future__ import annotations

import json
import weakref
from typing import Any, Protocol

import keras
import numpy as np

from keras_lr._utils.names import SuggestsArguments
from keras_lr._utils.validation import check_own_model


class Callback(SuggestsArguments, keras.callbacks.Callback):  # type: ignore[misc]
    """Base of every keras_lr callback: an unknown argument or a model of another library gets an error that helps."""

    def set_model(self, model: keras.Model) -> None:
        """Takes the model whose `fit` has begun."""
        check_own_model("model", model)
        super().set_model(model)


class Resumable(Protocol):
    """A callback that can continue where an earlier one stopped."""

    def get_state(self) -> dict[str, Any]:
        """The callback's state, as plain JSON values."""

    def set_state(self, state: dict[str, Any]) -> None:
        """Continues from a value of `get_state`."""


class _StateCarrier(keras.layers.Layer):  # type: ignore[misc]
    """The layer that Keras visits; it refers to the callback weakly, so that a model does not keep it alive."""

    def __init__(self, callback: Resumable) -> None:
        super().__init__(dtype="float32")
        self._callback = weakref.ref(callback)
        self.loads = True
        self.built = True

    def save_own_variables(self, store: Any) -> None:
        callback = self._callback()
        if callback is not None:
            store["state"] = np.frombuffer(json.dumps(callback.get_state(), allow_nan=False).encode(), dtype=np.uint8)

    def load_own_variables(self, store: Any) -> None:
        callback = self._callback()
        if callback is not None and self.loads and "state" in store:
            callback.set_state(json.loads(np.asarray(store["state"]).tobytes()))


def attach_state(model: keras.Model, callback: Resumable, *, name: str) -> None:
    """Makes the optimizer of `model` save and load the state of `callback` with its own variables.

    Every way of saving the weights then includes the state. A file with a state also loads without the callback, and a
    file without one loads with it.
    """
    setattr(model.optimizer, _attribute(name), _StateCarrier(callback))


def ignore_loads(model: keras.Model, *, name: str) -> None:
    """Keeps the state of an attached callback as it is when weights are loaded later in the same `fit`.

    For a callback that records what was trained, which loading an earlier checkpoint does not undo.
    """
    carrier = getattr(model.optimizer, _attribute(name), None)
    if carrier is not None:
        carrier.loads = False


def detach_state(model: keras.Model, *, name: str) -> None:
    """Undoes `attach_state`, which leaves the optimizer as it was."""
    if hasattr(model.optimizer, _attribute(name)):
        delattr(model.optimizer, _attribute(name))


def _attribute(name: str) -> str:
    return "keras_lr_" + "".join(char if char.isalnum() else "_" for char in name)
