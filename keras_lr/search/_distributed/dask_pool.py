"""The only module that imports Dask: a pool of workers that train shares, local workers, and what a worker runs."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import math
import os
import pickle
import queue
import random
import signal
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
import uuid
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cloudpickle
import keras
import numpy as np
import tensorflow as tf
from distributed import Client, KilledWorker, LocalCluster, Status, Worker, get_worker

from keras_lr.errors import InvalidArgumentError, SearchError
from keras_lr.search._distributed.share import (
    PackedSearch,
    Settings,
    Share,
    ShareCancelledError,
    UnknownSearchError,
    receive,
    train_share,
    versions,
)
from keras_lr.search._engines.base import ENGINES, EngineName
from keras_lr.search._recorder import Recorded, Recorder
from keras_lr.search._runs import Run

MAX_DEATHS = 4
"""Workers that may end while they train a share before its runs count as failed."""

MAX_POINTS_PER_SHARE = 32
"""Upper bound on the points that are lost when a worker ends."""

LOOK_SECONDS = 0.25
"""Interval at which the scheduler is asked for its workers."""

NOTICE_SECONDS = 5.0
RECONNECT_SECONDS = 15.0
"""How long a worker that has lost its scheduler looks for it. A cut line takes Dask 30 seconds to notice."""

_START_SECONDS = 60.0
_CHECK_SECONDS = 30.0
"""How long the first share waits for workers to take in the search: one may be busy with another client's task."""

_CLOSE_SECONDS = 5.0
_RESULT_SECONDS = 2.0
_MAX_FAILED_STARTS = 3
_LARGE_BYTES = 1 << 24
"""A search with more data is sent to one worker at a time, since the scheduler holds a copy meanwhile."""

EngineRecord = tuple[EngineName, str, dict[str, Any] | None]
Notify = Callable[[str], None]


@contextlib.contextmanager
def open_pool(
    search: Any,
    *,
    workers: int | None,
    cluster: Any,
    listen: tuple[str, int] | None,
    resources: Mapping[str, float],
    wait: float,
    logs: Path,
    notify: Notify,
) -> Iterator[DaskPool]:
    """The workers of a search: `workers` new ones on this machine, those of `cluster`, or those that come to `listen`.

    Args:
        search: Opens the search in another process, as a function that returns a `Trainer`.
        workers: Number of workers to start.
        cluster: Address of a scheduler, or a client of one.
        listen: Host and port of a new scheduler.
        resources: What each share takes of its worker.
        wait: Seconds to wait for a worker.
        logs: Folder for what the workers of this machine print.
        notify: Shows a line to the user.

    Raises:
        InvalidArgumentError: The search cannot be pickled, the scheduler cannot be reached, or the port is taken.
    """
    packed = pack(search)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_quiet())
        client, local = cluster, None
        if not isinstance(cluster, Client):
            address = cluster
            if cluster is None:
                own = _scheduler(*(listen or ("127.0.0.1", 0)))
                stack.callback(own.close, timeout=_CLOSE_SECONDS)
                address = own.scheduler_address
            if workers is not None:
                local = stack.enter_context(contextlib.closing(LocalWorkers(address, workers, logs)))
            client = _client(address)
            stack.callback(client.close, timeout=_CLOSE_SECONDS)
        pool = DaskPool(client, packed, resources=resources, wait=wait, notify=notify, local=local)
        yield pool
        pool.finish()


class DaskPool:
    """Workers that train runs, one share at a time each.

    A share is bound to its worker, and the pool itself moves it when the worker has gone: Dask would count the deaths
    of all tasks that wait for the worker, would wait silently for a resource that nobody declares, and would lose the
    search with the last worker that holds it.

    Args:
        client: A client of the scheduler.
        packed: The search.
        resources: What each share takes of its worker.
        wait: Seconds to wait for a worker.
        notify: Shows a line to the user.
        local: The workers of this machine; None if all were started elsewhere.
    """

    def __init__(
        self,
        client: Client,
        packed: PackedSearch,
        *,
        resources: Mapping[str, float],
        wait: float,
        notify: Notify,
        local: LocalWorkers | None = None,
    ) -> None:
        self._client, self._packed, self._local = client, packed, local
        self._resources, self._wait, self._notify = dict(resources), wait, notify
        self._address = client.scheduler.address
        self._id = uuid.uuid4().hex
        self._large = sum(buffer.nbytes for buffer in packed.buffers) > _LARGE_BYTES
        self._found: dict[_WorkerId, dict[str, float]] = {}
        self._opened: set[_WorkerId] = set()
        self._refused: set[_WorkerId] = set()
        self._used: set[_WorkerId] = set()
        self._running: dict[_WorkerId, _Attempt] = {}
        self._pending: deque[_Waiting] = deque()
        self._deadly: list[_Waiting] = []
        self._done: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._next_look = 0.0
        self._idle_since: float | None = None
        self._told = False
        self._again = 0
        self._started = time.monotonic()
        self._busy_seconds = self._opening_seconds = 0.0

    def train(
        self, runs: Sequence[Run], recorder: Recorder, *, engine: EngineRecord, planned: int
    ) -> Generator[Recorded, None, None]:
        """Trains runs, and yields what becomes of each share.

        Args:
            runs: The runs, none of which is complete.
            recorder: What is known of them.
            engine: The engine to train with, the reason and the environment.
            planned: Number of runs of the whole search.

        Raises:
            SearchError: The scheduler has gone, or no worker can train.
        """
        try:
            while not self._able():
                self._wait_for_worker()
            self._pending.extend(map(_Waiting, _divided(runs, engine[0], workers=len(self._able()))))
            while self._pending or any(attempt.waiting for attempt in self._running.values()):
                self._wait_for_worker()
                yield from (_failed(waiting) for waiting in self._deadly)
                self._deadly.clear()
                for worker in self._able():
                    if worker not in self._running:
                        self._give(worker, recorder, engine, planned)
                found = self._next_result()
                if found is not None:
                    engine = max(engine, *_engines(found), key=lambda one: ENGINES.index(one[0]))
                    yield found
            yield from (_failed(waiting) for waiting in self._deadly)
        finally:
            self._cancel()

    def details(self) -> Mapping[str, Any]:
        """Number of workers that have trained, and of shares that were trained again; empty if none has trained."""
        count = self._local.count if self._local else len(self._used)
        return {"workers": count, "shares_trained_again": self._again} if self._used else {}

    def finish(self) -> None:
        """Says so if this process alone would have been faster."""
        seconds = time.monotonic() - self._started
        if self._local and self._used and self._busy_seconds + self._opening_seconds < seconds:
            self._notify(
                f"The runs trained for {self._busy_seconds:.1f} s, but the search took {seconds:.1f} s, since its "
                f"workers had to start first. A search this small is faster without `workers`."
            )

    def _able(self) -> list[_WorkerId]:
        """The workers that declare the resources and have the right versions."""
        return [
            worker
            for worker, declared in self._found.items()
            if worker not in self._refused
            and all(declared.get(name, 0) >= amount for name, amount in self._resources.items())
        ]

    def _wait_for_worker(self) -> None:
        """Looks which workers there are, and gives up if there has been none for too long."""
        while True:
            now = time.monotonic()
            if now >= self._next_look:
                self._look()
                self._next_look = now + LOOK_SECONDS
            if self._able():
                self._idle_since, self._told = None, False
                return
            self._idle_since = self._idle_since or now
            waited = now - self._idle_since
            if waited > self._wait:
                raise SearchError(f"{self._missing()} within {self._wait:g} s. {self._remedy()}")
            if waited > NOTICE_SECONDS and not self._told and not self._local:
                self._notify(f"{self._missing()} yet. Waiting up to {self._wait:g} s. {self._remedy()}")
                self._told = True
            time.sleep(LOOK_SECONDS)

    def _missing(self) -> str:
        if not self._found or not self._resources:
            return f"No worker has joined {self._address}"
        return f"0 of {len(self._found)} workers declare {self._wanted()}"

    def _wanted(self) -> str:
        return " ".join(f"{name}={amount:g}" for name, amount in self._resources.items())

    def _remedy(self) -> str:
        if self._local:
            return f"See what they printed in {self._local.logs}."
        declared = f' --resources "{self._wanted()}"' if self._resources else ""
        return f"Start one with: dask worker {self._address}{declared}"

    def _look(self) -> None:
        if self._local:
            self._local.restart(joined=bool(self._found))
        self._check_scheduler()
        try:
            self._found = self._client.run_on_scheduler(_workers_of_scheduler())
        except (OSError, TimeoutError, RuntimeError) as error:
            raise self._gone() from error
        for worker in self._running.keys() - self._found.keys():
            self._lose(self._running.pop(worker))

    def _check_scheduler(self) -> None:
        if self._client.status != "running":
            raise self._gone()

    def _gone(self) -> SearchError:
        return SearchError(
            f"The scheduler at {self._address} has gone. What was recorded is kept. Start it again, then run the "
            f"search again."
        )

    def _give(self, worker: _WorkerId, recorder: Recorder, engine: EngineRecord, planned: int) -> None:
        """Gives a worker the search, or a share once it has the search and the first workers are checked."""
        opening = [attempt for attempt in self._running.values() if attempt.waiting is None]
        if worker not in self._opened:
            if not (self._large and opening):
                self._submit(worker, None, receive, self._packed)
        elif self._pending and (self._used or not opening or time.monotonic() - self._started > _CHECK_SECONDS):
            waiting = self._pending.popleft()
            runs = [run for run in waiting.runs if not recorder.complete(run)]
            best = {run.point: recorder.best(run.point) for run in runs}
            share = Share(runs, recorder.known(runs), best, planned, engine)
            self._used.add(worker)
            self._submit(worker, waiting, _train, share)

    def _submit(self, worker: _WorkerId, waiting: _Waiting | None, function: Any, argument: Any) -> None:
        name = f"keras_lr-{'share' if waiting else 'search'}-{uuid.uuid4().hex}"
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sending large graph", category=UserWarning)
            future = self._client.submit(
                function,
                self._id,
                argument,
                key=name,
                workers=[worker[0]],
                allow_other_workers=False,
                resources=self._resources if waiting else None,
                retries=0,
            )
        self._running[worker] = _Attempt(worker, waiting, future)
        future.add_done_callback(self._done.put)

    def _next_result(self) -> Recorded | None:
        """Waits briefly for a task to end, and returns what a share has come to."""
        try:
            future = self._done.get(timeout=LOOK_SECONDS)
        except queue.Empty:
            return None
        attempt = next((one for one in self._running.values() if one.future.key == future.key), None)
        if attempt is None:
            return None
        if future.status == "pending":
            return None
        if future.status == "error":
            del self._running[attempt.worker]
            self._handle(attempt, future.exception(timeout=_RESULT_SECONDS))
            return None
        if future.status != "finished":
            self._check_scheduler()
            self._put_back(self._running.pop(attempt.worker))
            return None
        try:
            result = future.result(timeout=attempt.patience)
        except TimeoutError:
            # The worker may have died with the result, or the line is slow.
            attempt.patience *= 2
            self._done.put(future)
            return None
        del self._running[attempt.worker]
        if attempt.waiting is None:
            self._take_in(attempt.worker, result)
            return None
        self._busy_seconds += result.seconds
        self._opening_seconds = max(self._opening_seconds, result.opening_seconds)
        recorded: Recorded = result
        return recorded

    def _take_in(self, worker: _WorkerId, other_versions: str) -> None:
        if not other_versions:
            self._opened.add(worker)
            return
        self._refuse(worker, f"it has {other_versions}. Install the same versions everywhere.")

    def _refuse(self, worker: _WorkerId, why: str) -> None:
        """Refuses a worker; the whole search, unless others have begun to train."""
        message = f"The worker at {worker[0]} cannot train: {why}"
        if not self._used:
            raise SearchError(message)
        self._refused.add(worker)
        self._notify(message)

    def _handle(self, attempt: _Attempt, error: BaseException) -> None:
        if isinstance(error, KilledWorker):
            self._lose(attempt)
        elif isinstance(error, (UnknownSearchError, ShareCancelledError)):
            self._opened.discard(attempt.worker)
            self._put_back(attempt)
        elif attempt.waiting is None:
            self._refuse(attempt.worker, f"{type(error).__name__}: {error}. Install keras_lr and TensorFlow there.")
        else:
            raise error

    def _lose(self, attempt: _Attempt) -> None:
        """Takes back the share of a worker that has ended."""
        self._opened.discard(attempt.worker)
        if attempt.waiting is not None:
            attempt.waiting.deaths += 1
            if attempt.waiting.deaths >= MAX_DEATHS:
                self._deadly.append(attempt.waiting)
                return
        self._put_back(attempt)

    def _put_back(self, attempt: _Attempt) -> None:
        attempt.future.release()
        if attempt.waiting is not None:
            self._again += 1
            self._pending.appendleft(attempt.waiting)

    def _cancel(self) -> None:
        """Cancels what is still running."""
        self._pending.clear()
        self._deadly.clear()
        if self._client.status == "running":
            with contextlib.suppress(Exception):
                self._client.cancel([attempt.future for attempt in self._running.values()], force=True)
        self._running.clear()


_WorkerId = tuple[str, str]
"""Address and folder of a worker: another one may take the address."""


@dataclass(eq=False)
class _Waiting:
    """Runs that a worker is to train, and the number of workers that have ended with them."""

    runs: Sequence[Run]
    deaths: int = 0


@dataclass(eq=False)
class _Attempt:
    """A task on a worker: a share, or None for sending the search; and how long to wait for its result."""

    worker: _WorkerId
    waiting: _Waiting | None
    future: Any
    patience: float = _RESULT_SECONDS


def _divided(runs: Sequence[Run], engine: EngineName, *, workers: int) -> list[list[Run]]:
    """Shares of whole points, as even as possible, for the stacked engine; else of single runs."""
    if engine != "stacked":
        return [[run] for run in runs]
    points = list(dict.fromkeys(run.point for run in runs))
    count = max(min(workers, len(points)), math.ceil(len(points) / MAX_POINTS_PER_SHARE))
    parts = [set(points[len(points) * n // count : len(points) * (n + 1) // count]) for n in range(count)]
    return [[run for run in runs if run.point in part] for part in parts]


def _failed(waiting: _Waiting) -> Recorded:
    text = f"{waiting.deaths} workers ended while they trained this share of {len(waiting.runs)} runs"
    return Recorded([], {}, [(run, "SearchError", text) for run in waiting.runs], {}, 0.0, 0.0)


def _engines(recorded: Recorded) -> list[EngineRecord]:
    """The engines that have trained a share."""
    return [(line["engine"], line["reason"], None) for line in recorded.lines if line.get("event") == "engine"]


def _workers_of_scheduler() -> Any:
    """A function for the scheduler, which need not have keras_lr: only a nested function is sent by value."""

    def workers(dask_scheduler: Any) -> dict[_WorkerId, dict[str, float]]:
        return {
            (address, state.local_directory): dict(state.resources)
            for address, state in dask_scheduler.workers.items()
            if state.status.name == "running"
        }

    return workers


def _train(search_id: str, share: Share) -> Recorded:
    """What a worker runs: a share, which ends when the pool no longer waits for it."""
    _isolate_random()
    worker = get_worker()
    key = worker.get_current_task()

    def is_cancelled() -> bool:
        task = worker.state.tasks.get(key)
        return worker.status not in (Status.running, Status.paused) or task is None or task.state == "cancelled"

    return train_share(search_id, share, is_cancelled)


@functools.cache
def _isolate_random() -> None:
    """Gives each thread its own state of `random`, from which Keras draws the seeds of its initializers.

    Dask's threads draw from it too, so that a run would begin with other weights now and then.
    """
    own = threading.local()

    def isolated(name: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if not hasattr(own, "random"):
                own.random = random.Random()
            return getattr(own.random, name)(*args, **kwargs)

        return call

    for name, function in vars(random).copy().items():
        if isinstance(getattr(function, "__self__", None), random.Random):
            setattr(random, name, isolated(name))


def pack(search: Any) -> PackedSearch:
    """A search as bytes, with the user's modules by value.

    Args:
        search: A dataclass of picklable parts that opens the search when it is called.

    Raises:
        InvalidArgumentError: A part cannot be pickled.
    """
    modules = [module for module in list(sys.modules.values()) if _is_users_module(module)]
    named = [module for module in modules if module.__name__ != "__main__"]
    for module in named:
        cloudpickle.register_pickle_by_value(module)
    try:
        buffers: list[pickle.PickleBuffer] = []
        custom = dict(keras.saving.get_custom_objects())
        code = cloudpickle.dumps((search, custom), protocol=5, buffer_callback=buffers.append)
    except Exception as error:
        raise _cannot_be_sent(search, error) from error
    finally:
        for module in named:
            cloudpickle.unregister_pickle_by_value(module)
    arrays = [np.frombuffer(buffer.raw(), np.uint8) for buffer in buffers]
    paths = {str(module.__file__) for module in modules}
    sources = {path: Path(path).read_text(encoding="utf-8") for path in paths}
    return PackedSearch(code, arrays, sources, Settings(), versions())


def _is_users_module(module: Any) -> bool:
    """Whether a module is no part of an installed package, so that a worker cannot import it."""
    path, name = getattr(module, "__file__", None), getattr(module, "__name__", "")
    if not isinstance(path, str) or not path.endswith(".py") or sys.modules.get(name) is not module:
        return False
    installed = path.startswith(_INSTALLED) or "/site-packages/" in path or "/dist-packages/" in path
    return not installed and name.split(".")[0] != "keras_lr" and os.path.isfile(path)


_INSTALLED = tuple(sysconfig.get_path(name) + os.sep for name in ("stdlib", "platstdlib", "purelib", "platlib"))


def _cannot_be_sent(search: Any, error: Exception) -> InvalidArgumentError:
    """The error that names the first part that cannot be pickled."""
    parts = {**search.tuner, **search.fit_kwargs, **{f"argument {n}": part for n, part in enumerate(search.fit_args)}}
    for name, part in parts.items():
        try:
            cloudpickle.dumps(part)
        except Exception as cause:
            kind = type(part).__name__
            remedy = (
                "Pass arrays or a PyDataset" if isinstance(part, tf.data.Dataset) else "Make what it holds inside it"
            )
            return InvalidArgumentError(
                f"`{name}` must be picklable to be sent to a worker. Received: {kind}, which is not: {cause}. "
                f"{remedy}, or search without workers."
            )
    return InvalidArgumentError(f"The search cannot be sent to a worker: {error}. Search without workers.")


def _scheduler(host: str, port: int) -> LocalCluster:
    try:
        return LocalCluster(
            n_workers=0,
            host=host,
            scheduler_port=port,
            processes=True,
            dashboard_address=None,
            silence_logs=logging.CRITICAL,
        )
    except (OSError, RuntimeError) as error:
        raise InvalidArgumentError(
            f"`KERASTUNER_ORACLE_IP` and `KERASTUNER_ORACLE_PORT` must name a free port of this machine. Received: "
            f"{host}:{port}. Choose another port, or end the search that uses it."
        ) from error


def _client(address: Any) -> Client:
    try:
        return Client(address, set_as_default=False, timeout=_CLOSE_SECONDS)
    except (OSError, TimeoutError, ValueError, TypeError) as error:
        raise InvalidArgumentError(
            f"`cluster` must be the address of a running Dask scheduler, or a `distributed.Client`. Received: "
            f"{address!r}. Start one with `dask scheduler`, or check the address."
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hides what Dask logs of connections that break: the search says it in its own words."""
    loggers = [logging.getLogger(name) for name in ("distributed", "tornado", "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


class LocalWorkers:
    """Worker processes on this machine, each of which is started again when it ends.

    Args:
        address: Address of the scheduler.
        count: Number of workers.
        logs: Folder for one log file per worker.
    """

    def __init__(self, address: str, count: int, logs: Path) -> None:
        self.count, self.logs = count, logs
        self._address = address
        self._gpus = _gpus()
        self._failed_starts = [0] * count
        self._scratch = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        logs.mkdir(parents=True, exist_ok=True)
        self._processes = [self._start(number) for number in range(count)]

    def restart(self, *, joined: bool) -> None:
        """Starts workers again that have ended.

        Args:
            joined: Whether any worker is at work, so that workers can start.

        Raises:
            SearchError: A worker fails each time that it starts.
        """
        for number, process in enumerate(self._processes):
            if process.poll() is None:
                continue
            failed = process.returncode > 0 and not joined
            self._failed_starts[number] = self._failed_starts[number] + 1 if failed else 0
            if self._failed_starts[number] >= _MAX_FAILED_STARTS:
                raise SearchError(
                    f"A worker cannot start: it ended with exit code {process.returncode} ({self._log(number)}): "
                    f"{_last_line(self._log(number))}"
                )
            self._processes[number] = self._start(number)

    def close(self) -> None:
        """Ends the workers."""
        for process in self._processes:
            process.kill()
        for process in self._processes:
            process.wait()
        self._scratch.cleanup()

    def environment(self, number: int) -> dict[str, str]:
        """The variables of a worker: with GPUs it sees one of them, else it has its part of the processors."""
        if self._gpus:
            # This process builds models too, and must leave the workers their memory.
            os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
            return {"CUDA_VISIBLE_DEVICES": self._gpus[number % len(self._gpus)]}
        processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        threads = str(max(1, processors // self.count))
        variables = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
        hidden = {"CUDA_VISIBLE_DEVICES": "-1"} if tf.config.list_physical_devices("GPU") else {}
        return {**hidden, **{name: os.environ.get(name, threads) for name in variables}}

    def _start(self, number: int) -> subprocess.Popen[bytes]:
        command = f"from {__name__} import main; main()"
        with self._log(number).open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-c", command, self._address],
                env={**os.environ, **self.environment(number), "TMPDIR": self._scratch.name},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C must reach only this process, which then ends the workers.
                start_new_session=True,
            )

    def _log(self, number: int) -> Path:
        return self.logs / f"worker{number}.log"


def _last_line(path: Path) -> str:
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "nothing printed"


def _gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA names them."""
    shown = os.environ.get("CUDA_VISIBLE_DEVICES")
    known = tf.config.list_physical_devices("GPU")
    names = [str(number) for number in range(len(known))] if shown is None else shown.split(",")
    visible = tf.config.get_visible_devices("GPU")
    return [name for name, device in zip(names, known, strict=False) if device in visible]


def main() -> None:
    """What a local worker runs: it ends as soon as its scheduler does."""
    try:
        run_worker(sys.argv[1], connect_seconds=_START_SECONDS, reconnect_seconds=0.0)
    except SearchError as error:
        print(error, flush=True)
        # A run that is still in training must not hold the process.
        os.kill(os.getpid(), signal.SIGTERM)


def run_worker(address: str, *, connect_seconds: float, reconnect_seconds: float = RECONNECT_SECONDS) -> None:
    """Trains what a scheduler sends until it ends.

    Args:
        address: Address of the scheduler.
        connect_seconds: How long to wait for it to start.
        reconnect_seconds: How long to look for it once it was lost.

    Raises:
        SearchError: It cannot be reached, or has gone without an end of the search.
    """
    with _quiet(), tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        if not asyncio.run(_work(address, folder, connect_seconds, reconnect_seconds)):
            raise SearchError(f"The scheduler at {address} does not answer, so this worker ends. Start both again.")


async def _work(address: str, folder: str, connect_seconds: float, reconnect_seconds: float) -> bool:
    """Whether the scheduler has sent the worker home."""
    seconds = connect_seconds
    while seconds > 0:
        worker = _Worker(
            address, nthreads=1, memory_limit=0, local_directory=folder, death_timeout=seconds, dashboard=False
        )
        try:
            await worker
        except (OSError, TimeoutError, RuntimeError):
            return False
        await worker.finished()
        if worker.was_sent_home:
            return True
        seconds = reconnect_seconds
    return False


class _Worker(Worker):
    """A worker that knows why it ends, and does not wait for a run in training."""

    was_sent_home = False

    async def close(  # type: ignore[override]
        self,
        timeout: float = 30,
        executor_wait: bool = True,
        nanny: bool = True,
        reason: str = "worker-close",
    ) -> str | None:
        """Closes the worker at once."""
        self.was_sent_home |= reason.startswith("scheduler-close")
        answer: str | None = await super().close(timeout, False, nanny, reason)
        return answer
