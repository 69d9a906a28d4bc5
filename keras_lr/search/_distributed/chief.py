"""The chief of a search: assigns points over KerasTuner's protocol and reassigns those of workers that have ended."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Collection, Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any, Protocol

import grpc
import keras_tuner

from keras_lr.errors import InvalidArgumentError
from keras_lr.search._distributed.worker import IDLE, STOPPED, is_heartbeat, owner_of, stale_seconds
from keras_lr.search._keras_tuner import OracleServicer, Trial, protos

POLL_SECONDS = 0.2
READ_SECONDS = 5.0
"""Interval at which the records are read even if no worker has called: one may have died after its last line."""

SHUTDOWN_SECONDS = 15.0


class SearchOracle(Protocol):
    """What the chief uses of an oracle besides KerasTuner's own methods."""

    @property
    def finished(self) -> bool:
        """Whether the records hold every repeat of every point."""

    def release(self, owner: str) -> None:
        """Reopens the points that are assigned to `owner`."""


class WorkerPool(Protocol):
    """Workers that the chief's process has started itself, so that it knows at once when one ends."""

    @property
    def names(self) -> frozenset[str]:
        """Names of all workers."""

    @property
    def departed(self) -> frozenset[str]:
        """Names of those that have ended."""


def serve(oracle: SearchOracle, pool: WorkerPool | None = None) -> bool:
    """Assigns points until the grid is done.

    Args:
        oracle: The oracle of the search.
        pool: The chief's own workers; None if all were started elsewhere.

    Returns:
        Whether the grid is done; False if every worker of `pool` has ended before.

    Raises:
        InvalidArgumentError: The chief cannot listen at its address, or `KERAS_LR_STALE_SECONDS` is invalid.
        StorageError: A record cannot be written.
        ResultFormatError: The records are damaged.
    """
    servicer = _Servicer(oracle, stale_seconds())
    with _listening(servicer):
        while not servicer.is_done():
            if pool is not None:
                if pool.departed == pool.names:
                    return servicer.is_done(read=True)
                servicer.release(pool.departed)
            time.sleep(POLL_SECONDS)
        deadline = time.monotonic() + SHUTDOWN_SECONDS
        while servicer.active - (pool.departed if pool else set()) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
    return True


@contextmanager
def _listening(servicer: _Servicer) -> Iterator[None]:
    address = f"{os.environ['KERASTUNER_ORACLE_IP']}:{os.environ['KERASTUNER_ORACLE_PORT']}"
    # Without this option, a second chief could listen on the same port, and each would get some of the calls.
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=1), options=[("grpc.so_reuseport", 0)])
    protos.get_service_grpc().add_OracleServicer_to_server(servicer, server)
    try:
        bound = server.add_insecure_port(address)
    except RuntimeError:
        bound = 0
    if not bound:
        raise InvalidArgumentError(
            f"`KERASTUNER_ORACLE_IP` and `KERASTUNER_ORACLE_PORT` must name a free port of this machine. Received: "
            f"{address}. Choose another port, or end the search that uses it."
        )
    server.start()
    try:
        yield
    finally:
        server.stop(grace=1.0).wait()


class _Servicer(OracleServicer):  # type: ignore[misc]
    """KerasTuner's service, which also tracks the heartbeats of the workers."""

    def __init__(self, oracle: SearchOracle, stale_after_seconds: float) -> None:
        super().__init__(oracle)
        self.failure: Exception | None = None
        self._stale_after_seconds = stale_after_seconds
        self._last_seen: dict[str, float] = {}
        self._stopped: set[str] = set()
        self._lock = threading.Lock()
        self._done = False
        self._read_at = -math.inf

    @property
    def active(self) -> frozenset[str]:
        """Names of the workers that are alive and have not been asked to stop."""
        with self._lock:
            return frozenset(self._last_seen) - self._stopped

    def CreateTrial(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Assigns a point of the grid, or answers IDLE or STOPPED; a heartbeat is always answered by IDLE."""
        owner = owner_of(request.tuner_id)
        with self._lock:
            now = time.monotonic()
            self._last_seen[owner] = now
            self._release({name for name, seen in self._last_seen.items() if now - seen > self._stale_after_seconds})
            if is_heartbeat(request.tuner_id):
                trial = _answer(IDLE)
            elif self._done:
                trial = _answer(STOPPED)
            else:
                trial = self._next_trial(request.tuner_id)
            if trial.status == STOPPED:
                self._stopped.add(owner)
        return protos.get_service().CreateTrialResponse(trial=trial.to_proto())

    def _next_trial(self, tuner_id: str) -> Any:
        """The next point, or STOPPED if the records cannot be read or written."""
        try:
            return self.oracle.create_trial(tuner_id)
        except Exception as err:
            self.failure = err
            return _answer(STOPPED)

    def UpdateTrial(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Records the metrics of a point."""
        with self._lock:
            return super().UpdateTrial(request, context)

    def EndTrial(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Records that a point is done; the records are read at once."""
        with self._lock:
            response = super().EndTrial(request, context)
            self._read_at = -math.inf
        return response

    def is_done(self, *, read: bool = False) -> bool:
        """Whether the grid is done according to the records, which are read at most every `READ_SECONDS`.

        They are also read once a trial has ended, or if `read` is set.
        """
        if self.failure is not None:
            raise self.failure
        with self._lock:
            if not self._done and (read or time.monotonic() - self._read_at > READ_SECONDS):
                self._done = self.oracle.finished
                self._read_at = time.monotonic()
            return self._done

    def release(self, names: Collection[str]) -> None:
        """Reopens the points of workers that have ended."""
        with self._lock:
            self._release(names)

    def _release(self, names: Collection[str]) -> None:
        for name in self._last_seen.keys() & names:
            del self._last_seen[name]
            self.oracle.release(name)


def _answer(status: str) -> Trial:
    return Trial(hyperparameters=keras_tuner.HyperParameters(), trial_id="none", status=status)
