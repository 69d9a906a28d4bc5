"""Hearing of a `fit` that an exception ends, of which Keras tells its callbacks nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import keras
from keras.src.trainers.epoch_iterator import EpochIterator

from keras_lr.training.fit_frame import epoch_iterator_of_fit

_HOOKS = ("on_epoch_begin", "on_epoch_end", "on_test_batch_begin", "on_test_batch_end", "on_test_end")
_LOOP = "catch_stop_iteration"


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
