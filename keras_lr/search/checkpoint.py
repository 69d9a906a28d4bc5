"""The weights of the best epoch of a grid point, in one file that is whole or absent."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from keras_lr.errors import SearchError
from keras_lr.search.journal import storage_error


def save_weights(path: Path, values: Sequence[np.ndarray]) -> None:
    """Stores the values of `model.weights`.

    Raises:
        StorageError: The folder cannot be written, or no space is left.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as stream:
            np.savez(stream, *values)
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise storage_error(path, error) from error


def load_weights(path: Path, model: keras.Model) -> None:
    """Writes stored values into `model`, which is built.

    Raises:
        SearchError: No weights are stored, or they are another model's.
    """
    try:
        with np.load(path) as stored:
            values = [stored[f"arr_{number}"] for number in range(len(stored.files))]
        shapes = [value.shape for value in values]
        if shapes != [tuple(weight.shape) for weight in model.weights]:
            raise ValueError(f"shapes {shapes}")
    except (OSError, ValueError, KeyError) as error:
        raise SearchError(
            f"The weights of the best epoch must be stored for this model. Received: {path}; {error}. Train it again "
            f"with `tuner.hypermodel.build(tuner.get_best_hyperparameters()[0])`."
        ) from error
    for weight, value in zip(model.weights, values, strict=True):
        weight.assign(value)
