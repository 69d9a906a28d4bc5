"""A worker's line to its chief, which tells within a known time that the chief has gone."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import grpc  # type: ignore[import-untyped]
from keras_tuner.src import protos

from keras_lr.errors import KerasLRError

GONE_SECONDS = 20.0
"""A chief that has not answered any call for so long has gone; one that is started again sooner is not missed."""

LEAST_SECONDS = 2.0
"""So long a call waits at least: a process that was asleep for longer than `GONE_SECONDS` asks once more."""

RETRY_SECONDS = 0.2
# By default gRPC tries a chief that is not there yet at intervals that grow to two minutes: measured, a chief that
# started two minutes after its worker was reached 65 s later.
_OPTIONS = [("grpc.initial_reconnect_backoff_ms", 500), ("grpc.max_reconnect_backoff_ms", 500)]


class ChiefGoneError(KerasLRError, ConnectionError):
    """The chief does not answer: the search is over, or the chief has died."""


class ChiefLine:
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
