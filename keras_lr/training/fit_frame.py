"""The data of the `model.fit` that is running."""

from __future__ import annotations

import sys

import keras
from keras.src.trainers.epoch_iterator import EpochIterator

from keras_lr.errors import DataError


def epoch_iterator_of_fit(model: keras.Model) -> EpochIterator:
    """The epoch iterator of the `model.fit` that is calling.

    Keras hands a callback no data, so it is taken from the frame of `fit`, which always stands above a callback's
    method.

    Raises:
        DataError: No `fit` of this model is running.
    """
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_locals.get("self") is model:
            for value in list(frame.f_locals.values()):
                if isinstance(value, EpochIterator):
                    return value
        frame = frame.f_back  # type: ignore[assignment]
    raise DataError(
        "`LRRangeTest` must be a callback of `model.fit`. Received a call from elsewhere. Use `find_lr` instead."
    )
