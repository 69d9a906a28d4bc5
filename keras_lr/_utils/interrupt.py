"""Ctrl-C that waits for the end of a step."""

from __future__ import annotations

import signal
import threading
from types import FrameType


class HeldInterrupt:
    """Holds Ctrl-C back, so that it never cuts through the taking or the putting back of a model's state.

    The first Ctrl-C is raised by `check`, and at the latest on leaving; a second one is raised at once, for a step or
    data that never end, unless `patient`. Only Python's own handler is replaced, and only in the main thread, which
    is the one it interrupts.

    Attributes:
        patient: Whether a second Ctrl-C waits too.
    """

    def __init__(self) -> None:
        self.patient = True
        self._pending = False
        self._installed = False

    def __enter__(self) -> HeldInterrupt:
        self._installed = (
            threading.current_thread() is threading.main_thread()
            and signal.getsignal(signal.SIGINT) is signal.default_int_handler
        )
        if self._installed:
            signal.signal(signal.SIGINT, self._hold)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._installed:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        self.check()

    def check(self) -> None:
        """Raises the `KeyboardInterrupt` that was held back."""
        if self._pending:
            self._pending = False
            raise KeyboardInterrupt

    def _hold(self, number: int, frame: FrameType | None) -> None:
        if self._pending and not self.patient:
            self.check()
        self._pending = True
