"""A worker's side of a search over several processes: it finds its chief, shows life, and ends with it."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from keras_lr.errors import KerasLRError
from keras_lr.search._distributed.protocol import heartbeat_id
from keras_lr.search._keras_tuner import protos

GONE_SECONDS = 20.0
"""A chief that has not answered any call for so long has gone; one that is started again sooner is not missed."""

LEAST_SECONDS = 2.0
"""So long a call waits at least: a process that was asleep for longer than `GONE_SECONDS` asks once more."""

RETRY_SECONDS = 0.2
# By default gRPC tries a chief that is not there yet at intervals that grow to two minutes: measured, a chief that
# started two minutes after its worker was reached 65 s later.
_OPTIONS = [("grpc.initial_reconnect_backoff_ms", 500), ("grpc.max_reconnect_backoff_ms", 500)]

CONNECT_SECONDS = 300.0
"""A worker may start so long before its chief."""

LOOK_SECONDS = 2.0
HEARTBEAT_SECONDS = 2.0
IDLE_SECONDS = 0.5
CHIEF_VARIABLE = "KERAS_LR_CHIEF_PID"
"""Set by a chief for the workers it starts itself: they must not outlive it."""

Say = Callable[[str], None]


class ChiefGoneError(KerasLRError, ConnectionError):
    """The chief does not answer: the search is over, or the chief has died."""


class ChiefClient:
    """KerasTuner's stub, for several threads, which gives up on a chief that has gone instead of waiting an hour.

    Attributes:
        address: Where the chief listens, as KerasTuner's environment variables have it.
        gone: Set once the chief has gone.
    """

    def __init__(self) -> None:
        self.address = f"{os.environ['KERASTUNER_ORACLE_IP']}:{os.environ['KERASTUNER_ORACLE_PORT']}"
        self.gone = threading.Event()
        self._channel = grpc.insecure_channel(self.address, options=_OPTIONS)
        self._stub = protos.get_service_grpc().OracleStub(self._channel)
        self._answered_at = time.monotonic()

    def greet(self, request: Any, *, seconds: float) -> bool:
        """Whether a chief that can be reached within `seconds` answers a first `CreateTrial`."""
        reached = grpc.channel_ready_future(self._channel)
        try:
            reached.result(timeout=seconds)
            self._stub.CreateTrial(request, timeout=GONE_SECONDS)
        except grpc.FutureTimeoutError:
            return False
        except grpc.RpcError:
            time.sleep(RETRY_SECONDS)
            return False
        finally:
            reached.cancel()
        self._answered_at = time.monotonic()
        return True

    def check(self) -> None:
        """Raises `ChiefGoneError` where the chief has gone."""
        if self.gone.is_set():
            raise self.silence(GONE_SECONDS)

    def silence(self, seconds: float) -> ChiefGoneError:
        """The error of a chief that has not answered for `seconds`."""
        return ChiefGoneError(
            f"The chief must answer at {self.address}. Received: no answer for {seconds:g} s. Start the chief, or look "
            "at why it ended."
        )

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._stub, name)

        def patient(request: Any, **_: Any) -> Any:
            self.check()
            until = max(time.monotonic() + LEAST_SECONDS, self._answered_at + GONE_SECONDS)
            while True:
                try:
                    response = call(request, wait_for_ready=True, timeout=until - time.monotonic())
                except grpc.RpcError as err:
                    # A call that was under way when the chief ended fails at once.
                    time.sleep(RETRY_SECONDS)
                    if time.monotonic() >= until:
                        self.gone.set()
                        raise self.silence(GONE_SECONDS) from err
                else:
                    self._answered_at = time.monotonic()
                    return response

        return patient


def reach_chief(tuner_id: str, *, is_over: Callable[[], bool], say: Say) -> ChiefClient | None:
    """Waits for the chief; None where none answers and none is needed any more.

    Args:
        tuner_id: The worker's name.
        is_over: Whether the records show that nothing is left to train; asked now and then while no chief answers.
        say: Shows a line to the user.

    Raises:
        ChiefGoneError: No chief answered within `CONNECT_SECONDS`.
    """
    line = ChiefClient()
    start, told = time.monotonic(), False
    while not line.greet(_heartbeat(tuner_id), seconds=LOOK_SECONDS):
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
def at_work(line: ChiefClient, tuner_id: str, say: Say) -> Iterator[None]:
    """Shows life within the block, and ends the block quietly where the chief goes.

    Args:
        line: The line to a chief that has answered.
        tuner_id: The worker's name.
        say: Shows a line to the user.
    """
    ended = threading.Event()
    thread = threading.Thread(target=_send_heartbeats, args=(line, tuner_id, ended), daemon=True, name="keras_lr-life")
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


def _send_heartbeats(line: ChiefClient, tuner_id: str, ended: threading.Event) -> None:
    while not ended.wait(HEARTBEAT_SECONDS):
        _end_with_own_chief()
        try:
            line.CreateTrial(_heartbeat(tuner_id))
        except ChiefGoneError:
            return


def _end_with_own_chief() -> None:
    chief = os.environ.get(CHIEF_VARIABLE)
    if chief is not None and str(os.getppid()) != chief:
        os.kill(os.getpid(), signal.SIGTERM)


def _heartbeat(tuner_id: str) -> Any:
    return protos.get_service().CreateTrialRequest(tuner_id=heartbeat_id(tuner_id))
