"""The files beside a `BackupAndRestore`, so that a callback's state is resumed with the model's."""

from __future__ import annotations

import json
import sys
from typing import Any

import keras
import tensorflow as tf

from keras_lr.errors import ResultFormatError


class FitBackup:
    """A place for a callback's state in the folder of the `BackupAndRestore` of the running `fit`, if there is one.

    Keras backs up the model alone. What stands here lives and goes with its backup: the folder is removed at the end
    of a fit.

    Args:
        callback: A callback of the `fit` that is calling.
        name: Stem of the files.
    """

    def __init__(self, callback: keras.callbacks.Callback, name: str) -> None:
        siblings = _callbacks_of_fit(callback)
        backups = [one for one in siblings if isinstance(one, keras.callbacks.BackupAndRestore)]
        self._folder = backups[0].backup_dir if backups else None
        self._name = name
        self.saves_first = bool(backups) and siblings.index(backups[0]) < siblings.index(callback)

    def load(self) -> dict[str, Any] | None:
        """The state written last, or None.

        Raises:
            ResultFormatError: The file is damaged.
        """
        path = self._path(".json")
        if path is None or not tf.io.gfile.exists(path):
            return None
        with tf.io.gfile.GFile(path) as file:
            try:
                return dict(json.loads(file.read()))
            except (ValueError, TypeError) as err:
                raise ResultFormatError(
                    f"`backup_dir` must hold the state that keras_lr wrote. Received: {path}, {err}. Remove the folder "
                    "to begin anew."
                ) from err

    def save(self, state: dict[str, Any]) -> None:
        """Writes `state`, whole or not at all."""
        path = self._path(".json")
        if path is None:
            return
        tf.io.gfile.makedirs(self._folder)
        with tf.io.gfile.GFile(f"{path}.tmp", "w") as file:
            file.write(json.dumps(state, allow_nan=False))
        tf.io.gfile.rename(f"{path}.tmp", path, overwrite=True)

    def save_weights(self, model: keras.Model) -> None:
        """Keeps the model and its optimizer where Keras has backed them up already, before they were put back."""
        path = self._path(".weights.h5")
        if path is not None and self.saves_first:
            tf.io.gfile.makedirs(self._folder)
            model.save_weights(path, overwrite=True)

    def load_weights(self, model: keras.Model) -> None:
        """Undoes what `save_weights` kept."""
        path = self._path(".weights.h5")
        if path is not None and self.saves_first and tf.io.gfile.exists(path):
            model.load_weights(path)

    def _path(self, suffix: str) -> str | None:
        return None if self._folder is None else f"{self._folder}/{self._name}{suffix}"


def _callbacks_of_fit(callback: keras.callbacks.Callback) -> list[Any]:
    """Keras tells a callback nothing of the others, so the list is taken from the frame that is calling."""
    frame = sys._getframe(1)
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, keras.callbacks.CallbackList) and callback in caller.callbacks:
            return list(caller.callbacks)
        frame = frame.f_back  # type: ignore[assignment]
    return [callback]
