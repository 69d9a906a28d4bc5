"""A callback of the running `fit` beside its `BackupAndRestore`."""

from __future__ import annotations

import keras
import tensorflow as tf

from keras_lr.callbacks.broken_fit import callbacks_of_fit
from keras_lr.errors import InvalidArgumentError


def stand_before_backup(callback: keras.callbacks.Callback) -> None:
    """Moves `callback` before the `BackupAndRestore` of the `fit` that is calling, if it stands after one.

    What it does at the end of an epoch is then part of that epoch's backup. The list is Keras's own copy, so the user's
    stays; to move an entry forward is safe while Keras goes through it.
    """
    running = callbacks_of_fit()
    backups = _backups(running)
    if running is not None and backups and running.callbacks.index(backups[0]) < running.callbacks.index(callback):
        running.callbacks.remove(callback)
        running.callbacks.insert(running.callbacks.index(backups[0]), callback)


def refuse_backup() -> None:
    """Refuses a backup of a broken training in a `fit` that is to end without an epoch.

    Keras would train on from the backup, or delete it as that fit ends.

    Raises:
        InvalidArgumentError: The `BackupAndRestore` of the `fit` that is calling has one.
    """
    for backup in _backups(callbacks_of_fit()):
        if tf.io.gfile.exists(backup._weights_path):
            raise InvalidArgumentError(
                "`callbacks` must hold no `BackupAndRestore` with a backup where a range test ends the fit. Received: "
                f"backup_dir={str(backup.backup_dir)!r}. Finish that training first, or leave the backup out here."
            )


def _backups(running: keras.callbacks.CallbackList | None) -> list[keras.callbacks.BackupAndRestore]:
    callbacks = [] if running is None else running.callbacks
    return [one for one in callbacks if isinstance(one, keras.callbacks.BackupAndRestore)]
