"""Where a callback stands among those of the running `fit`."""

from __future__ import annotations

import sys

import keras


def stand_before_backup(callback: keras.callbacks.Callback) -> None:
    """Moves `callback` before the `BackupAndRestore` of the `fit` that is calling, if it stands after one.

    What it does at the end of an epoch is then part of that epoch's backup. The list is Keras's own copy, so the user's
    stays; to move an entry forward is safe while Keras goes through it.
    """
    frame = sys._getframe(1)
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, keras.callbacks.CallbackList) and callback in caller.callbacks:
            _move_forward(caller.callbacks, callback)
            return
        frame = frame.f_back  # type: ignore[assignment]


def _move_forward(callbacks: list[keras.callbacks.Callback], callback: keras.callbacks.Callback) -> None:
    backups = [one for one in callbacks if isinstance(one, keras.callbacks.BackupAndRestore)]
    if backups and callbacks.index(backups[0]) < callbacks.index(callback):
        callbacks.remove(callback)
        callbacks.insert(callbacks.index(backups[0]), callback)
