"""Everything outside the model that reading data and training on it may change: kept, and put back."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterable
from typing import Any, TextIO

from keras_lr._keras.reader_state import ReaderState
from keras_lr._keras.snapshot import RandomState


class Surroundings:
    """The random states, the state of the user's reading code, the environment, and the warnings of the process.

    Take it before the first batch is read, and restore it after every thread that reads has been stopped.

    Args:
        readers: The user's objects and functions that read the data, or that a step runs.
    """

    def __init__(self, readers: Iterable[Any] = ()) -> None:
        self._random = RandomState()
        self._readers = ReaderState(readers)
        self._environment = dict(os.environ)
        self._warnings = _ShownWarnings()

    def restore(self) -> None:
        """Puts everything back, the random states last, since the code of a reader may draw from them."""
        self._readers.restore()
        self._random.restore()
        if self._environment != dict(os.environ):
            os.environ.clear()
            os.environ.update(self._environment)
        self._warnings.restore()

    def restore_random(self) -> None:
        """Puts the random states alone back."""
        self._random.restore()

    def keep_random(self) -> None:
        """Makes the present random states those to restore."""
        self._random = RandomState()

    def settle(self) -> None:
        """Takes what building the model has changed in the user's code for what stays unless it changes again."""
        self._readers.settle()

    def reader_has_changed(self) -> bool:
        """Whether the state of the user's reading code is not as it was."""
        return self._readers.has_changed()

    def unrestored(self) -> list[str]:
        """What `restore` cannot put back although it has changed, each as a clause."""
        return self._readers.unrestored()


class _ShownWarnings:
    """The warning filters, and which warnings have been shown; a warning shown meanwhile can be shown again."""

    def __init__(self) -> None:
        self._filters = list(warnings.filters)
        self._show = warnings.showwarning
        self._registered: list[tuple[dict[Any, Any], str, type[Warning]]] = []
        warnings.showwarning = self._show_and_note

    def restore(self) -> None:
        """Puts the filters back and forgets that the warnings have been shown."""
        if warnings.showwarning == self._show_and_note:
            warnings.showwarning = self._show
        for registry, text, category in self._registered:
            for key in [key for key in registry if isinstance(key, tuple) and key[:2] == (text, category)]:
                del registry[key]
        if list(warnings.filters) != self._filters:
            warnings.filters[:] = self._filters  # type: ignore[index]
            # Leaving the block makes Python read the filters again.
            with warnings.catch_warnings():
                pass

    def _show_and_note(
        self,
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        registry = _registry_at(filename, lineno)
        if registry is not None:
            self._registered.append((registry, str(message), category))
        self._show(message, category, filename, lineno, file, line)


def _registry_at(filename: str, lineno: int) -> dict[Any, Any] | None:
    """Where Python notes that a warning of this line has been shown."""
    frame = sys._getframe(1)
    while frame is not None:
        if (frame.f_code.co_filename, frame.f_lineno) == (filename, lineno):
            return frame.f_globals.get("__warningregistry__")
        frame = frame.f_back  # type: ignore[assignment]
    return None
