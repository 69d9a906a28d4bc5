"""A worker's side of a search over several processes: it shows life, and ends once the chief has gone."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc  # type: ignore[import-untyped]
from keras_tuner.src import protos
from keras_tuner.src.distribute.oracle_client import OracleClient

from keras_lr.errors import KerasLRError
from keras_lr.search.signs_of_life import sign_of_life

CONNECT_SECONDS = 300.0
"""A worker may start before its chief."""

GONE_SECONDS = 20.0
LIFE_SECONDS = 2.0
IDLE_SECONDS = 0.5
CHIEF_VARIABLE = "KERAS_LR_CHIEF_PID"
"""Set by a chief for the workers it starts itself: they must not outlive it."""


class ChiefGoneError(KerasLRError, ConnectionError):
    """The chief does not answer: the search is over, or the chief has died."""


@contextmanager
def worker_session(oracle: Any, tuner_id: str) -> Iterator[None]:
    """Holds a worker's search: shows life meanwhile, and ends quietly where the chief goes after having answered.

    Args:
        oracle: The tuner's oracle; anything but KerasTuner's client passes through.
        tuner_id: The worker's name.

    Raises:
        ChiefGoneError: No chief ever answered.
    """
    if not isinstance(oracle, OracleClient):
        yield
        return
    line = _Line(oracle.stub)
    oracle.stub = line
    line.CreateTrial(_life(tuner_id))
    ended = threading.Event()
    thread = threading.Thread(target=_show_life, args=(line, tuner_id, ended), daemon=True, name="keras_lr-life")
    thread.start()
    try:
        yield
    except ChiefGoneError:
        return
    finally:
        ended.set()


def wait_idle() -> None:
    """Waits a moment before asking for work again."""
    time.sleep(IDLE_SECONDS)


class _Line:
    """KerasTuner's stub, which gives up on a chief that has gone instead of waiting for an hour."""

    def __init__(self, stub: Any) -> None:
        self._stub = stub
        self._answered = False

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._stub, name)

        def patient(request: Any, **_: Any) -> Any:
            timeout = GONE_SECONDS if self._answered else CONNECT_SECONDS
            try:
                response = call(request, wait_for_ready=True, timeout=timeout)
            except grpc.RpcError as err:
                raise ChiefGoneError(
                    f"The chief must answer at {os.environ['KERASTUNER_ORACLE_IP']}:"
                    f"{os.environ['KERASTUNER_ORACLE_PORT']}. Received: {err.code().name} after {timeout:g} s. "
                    "Start the chief, or look at why it ended."
                ) from err
            self._answered = True
            return response

        return patient


def _show_life(line: _Line, tuner_id: str, ended: threading.Event) -> None:
    chief = os.environ.get(CHIEF_VARIABLE)
    while not ended.wait(LIFE_SECONDS):
        if chief is not None and str(os.getppid()) != chief:
            os.kill(os.getpid(), signal.SIGTERM)
        try:
            line.CreateTrial(_life(tuner_id))
        except ChiefGoneError:
            return


def _life(tuner_id: str) -> Any:
    return protos.get_service().CreateTrialRequest(tuner_id=sign_of_life(tuner_id))
