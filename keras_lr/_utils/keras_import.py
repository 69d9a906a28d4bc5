"""What happens when Keras is imported, decided without importing it: the schedules are registered."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


def after_keras(action: Callable[[], None]) -> None:
    """Calls `action` at once if Keras is imported, else as soon as it is.

    If the import of Keras fails, the next one counts. Of several actions, only the first one waits.
    """
    if sys.modules.get("keras") is not None:
        action()
    elif not any(isinstance(finder, _KerasFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _KerasFinder(action))


class _KerasFinder:
    """Finds Keras as the other finders do, and makes its loader call `action` once it has run Keras.

    It replaces one method of the loader that was made for this import, not the loader itself, on whose type
    `importlib.resources` and others depend.

    Args:
        action: Called once, in the thread that imports Keras.
    """

    def __init__(self, action: Callable[[], None]) -> None:
        self._action = action

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The specification of the package `keras`; None for every other module."""
        if name != "keras":
            return None
        for finder in sys.meta_path:
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec: ModuleSpec | None = None if find is None else find(name, path, target)
            if spec is not None:
                self._watch(spec.loader)
                return spec
        return None

    def _watch(self, loader: Any) -> None:
        execute = getattr(loader, "exec_module", None)
        if execute is None or isinstance(loader, type):
            return

        def exec_module(module: ModuleType) -> None:
            if module.__name__ != "keras":
                # The loader of a zip file serves all modules in it.
                execute(module)
                return
            vars(loader).pop("exec_module", None)
            execute(module)
            if self in sys.meta_path:
                # Not removed in place: another thread may be iterating over the list and would skip a finder.
                sys.meta_path = [finder for finder in sys.meta_path if finder is not self]
                self._action()

        # A loader without attributes of its own cannot be watched.
        with contextlib.suppress(TypeError):
            vars(loader)["exec_module"] = exec_module
