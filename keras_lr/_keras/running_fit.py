"""Hearing of a `fit` that an exception ends, of which Keras tells its callbacks nothing."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import keras
import tensorflow as tf
from keras.src.trainers.epoch_iterator import EpochIterator

from keras_lr.errors import InvalidArgumentError

_HOOKS = ("on_epoch_begin", "on_epoch_end", "on_test_batch_begin", "on_test_batch_end", "on_test_end")
_LOOP = "catch_stop_iteration"


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


def callbacks_of_fit() -> keras.callbacks.CallbackList | None:
    """The list through which Keras is calling a callback; None outside of one."""
    frame = sys._getframe(1)
    while frame is not None:
        caller = frame.f_locals.get("self")
        if isinstance(caller, keras.callbacks.CallbackList):
            return caller
        frame = frame.f_back  # type: ignore[assignment]
    return None


class BrokenFit:
    """Calls `on_break` once with the exception that leaves a running `fit`, Ctrl-C among them, and lets it pass.

    Watched are the loop over the batches, its data, and the calls of every callback. What is put in place sits on
    objects that belong to this one fit, never on the model.

    Args:
        on_break: Receives the exception.
    """

    def __init__(self, on_break: Callable[[BaseException], None]) -> None:
        self._on_break = on_break
        self._told = False
        self._placed: list[tuple[Any, str]] = []

    def watch_fit(self, model: keras.Model) -> None:
        """Watches the `fit` of `model` that is calling: its loops, and the callbacks in between."""
        callbacks = callbacks_of_fit()
        if callbacks is not None:
            begin_test = callbacks.on_test_begin

            def begin_and_watch(*arguments: Any, **options: Any) -> None:
                begin_test(*arguments, **options)
                self._watch_loop(getattr(model, "_eval_epoch_iterator", None))

            self._place(callbacks, "on_test_begin", self._guarded(begin_and_watch))
            for name in _HOOKS:
                self._place(callbacks, name, self._guarded(getattr(callbacks, name)))
        self._watch_loop(epoch_iterator_of_fit(model))

    def _watch_loop(self, epochs: EpochIterator | None) -> None:
        """Watches a loop over batches: the steps, their data, the callbacks in between."""
        if epochs is None or (epochs, _LOOP) in self._placed:
            return
        inner = getattr(epochs, _LOOP)

        @contextmanager
        def guarded() -> Iterator[None]:
            with self._guard(), inner():
                yield

        self._place(epochs, _LOOP, guarded)

    def release(self) -> None:
        """Takes everything off again."""
        for place, name in self._placed:
            place.__dict__.pop(name, None)
        self._placed.clear()

    def _place(self, place: Any, name: str, value: Any) -> None:
        setattr(place, name, value)
        self._placed.append((place, name))

    def _guarded(self, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def guarded(*arguments: Any, **options: Any) -> Any:
            with self._guard():
                return function(*arguments, **options)

        return guarded

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            if not self._told:
                self._told = True
                self._on_break(error)
                self.release()
            raise


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
