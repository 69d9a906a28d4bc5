"""A worker's side of a search over several processes: it finds its chief, shows life, and ends with it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from keras_tuner.src import protos

from keras_lr.search.chief_line import ChiefGoneError, ChiefLine
from keras_lr.search.signs_of_life import sign_of_life

CONNECT_SECONDS = 300.0
"""A worker may start so long before its chief."""

LOOK_SECONDS = 2.0
LIFE_SECONDS = 2.0
IDLE_SECONDS = 0.5
CHIEF_VARIABLE = "KERAS_LR_CHIEF_PID"
"""Set by a chief for the workers it starts itself: they must not outlive it."""

Say = Callable[[str], None]


def reach_chief(tuner_id: str, *, is_over: Callable[[], bool], say: Say) -> ChiefLine | None:
    """Waits for the chief; None where none answers and none is needed any more.

    Args:
        tuner_id: The worker's name.
        is_over: Whether the records show that nothing is left to train; asked now and then while no chief answers.
        say: Shows a line to the user.

    Raises:
        ChiefGoneError: No chief answered within `CONNECT_SECONDS`.
    """
    line = ChiefLine()
    start, told = time.monotonic(), False
    while not line.greet(_life(tuner_id), seconds=LOOK_SECONDS):
        _end_with_own_chief()
        if is_over():
            say(f"No chief answers at {line.address}, and the records hold the whole search: nothing is left to train.")
            return None
        if not told:
            say(f"Waiting up to {CONNECT_SECONDS:g} s for the chief to start at {line.address}.")
            told = True
        if time.monotonic() - start > CONNECT_SECONDS:
            raise line.silence(CONNECT_SECONDS)
    return line


@contextmanager
def at_work(line: ChiefLine, tuner_id: str, say: Say) -> Iterator[None]:
    """Shows life within the block, and ends the block quietly where the chief goes.

    Args:
        line: The line to a chief that has answered.
        tuner_id: The worker's name.
        say: Shows a line to the user.
    """
    ended = threading.Event()
    thread = threading.Thread(target=_show_life, args=(line, tuner_id, ended), daemon=True, name="keras_lr-life")
    thread.start()
    try:
        yield
    except ChiefGoneError:
        say(
            f"The chief at {line.address} has gone, so this worker ends. The same commands go on from what is recorded."
        )
    finally:
        ended.set()


def wait_idle() -> None:
    """Waits a moment before asking for work again."""
    time.sleep(IDLE_SECONDS)


def _show_life(line: ChiefLine, tuner_id: str, ended: threading.Event) -> None:
    while not ended.wait(LIFE_SECONDS):
        _end_with_own_chief()
        try:
            line.CreateTrial(_life(tuner_id))
        except ChiefGoneError:
            return


def _end_with_own_chief() -> None:
    chief = os.environ.get(CHIEF_VARIABLE)
    if chief is not None and str(os.getppid()) != chief:
        os.kill(os.getpid(), signal.SIGTERM)


def _life(tuner_id: str) -> Any:
    return protos.get_service().CreateTrialRequest(tuner_id=sign_of_life(tuner_id))
