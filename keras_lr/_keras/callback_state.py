"""A callback's state, saved in the same file as the weights of the model it trains.

To resume a killed `fit` exactly, `keras.callbacks.BackupAndRestore` must restore the weights and the state of each
callback from the same moment. With two files, the process can be killed after one is written and before the other. So
the state is written into the weights file. Keras saves and loads an optimizer by visiting its attributes, and gives
every layer that it meets a place in the file for its own arrays. A layer without weights, set as an attribute of the
optimizer, writes the callback's state there as the bytes of its JSON.

A callback that lives through several fits must also know whether the next one continues the last: `TrainingSetup`.
"""

from __future__ import annotations

import json
import weakref
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar, runtime_checkable

import keras
import numpy as np

from keras_lr._keras.model import loss_tracker
from keras_lr._keras.running_fit import calling_frames, params_of_fit
from keras_lr._utils.names import SuggestsArguments
from keras_lr._utils.validation import check_own_model

C = TypeVar("C", bound=type)

_observers: set[type] = {
    keras.callbacks.CSVLogger,
    keras.callbacks.History,
    keras.callbacks.ModelCheckpoint,
    keras.callbacks.ProgbarLogger,
    keras.callbacks.RemoteMonitor,
    keras.callbacks.TensorBoard,
}


def only_observes(kind: C) -> C:
    """Marks a class of callbacks that change no number of a training; those of a subclass may."""
    _observers.add(kind)
    return kind


def is_observer(callback: Any) -> bool:
    """Whether a callback changes no number of a training."""
    return type(callback) in _observers


class Callback(SuggestsArguments, keras.callbacks.Callback):  # type: ignore[misc]
    """Base of every keras_lr callback: an unknown argument or a model of another library gets an error that helps."""

    _given: Mapping[str, Any] | None = None

    def set_model(self, model: keras.Model) -> None:
        """Takes the model whose `fit` has begun."""
        check_own_model("model", model)
        super().set_model(model)

    def set_params(self, params: Mapping[str, Any] | None) -> None:
        """Takes the parameters of `fit`."""
        self._given = params
        super().set_params(params)

    def on_train_begin(self, logs: Any = None) -> None:
        """Reads the parameters off `fit` where a `CallbackList` of the user's was made without them."""
        self.params = {**params_of_fit(self.model), **(self._given or {})}


class Resumable(Protocol):
    """A callback that can continue where an earlier one stopped."""

    def get_state(self) -> dict[str, Any]:
        """The callback's state, as plain JSON values."""

    def set_state(self, state: dict[str, Any]) -> None:
        """Continues from a value of `get_state`."""


@runtime_checkable
class HoldsArrays(Protocol):
    """A resumable callback with arrays as large as the model, which only a backup needs."""

    def get_arrays(self) -> dict[str, np.ndarray]:
        """The arrays by name."""

    def set_arrays(self, arrays: dict[str, np.ndarray]) -> None:
        """Continues from a value of `get_arrays`; called after `set_state`."""


_ARRAY = "array_"


class _StateCarrier(keras.layers.Layer):  # type: ignore[misc]
    """The layer that Keras visits; it refers to the callback weakly, so that a model does not keep it alive."""

    def __init__(self, callback: Resumable) -> None:
        super().__init__(dtype="float32")
        self._callback = weakref.ref(callback)
        self.loads = True
        self.built = True

    def save_own_variables(self, store: Any) -> None:
        callback = self._callback()
        if callback is None:
            return
        store["state"] = np.frombuffer(json.dumps(callback.get_state(), allow_nan=False).encode(), dtype=np.uint8)
        if isinstance(callback, HoldsArrays) and _saves_backup():
            for name, array in callback.get_arrays().items():
                store[_ARRAY + name] = array

    def load_own_variables(self, store: Any) -> None:
        callback = self._callback()
        if callback is not None and self.loads and "state" in store:
            callback.set_state(json.loads(np.asarray(store["state"]).tobytes()))
            if isinstance(callback, HoldsArrays):
                names = [name for name in list(store.keys()) if name.startswith(_ARRAY)]
                callback.set_arrays({name.removeprefix(_ARRAY): np.asarray(store[name]) for name in names})


def attach_state(model: keras.Model, callback: Resumable, *, name: str) -> None:
    """Makes the optimizer of `model` save and load the state of `callback` with its own variables.

    Every way of saving the weights then includes the state. A file with a state also loads without the callback, and a
    file without one loads with it. Within `evaluate` and `predict`, which train nothing and tell a callback of no end
    of training, it does nothing.
    """
    if not _only_evaluates(model):
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


class TrainingSetup:
    """What a model trains with: its optimizer, its last `compile`, and its trainable weights, compared by identity.

    All are held weakly, so that a callback keeps no former optimizer in memory.

    Args:
        model: A compiled model.
    """

    def __init__(self, model: keras.Model) -> None:
        self._optimizer = _reference(model.optimizer)
        self._compiled = _reference(loss_tracker(model))
        self._weights = [weakref.ref(weight) for weight in model.trainable_variables]

    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        """A copy is None, an unknown setup: the model that is pickled or copied with it is another one."""
        return _nothing, ()

    def change(self, model: keras.Model) -> str | None:
        """How `model` has changed since, as a clause; None if it has not."""
        if self._optimizer() is not model.optimizer:
            return "the optimizer was replaced"
        if self._compiled() is not _reference(loss_tracker(model))():
            return "the model was compiled again"
        weights = [weight() for weight in self._weights]
        now = model.trainable_variables
        if len(weights) != len(now) or any(old is not new for old, new in zip(weights, now, strict=True)):
            return "the trainable weights changed"
        return None


def _reference(part: Any) -> Any:
    """A weak reference; one to None if `part` is no object of Keras."""
    return weakref.ref(part) if isinstance(part, (keras.optimizers.Optimizer, keras.metrics.Metric)) else _nothing


def _nothing() -> None:
    return None


def _only_evaluates(model: keras.Model) -> bool:
    """Whether the innermost method of `model` that is running is `evaluate` or `predict`."""
    method = next((frame for frame in calling_frames() if frame.f_locals.get("self") is model), None)
    return method is not None and method.f_code.co_name in ("evaluate", "predict")


def _saves_backup() -> bool:
    """Whether `BackupAndRestore` is saving, rather than a callback whose files the user keeps."""
    callers = (frame.f_locals.get("self") for frame in calling_frames())
    return any(isinstance(caller, keras.callbacks.BackupAndRestore) for caller in callers)


def _attribute(name: str) -> str:
    return "keras_lr_" + "".join(char if char.isalnum() else "_" for char in name)
