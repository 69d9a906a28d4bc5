"""The chief of a search: gives out work over KerasTuner's protocol, takes it back from the dead, ends with the grid."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Collection, Iterator
from concurrent import futures
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import grpc
import keras_tuner

from keras_lr.errors import InvalidArgumentError
from keras_lr.search._distributed.protocol import IDLE, STOPPED, is_heartbeat, owner_of, stale_seconds
from keras_lr.search._keras_tuner import OracleServicer, Trial, protos

LOOK_SECONDS = 0.2
FINISHED_SECONDS = 5.0
"""How often the records are read although no worker has called: one may have died after its last line."""

SHUTDOWN_SECONDS = 15.0


class SearchOracle(Protocol):
    """What the chief asks of an oracle besides KerasTuner's own calls."""

    @property
    def finished(self) -> bool:
        """Whether every point of the grid has all its repeats in the records."""

    def release(self, owner: str) -> None:
        """Opens the points again that `owner` has taken."""


class WorkerPool(Protocol):
    """Workers that the chief's own process has started, and whose end it therefore sees at once."""

    @property
    def departed(self) -> frozenset[str]:
        """Names of those that have ended."""

    @property
    def names(self) -> frozenset[str]:
        """Names of all."""


_pool: ContextVar[WorkerPool | None] = ContextVar("pool", default=None)


@contextmanager
def attended_by(pool: WorkerPool) -> Iterator[None]:
    """Within the block, a chief takes a point back as soon as its worker has ended, and ends once all have."""
    token = _pool.set(pool)
    try:
        yield
    finally:
        _pool.reset(token)


def serve(oracle: SearchOracle) -> bool:
    """Gives out work until the grid is done.

    Args:
        oracle: The search's oracle.

    Returns:
        Whether the grid is done; False where every worker of the chief's own has ended before.

    Raises:
        InvalidArgumentError: The chief cannot listen at its address, or `KERAS_LR_STALE_SECONDS` breaks its rule.
        StorageError: A record cannot be written.
        ResultFormatError: The records are damaged.
    """
    pool = _pool.get()
    servicer = _Servicer(oracle, stale_seconds())
    with _listening(servicer):
        while not servicer.is_done():
            if pool is not None:
                if pool.departed == pool.names:
                    return servicer.is_done(read=True)
                servicer.dismiss(pool.departed)
            time.sleep(LOOK_SECONDS)
        deadline = time.monotonic() + SHUTDOWN_SECONDS
        while servicer.present - (pool.departed if pool else set()) and time.monotonic() < deadline:
            time.sleep(LOOK_SECONDS)
    return True


@contextmanager
def _listening(servicer: _Servicer) -> Iterator[None]:
    address = f"{os.environ['KERASTUNER_ORACLE_IP']}:{os.environ['KERASTUNER_ORACLE_PORT']}"
    # Without the option a second chief could listen at the same port, and each would get some of the calls.
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
    """KerasTuner's service, which also knows who is alive."""

    def __init__(self, oracle: SearchOracle, patience_seconds: float) -> None:
        super().__init__(oracle)
        self.failure: Exception | None = None
        self._patience_seconds = patience_seconds
        self._seen: dict[str, float] = {}
        self._stopped: set[str] = set()
        self._lock = threading.Lock()
        self._done = False
        self._read_at = -math.inf

    @property
    def present(self) -> frozenset[str]:
        """Names of the workers that are alive and have not been sent home."""
        with self._lock:
            return frozenset(self._seen) - self._stopped

    def CreateTrial(self, request: Any, context: Any) -> Any:  # noqa: N802
        """A point of the grid, IDLE or STOPPED; to a sign of life, IDLE."""
        owner = owner_of(request.tuner_id)
        with self._lock:
            self._seen[owner] = time.monotonic()
            self._dismiss(
                {name for name, seen in self._seen.items() if time.monotonic() - seen > self._patience_seconds}
            )
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
        """A point of the grid; STOPPED where the records cannot be read or written, for then nothing can go on."""
        try:
            return self.oracle.create_trial(tuner_id)
        except Exception as err:
            self.failure = err
            return _answer(STOPPED)

    def UpdateTrial(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Takes in the metrics of a point."""
        with self._lock:
            return super().UpdateTrial(request, context)

    def EndTrial(self, request: Any, context: Any) -> Any:  # noqa: N802
        """Takes note that a point is done, and looks at the records at once."""
        with self._lock:
            response = super().EndTrial(request, context)
            self._read_at = -math.inf
        return response

    def is_done(self, *, read: bool = False) -> bool:
        """Whether the grid is done, by the records; they are read anew where something has ended or time has passed."""
        if self.failure is not None:
            raise self.failure
        with self._lock:
            if not self._done and (read or time.monotonic() - self._read_at > FINISHED_SECONDS):
                self._done = self.oracle.finished
                self._read_at = time.monotonic()
            return self._done

    def dismiss(self, names: Collection[str]) -> None:
        """Gives the points of workers that have ended to others."""
        with self._lock:
            self._dismiss(names)

    def _dismiss(self, names: Collection[str]) -> None:
        for name in self._seen.keys() & names:
            del self._seen[name]
            self.oracle.release(name)


def _answer(status: str) -> Trial:
    return Trial(hyperparameters=keras_tuner.HyperParameters(), trial_id="none", status=status)
