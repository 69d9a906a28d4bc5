"""Ctrl-C that waits for the end of a step."""

from __future__ import annotations

import signal
import threading
from types import FrameType


class HeldInterrupt:
    """Holds Ctrl-C back while the block runs, so that it never cuts through saving or restoring a model's state.

    The first Ctrl-C is raised by `check`, or when the block ends. A second one is raised at once, in case a step or the
    data never ends, unless `patient` is set. The handler is installed only in the main thread, the one Ctrl-C
    interrupts, and only if Python's own handler is in place.

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
        """Raises the `KeyboardInterrupt` that was held back, if any."""
        if self._pending:
            self._pending = False
            raise KeyboardInterrupt

    def _hold(self, number: int, frame: FrameType | None) -> None:
        if self._pending and not self.patient:
            self.check()
        self._pending = True
