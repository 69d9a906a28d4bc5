"""The `model.fit` that is running: its data, and its end before an epoch."""

from __future__ import annotations

import sys
import weakref
from typing import Any

import keras
from keras.src.trainers.epoch_iterator import EpochIterator


def epoch_iterator_of_fit(model: keras.Model) -> EpochIterator | None:
    """The epoch iterator of the `model.fit` that is calling; None where none is.

    Keras hands a callback no data, so it is taken from the frame of `fit`, which always stands above a callback's
    method.
    """
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_locals.get("self") is model and (epochs := _epoch_iterator(frame)) is not None:
            return epochs
        frame = frame.f_back  # type: ignore[assignment]
    return None


def skip_epochs(model: keras.Model, epochs: EpochIterator, *, last_epoch: int) -> None:
    """Lets the running `fit` end without an epoch.

    Args:
        model: The model that is fitted.
        epochs: The epoch iterator of that `fit`.
        last_epoch: Number of epochs it was asked for.
    """
    model._initial_epoch = _NoEpoch(model, epochs, max(last_epoch, 1))


class _NoEpoch(int):
    """An initial epoch past the last one, which holds for one `fit` only.

    `fit` takes it by its truth value. There it takes itself back, and where another `fit` reads it, since an error in
    a callback ended the first one, it does not count.
    """

    _model: weakref.ref[keras.Model]
    _epochs: weakref.ref[EpochIterator]
    _former: Any

    def __new__(cls, model: keras.Model, epochs: EpochIterator, epoch: int) -> _NoEpoch:
        self = super().__new__(cls, epoch)
        self._model, self._epochs, self._former = weakref.ref(model), weakref.ref(epochs), model._initial_epoch
        return self

    def __bool__(self) -> bool:
        model = self._model()
        if model is not None and model._initial_epoch is self:
            model._initial_epoch = self._former
        epochs = self._epochs()
        return epochs is not None and _epoch_iterator(sys._getframe(1)) is epochs


def _epoch_iterator(frame: Any) -> EpochIterator | None:
    return next((value for value in list(frame.f_locals.values()) if isinstance(value, EpochIterator)), None)
