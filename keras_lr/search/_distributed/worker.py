"""A worker's side of a distributed search: the connection to the chief, and heartbeats."""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import grpc

from keras_lr._utils.validation import whole_number
from keras_lr.errors import InvalidArgumentError, KerasLRError
from keras_lr.search._keras_tuner import TrialStatus, protos, roles

WORKERS_VARIABLE = "KERAS_LR_WORKERS"
"""Number of workers that share the grid (default 2)."""

STALE_VARIABLE = "KERAS_LR_STALE_SECONDS"
"""Seconds without a heartbeat before a worker's points are reassigned (default 60)."""

MAX_POINTS_PER_CLAIM = 32
"""Upper bound on the points lost when a worker dies."""

Role = Literal["alone", "chief", "worker"]

IDLE, STOPPED = TrialStatus.IDLE, TrialStatus.STOPPED
_ALIVE = "alive"

CONNECT_SECONDS = 300.0
"""How long a worker waits for its chief to start."""

POLL_SECONDS = 2.0
"""Timeout of one attempt to connect."""

GONE_SECONDS = 20.0
"""Give up on the chief after this long without an answer; a restart within it goes unnoticed."""

MIN_TIMEOUT_SECONDS = 2.0
"""Minimum timeout per call, for a process that was suspended for longer than `GONE_SECONDS`."""

RETRY_SECONDS = 0.2
HEARTBEAT_SECONDS = 2.0
IDLE_SECONDS = 0.5
CHIEF_VARIABLE = "KERAS_LR_CHIEF_PID"
"""Process id of the chief; set for local workers, which end when their chief does."""

# By default gRPC retries a connection at intervals that grow to two minutes: a worker that had started two minutes
# before its chief took 65 s to reach it.
_OPTIONS = [("grpc.initial_reconnect_backoff_ms", 500), ("grpc.max_reconnect_backoff_ms", 500)]

Notify = Callable[[str], None]


def role() -> Role:
    """The role of this process.

    Raises:
        InvalidArgumentError: Some but not all of KerasTuner's three variables are set.
    """
    try:
        if not roles.has_chief_oracle():
            return "alone"
    except RuntimeError as err:
        raise InvalidArgumentError(f"{err} Set all three variables, or none.") from err
    return "chief" if roles.is_chief_oracle() else "worker"


def claim_size(open_points: int) -> int:
    """Number of points that a worker claims at a time: an even share, which it can train as one program.

    Args:
        open_points: Number of points that are not done.

    Returns:
        At least 1, at most `MAX_POINTS_PER_CLAIM`.

    Raises:
        InvalidArgumentError: `KERAS_LR_WORKERS` is not an integer >= 1.
    """
    workers = _integer(WORKERS_VARIABLE, default="2", least=1, remedy="Set it to the number of workers.")
    return min(MAX_POINTS_PER_CLAIM, max(1, math.ceil(open_points / workers)))


def stale_seconds() -> float:
    """Seconds without a heartbeat before a worker's points are reassigned.

    Raises:
        InvalidArgumentError: `KERAS_LR_STALE_SECONDS` is not an integer >= 5.
    """
    return float(_integer(STALE_VARIABLE, default="60", least=5, remedy="Unset it for the default of 60."))


def _integer(variable: str, *, default: str, least: int, remedy: str) -> int:
    """The value of an environment variable; raises `InvalidArgumentError` unless it is an integer >= `least`."""
    text = os.environ.get(variable, default)
    return whole_number(variable, int(text) if text.isdecimal() else text, least=least, remedy=remedy)


def owner_of(tuner_id: str) -> str:
    """Name of the process that claims under `tuner_id`, which may end in "#" and the number of the claim."""
    return tuner_id.rpartition("#")[0] or tuner_id


def heartbeat_id(owner: str) -> str:
    """The tuner id under which a worker sends heartbeats."""
    return f"{owner}#{_ALIVE}"


def is_heartbeat(tuner_id: str) -> bool:
    """Whether a call is a heartbeat, which claims no point."""
    return tuner_id.endswith(f"#{_ALIVE}")


class ChiefGoneError(KerasLRError, ConnectionError):
    """The chief does not answer: the search is over, or the chief has died."""


class ChiefClient:
    """KerasTuner's stub for several threads; it gives up on a chief that has gone instead of waiting for an hour.

    It stands in for `OracleClient.stub`, so its calls have the names of KerasTuner's service.

    Attributes:
        address: Address of the chief, from KerasTuner's environment variables.
        gone: Set once the chief has gone.
    """

    def __init__(self) -> None:
        self.address = f"{os.environ['KERASTUNER_ORACLE_IP']}:{os.environ['KERASTUNER_ORACLE_PORT']}"
        self.gone = threading.Event()
        self._channel = grpc.insecure_channel(self.address, options=_OPTIONS)
        self._stub = protos.get_service_grpc().OracleStub(self._channel)
        self._answered_at = time.monotonic()

    def connect(self, request: Any, *, seconds: float) -> bool:
        """Whether the chief can be reached within `seconds` and answers a first `CreateTrial`."""
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

    def check_alive(self) -> None:
        """Raises `ChiefGoneError` if the chief has gone."""
        if self.gone.is_set():
            raise self.no_answer(GONE_SECONDS)

    def no_answer(self, seconds: float) -> ChiefGoneError:
        """The error for a chief that has not answered for `seconds`."""
        return ChiefGoneError(
            f"The chief has not answered at {self.address} for {seconds:g} s. Start it, or find out why it ended."
        )

    def call(self, name: str, request: Any) -> Any:
        """Calls a method of KerasTuner's service, and retries until the chief answers or has gone.

        Raises:
            ChiefGoneError: The chief has gone.
        """
        self.check_alive()
        until = max(time.monotonic() + MIN_TIMEOUT_SECONDS, self._answered_at + GONE_SECONDS)
        while True:
            try:
                response = getattr(self._stub, name)(request, wait_for_ready=True, timeout=until - time.monotonic())
            except grpc.RpcError as err:
                # A call that was in progress when the chief ended fails at once.
                time.sleep(RETRY_SECONDS)
                if time.monotonic() >= until:
                    self.gone.set()
                    raise self.no_answer(GONE_SECONDS) from err
            else:
                self._answered_at = time.monotonic()
                return response

    def CreateTrial(self, request: Any, **_: Any) -> Any:  # noqa: N802
        """Claims a point of the grid, or sends a heartbeat."""
        return self.call("CreateTrial", request)

    def UpdateTrial(self, request: Any, **_: Any) -> Any:  # noqa: N802
        """Reports the metrics of a point."""
        return self.call("UpdateTrial", request)

    def EndTrial(self, request: Any, **_: Any) -> Any:  # noqa: N802
        """Reports that a point is done."""
        return self.call("EndTrial", request)

    def GetTrial(self, request: Any, **_: Any) -> Any:  # noqa: N802
        """Asks for a trial."""
        return self.call("GetTrial", request)

    def GetBestTrials(self, request: Any, **_: Any) -> Any:  # noqa: N802
        """Asks for the best trials."""
        return self.call("GetBestTrials", request)

    def GetSpace(self, request: Any, **_: Any) -> Any:  # noqa: N802
        """Asks for the hyperparameters."""
        return self.call("GetSpace", request)

    def UpdateSpace(self, request: Any, **_: Any) -> Any:  # noqa: N802
        """Adds hyperparameters."""
        return self.call("UpdateSpace", request)


def connect_to_chief(tuner_id: str, *, is_over: Callable[[], bool], notify: Notify) -> ChiefClient | None:
    """Waits for the chief; returns None if none answers and nothing is left to train.

    Args:
        tuner_id: Name of the worker.
        is_over: Whether the records show that nothing is left to train; called after each failed attempt.
        notify: Shows a line to the user.

    Raises:
        ChiefGoneError: No chief answered within `CONNECT_SECONDS`.
    """
    client = ChiefClient()
    start, notified = time.monotonic(), False
    while not client.connect(_heartbeat(tuner_id), seconds=POLL_SECONDS):
        _end_with_own_chief()
        if is_over():
            notify(f"No chief answers at {client.address}, but the records are complete: nothing is left to train.")
            return None
        if not notified:
            notify(f"Waiting up to {CONNECT_SECONDS:g} s for the chief to start at {client.address}.")
            notified = True
        if time.monotonic() - start > CONNECT_SECONDS:
            raise client.no_answer(CONNECT_SECONDS)
    return client


@contextmanager
def heartbeats(client: ChiefClient, tuner_id: str, notify: Notify) -> Iterator[None]:
    """Sends heartbeats during the block, and ends the block without an error if the chief has gone.

    Args:
        client: A client whose chief has answered.
        tuner_id: Name of the worker.
        notify: Shows a line to the user.
    """
    ended = threading.Event()
    thread = threading.Thread(
        target=_send_heartbeats, args=(client, tuner_id, ended), daemon=True, name="keras_lr-heartbeats"
    )
    thread.start()
    try:
        yield
    except ChiefGoneError:
        notify(
            f"The chief at {client.address} has gone, so this worker ends. The same commands continue from the records."
        )
    finally:
        ended.set()


def wait_idle() -> None:
    """Waits before asking for work again."""
    time.sleep(IDLE_SECONDS)


def _send_heartbeats(client: ChiefClient, tuner_id: str, ended: threading.Event) -> None:
    while not ended.wait(HEARTBEAT_SECONDS):
        _end_with_own_chief()
        try:
            client.CreateTrial(_heartbeat(tuner_id))
        except ChiefGoneError:
            return


def _end_with_own_chief() -> None:
    chief = os.environ.get(CHIEF_VARIABLE)
    if chief is not None and str(os.getppid()) != chief:
        os.kill(os.getpid(), signal.SIGTERM)


def _heartbeat(tuner_id: str) -> Any:
    return protos.get_service().CreateTrialRequest(tuner_id=heartbeat_id(tuner_id))
